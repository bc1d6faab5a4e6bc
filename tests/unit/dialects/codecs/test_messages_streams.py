"""Streams, answers and errors of the messages dialect where they are not as in the book."""

import json
from typing import Any

import pytest

from ingot.canonical import (
    Answer,
    Origin,
    Output,
    Reasoning,
    Refusal,
    Request,
    Seal,
    Text,
    ToolCall,
    Turn,
    Usage,
)
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.messages import MESSAGES_CODEC
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Ended,
    Finished,
    PartEnded,
    PartStarted,
    RefusalDelta,
    Sealed,
    Started,
    SummaryDelta,
    TextDelta,
    fold,
)
from ingot.rawjson import Body
from ingot.sse import SseSplitter, event_data

HERE = Origin("messages", "t")
REPLY = Reply(
    "msg_1", "demo", 0, Request(origin="messages", model="m", turns=(Turn("user", ()),)), Body(b"{}", {})
)
MESSAGE = {"id": "msg_0", "model": "m", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}
START = {"type": "message_start", "message": MESSAGE}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}


def decode(*events: Any) -> tuple[list[AnyEvent], list[str]]:
    """The canonical events of these, and the places of losses."""
    decoder = MESSAGES_CODEC.decode_stream(HERE, 1)
    told = [each for event in events for each in decoder.feed(json.dumps(event).encode())]
    return [*told, *decoder.close()], [loss.path for loss in decoder.losses]


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


def encode(*events: AnyEvent) -> tuple[list[dict[str, Any]], list[str]]:
    """What a client is told, and the reasons of losses."""
    encoder = MESSAGES_CODEC.encode_stream(REPLY)
    data = b"".join(encoder.feed([event]) for event in events)
    told = [json.loads(event_data(event) or b"") for event in SseSplitter().feed(data)]
    return told, [loss.reason for loss in encoder.losses]


def test_call_when_it_has_no_arguments() -> None:
    """They are an empty object, as in the whole answer."""
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    events, losses = decode(
        START,
        *block(0, call, {"type": "input_json_delta", "partial_json": ""}),
        END,
        {"type": "message_stop"},
    )
    assert [event for event in events if isinstance(event, ArgumentsDelta)] == [ArgumentsDelta(0, 0, "{}")]
    assert losses == []


