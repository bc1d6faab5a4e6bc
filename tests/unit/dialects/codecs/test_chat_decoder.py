"""Streams of odd chat servers as events: each says what it means, and nothing of it is lost unseen."""

import json
from typing import Any

import pytest
from msgspec import Raw

from ingot.canonical import (
    Extras,
    Failure,
    NativePart,
    Origin,
    Request,
    Text,
    ToolCall,
    Turn,
    Usage,
)
from ingot.dialects.codec import Reply, StreamDecoder
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.chat.encoder import ChatEncoder
from ingot.dialects.fold import assemble
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Ended,
    Failed,
    Noted,
    PartStarted,
    Started,
    TextDelta,
    UsageTold,
    fold,
)
from ingot.rawjson import Body

NEAR = Origin("chat", "target")


def chunk(delta: Any, *, finish: str | None = None, **more: Any) -> bytes:
    """A chunk of one choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return json.dumps({"id": "c", "model": "m", "created": 1, "choices": [choice]}).encode()


def read(*chunks: bytes, n: int = 1) -> list[AnyEvent]:
    """The events of these chunks, without the first; nothing is lost."""
    decoder = CHAT_CODEC.decode_stream(NEAR, n)
    events = [event for data in chunks for event in decoder.feed(data)] + decoder.close()
    assert decoder.losses == ()
    return events[1:]


def places(decoder: StreamDecoder) -> list[str]:
    """The paths of what is lost so far."""
    return [loss.path for loss in decoder.losses]


def client(*, usage: bool = False) -> ChatEncoder:
    """A client's stream."""
    asked = Request(origin="chat", model="public", turns=(Turn("user", ()),), stream=True, stream_usage=usage)
    return ChatEncoder(Reply("chatcmpl-9", "public", 1_790_000_000, asked, Body(b"{}", {})))


def fragment(index: int | None, *, name: str = "", arguments: str = "", **more: Any) -> Any:
    """A piece of a tool call."""
    place = {} if index is None else {"index": index}
    return {**place, "function": {**({"name": name} if name else {}), "arguments": arguments}, **more}


def test_kinds_of_text_when_they_take_turns() -> None:
    """Each turn is a part of its own: for a client of another dialect, the order is part of the answer."""
    events = read(chunk({"content": "a"}), chunk({"reasoning": "t"}), chunk({"content": "b"}, finish="stop"))
    parts = fold([Started(NEAR, "c", "m"), *events]).outputs[0].parts
    assert [(type(part).__name__, getattr(part, "text", "")) for part in parts] == [
        ("Text", "a"),
        ("Reasoning", ""),
        ("Text", "b"),
    ]
    assert [type(event).__name__ for event in events] == [
        *("PartStarted", "TextDelta", "PartEnded"),
        *("PartStarted", "ReasoningDelta", "PartEnded"),
        *("PartStarted", "TextDelta", "PartEnded"),
        *("Finished", "Ended"),
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        [fragment(0, id="c1", name="get", arguments=""), fragment(0, arguments="{}")],
        [fragment(0, id="c1", name="get", arguments="{"), fragment(0, id="c1", name="get", arguments="}")],
        [fragment(0, id="c1", name="g"), fragment(0, name="et"), fragment(0, arguments="{}")],
        [fragment(None, id="c1", name="get"), fragment(None, arguments="{}")],
        [fragment(0, id="c1"), fragment(0, name="get"), fragment(0, arguments="{}")],
        [{"index": 0, "id": "c1", "function": {"name": "get", "arguments": {}}}],
    ],
)
def test_call_when_servers_tell_it_in_their_ways(pieces: list[Any]) -> None:
    """It starts once, with its whole name, and its arguments follow."""
    events = read(*[chunk({"tool_calls": [piece]}) for piece in pieces], chunk({}, finish="tool_calls"))
    started = [event.value for event in events if isinstance(event, PartStarted)]
    assert started == [ToolCall("c1", "get", "", at="choices[0].message.tool_calls[0]")]
    assert "".join(event.text for event in events if isinstance(event, ArgumentsDelta)) == "{}"


def test_calls_when_they_have_no_index_or_no_arguments() -> None:
    """A new id is a new call, and one without arguments is there all the same, in its place."""
    pieces = [
        fragment(None, id="c1", name="a"),
        fragment(None, id="c2", name="b", arguments="{}"),
        fragment(None, id="c3", name="c"),
    ]
    events = read(*[chunk({"tool_calls": [piece]}) for piece in pieces], chunk({}, finish="tool_calls"))
    calls = fold([Started(NEAR, "c", "m"), *events]).outputs[0].parts
    assert [(call.id, call.arguments) for call in calls if isinstance(call, ToolCall)] == [
        ("c1", ""),
        ("c2", "{}"),
        ("c3", ""),
    ]


