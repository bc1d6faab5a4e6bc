"""Canonical values that responses can carry, drawn for tests of that codec.

A drawn value is one that the codec can give back exactly, so its spelling is the one that decoders choose: one item a
turn, defaults left out.
"""

from typing import Any, cast

import msgspec
from hypothesis import strategies as st
from msgspec import Raw

from canonicalforms import COUNTS, JSON, NAMES, SPELLED, WORDS, maybe
from ingot.canonical import (
    AllowedTools,
    Answer,
    AnyPart,
    CacheHint,
    CacheSettings,
    Citation,
    CustomTool,
    Extras,
    File,
    FunctionTool,
    Grammar,
    Image,
    JsonObjectFormat,
    JsonSchemaFormat,
    Logprobs,
    NamedTool,
    NativeChoice,
    NativePart,
    NativeTool,
    Origin,
    Output,
    Reasoning,
    ReasoningSettings,
    Refusal,
    Request,
    Seal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)
from storylines import TEXTS

RESPONSES = Origin("responses", "t")
CITED = Citation(
    "responses",
    Raw(b'{"type":"url_citation","url":"https://a.example","title":"T","start_index":0,"end_index":1}'),
    url="https://a.example",
    title="T",
    start=0,
    end=1,
)
FILED = Citation(
    "responses",
    Raw(b'{"type":"file_citation","file_id":"file-1","filename":"a.pdf","index":0}'),
    file_id="file-1",
    filename="a.pdf",
)
TOKEN = Raw(b'{"token":"a","bytes":[97],"logprob":-0.5,"top_logprobs":[]}')


def extras(*names: str, values: st.SearchStrategy[Raw] = JSON) -> st.SearchStrategy[Extras | None]:
    """Unknown fields under these names."""
    # An empty list is as good as absent.
    told = values.filter(lambda raw: bytes(raw) != b"[]")
    fields = st.dictionaries(st.sampled_from(names), told, min_size=1)
    return maybe(st.builds(Extras, st.just("responses"), fields))


# --- requests ---

hints = maybe(st.builds(CacheHint, st.sampled_from([None, "30m", "12h"])))
common: dict[str, Any] = {"cache": hints, "extras": extras("weight", "x.y")}
texts = st.builds(Text, TEXTS, **common)
images = st.builds(
    Image,
    data=st.sampled_from(["aGk=", ""]),
    media_type=st.sampled_from(["image/png", "image/webp"]),
    detail=st.sampled_from([None, "low", "high", "original"]),
    **common,
) | st.one_of(
    st.builds(Image, url=st.sampled_from(["https://a.example/1.png", "data:,x"]), **common),
    st.builds(Image, file_id=st.just("file-1"), **common),
)
files = st.one_of(
    st.builds(File, data=st.just("JVBE"), media_type=maybe(st.just("application/pdf")), **common),
    st.builds(File, url=st.just("https://a.example/a.pdf"), filename=maybe(WORDS), **common),
    st.builds(File, file_id=st.just("file-1"), **common),
)
heard = st.builds(Text, TEXTS)
said = st.builds(Text, TEXTS, st.lists(st.sampled_from([CITED, FILED]), max_size=2).map(tuple)) | st.builds(
    Refusal, TEXTS
)


@st.composite
def messages(draw: st.DrawFn) -> Turn:
    """A message of any role."""
    role = draw(st.sampled_from(["user", "system", "developer", "assistant"]))
    part = said if role == "assistant" else texts | images | files
    parts: list[AnyPart] = draw(st.lists(part, min_size=1, max_size=3))
    item = draw(maybe(st.just("msg_1")))
    parts = [msgspec.structs.replace(each, item=item) for each in parts]
    return Turn(cast("Any", role), tuple(parts), extras=draw(extras("phase", "mood")))


