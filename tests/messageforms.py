"""Canonical values that messages can carry, drawn for tests of that codec.

A drawn value is one that the codec can give back exactly, so its spelling is the one that decoders choose.
"""

from typing import Any, cast

from hypothesis import strategies as st
from msgspec import Raw

from canonicalforms import COUNTS, JSON, NAMES, SPELLED, WORDS, maybe
from ingot.canonical import (
    Answer,
    AnyPart,
    CacheHint,
    CacheSettings,
    Citation,
    Extras,
    File,
    FunctionTool,
    Image,
    JsonSchemaFormat,
    NamedTool,
    NativeChoice,
    NativePart,
    NativeTool,
    Origin,
    Output,
    Reasoning,
    ReasoningSettings,
    Request,
    Seal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)
from storylines import TEXTS

MESSAGES = Origin("messages", "t")

SEARCHED = Citation(
    "messages",
    Raw(
        b'{"type":"web_search_result_location","cited_text":"rain","url":"https://a.example","title":"T","encrypted_index":"E"}'
    ),
    url="https://a.example",
    title="T",
    quote="rain",
)
CITED = Citation(
    "messages",
    Raw(
        b'{"type":"char_location","cited_text":"rain","document_index":0,"document_title":"D","start_char_index":1,"end_char_index":5,"file_id":"file_1"}'
    ),
    title="D",
    quote="rain",
    file_id="file_1",
)
hints = maybe(st.builds(CacheHint, st.sampled_from([None, "5m", "1h"])))
citations = st.lists(st.sampled_from([SEARCHED, CITED]), max_size=2).map(tuple)
objects = st.sampled_from(["{}", '{"a":1}', '{"a":null,"b":["\u00e9",2.5]}', '{"input":"x"}'])


def extras(*names: str, values: st.SearchStrategy[Raw] = JSON) -> st.SearchStrategy[Extras | None]:
    """Unknown fields under these names."""
    fields = st.dictionaries(st.sampled_from(names), values, min_size=1)
    return maybe(st.builds(Extras, st.just("messages"), fields))


def common(*names: str) -> dict[str, Any]:
    """What any block of a prompt may have."""
    return {"cache": hints, "extras": extras("weight", "x_note", *names)}


texts = st.builds(Text, TEXTS, **common())
instructions = st.lists(st.builds(Text, WORDS, **common()), min_size=1, max_size=2).map(tuple)
images = (
    st.builds(Image, data=st.just("aGk="), media_type=st.sampled_from(["image/png"]), **common("source.size"))
    | st.builds(Image, url=st.just("https://a.example/1.png"), **common("source.size"))
    | st.builds(Image, file_id=st.just("file_1"), **common())
)
described: dict[str, Any] = {
    "title": maybe(WORDS),
    "context": maybe(WORDS),
    "citations": maybe(st.booleans()),
    **common("source.size"),
}
files = (
    st.builds(File, data=st.just("JVBE"), media_type=st.just("application/pdf"), **described)
    | st.builds(File, text=TEXTS, **described)
    | st.builds(File, url=st.just("https://a.example/1.pdf"), **described)
    | st.builds(File, file_id=st.just("file_1"), **described)
)
natives = st.just(
    NativePart(
        "messages",
        "search_result",
        Raw(b'{"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"x"}]}'),
    )
)


def calls(index: int, *, hint: bool) -> st.SearchStrategy[ToolCall]:
    """A tool call with an id of its own."""
    return st.builds(
        ToolCall,
        st.just(f"toolu_{index}"),
        NAMES,
        objects,
        cache=hints if hint else st.none(),
        extras=extras("toolset_name"),
    )


def thoughts(origin: Origin) -> st.SearchStrategy[Reasoning]:
    """Thoughts that are signed, shown without a signature, or redacted."""
    signed = st.builds(Seal, st.just("signature"), st.sampled_from(["EqQB", "Erc="]))
    told = WORDS.map(lambda text: (text,))
    return (
        st.builds(Reasoning, st.just(origin), told | st.just(()), seal=signed)
        | st.builds(Reasoning, st.just(origin), told)
        | st.builds(Reasoning, st.just(origin), seal=st.just(Seal("redacted", "EmwK")))
    )


hosted = st.just(
    NativePart(
        "messages",
        "server_tool_use",
        Raw(b'{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"rain"}}'),
    )
) | st.just(
    NativePart(
        "messages",
        "web_search_tool_result",
        Raw(b'{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]}'),
    )
)


