"""Messages of the responses dialect on a WebSocket: what a client sends, and what it is told beside a stream's events.

    response.create    a request's body, and beside it its lane (`stream_id`) and whether anything is to be generated
    response.steer     input for a response that runs; it is handed back, as no target takes it
    told               the events of a stream, each with its lane; errors in an envelope that holds the status

What a body may hold is decided where it is decoded, as for any request. Knows no socket. Source: contract §3.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from ingot import rawjson
from ingot.dialects.codecs.checks import missing, wrong
from ingot.errors import InvalidRequest, Unsupported
from ingot.rawjson import clip

CREATE: Final = "response.create"
STEER: Final = "response.steer"
LONGEST_LANE: Final = 256

_OWN: Final = ("type", "stream_id", "generate", "stream")
_encode = msgspec.json.Encoder().encode

Json = dict[str, Any]


class ClientEvent(msgspec.Struct, frozen=True):
    """A message of a client; `body` is a request's, `steer` what is to be handed back."""

    type: Literal["response.create", "response.steer"]
    lane: str | None = None
    generate: bool = True
    body: bytes = b""
    steer: Json | None = None


class Glance(msgspec.Struct, frozen=True):
    """As much of a message as is needed to answer that it is wrong: its lane, and what it would go on from."""

    lane: str | None = None
    previous: str | None = None


class _Glimpse(msgspec.Struct, frozen=True):
    stream_id: Any = None
    previous_response_id: Any = None


_glimpse = msgspec.json.Decoder(_Glimpse)


def read_event(message: bytes) -> ClientEvent:
    """The message; raises InvalidRequest, Unsupported that name the field."""
    body = rawjson.parse(message)
    value = body.value
    kind = value.get("type")
    if kind is None:
        raise missing("type", expected=f"'{CREATE}' or '{STEER}'")
    if kind == STEER:
        return ClientEvent(STEER, steer=_read_steer(value))
    if kind != CREATE:
        raise InvalidRequest(
            f"Invalid value for 'type': expected '{CREATE}' or '{STEER}', but got '{clip(str(kind))}'.",
            param="type",
        )
    lane, generate = value.get("stream_id"), value.get("generate")
    if lane is not None and type(lane) is not str:
        raise wrong(lane, str, path="stream_id")
    if lane is not None and not 0 < len(lane) <= LONGEST_LANE:
        raise InvalidRequest(
            f"Invalid value for 'stream_id': it must have 1 to {LONGEST_LANE} characters.", param="stream_id"
        )
    if generate is not None and type(generate) is not bool:
        raise wrong(generate, bool, path="generate")
    if value.get("background") is True:
        raise Unsupported(
            "A response on a WebSocket is not in the background. Leave 'background' out, or POST the request.",
            param="background",
        )
    own = rawjson.splice(body, replace={"stream": b"true"}, drop=_OWN[:3])
    return ClientEvent(CREATE, lane, generate is not False, own)


def glance_at(message: bytes) -> Glance:
    """What a message tells that may be wrong in some way."""
    try:
        seen = _glimpse.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Glance()
    lane, previous = seen.stream_id, seen.previous_response_id
    return Glance(
        lane if type(lane) is str and 0 < len(lane) <= LONGEST_LANE else None,
        previous if type(previous) is str else None,
    )


def _read_steer(value: Json) -> Json:
    for name in value:
        if name not in {"type", "previous_response_id", "input"}:
            raise Unsupported(
                f"Unknown parameter: '{clip(name)}'. A steering message has 'previous_response_id' and 'input'.",
                param=clip(name),
                code="unknown_parameter",
            )
    previous = value.get("previous_response_id")
    if previous is None:
        raise missing("previous_response_id", expected="a string")
    if type(previous) is not str:
        raise wrong(previous, str, path="previous_response_id")
    if value.get("input") is None:
        raise missing("input", expected="a string or an array of messages")
    if type(value["input"]) not in {str, list}:
        raise InvalidRequest(
            "Invalid type for 'input': expected a string or an array of messages.",
            param="input",
            code="invalid_type",
        )
    return {"previous_response_id": previous, "input": value["input"]}


# ---- what is told


def on_lane(event: bytes, lane: str | None) -> bytes:
    """An event, a JSON object that is not empty, with the lane that it belongs to."""
    if lane is None:
        return event
    return b'%b,"stream_id":%b}' % (event.rstrip()[:-1], _encode(lane))


def error_message(status: int, body: bytes, headers: Mapping[str, str], *, lane: str | None) -> bytes:
    """An error in the envelope of this transport; `body` is the one that HTTP has for it."""
    error = msgspec.json.decode(body, type=Json)["error"]
    if headers:
        error["headers"] = headers
    return on_lane(_encode({"type": "error", "status": status, "error": error}), lane)


def steer_failed(steer: Json, *, running: bool, number: int) -> bytes:
    """Hands input back that would have steered a response; `running`: the response that it names runs."""
    if running:
        code = "steering_not_supported"
        why = "The response cannot be steered: its target takes no input while it answers."
    else:
        code = "response_not_active"
        why = "No response with this id runs on this connection."
    return _encode(
        {
            "type": "response.steer.failed",
            "sequence_number": number,
            "error": {
                "type": "invalid_request_error",
                "code": code,
                "message": f"{why} Send the input with the next 'response.create'.",
            },
            "steer": steer,
        }
    )