kinds = st.sampled_from(["function", "custom"])
calls = st.builds(
    ToolCall,
    st.just("call_1"),
    NAMES,
    TEXTS,
    kinds,
    item=maybe(st.just("fc_1")),
    extras=extras("namespace", "caller"),
)
results = st.builds(
    ToolResult,
    st.just("call_1"),
    st.lists(texts | images | files, min_size=1, max_size=2).map(tuple),
    kind=kinds,
    item=maybe(st.just("fco_1")),
    extras=extras("caller"),
)


def thoughts(origin: Origin) -> st.SearchStrategy[Reasoning]:
    """A reasoning item."""
    paragraphs = st.lists(TEXTS, max_size=2).map(tuple)
    return st.builds(
        Reasoning,
        st.just(origin),
        paragraphs,
        paragraphs,
        maybe(st.builds(Seal, st.just("encrypted"), WORDS)),
        item=st.just("rs_1"),
        extras=extras("mood"),
    )


natives = st.sampled_from(
    [
        NativePart("responses", "item_reference", Raw(b'{"type":"item_reference","id":"msg_9"}')),
        NativePart("responses", "web_search_call", Raw(b'{"type":"web_search_call","id":"ws_1"}')),
    ]
)
items = st.one_of(
    messages(),
    calls.map(lambda part: Turn("assistant", (part,))),
    results.map(lambda part: Turn("tool", (part,))),
    thoughts(Origin("responses")).map(lambda part: Turn("assistant", (part,))),
    natives.map(lambda part: Turn("assistant", (part,))),
)
schemas = st.sampled_from([b'{"type": "object"}', b'{"minimum":1e3,"a":1.0}', b"{}"]).map(Raw)
tools = st.one_of(
    st.builds(
        FunctionTool,
        NAMES,
        maybe(WORDS),
        st.just(msgspec.UNSET) | schemas,
        maybe(st.booleans()),
        extras=extras("defer_loading", values=SPELLED),
    ),
    st.builds(
        CustomTool,
        NAMES,
        maybe(WORDS),
        maybe(st.builds(Grammar, st.sampled_from(["lark", "regex"]), WORDS)),
        extras=extras("defer_loading", values=SPELLED),
    ),
    st.just(NativeTool("responses", "web_search", Raw(b'{"type":"web_search"}'))),
)
formats = st.builds(JsonObjectFormat) | st.builds(
    JsonSchemaFormat, schemas, NAMES, maybe(WORDS), maybe(st.booleans()), extras("x", values=SPELLED)
)
reasoning = st.builds(
    ReasoningSettings,
    effort=st.sampled_from(["none", "low", "max"]),
    summary=st.sampled_from([None, "auto", "detailed"]),
    extras=extras("context", "mode"),
)
caches = st.builds(
    CacheSettings,
    key=st.just("k"),
    retention=maybe(st.just("24h")),
    options=st.just(msgspec.UNSET) | st.just(Raw(b'{"mode": "explicit"}')),
)
wished = st.just(Raw(b'["reasoning.encrypted_content"]'))


