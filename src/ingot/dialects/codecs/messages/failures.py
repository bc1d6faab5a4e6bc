"""Errors in Anthropic's envelope, both ways.

    {"type": "error", "error": {"type", "message", "details": {"error_code"}}, "request_id"}

Decides `type` by class, then by status: contract §6. Our own code goes where clients look for one. Knows no HTTP.
"""

from typing import Any, Final

import msgspec

from ingot.canonical import Failure
from ingot.dialects.codecs.messages.ends import text_of
from ingot.dialects.cuts import dump, load, mend_all
from ingot.errors import ApiError, Overloaded, QuotaExceeded, UpstreamRejected, UpstreamUnavailable
from ingot.sse import encode_event

Json = dict[str, Any]

_BY_CLASS: Final[dict[type[ApiError], str]] = {
    QuotaExceeded: "billing_error",
    # The client can mend what the upstream refused.
    UpstreamRejected: "invalid_request_error",
    UpstreamUnavailable: "overloaded_error",
    Overloaded: "overloaded_error",
}
_BY_STATUS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_encode = msgspec.json.Encoder().encode


def error_type(error: ApiError) -> str:
    """The word for what went wrong."""
    known = next((_BY_CLASS[kind] for kind in type(error).__mro__ if kind in _BY_CLASS), None)
    if known is not None:
        return known
    return _BY_STATUS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")


def encode_error(error: ApiError, request_id: str) -> bytes:
    """The error as the body of an answer."""
    told: Json = {"type": error_type(error), "message": error.message}
    if error.code is not None:
        told["details"] = {"error_code": error.code}
    return _encode({"type": "error", "error": told, "request_id": request_id or None})


def error_event(error: ApiError, request_id: str) -> bytes:
    """The error as an event, for a stream that has begun; clients raise on it."""
    return encode_event(encode_error(error, request_id), b"error")


def decode_failure(error: Any) -> Failure:
    """The inner object of an error."""
    if type(error) is not dict:
        return Failure(message=error if type(error) is str else dump(error).decode())
    message, details = error.get("message"), error.get("details")
    code = details.get("error_code") if type(details) is dict else error.get("code")
    return Failure(
        message=message if type(message) is str else dump(error).decode(),
        type=text_of(error.get("type")),
        code=None if code is None else str(code),
        param=text_of(error.get("param")),
    )


def decode_error(body: bytes) -> Failure:
    """What an error body says; the body itself where it is no JSON."""
    try:
        value = mend_all(load(body))
    except ValueError:
        return Failure(message=body.decode("utf-8", "replace"))
    error = value.get("error") if type(value) is dict else None
    return decode_failure(value if error is None else error)
