"""Answers of other dialects as streams of responses, and what such a stream says of its client's request."""

import json
from typing import Any

import pytest
from msgspec import Raw

from ingot.canonical import (
    Audio,
    Citation,
    Extras,
    NativePart,
    Origin,
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
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.dialects.codecs.responses.encoder import ResponsesEncoder
from ingot.errors import InvalidRequest, PlatformError, UpstreamTimeout
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    Ended,
    Finished,
    LogprobsDelta,
    Noted,
    PartEnded,
    PartStarted,
    ReasoningDelta,
    Sealed,
    Started,
    SummaryDelta,
    TextDelta,
    UsageTold,
)
from ingot.rawjson import Body
from ingot.sse import SseSplitter, event_data

Json = dict[str, Any]

HERE = Origin("responses", "t")
CHAT = Origin("chat", "c")


def reply(**body: Any) -> Reply:
    """A reply to a client that asked with this body."""
    request = Request(origin="responses", model="demo", turns=(Turn("user", ()),), stream=True)
    return Reply("resp_0a", "demo", 7, request, Body(b"", body))


def told(*events: AnyEvent) -> tuple[list[Json], list[str]]:
    """A client's events, and the reasons of what is lost."""
    encoder = RESPONSES_CODEC.encode_stream(reply())
    data = b"".join(encoder.feed([event]) for event in (Started(CHAT, "x", "m"), *events))
    found = [event_data(event) for event in SseSplitter().feed(data)]
    return [json.loads(each) for each in found if each is not None], [loss.reason for loss in encoder.losses]


def kinds(events: list[Json]) -> list[str]:
    """Their types behind the two that all begin with."""
    return [event["type"].removeprefix("response.") for event in events[2:]]


END = (Finished(0, "stop"), UsageTold(Usage(input=3, output=2)), Ended())


def test_events_when_a_text_is_told() -> None:
    """They come in OpenAI's order, and only the last has the counts."""
    events, lost = told(
        PartStarted(0, 0, Text("")), TextDelta(0, 0, "hi"), TextDelta(0, 0, "!"), PartEnded(0, 0), *END
    )
    assert kinds(events) == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    assert [event["response"]["usage"] is None for event in events if "response" in event] == [
        True,
        True,
        False,
    ]
    assert events[-1]["response"]["usage"]["total_tokens"] == 5
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "hi!"
    assert lost == []


def test_events_when_thoughts_are_told() -> None:
    """Each paragraph has its own beginning and end; a seal of another dialect is lost, and not made up."""
    thoughts = Reasoning(Origin("messages"))
    events, lost = told(
        PartStarted(0, 0, thoughts),
        SummaryDelta(0, 0, "a", 0),
        SummaryDelta(0, 0, "b", 1),
        ReasoningDelta(0, 0, "c"),
        Sealed(0, 0, Seal("signature", "S")),
        PartEnded(0, 0),
        *END,
    )
    summary = [
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ]
    text = ["content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"]
    assert kinds(events) == ["output_item.added", *summary, *summary, *text, "output_item.done", "completed"]
    [item] = events[-1]["response"]["output"]
    assert [part["text"] for part in item["summary"]] == ["a", "b"]
    assert "encrypted_content" not in item
    assert lost == ["its seal: the responses dialect passes on only its own"]


def test_events_when_thoughts_are_secret() -> None:
    """Those that another dialect keeps secret are no item, and the loss says so."""
    redacted = Reasoning(Origin("messages"), seal=Seal("redacted", "R"))
    events, lost = told(PartStarted(0, 0, redacted), PartEnded(0, 0), *END)
    assert kinds(events) == ["completed"]
    assert len(lost) == 1


def test_calls_when_they_are_open_at_once() -> None:
    """Their events say whose they are, and both are done at the end."""
    events, _ = told(
        PartStarted(0, 0, ToolCall("c0", "f", "")),
        ArgumentsDelta(0, 0, "{"),
        PartStarted(0, 1, ToolCall("c1", "g", "", "custom")),
        ArgumentsDelta(0, 1, "x"),
        ArgumentsDelta(0, 0, "}"),
        PartEnded(0, 0),
        PartEnded(0, 1),
        Finished(0, "tool_calls"),
        Ended(),
    )
    output = events[-1]["response"]["output"]
    assert [(item["type"], item["id"], item.get("arguments", item.get("input"))) for item in output] == [
        ("function_call", "fc_0a0000", "{}"),
        ("custom_tool_call", "ctc_0a0001", "x"),
    ]
    assert kinds(events).count("output_item.done") == 2


def test_item_when_the_answer_is_cut_short() -> None:
    """The last item is incomplete, as is the response; those before it are complete."""
    events, _ = told(
        PartStarted(0, 0, Refusal("No")),
        PartEnded(0, 0),
        PartStarted(0, 1, ToolCall("c", "f", "{")),
        PartEnded(0, 1),
        Finished(0, "length"),
        Ended(),
    )
    response = events[-1]["response"]
    assert events[-1]["type"] == "response.incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def test_losses_when_a_part_has_no_place() -> None:
    """Each thing that cannot be told is listed once."""
    cited = Citation("messages", Raw(b"{}"), title="D", quote="q")
    events, lost = told(
        PartStarted(0, 0, Audio("UklG", "wav")),
        PartEnded(0, 0),
        PartStarted(0, 1, NativePart("messages", "server_tool_use", Raw(b"{}"))),
        PartEnded(0, 1),
        PartStarted(0, 2, Text("hi")),
        Cited(0, 2, cited),
        PartEnded(0, 2),
        LogprobsDelta(0, (Raw(b'{"token":"hi","logprob":-1}'),), "refusal"),
        PartStarted(1, 0, Text("other")),
        Noted(Extras("chat", {"timings": Raw(b"1")})),
        Finished(0, "stop_sequence", None, "\n"),
        Ended(),
    )
    assert kinds(events)[-1] == "completed"
    assert len(events[-1]["response"]["output"]) == 1
    assert len(lost) == 7


