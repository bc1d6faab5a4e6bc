"""Errors in Anthropic's envelope: its types by status but for one of ours, and the names of fields as its messages write them.

    {"type": "error", "error": {"type", "message", "details": {"error_code"}}, "request_id"}

Statuses and messages are the error's own, or the preset's table's, but that a 503 is Anthropic's 529 where the table is silent; the
table's types and keys are OpenAI's words and mean nothing here. `details` is there where the error has a code. A key that came
with another request is told by its type on every surface: Anthropic has no such keys, and no word for it. Source: contract §6.
"""

import re
from functools import partial
from typing import Any

import msgspec

from ingot.dialects.envelope import USUAL, EncodeError, ErrorTable, error_message
from ingot.errors import ApiError, IdempotencyError, InvalidRequest
from ingot.sse import encode_event

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_BUSY = 503
_OVERLOADED = 529

_INDEX = re.compile(r"\[(\d+)\]")

_encode = msgspec.json.Encoder().encode


def encode_error(error: ApiError, request_id: str, *, table: ErrorTable) -> tuple[int, bytes]:
    """The status and the body of the answer that tells an error."""
    first, second = table.rows(error)
    status = table.status(error)
    if status == _BUSY and not (first.status or second.status):
        status = _OVERLOADED
    code = first.code or second.code or error.code
    message = error_message(error, request_id, table=table)
    if error.param:
        # What all dialects share names a place as OpenAI does.
        message = message.replace(error.param, dotted(error.param))
    told: dict[str, Any] = {"type": _type(error, status), "message": message}
    if code is not None:
        told["details"] = {"error_code": code}
    body: dict[str, Any] = {"type": "error", "error": told}
    if request_id:
        body["request_id"] = request_id
    return status, _encode(body)


def encoder(table: ErrorTable) -> EncodeError:
    """`encode_error` under a table."""
    return partial(encode_error, table=table)


def error_event(error: ApiError, request_id: str) -> bytes:
    """The error as an event, for a stream that has begun."""
    return encode_event(encode_error(error, request_id, table=USUAL)[1], b"error")


def restyle(error: InvalidRequest) -> InvalidRequest:
    """The refusal of a field with the field's name in front: `messages.0.content: Field required. ...`."""
    param = error.param
    if not param:
        return error
    quoted = f"'{param}'"
    text = error.message.replace(f"Missing required parameter: {quoted}", "Field required", 1)
    text = text.replace(f" for {quoted}", "", 1).removeprefix(f"{quoted} is ").removeprefix(f"{quoted} ")
    return refusal(param, text[:1].upper() + text[1:], code=error.code)


def refusal(param: str, text: str, *, code: str | None = None) -> InvalidRequest:
    """A refusal of the field at the path `param`."""
    return InvalidRequest(f"{dotted(param)}: {text}", param=param, code=code)


def dotted(param: str) -> str:
    """`messages.0.content` for `messages[0].content`."""
    return _INDEX.sub(r".\1", param)


def _type(error: ApiError, status: int) -> str:
    if isinstance(error, IdempotencyError):
        return "idempotency_error"
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