def test_call_when_its_input_comes_at_the_start() -> None:
    """Some servers tell it whole."""
    events, _ = decode(START, *block(0, {"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}}))
    assert ArgumentsDelta(0, 0, '{"a":1}') in events


def test_text_when_a_character_is_cut_in_two() -> None:
    """Its halves are joined, and none is told alone."""
    halves = [{"type": "text_delta", "text": half} for half in ("a\ud83d", "\udc4bb")]
    events, _ = decode(START, *block(0, {"type": "text", "text": ""}, *halves))
    told = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(told) == "a👋b"
    assert all(text.encode() for text in told)


def test_stream_when_its_own_end_is_missing() -> None:
    """It is whole where the message has its end, and not before."""
    events, _ = decode(START, *block(0, {"type": "text", "text": "Hi."}), END)
    assert isinstance(events[-1], Ended)
    answer = fold(events)
    assert answer.complete
    assert answer.usage == Usage(input=3, output=9)
    events, _ = decode(START, *block(0, {"type": "text", "text": "Hi."}))
    assert fold(events).complete is False


def test_stream_when_it_fails() -> None:
    """The target's own words are kept, and nothing follows."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    events, losses = decode(START, error, END)
    failure = fold(events).failure
    assert failure is not None
    assert (failure.type, failure.message) == ("overloaded_error", "Overloaded")
    assert losses == [""]


def test_stream_when_pieces_belong_nowhere() -> None:
    """Each is listed, and the rest is told."""
    stray = {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "x"}}
    odd = {"type": "thinking_delta", "thinking": "x"}
    events, losses = decode(START, stray, *block(0, {"type": "text", "text": ""}, odd), {"type": "news"}, END)
    assert losses == ["content[7]", "content[0]", ""]
    assert fold(events).outputs[0].parts == (Text("", at="content[0]"),)


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"type":"message_start"}', b'{"type":"message_delta"}'])
def test_stream_when_an_event_is_none(data: bytes) -> None:
    """It is refused, for nothing of it can be believed."""
    with pytest.raises(ValueError, match=r"stream|malformed|Expecting|truncated"):
        MESSAGES_CODEC.decode_stream(HERE, 1).feed(data)


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"content":[1]}', b"x"])
def test_answer_when_it_is_none(data: bytes) -> None:
    """It is refused."""
    with pytest.raises(ValueError, match=r"message|malformed"):
        MESSAGES_CODEC.decode_answer(data, HERE)


def test_parts_when_they_interleave() -> None:
    """One block is open at a time: what belongs to others waits for its end."""
    events: list[AnyEvent] = [Started(Origin("chat"), "c", "m")]
    events += [PartStarted(0, 0, ToolCall("a", "f", "")), PartStarted(0, 1, ToolCall("b", "g", ""))]
    events += [ArgumentsDelta(0, 1, "{}"), ArgumentsDelta(0, 0, '{"x":'), ArgumentsDelta(0, 0, "1}")]
    events += [PartEnded(0, 0), PartEnded(0, 1), Finished(0, "tool_calls"), Ended()]
    told, _ = encode(*events)
    blocks = [(each["type"], each["index"]) for each in told if "index" in each]
    assert blocks == [
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
    ]


def test_parts_of_other_dialects_when_streamed() -> None:
    """A refusal ends as one, summaries are shown as thoughts, and free text becomes an object; seals stay out."""
    events: list[AnyEvent] = [Started(Origin("responses"), "r", "m")]
    events += [PartStarted(0, 0, Reasoning(Origin("responses")))]
    events += [SummaryDelta(0, 0, "A."), SummaryDelta(0, 0, "B.", 1), Sealed(0, 0, Seal("encrypted", "gAAA"))]
    events += [PartEnded(0, 0), PartStarted(0, 1, ToolCall("a", "sql", "", "custom"))]
    events += [ArgumentsDelta(0, 1, 'select "1"'), PartEnded(0, 1), PartStarted(0, 2, Refusal(""))]
    events += [RefusalDelta(0, 2, "No."), PartEnded(0, 2), Finished(0, "stop"), Ended()]
    told, losses = encode(*events)
    deltas = [each["delta"] for each in told if each["type"] == "content_block_delta"]
    assert "".join(delta.get("thinking", "") for delta in deltas) == "A.\n\nB."
    assert json.loads("".join(delta.get("partial_json", "") for delta in deltas)) == {"input": 'select "1"'}
    assert told[-2]["delta"]["stop_reason"] == "refusal"
    assert "gAAA" not in json.dumps(told)
    assert len(losses) == 3  # the seal, the free text and the counts


def test_answer_when_there_are_several() -> None:
    """The first is given, the others are listed."""
    outputs = tuple(Output(index=index, parts=(Text(str(index)),), finish="stop") for index in range(2))
    data, losses = MESSAGES_CODEC.encode_answer(
        Answer(origin=Origin("chat"), id="c", model="m", outputs=outputs), REPLY
    )
    assert json.loads(data)["content"] == [{"type": "text", "text": "0"}]
    assert [loss.path for loss in losses] == ["usage", "outputs[1]"]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        5,
        {},
        {"input_tokens": -1, "output_tokens": 0},
        {"input_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": "x"}},
    ],
)
def test_usage_when_it_cannot_be_believed(usage: Any) -> None:
    """It is as good as untold."""
    assert MESSAGES_CODEC.decode_usage(usage) is None


def test_usage_when_some_is_cached() -> None:
    """The input of this dialect leaves out what was read from the cache or written to it; ours has all."""
    told = {
        "input_tokens": 10,
        "output_tokens": 4,
        "cache_read_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
    }
    usage = MESSAGES_CODEC.decode_usage(told)
    assert usage == Usage(
        input=37, output=4, cached_input=20, cache_write=7, cache_write_by={"5m": 3, "1h": 4}
    )


def test_error_when_a_target_tells_one() -> None:
    """Its type, its words and the code in its details."""
    error = {"type": "api_error", "message": "x", "details": {"error_code": "y"}}
    failure = MESSAGES_CODEC.decode_error(json.dumps({"type": "error", "error": error}).encode())
    assert (failure.type, failure.message, failure.code) == ("api_error", "x", "y")


def test_error_when_it_is_no_json() -> None:
    """The body is the message."""
    assert MESSAGES_CODEC.decode_error(b"Bad Gateway").message == "Bad Gateway"