def test_tokens_when_they_come_from_chat() -> None:
    """They go with the text that they are of, with the fields that this dialect demands."""
    token = Raw(b'{"token":"hi","logprob":-1,"bytes":null}')
    events, _ = told(
        PartStarted(0, 0, Text("")), TextDelta(0, 0, "hi"), LogprobsDelta(0, (token,)), PartEnded(0, 0), *END
    )
    [part] = events[-1]["response"]["output"][0]["content"]
    assert part["logprobs"] == [{"token": "hi", "logprob": -1, "bytes": [], "top_logprobs": []}]


def test_stream_when_it_breaks_off() -> None:
    """What no target ended is incomplete, for a reason that nobody told."""
    events, _ = told(PartStarted(0, 0, Text("hi")), Ended())
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] is None
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InvalidRequest("Bad."), "invalid_prompt", "Bad."),
        (InvalidRequest("Bad.", code="invalid_image"), "invalid_image", "Bad."),
        (UpstreamTimeout("Slow."), "server_error", "Slow."),
        (PlatformError("Oh."), "server_error", "Oh. (request id req_1)"),
    ],
)
def test_failure_when_a_stream_has_begun(error: Any, code: str, message: str) -> None:
    """A failed response has one of the codes that clients know."""
    encoder = ResponsesEncoder(reply())
    encoder.feed([Started(CHAT, "x", "m"), PartStarted(0, 0, ToolCall("c", "f", "{"))])
    *_, last = SseSplitter().feed(encoder.fail(error, "req_1"))
    response = json.loads(event_data(last) or b"")["response"]
    assert response["error"] == {"code": code, "message": message}
    assert response["output"][0]["arguments"] == "{"


def test_echo_when_the_client_set_things() -> None:
    """Its own settings are said back, with all that strict clients demand, and no secret."""
    body = {
        "tools": [
            {"type": "function", "name": "f"},
            {"type": "mcp", "server_label": "a", "headers": {"x": "secret"}, "authorization": "secret"},
        ],
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low"},
        "conversation": "conv_1",
        "prompt_cache_options": {"mode": "explicit"},
        "temperature": 0,
        "store": False,
    }
    answer, _ = RESPONSES_CODEC.decode_answer(b'{"output":[]}', HERE)
    value = json.loads(RESPONSES_CODEC.encode_answer(answer, reply(**body))[0])
    assert value["tools"] == [
        {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None},
        {"type": "mcp", "server_label": "a"},
    ]
    assert value["reasoning"] == {"effort": "low", "summary": None}
    assert value["text"] == {"verbosity": "low", "format": {"type": "text"}}
    assert value["conversation"] == {"id": "conv_1"}
    assert (value["temperature"], value["store"], value["top_p"], value["tool_choice"]) == (
        0,
        False,
        1.0,
        "auto",
    )
    assert "prompt_cache_options" not in value


@pytest.mark.parametrize(
    "item",
    [
        5,
        None,
        {},
        {"type": 5},
        {"type": "message", "content": "hi"},
        {"type": "message", "content": [5]},
        {"type": "function_call", "call_id": "c"},
        {"type": "function_call", "name": 5, "call_id": "c"},
        {"type": "reasoning", "summary": "s"},
        {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "other", "text": "x"}]},
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": 5},
    ],
)
def test_item_when_it_lacks_what_it_needs(item: Any) -> None:
    """It stays raw, and goes to a client of the same dialect as it came."""
    answer, losses = RESPONSES_CODEC.decode_answer(json.dumps({"output": [item]}).encode(), HERE)
    [part] = answer.outputs[0].parts
    assert isinstance(part, NativePart)
    encoded, lost = RESPONSES_CODEC.encode_answer(answer, reply())
    assert json.loads(encoded)["output"] == [item]
    assert losses == lost == ()


def test_thoughts_when_they_come_whole() -> None:
    """Those of this dialect are told with their summary, and their seal at their end."""
    whole = Reasoning(HERE, ("t",), ("s",), Seal("encrypted", "E"), item="rs_1")
    events, lost = told(PartStarted(0, 0, whole), PartEnded(0, 0), *END)
    [item] = events[-1]["response"]["output"]
    assert item == {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "s"}],
        "content": [{"type": "reasoning_text", "text": "t"}],
        "encrypted_content": "E",
    }
    assert "encrypted_content" not in events[2]["item"]
    assert lost == []


def test_tokens_when_there_is_no_text() -> None:
    """They are of nothing that is told."""
    _, lost = told(LogprobsDelta(0, (Raw(b'{"token":"x","logprob":0}'),)), *END)
    assert lost == ["they belong to no text of the answer"]
