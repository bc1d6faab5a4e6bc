"""Streams of responses as servers really write them: cut characters, events left out, contradictions, ends of all kinds.

And answers of other dialects as such streams.
"""

import json
from typing import Any

import pytest
from msgspec import Raw

from ingot.canonical import (
    Audio,
    Citation,
    Extras,
    Failure,
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
    Failed,
    Finished,
    LogprobsDelta,
    Noted,
    PartEnded,
    PartStarted,
    Ping,
    ReasoningDelta,
    Sealed,
    Started,
    SummaryDelta,
    TextDelta,
    UsageTold,
    fold,
)
from ingot.rawjson import Body
from ingot.sse import SseSplitter, event_data

Json = dict[str, Any]

HERE = Origin("responses", "t")
CREATED = {
    "type": "response.created",
    "response": {"id": "resp_1", "model": "m", "created_at": 1, "output": []},
}
CHAT = Origin("chat", "c")


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


# --- to clients ---


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
    assert lost == ["a seal: the responses dialect passes on only its own"]


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
