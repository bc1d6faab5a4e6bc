"""What the responses codec writes, read by OpenAI's own models: every answer, every event, and the SDK's stream helper.

The answers are those of all golden transcripts, of responses and of other dialects.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import omit
from openai.lib.streaming.responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from ingot.canonical import Answer, Origin
from ingot.dialects.codec import Codec, Reply
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.dialects.codecs.responses.encoder import ResponsesEncoder
from ingot.errors import RateLimited
from ingot.events import AnyEvent
from ingot.rawjson import parse
from ingot.sse import SseSplitter, event_data, event_fields

HERE = Path(__file__).parent
CODECS: dict[str, Codec] = {"chat": CHAT_CODEC, "responses": RESPONSES_CODEC}
# What nobody but this transcript's target knows, the SDK does not know either.
STRANGE = {"unknown_fields"}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
PARTS_BEFORE = {
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.refusal.delta",
    "response.refusal.done",
    "response.content_part.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
}


def cases(file: str) -> list[Path]:
    """The transcripts of these dialects that have this file."""
    found = [path.parent for name in CODECS for path in (HERE / name).glob(f"*/{file}")]
    return sorted(case for case in found if case.name not in STRANGE)


def named(case: Path) -> str:
    """A case in a test's id."""
    return f"{case.parent.name}/{case.name}"


def reply(case: Path) -> Reply:
    """The reply to a case's client; one of responses asked where the transcript is of another dialect."""
    own = case if case.parent.name == "responses" else HERE / "responses" / "text"
    body = parse((own / "request.json").read_bytes())
    request, _ = RESPONSES_CODEC.decode_request(body)
    return Reply("resp_0a1b2c3d4e5f", "demo", 1_790_000_000, request, body)


def events(case: Path) -> Iterator[list[AnyEvent]]:
    """A case's stream, decoded."""
    codec = CODECS[case.parent.name]
    decoder = codec.decode_stream(Origin(codec.name, "target"), 1)
    for event in SseSplitter().feed((case / "upstream.sse").read_bytes()):
        data = event_data(event)
        if data is not None:
            yield decoder.feed(data)
    yield decoder.close()


def streamed(case: Path) -> bytes:
    """The case's stream for a client of responses."""
    encoder = RESPONSES_CODEC.encode_stream(reply(case))
    return b"".join(encoder.feed(together) for together in events(case))


def told(stream: bytes) -> list[dict[str, Any]]:
    """The data of each event; its name is the type that the data says."""
    found = []
    for event in SseSplitter().feed(stream):
        fields = dict(event_fields(event))
        if b"data" in fields:
            value = json.loads(fields[b"data"])
            assert fields[b"event"].decode() == value["type"]
            found.append(value)
    return found


@pytest.mark.parametrize("case", cases("upstream.json"), ids=named)
def test_answer_when_the_sdk_reads_it(case: Path) -> None:
    """It is a Response to the SDK's strict model, and says the same there."""
    codec = CODECS[case.parent.name]
    answer, _ = codec.decode_answer((case / "upstream.json").read_bytes(), Origin(codec.name, "target"))
    encoded, _ = RESPONSES_CODEC.encode_answer(answer, reply(case))
    read = Response.model_validate(json.loads(encoded), strict=False)
    assert read.id == "resp_0a1b2c3d4e5f"
    assert read.model == "demo"
    assert len(read.output) == len(json.loads(encoded)["output"])


@pytest.mark.parametrize("case", cases("upstream.sse"), ids=named)
def test_events_when_the_sdk_reads_them(case: Path) -> None:
    """Each is one of the SDK's events, they are numbered without gaps, and none comes before its item."""
    begun: dict[int, str] = {}
    for number, event in enumerate(told(streamed(case))):
        read = EVENT.validate_python(event)
        assert read.type == event["type"]
        assert event["sequence_number"] == number
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(begun)
            begun[event["output_index"]] = event["item"]["id"]
        elif event["type"] in PARTS_BEFORE:
            assert event["output_index"] in begun
            if "item_id" in event:
                assert begun[event["output_index"]] == event["item_id"]


@pytest.mark.parametrize("case", cases("upstream.sse"), ids=named)
def test_stream_when_the_sdk_follows_it(case: Path) -> None:
    """The helper, which checks ids and order, ends with the output that the last event tells."""
    stream = streamed(case)
    last = told(stream)[-1]
    if last["type"] != "response.completed":
        return
    helper: ResponseStreamState[Any] = ResponseStreamState(text_format=omit, input_tools=omit)
    for event in told(stream):
        helper.handle_event(EVENT.validate_python(event))
    final = helper._completed_response
    assert final is not None
    assert [item.type for item in final.output] == [item["type"] for item in last["response"]["output"]]
    assert final.status == "completed"


@pytest.mark.parametrize("case", cases("upstream.sse"), ids=named)
def test_stream_when_its_last_event_repeats_it(case: Path) -> None:
    """Items are at the end what their own last events said, and an answer not streamed has them under the same ids."""
    found = told(streamed(case))
    items = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    if not found or "response" not in found[-1] or found[-1]["type"] == "response.in_progress":
        return
    assert found[-1]["response"]["output"] == items
    codec = CODECS[case.parent.name]
    if (case / "upstream.json").exists():
        answer: Answer
        answer, _ = codec.decode_answer((case / "upstream.json").read_bytes(), Origin(codec.name, "target"))
        encoded, _ = RESPONSES_CODEC.encode_answer(answer, reply(case))
        assert json.loads(encoded)["output"] == items


@pytest.mark.parametrize("count", [1, 4, 9])
def test_stream_when_it_fails(count: int) -> None:
    """It ends with a response that failed, numbered on, with its items closed."""
    case = HERE / "responses" / "text"
    encoder = ResponsesEncoder(reply(case))
    began = b"".join(encoder.feed(together) for _, together in zip(range(count), events(case), strict=False))
    stream = began + encoder.fail(RateLimited("Later."), "req_1")
    found = told(stream)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert [EVENT.validate_python(event).type for event in found][-1] == "response.failed"
    response = found[-1]["response"]
    assert response["error"] == {"code": "rate_limit_exceeded", "message": "Later."}
    added = [event for event in found if event["type"] == "response.output_item.added"]
    assert len(response["output"]) == len(added)
    assert all(item["status"] == "incomplete" for item in response["output"])


def test_stream_when_it_fails_before_its_start() -> None:
    """The one event is the error, flat, as the SDK knows it."""
    encoder = ResponsesEncoder(reply(HERE / "responses" / "text"))
    [event] = told(encoder.fail(RateLimited("Later."), "req_1"))
    assert EVENT.validate_python(event).type == "error"
    assert event["sequence_number"] == 0
    assert (event["code"], event["message"], event["param"]) == ("rate_limit_exceeded", "Later.", None)
