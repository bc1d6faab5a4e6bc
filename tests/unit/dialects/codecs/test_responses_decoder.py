"""Streams of responses as servers really write them: cut characters, events left out, contradictions, ends of all kinds."""

import json
from typing import Any

import pytest

from ingot.canonical import (
    Failure,
    NativePart,
    Origin,
    Reasoning,
    Text,
    ToolCall,
)
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.events import (
    AnyEvent,
    Failed,
    LogprobsDelta,
    PartEnded,
    Ping,
    TextDelta,
    fold,
)

Json = dict[str, Any]

HERE = Origin("responses", "t")
CREATED = {
    "type": "response.created",
    "response": {"id": "resp_1", "model": "m", "created_at": 1, "output": []},
}


def decoded(*events: Json) -> tuple[list[AnyEvent], list[str]]:
    """The events of this stream, and the reasons of what is lost."""
    decoder = RESPONSES_CODEC.decode_stream(HERE, 1)
    told = [each for event in (CREATED, *events) for each in decoder.feed(json.dumps(event).encode())]
    return told + decoder.close(), [loss.reason for loss in decoder.losses]


def about(kind: str, index: int, **fields: Any) -> Json:
    """An event about an item."""
    return {"type": f"response.{kind}", "output_index": index, **fields}


def done(*items: Json, status: str = "completed", **fields: Any) -> Json:
    """The last event."""
    response = {
        "id": "resp_1",
        "model": "m",
        "created_at": 1,
        "status": status,
        "output": list(items),
        **fields,
    }
    return {"type": f"response.{status}", "response": response}


def message(*texts: str) -> Json:
    """A message of these texts."""
    content = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


def parts(events: list[AnyEvent]) -> list[Any]:
    """What they fold to."""
    return [part for output in fold(events).outputs for part in output.parts]


def test_text_when_it_is_cut_inside_of_a_character() -> None:
    """Halves wait for each other."""
    events, lost = decoded(
        about("output_item.added", 0, item={**message(), "content": []}),
        about("output_text.delta", 0, content_index=0, delta="a\ud83d"),
        about("output_text.delta", 0, content_index=0, delta="\ude00b"),
        about("output_item.done", 0, item=message("a😀b")),
        done(message("a😀b")),
    )
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a", "😀b"]
    assert lost == []


def test_stream_when_only_its_end_tells_it() -> None:
    """Servers that leave out all between have all told all the same."""
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    thoughts = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "s"}]}
    events, lost = decoded(done(thoughts, message("hi", "there"), call))
    told = parts(events)
    assert [type(part) for part in told] == [Reasoning, Text, Text, ToolCall]
    assert (told[0].summary, told[1].text, told[2].text, told[3].arguments) == (("s",), "hi", "there", "{}")
    assert fold(events).outputs[0].finish == "tool_calls"
    assert lost == []


def test_stream_when_items_never_began() -> None:
    """Deltas without an item or a part begin one, also where only the item's id says whose they are."""
    events, lost = decoded(
        about("output_text.delta", 0, delta="hi", item_id="msg_1"),
        {"type": "response.reasoning_text.delta", "output_index": 1, "delta": "hm"},
    )
    assert parts(events)[0].text == "hi"
    assert lost == []


def test_stream_when_it_contradicts_itself() -> None:
    """What was told stays, and the contradiction is listed."""
    events, lost = decoded(
        about("output_item.added", 0, item=message()),
        about("output_text.delta", 0, content_index=0, delta="hi"),
        about("output_item.done", 0, item=message("ho")),
    )
    assert parts(events)[0].text == "hi"
    assert len(lost) == 1
    assert "another text" in lost[0]


def test_stream_when_a_hosted_tool_works() -> None:
    """Its progress is no event; the item comes whole when it is done, and what is behind it waits."""
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    events, lost = decoded(
        about("output_item.added", 0, item={**search, "status": "in_progress"}),
        about("web_search_call.searching", 0, item_id="ws_1"),
        about("output_item.added", 1, item=message()),
        about("output_text.delta", 1, content_index=0, delta="hi"),
        about("output_item.done", 0, item=search),
        about("output_text.delta", 1, content_index=0, delta="!"),
        done(search, message("hi!")),
    )
    native, text = parts(events)
    assert (native.kind, json.loads(bytes(native.raw))) == ("web_search_call", search)
    assert text.text == "hi!"
    assert lost == []


def test_calls_when_they_take_turns() -> None:
    """Fragments of parallel calls find their own."""
    calls = [
        {"type": "function_call", "id": f"fc_{at}", "call_id": f"c{at}", "name": "f", "arguments": ""}
        for at in range(2)
    ]
    events, lost = decoded(
        about("output_item.added", 0, item=calls[0]),
        about("function_call_arguments.delta", 0, delta='{"a"'),
        about("output_item.added", 1, item=calls[1]),
        about("function_call_arguments.delta", 1, delta="{"),
        about("function_call_arguments.delta", 0, delta=":1}"),
        about("function_call_arguments.delta", 1, delta="}"),
        done(*[{**call, "arguments": text} for call, text in zip(calls, ('{"a":1}', "{}"), strict=True)]),
    )
    assert [part.arguments for part in parts(events)] == ['{"a":1}', "{}"]
    assert sum(isinstance(event, PartEnded) for event in events) == 2
    assert lost == []


def test_events_when_nobody_knows_them() -> None:
    """Each kind is listed once; signs of life are pings."""
    strange = {"type": "response.audio.delta", "delta": "UklG"}
    events, lost = decoded(strange, strange, {"type": "keepalive"})
    assert isinstance(events[-1], Ping)
    assert lost == ["events of type 'response.audio.delta'"]