@st.composite
def said(draw: st.DrawFn, *, origin: Origin, first: int, prompt: bool) -> tuple[AnyPart, ...]:
    """What an assistant says, in any order; calls are numbered from `first`."""
    spoken: st.SearchStrategy[AnyPart] = st.builds(
        Text,
        TEXTS,
        citations,
        cache=hints if prompt else st.none(),
        extras=extras("weight"),
    )
    parts = draw(st.lists(spoken | thoughts(origin) | hosted, max_size=4))
    count = draw(st.integers(0, 3))
    return (*parts, *[draw(calls(first + index, hint=prompt)) for index in range(count)])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Turns, with the results of what was called among what the user says."""
    turns: list[Turn] = []
    if draw(st.booleans()):
        turns.append(Turn("system", draw(instructions), at="system"))
    asked = st.lists(texts | images | files | natives, min_size=1, max_size=3).map(tuple)
    results = st.lists(texts | images | files | natives, max_size=2).map(tuple)
    called: list[ToolCall] = []
    count = 0
    for index in range(draw(st.integers(1, 4))):
        at = f"messages[{index}]"
        role = draw(st.sampled_from(["user", "assistant", "system"]))
        parts: tuple[AnyPart, ...]
        if role == "assistant":
            parts = draw(said(origin=Origin("messages"), first=count, prompt=True))
            called = [part for part in parts if isinstance(part, ToolCall)]
            count += len(called)
        elif role == "user":
            given_back = [
                ToolResult(call.id, draw(results), draw(maybe(st.booleans())), cache=draw(hints))
                for call in called
            ]
            parts, called = (*given_back, *draw(asked)), []
        else:
            parts = draw(instructions)
        turns.append(Turn(cast("Any", role), parts, None, at, draw(extras("mood"))))
    return tuple(turns)


schemas = st.sampled_from([b'{"type": "object"}', b'{"minimum":1e3,"a":1.0}', b"{}"]).map(Raw)
function_tools = st.builds(
    FunctionTool,
    NAMES,
    maybe(WORDS),
    schemas,
    maybe(st.booleans()),
    cache=hints,
    extras=extras("input_examples", "defer_loading", values=SPELLED),
)
native_tools = st.just(
    NativeTool("messages", "web_search_20250305", Raw(b'{"type":"web_search_20250305","name":"web_search"}'))
)


@st.composite
def reasonings(draw: st.DrawFn) -> ReasoningSettings:
    """How much to think, in each of the ways that this dialect has."""
    mode = draw(st.sampled_from([None, "enabled", "disabled", "adaptive"]))
    effort = draw(st.sampled_from(["low", "max"]))
    if mode is None or draw(st.booleans()):
        return ReasoningSettings(effort=effort, mode=cast("Any", mode))
    return ReasoningSettings(
        budget=draw(st.integers(1024, 4096)) if mode == "enabled" else None,
        mode=cast("Any", mode),
        summary=draw(st.sampled_from([None, "auto", "none"])) if mode != "disabled" else None,
    )


@st.composite
def messages_requests(draw: st.DrawFn) -> Request:
    """A request that messages can carry."""
    tools = draw(st.lists(function_tools | native_tools, max_size=3).map(tuple))
    choices: st.SearchStrategy[Any] = st.none()
    if tools:
        name = next((tool.name for tool in tools if isinstance(tool, FunctionTool)), "web_search")
        choices |= st.sampled_from(["auto", "none", "required", NamedTool(name)])
        choices |= st.just(NativeChoice("messages", Raw(b'{"type":"tool_search"}')))
    choice = draw(choices)
    parallel = draw(maybe(st.booleans()))
    if choice is None or choice == "none" or isinstance(choice, NativeChoice):
        parallel = None
    number = st.sampled_from([0, 0.5, 1])
    return Request(
        origin="messages",
        model="m",
        turns=draw(conversations()),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output_format=draw(maybe(st.builds(JsonSchemaFormat, schemas))),
        reasoning=draw(maybe(reasonings())),
        max_output_tokens=draw(st.integers(0, 5000)),
        stop=draw(st.lists(WORDS, max_size=5).map(tuple)),
        temperature=draw(maybe(number)),
        top_p=draw(maybe(number)),
        top_k=draw(maybe(st.integers(0, 50))),
        user=draw(maybe(WORDS)),
        cache=draw(maybe(st.builds(CacheSettings, hint=st.builds(CacheHint, st.just("1h"))))),
        service_tier=draw(st.sampled_from([None, "auto", "standard_only"])),
        stream=draw(st.booleans()),
        extras=draw(extras("container", "output_config.x", "metadata.x", "speed")),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counts that add up."""
    cached, written = draw(maybe(COUNTS)), draw(maybe(COUNTS))
    by = {"5m": written, "1h": 0} if written is not None and draw(st.booleans()) else {}
    thought = draw(maybe(COUNTS))
    return Usage(
        input=draw(COUNTS) + (cached or 0) + (written or 0),
        output=draw(COUNTS) + (thought or 0),
        cached_input=cached,
        cache_write=written,
        cache_write_by=by,
        reasoning=thought,
        extras=draw(extras("inference_geo", "server_tool_use")),
    )


@st.composite
def messages_answers(draw: st.DrawFn) -> Answer:
    """An answer that messages can carry."""
    finish, told, met = draw(
        st.sampled_from(
            [
                ("stop", None, None),
                ("stop_sequence", None, "\n"),
                ("length", None, None),
                ("context_length", None, None),
                ("tool_calls", None, None),
                ("pause", None, None),
                ("refusal", None, None),
                ("other", "compaction", None),
            ]
        )
    )
    output = Output(
        parts=draw(said(origin=MESSAGES, first=0, prompt=False)),
        finish=cast("Any", finish),
        told=told,
        stop_sequence=met,
        extras=draw(extras("stop_details")),
    )
    return Answer(
        origin=MESSAGES,
        id="msg_1",
        model="m",
        outputs=(output,),
        usage=draw(usages()),
        service_tier=draw(st.sampled_from([None, "default", "priority", "batch"])),
        extras=draw(extras("container", "diagnostics")),
    )