def test_fields_of_a_call_when_they_come_late() -> None:
    """They belong to the call: a model's own signature, for one, is sent back with it."""
    events = read(
        chunk({"tool_calls": [fragment(0, id="c", name="f", arguments="{}")]}),
        chunk({"tool_calls": [{"index": 0, "extra_content": {"s": 1}}]}),
        chunk({}, finish="tool_calls"),
    )
    (call,) = fold([Started(NEAR, "c", "m"), *events]).outputs[0].parts
    assert call.extras == Extras("chat", {"extra_content": Raw(b'{"s":1}')})
    encoder = client()
    data = b"".join(encoder.feed([event]) for event in (Started(NEAR, "c", "m"), *events))
    assert json.loads(assemble(data))["choices"][0]["message"]["tool_calls"] == [
        {
            "id": "c",
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"s": 1},
        }
    ]


def test_content_in_parts_when_streamed() -> None:
    """Texts are text, and what is not understood is a part of its own."""
    events = read(
        chunk({"content": [{"type": "text", "text": "a"}, {"type": "odd"}]}), chunk({}, finish="stop")
    )
    values = [event.value for event in events if isinstance(event, PartStarted)]
    assert [type(value) for value in values] == [Text, NativePart]
    assert TextDelta(0, 0, "a") in events


def test_start_when_the_first_chunk_says_nothing() -> None:
    """The answer has the first id that is told, and all fields that came before it."""
    decoder = CHAT_CODEC.decode_stream(NEAR, 1)
    assert decoder.feed(b'{"id":"","choices":[],"filter":1}') == []
    (event,) = decoder.feed(b'{"id":"c","model":"m","choices":[],"filter":1}')
    assert event == Started(NEAR, "c", "m", extras=Extras("chat", {"filter": Raw(b"1")}))


def test_fields_of_the_answer_when_they_are_repeated_or_change() -> None:
    """What is repeated is told once; what changes is told again; padding is nothing."""
    base = {"id": "c", "model": "m", "choices": [], "x": 1, "obfuscation": "aaa"}
    changed = {**base, "x": 2, "service_tier": "flex", "obfuscation": "b"}
    events = read(*[json.dumps(each).encode() for each in (base, base, changed, changed)])
    assert events == [Noted(Extras("chat", {"x": Raw(b"2")}), service_tier="flex")]


def test_error_when_it_comes_in_the_stream() -> None:
    """It is the last event; what follows it is no answer."""
    decoder = CHAT_CODEC.decode_stream(NEAR, 1)
    assert decoder.feed(b'{"error":{"message":"no","code":500}}') == [
        Failed(Failure(message="no", code="500"))
    ]
    assert decoder.feed(b"[DONE]") == []
    assert decoder.close() == []
    assert places(decoder) == []
    assert decoder.feed(chunk({"content": "x"})) == []
    assert places(decoder) == [""]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'"x"', b'{"choices":[1]}', b'{"choices":[{"message":{}}]}']
)
def test_data_when_it_is_no_chunk(data: bytes) -> None:
    """It raises ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        CHAT_CODEC.decode_stream(NEAR, 1).feed(data)


@pytest.mark.parametrize(("n", "complete"), [(1, True), (2, False)])
def test_end_when_the_server_leaves_it_out(n: int, complete: bool) -> None:  # noqa: FBT001  a row of the table above
    """Where each answer asked for has its end, the stream is whole."""
    events = read(chunk({"content": "x"}), chunk({}, finish="stop"), n=n)
    assert (events[-1] == Ended()) is complete
    assert fold([Started(NEAR, "c", "m"), *events]).complete is complete


def test_delta_when_it_comes_behind_the_end_of_its_choice() -> None:
    """It cannot be told any more, and that is noted."""
    decoder = CHAT_CODEC.decode_stream(NEAR, 1)
    decoder.feed(chunk({"content": "x"}, finish="stop"))
    assert decoder.feed(chunk({"content": ""})) == []
    assert places(decoder) == []
    assert decoder.feed(chunk({"content": "y"})) == []
    assert places(decoder) == ["choices[0].message"]


def test_counts_when_they_run_along() -> None:
    """Each is all counts so far; what cannot be believed is kept as it is."""
    first = b'{"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    odd = b'{"id":"c","choices":[],"usage":{"prompt_tokens":"many"}}'
    assert read(first, odd) == [
        UsageTold(Usage(input=1, output=2)),
        Noted(Extras("chat", {"usage": Raw(b'{"prompt_tokens":"many"}')})),
    ]
