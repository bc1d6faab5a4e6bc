"""Errors on the wire: one place turns an ApiError into an HTTP answer in the surface's dialect."""

import math
from collections.abc import Callable

from ingot.errors import (
    ApiError,
    HeadersTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    RequestTimeout,
    Unauthenticated,
)

EncodeError = Callable[[ApiError, str], bytes]

LONGEST_RETRY_AFTER = 120
"""Seconds; official clients give up at once when told to wait longer."""

CLOSING = frozenset({401, 408, 413, 421})
"""After these nothing that the client still sends is worth reading."""


def error_head(error: ApiError, request_id: str) -> bytes:
    """The header lines that belong to an error, with what a client needs for its next try."""
    lines = ["content-type: application/json\r\n", f"x-request-id: {request_id}\r\n"]
    if error.retry_after is not None:
        seconds = min(LONGEST_RETRY_AFTER, error.retry_after)
        lines.append(f"retry-after: {max(1, math.ceil(seconds))}\r\n")
        lines.append(f"retry-after-ms: {max(1, math.ceil(seconds * 1000))}\r\n")
    if isinstance(error, MethodNotAllowed):
        lines.append(f"allow: {', '.join(error.allow)}\r\n")
    if isinstance(error, Unauthenticated):
        lines.append("www-authenticate: Bearer\r\n")
    return "".join(lines).encode("ascii")


def _malformed(message: str) -> ApiError:
    return InvalidRequest(message, code="malformed_request")


_REFUSALS: dict[int, Callable[[str], ApiError]] = {408: RequestTimeout, 431: HeadersTooLarge}


def refusal_body(encode: EncodeError) -> Callable[[int, str], bytes]:
    """Renders refusals of requests that never became one (malformed or oversized heads)."""

    def render(status: int, message: str) -> bytes:
        return encode(_REFUSALS.get(status, _malformed)(message), "")

    return render
