"""Canonical values for tests: comparing them without their places, and drawing ones that chat can carry.

A drawn value is one that a codec can give back exactly, so its spelling is the one that decoders choose: no empty
extras, thoughts before text before calls, one paragraph of thoughts.
"""

from typing import Any, TypeVar, cast

import msgspec
from hypothesis import strategies as st
from msgspec import Raw, Struct

from ingot.canonical import (
    AllowedTools,
    Answer,
    AnyPart,
    Audio,
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
    Origin,
    Output,
    Reasoning,
    ReasoningSettings,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)
from storylines import TEXTS

T = TypeVar("T")

CHAT = Origin("chat", "t")
WORDS = TEXTS.filter(bool)
NAMES = st.sampled_from(["look_up", "add", "note"])
# As our encoder writes it: inside of messages and answers JSON stays equal, but not its spaces.
JSON = st.sampled_from([b"1", b"2.5", b'"\xc3\xa9"', b"[]", b'{"a":null}', b"true", b"-100.0"]).map(Raw)
# At the top of a request, and in tools, every byte stays.
SPELLED = JSON | st.sampled_from([b"2.50", b"[ ]", b'{"a": null}', b"-1e2"]).map(Raw)
COUNTS = st.integers(0, 9000)


def bare(value: T) -> T:
    """The value without its places, all the way down."""
    if isinstance(value, Struct):
        fields = {name: bare(getattr(value, name)) for name in value.__struct_fields__ if name != "places"}
        if "places" in value.__struct_fields__:
            fields["places"] = {}
        if "at" in fields:
            fields["at"] = ""
        return cast("T", type(value)(**fields))
    if isinstance(value, tuple):
        return cast("T", tuple(bare(each) for each in value))
    return value


def without_nothing(value: Any) -> Any:
    """JSON without nulls and empty lists: to the dialects they mean the same as absence."""
    if isinstance(value, dict):
        return {key: without_nothing(each) for key, each in value.items() if each is not None and each != []}
    return [without_nothing(each) for each in value] if isinstance(value, list) else value