def test_tokens_when_only_the_end_of_the_text_has_them() -> None:
    """They are told once."""
    token = {"token": "hi", "logprob": -1, "bytes": [], "top_logprobs": []}
    whole = message("hi")
    whole["content"][0]["logprobs"] = [token]
    events, _ = decoded(
        about("output_item.added", 0, item=message()),
        about("output_text.delta", 0, content_index=0, delta="hi", logprobs=[]),
        about("content_part.done", 0, content_index=0, part=whole["content"][0]),
        about("output_item.done", 0, item=whole),
    )
    [weighed] = [event for event in events if isinstance(event, LogprobsDelta)]
    assert json.loads(bytes(weighed.tokens[0])) == token


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": "Later.", "param": None},
            Failure(message="Later.", code="rate_limit_exceeded"),
        ),
        (
            {"type": "error", "error": {"type": "server_error", "message": "Oh.", "code": None}},
            Failure(message="Oh.", type="server_error"),
        ),
        ({"error": {"message": "Oh."}}, Failure(message="Oh.")),
        (
            done(status="failed", error={"code": "server_error", "message": "Oh."}),
            Failure(message="Oh.", code="server_error"),
        ),
    ],
)
def test_stream_when_the_target_fails(event: Json, failure: Failure) -> None:
    """Whatever shape it has, the failure is the last event."""
    events, lost = decoded(event)
    assert events[-1] == Failed(failure)
    assert fold(events).complete is False
    assert lost == []


@pytest.mark.parametrize(
    ("status", "details", "finish", "told"),
    [
        ("completed", None, "stop", None),
        ("incomplete", {"reason": "max_output_tokens"}, "length", None),
        ("incomplete", {"reason": "content_filter"}, "content_filter", None),
        ("incomplete", {"reason": "steered"}, "other", "steered"),
        ("incomplete", None, None, None),
        ("cancelled", None, None, None),
    ],
)
def test_end_when_it_has_this_status(status: str, details: Any, finish: Any, told: Any) -> None:
    """Streamed and whole it is the same end; one that broke off is not complete."""
    event = done(message("hi"), status=status, incomplete_details=details)
    events, _ = decoded(event)
    streamed = fold(events)
    whole, _ = RESPONSES_CODEC.decode_answer(json.dumps(event["response"]).encode(), HERE)
    for answer in (streamed, whole):
        assert (answer.outputs[0].finish, answer.outputs[0].told) == (finish, told)
        assert answer.complete is (finish is not None)


@pytest.mark.parametrize(
    "data",
    [b"{", b"[]", b"{}", b'{"type":5}', b'{"type":"response.created"}', b'{"type":"response.completed"}'],
)
def test_event_when_it_is_none(data: bytes) -> None:
    """It is no event of this dialect."""
    with pytest.raises(ValueError, match=r".+"):
        RESPONSES_CODEC.decode_stream(HERE, 1).feed(data)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"output":{}}',
        b'{"output":[],"status":"queued"}',
        b'{"output":[],"status":"in_progress"}',
    ],
)
def test_answer_when_it_is_none(data: bytes) -> None:
    """It is no response, or none yet."""
    with pytest.raises(ValueError, match=r".+"):
        RESPONSES_CODEC.decode_answer(data, HERE)


def test_item_when_its_start_says_nothing() -> None:
    """Its end says what it is, and what it holds."""
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    events, lost = decoded(
        about("output_item.added", 0, item={}),
        about("output_item.added", 0, item={"type": "function_call", "id": "fc_1"}),
        about("output_item.done", 0, item=call),
        done(call),
    )
    assert [(part.name, part.arguments) for part in parts(events)] == [("f", "{}")]
    assert fold(events).outputs[0].finish == "tool_calls"
    assert lost == []


def test_event_when_its_item_did_not_begin() -> None:
    """A piece of a call is nobody's then, which is listed, and what comes behind it is told."""
    events, lost = decoded(
        about("function_call_arguments.delta", 0, delta="{"),
        about("output_text.delta", 1, content_index=0, delta="hi"),
    )
    assert [part.text for part in parts(events)] == ["hi"]
    assert len(lost) == 1


def test_events_when_they_are_of_another_kind_of_item() -> None:
    """A piece that its item cannot hold is listed, and the item goes on."""
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    wrong = ["output_text.delta", "refusal.delta", "output_text.annotation.added", "reasoning_text.delta"]
    events, lost = decoded(
        about("output_item.added", 0, item=call),
        *[about(kind, 0, delta="x") for kind in [*wrong, "reasoning_summary_text.delta"]],
        about("output_item.done", 0, item=call),
        about("output_item.done", 0, item=call),
        about("output_item.added", 1, item={"type": "reasoning", "id": "rs_1"}),
        about("function_call_arguments.delta", 1, delta="x"),
        about("output_item.done", 1, item={"type": "reasoning", "id": "rs_1", "summary": 5}),
    )
    assert [type(part) for part in parts(events)] == [ToolCall, Reasoning]
    assert len(lost) == 7


def test_stream_when_an_item_never_ends() -> None:
    """What came of it is told, and its part ends with the response."""
    events, lost = decoded(
        about("output_item.added", 0, item=message()),
        about("output_text.delta", 0, content_index=0, delta="hi"),
        about("output_item.added", 1, item={"type": "web_search_call", "id": "ws_1"}),
        done(),
    )
    assert [type(part) for part in parts(events)] == [Text, NativePart]
    assert sum(isinstance(event, PartEnded) for event in events) == 2
    assert lost == []