@st.composite
def responses_requests(draw: st.DrawFn) -> Request:
    """A request that responses can carry."""
    offered = draw(st.lists(tools, max_size=3).map(tuple))
    named = [
        NamedTool(tool.name, "custom" if isinstance(tool, CustomTool) else "function")
        for tool in offered
        if not isinstance(tool, NativeTool)
    ]
    choices: st.SearchStrategy[Any] = st.sampled_from([None, "auto", "none"])
    choices |= st.just(NativeChoice("responses", Raw(b'{"type":"web_search"}')))
    if named:
        allowed = st.lists(st.sampled_from(named), min_size=1, max_size=2).map(tuple)
        choices |= st.sampled_from(named) | st.just("required")
        choices |= st.builds(AllowedTools, st.sampled_from(["auto", "required"]), allowed)
    stream = draw(st.booleans())
    logprobs = draw(st.sampled_from([None, True]))
    rest = draw(extras("truncation", "prompt", "text.mood", "x", values=SPELLED))
    if draw(st.booleans()):
        rest = Extras("responses", {**({} if rest is None else rest.fields), "include": draw(wished)})
    return Request(
        origin="responses",
        model="m",
        turns=draw(st.lists(items, min_size=1, max_size=5).map(tuple)),
        tools=offered,
        tool_choice=draw(choices),
        parallel_tool_calls=draw(maybe(st.booleans())),
        output_format=draw(maybe(formats)),
        verbosity=draw(st.sampled_from([None, "low", "high"])),
        reasoning=draw(maybe(reasoning)),
        max_output_tokens=draw(maybe(st.integers(1, 100))),
        temperature=draw(maybe(st.sampled_from([0, 0.5, 1]))),
        top_p=draw(maybe(st.sampled_from([0, 0.5, 1]))),
        logprobs=logprobs,
        top_logprobs=draw(maybe(st.integers(0, 20))) if logprobs else None,
        metadata=draw(maybe(st.just({"a": "b"}))),
        user=draw(maybe(WORDS)),
        safety_identifier=draw(maybe(WORDS)),
        cache=draw(maybe(caches)),
        service_tier=draw(st.sampled_from([None, "auto", "ultrafast"])),
        store=draw(maybe(st.booleans())),
        stream=stream,
        obfuscation=draw(maybe(st.booleans())) if stream else None,
        extras=rest,
    )


# --- answers ---


@st.composite
def answer_parts(draw: st.DrawFn) -> tuple[tuple[AnyPart, ...], tuple[Logprobs, ...]]:
    """What an answer says in its items, each with an id of its own, and the log probabilities of its texts."""
    parts: list[AnyPart] = []
    runs: list[Logprobs] = []
    for number in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["message", "call", "thoughts", "native"]))
        if kind == "message":
            fields = draw(extras("item.phase", "item.mood", "weight"))
            for index, part in enumerate(draw(st.lists(said, min_size=1, max_size=2))):
                item = f"msg_{number}"
                if isinstance(part, Text) and draw(st.booleans()):
                    runs.append(Logprobs(tokens=(TOKEN,), part=len(parts)))
                told = fields if index == 0 else None
                parts.append(msgspec.structs.replace(part, item=item, extras=told))
        elif kind == "call":
            parts.append(msgspec.structs.replace(draw(calls), item=f"fc_{number}", id=f"call_{number}"))
        elif kind == "thoughts":
            parts.append(msgspec.structs.replace(draw(thoughts(RESPONSES)), item=f"rs_{number}"))
        else:
            raw = b'{"type":"web_search_call","id":"ws_%d"}' % number
            parts.append(NativePart("responses", "web_search_call", Raw(raw)))
    return tuple(parts), tuple(runs)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counts of which no part is more than its whole."""
    cached, written, thought = draw(COUNTS), draw(COUNTS), draw(COUNTS)
    return Usage(
        input=draw(COUNTS) + cached + written,
        output=draw(COUNTS) + thought,
        cached_input=cached,
        cache_write=written,
        cache_write_by=draw(st.sampled_from([{}, {"30m": 3, "12h": 0}])),
        reasoning=thought,
        extras=draw(extras("cost", "input_tokens_details.images")),
    )


@st.composite
def responses_answers(draw: st.DrawFn) -> Answer:
    """An answer that responses can carry."""
    parts, runs = draw(answer_parts())
    done = "tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "stop"
    ends = [(done, None), ("length", None), ("content_filter", None), ("other", "steered")]
    finish, told = draw(st.sampled_from(ends))
    return Answer(
        origin=RESPONSES,
        id="resp_1",
        model="m",
        outputs=(Output(parts=parts, finish=cast("Any", finish), told=told, logprobs=runs),),
        created=1_790_000_000,
        usage=draw(maybe(usages())),
        service_tier=draw(st.sampled_from(["default", "flex"])),
        extras=draw(extras("timings", "tool_usage")),
    )
