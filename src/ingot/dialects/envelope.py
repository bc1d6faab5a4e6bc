"""Errors in OpenAI's envelope: four keys, all always present, and one table from our tree to its types.

Decides `type` by class and leaves status, `code` and `param` to the error itself. Knows no HTTP.
The types are those that OpenAI's clients meet: contract §1.
"""

from typing import Any

import msgspec

from ingot.errors import (
    ApiError,
    ClientError,
    IdempotencyError,
    PlatformError,
    QuotaExceeded,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
)
from ingot.sse import encode_event

_TYPES: dict[type[ApiError], str] = {
    ClientError: "invalid_request_error",
    IdempotencyError: "idempotency_error",
    # Not retryable, and so told apart from 429's other type.
    QuotaExceeded: "insufficient_quota",
    RateLimited: "rate_limit_exceeded",
    UpstreamError: "server_error",
    # The client can mend what the upstream refused.
    UpstreamRejected: "invalid_request_error",
    PlatformError: "server_error",
    ApiError: "server_error",
}

_encode = msgspec.json.Encoder().encode


def error_object(error: ApiError, request_id: str) -> dict[str, Any]:
    """The envelope as data; a fault of ours carries the request's id, which is all that the client can report."""
    message = error.message
    if request_id and isinstance(error, PlatformError):
        message = f"{message} (request id {request_id})"
    return {
        "error": {
            "message": message,
            "type": next(_TYPES[kind] for kind in type(error).__mro__ if kind in _TYPES),
            "param": error.param,
            "code": error.code,
        }
    }


def encode_error(error: ApiError, request_id: str) -> bytes:
    """The error as the body of an answer."""
    return _encode(error_object(error, request_id))


def error_event(error: ApiError, request_id: str) -> bytes:
    """The error as an event, for a stream that has begun; clients raise on it."""
    return encode_event(encode_error(error, request_id))