def maybe(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """Nothing, or one of these."""
    return st.none() | strategy


def extras(*names: str, values: st.SearchStrategy[Raw] = JSON) -> st.SearchStrategy[Extras | None]:
    """Unknown fields under these names."""
    fields = st.dictionaries(st.sampled_from(names), values, min_size=1)
    return maybe(st.builds(Extras, st.just("chat"), fields))


def common(*names: str) -> dict[str, Any]:
    """What any content part may have."""
    hints = st.builds(CacheHint, st.sampled_from([None, "30m", "12h"]))
    return {"cache": maybe(hints), "extras": extras("weight", "x_note", *names)}


texts = st.builds(Text, TEXTS, **common())
images = st.builds(
    Image,
    data=st.sampled_from(["aGk=", ""]),
    media_type=st.sampled_from(["image/png", "image/webp"]),
    detail=st.sampled_from([None, "auto", "high"]),
    **common("image_url.uuid"),
) | st.builds(
    Image,
    url=st.sampled_from(["https://a.example/1.png", "data:,x", "data:image/png;charset=x;base64,aGk="]),
    **common("image_url.uuid"),
)
files = st.builds(
    File,
    data=st.just("JVBE"),
    media_type=st.sampled_from([None, "application/pdf"]),
    filename=maybe(st.just("a.pdf")),
    **common("file.page"),
) | st.builds(File, file_id=st.just("file-1"), **common("file.page"))
audios = st.builds(Audio, st.just("UklG"), st.sampled_from(["wav", "mp3"]), **common("input_audio.rate"))


def calls(index: int) -> st.SearchStrategy[ToolCall]:
    """A tool call with an id of its own."""
    return st.builds(
        ToolCall,
        st.just(f"call_{index}"),
        NAMES,
        TEXTS,
        st.just("function"),
        extras=extras("extra_content", "function.note"),
    ) | st.builds(ToolCall, st.just(f"call_{index}"), NAMES, TEXTS, st.just("custom"))


@st.composite
def assistant_parts(draw: st.DrawFn, *, origin: Origin, first: int) -> tuple[AnyPart, ...]:
    """What an answer says, in the one order that chat has; calls are numbered from `first`."""
    parts: list[AnyPart] = []
    if draw(st.booleans()):
        parts.append(Reasoning(origin, (draw(WORDS),)))
    if draw(st.booleans()):
        parts.append(Text(draw(WORDS)))
    if draw(st.booleans()):
        parts.append(Refusal(draw(WORDS)))
    return (*parts, *[draw(calls(first + index)) for index in range(draw(st.integers(0, 3)))])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Turns, with the results of what was called."""
    turns: list[Turn] = []
    called = 0
    who = maybe(st.just("ada"))
    plain = st.lists(texts, min_size=1, max_size=3).map(tuple)
    asked = st.lists(texts | images | files | audios, min_size=1, max_size=3).map(tuple)
    for _ in range(draw(st.integers(1, 4))):
        role = draw(st.sampled_from(["system", "developer", "user", "assistant"]))
        if role == "assistant":
            parts = draw(assistant_parts(origin=Origin("chat"), first=called))
            turns.append(Turn("assistant", parts, draw(who), "", draw(extras("x_note"))))
            made = [part for part in parts if isinstance(part, ToolCall)]
            called += len(made)
            turns += [
                Turn(
                    "tool",
                    (ToolResult(call.id, draw(plain), kind=call.kind),),
                    draw(who),
                    "",
                    draw(extras("x")),
                )
                for call in made
            ]
        else:
            said: st.SearchStrategy[tuple[AnyPart, ...]] = asked if role == "user" else plain
            turns.append(Turn(cast("Any", role), draw(said), draw(who), "", draw(extras("x_note"))))
    return tuple(turns)


schemas = st.sampled_from([b'{"type": "object"}', b'{"minimum":1e3,"a":1.0}', b"{}"]).map(Raw)
function_tools = st.builds(
    FunctionTool,
    NAMES,
    maybe(WORDS),
    st.just(msgspec.UNSET) | schemas,
    maybe(st.booleans()),
    extras=extras("weight", "function.examples", values=SPELLED),
)
custom_tools = st.builds(
    CustomTool,
    NAMES,
    maybe(WORDS),
    maybe(st.builds(Grammar, st.sampled_from(["lark", "regex"]), WORDS)),
    extras=extras("custom.examples", values=SPELLED),
)
formats = st.builds(JsonObjectFormat) | st.builds(
    JsonSchemaFormat,
    st.just(msgspec.UNSET) | schemas,
    NAMES,
    maybe(WORDS),
    maybe(st.booleans()),
    extras("json_schema.x", values=SPELLED),
)
cache_settings = st.builds(
    CacheSettings,
    key=st.just("k"),
    retention=maybe(st.just("24h")),
    options=st.just(msgspec.UNSET) | st.just(Raw(b'{"mode": "explicit"}')),
)


@st.composite
def chat_requests(draw: st.DrawFn) -> Request:
    """A request that chat can carry."""
    tools = draw(st.lists(function_tools | custom_tools, max_size=3).map(tuple))
    offered = [
        NamedTool(tool.name, "custom" if isinstance(tool, CustomTool) else "function") for tool in tools
    ]
    some = st.sampled_from(offered) if offered else st.nothing()
    choices: st.SearchStrategy[Any] = st.sampled_from([None, "auto", "none"])
    if offered:
        allowed = st.lists(some, min_size=1, max_size=2).map(tuple)
        choices |= (
            st.just("required")
            | some
            | st.builds(AllowedTools, st.sampled_from(["auto", "required"]), allowed)
        )
    number = st.sampled_from([0, 0.5, 1])
    stream = draw(st.booleans())
    return Request(
        origin="chat",
        model="m",
        turns=draw(conversations()),
        tools=tools,
        tool_choice=draw(choices),
        parallel_tool_calls=draw(maybe(st.booleans())),
        output_format=draw(maybe(formats)),
        verbosity=draw(st.sampled_from([None, "low", "high"])),
        reasoning=draw(maybe(st.builds(ReasoningSettings, effort=st.sampled_from(["none", "low", "max"])))),
        max_output_tokens=draw(maybe(st.integers(1, 100))),
        stop=draw(st.lists(WORDS, max_size=4).map(tuple)),
        n=draw(maybe(st.integers(1, 4))),
        temperature=draw(maybe(number)),
        top_p=draw(maybe(number)),
        top_k=draw(maybe(st.integers(0, 50))),
        frequency_penalty=draw(maybe(number)),
        presence_penalty=draw(maybe(number)),
        seed=draw(maybe(st.integers(-(2**63), 2**63 - 1))),
        logit_bias=draw(st.just(msgspec.UNSET) | st.just(Raw(b'{"7":-100}'))),
        logprobs=True,
        top_logprobs=draw(maybe(st.integers(0, 20))),
        metadata=draw(maybe(st.just({"a": "b"}))),
        user=draw(maybe(WORDS)),
        safety_identifier=draw(maybe(WORDS)),
        cache=draw(maybe(cache_settings)),
        service_tier=draw(st.sampled_from([None, "auto", "priority"])),
        store=draw(st.sampled_from([None, False])),
        stream=stream,
        stream_usage=stream,
        obfuscation=draw(maybe(st.booleans())) if stream else None,
        extras=draw(extras("repetition_penalty", "guided_json", values=SPELLED)),
    )


tokens = st.lists(st.just(Raw(b'{"token":"a","logprob":-0.5}')), min_size=1, max_size=2).map(tuple)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counts of which no part is more than its whole."""
    cached, written, thought = draw(maybe(COUNTS)), draw(maybe(COUNTS)), draw(maybe(COUNTS))
    heard, spoken = draw(maybe(COUNTS)), draw(maybe(COUNTS))
    return Usage(
        input=draw(COUNTS) + (cached or 0) + (written or 0) + (heard or 0),
        output=draw(COUNTS) + (thought or 0) + (spoken or 0),
        cached_input=cached,
        cache_write=written,
        reasoning=thought,
        audio_input=heard,
        audio_output=spoken,
    )


@st.composite
def chat_outputs(draw: st.DrawFn, index: int, *, whole: bool) -> Output:
    """One alternative; what a stream of chunks cannot tell apart is drawn for whole answers only."""
    parts = draw(assistant_parts(origin=CHAT, first=0))
    runs = (Logprobs(tokens=draw(tokens)), Logprobs(tokens=draw(tokens), kind="refusal"))
    finish, told, met = draw(
        st.sampled_from(
            [
                ("stop", None, None),
                ("stop_sequence", None, "\n"),
                ("length", None, None),
                ("tool_calls", None, None),
                ("content_filter", None, None),
                ("other", "eos", None),
            ]
        )
    )
    if whole and parts and isinstance(parts[0], Text):
        cited = Citation("chat", Raw(b'{"type":"url_citation","url_citation":{"url":"u"}}'), url="u")
        parts = (Text(parts[0].text, (cited,)), *parts[1:])
    return Output(
        index=index,
        parts=parts,
        finish=cast("Any", finish),
        told=told,
        stop_sequence=met,
        logprobs=runs[: draw(st.integers(0, 2))],
        extras=draw(extras("native_finish_reason")),
        message_extras=draw(extras("mood")),
    )


@st.composite
def chat_answers(draw: st.DrawFn, *, whole: bool = True) -> Answer:
    """An answer that chat can carry."""
    count = draw(st.integers(1, 3))
    return Answer(
        origin=CHAT,
        id="chatcmpl-1",
        model="m",
        outputs=tuple(draw(chat_outputs(index, whole=whole)) for index in range(count)),
        created=1_790_000_000,
        usage=draw(usages()),
        service_tier=draw(maybe(st.just("flex"))),
        fingerprint=draw(maybe(st.just("fp"))),
        extras=draw(extras("timings")),
    )
