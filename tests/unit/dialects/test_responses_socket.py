"""Messages of a WebSocket, read and written."""

import json
from typing import Any

import pytest

from ingot.dialects.responses_socket import (
    Glance,
    error_message,
    glance_at,
    on_lane,
    read_event,
    steer_failed,
)
from ingot.errors import ApiError


def test_body_is_the_clients_own_when_a_response_is_asked_for() -> None:
    """What belongs to the transport is taken out, the rest keeps its bytes, and the answer is a stream."""
    event = read_event(
        b'{"type":"response.create","stream_id":"a","generate":false,"model":"m","temperature": 1.0}'
    )
    assert (event.type, event.lane, event.generate) == ("response.create", "a", False)
    assert b'"temperature": 1.0' in event.body or b'"temperature":1.0' in event.body
    assert json.loads(event.body) == {"model": "m", "temperature": 1.0, "stream": True}
    plain = read_event(b'{"type":"response.create","model":"m","stream":false}')
    assert (plain.lane, plain.generate, json.loads(plain.body)) == (
        None,
        True,
        {"model": "m", "stream": True},
    )


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"model": "m"}, "type"),
        ({"type": "response.cancel"}, "type"),
        ({"type": 1}, "type"),
        ({"type": "response.create", "stream_id": 1}, "stream_id"),
        ({"type": "response.create", "stream_id": ""}, "stream_id"),
        ({"type": "response.create", "stream_id": "x" * 257}, "stream_id"),
        ({"type": "response.create", "generate": "no"}, "generate"),
        ({"type": "response.create", "background": True}, "background"),
        ({"type": "response.steer", "input": "x"}, "previous_response_id"),
        ({"type": "response.steer", "previous_response_id": 1, "input": "x"}, "previous_response_id"),
        ({"type": "response.steer", "previous_response_id": "resp_1"}, "input"),
        ({"type": "response.steer", "previous_response_id": "resp_1", "input": 1}, "input"),
        (
            {"type": "response.steer", "previous_response_id": "resp_1", "input": "x", "stream_id": "a"},
            "stream_id",
        ),
    ],
)
def test_error_names_the_field_when_a_message_is_wrong(message: dict[str, Any], param: str) -> None:
    """As for any request."""
    with pytest.raises(ApiError) as caught:
        read_event(json.dumps(message).encode())
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    "message", [b"", b"[]", b"{", b'"x"', b'{"stream_id": 1}', b'{"stream_id": ""}', b"\xff"]
)
def test_lane_is_unknown_when_a_message_tells_none(message: bytes) -> None:
    """The error is then everybody's."""
    assert glance_at(message) == Glance()
    assert glance_at(b'{"stream_id": "a", "previous_response_id": "r", "type": 1}') == Glance("a", "r")


def test_lane_stands_in_what_is_told_when_there_is_one() -> None:
    """In events and in errors, which tell their status and what HTTP would say in headers."""
    assert on_lane(b'{"type":"x"}', None) == b'{"type":"x"}'
    assert json.loads(on_lane(b'{"type":"x"}\n', 'a"b')) == {"type": "x", "stream_id": 'a"b'}
    body = b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}'
    told = json.loads(error_message(429, body, {"retry-after": "1"}, lane="a"))
    error = {"message": "m", "type": "t", "param": None, "code": "c", "headers": {"retry-after": "1"}}
    assert told == {"type": "error", "status": 429, "error": error, "stream_id": "a"}
    assert "headers" not in json.loads(error_message(400, body, {}, lane=None))["error"]


@pytest.mark.parametrize(
    ("running", "code"), [(True, "steering_not_supported"), (False, "response_not_active")]
)
def test_input_is_handed_back_when_it_would_steer(running: bool, code: str) -> None:  # noqa: FBT001  # a parameter of the test
    """With the reason, and nothing of it lost."""
    event = read_event(b'{"type":"response.steer","previous_response_id":"resp_1","input":"stop"}')
    assert event.steer is not None
    told = json.loads(steer_failed(event.steer, running=running, number=3))
    assert (told["type"], told["sequence_number"]) == ("response.steer.failed", 3)
    assert told["steer"] == {"previous_response_id": "resp_1", "input": "stop"}
    assert (told["error"]["type"], told["error"]["code"]) == ("invalid_request_error", code)
