"""Errors on the wire: one place turns an ApiError into an HTTP answer in the surface's dialect."""

import math
from collections.abc import Callable

from ingot.errors import (
    ApiError,
    HeadersTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    RequestTimeout,
    Unauthenticated,
)
from ingot.ids import new_id
from ingot.logs import Log
from ingot.services.measures import Measures

EncodeError = Callable[[ApiError, str], bytes]

LONGEST_RETRY_AFTER = 120
"""Seconds; official clients of inferences give up at once when told to wait longer."""


def error_head(error: ApiError, request_id: str, *, longest: float = LONGEST_RETRY_AFTER) -> bytes:
    """The header lines that belong to an error, with what a client needs for its next try.

    `longest` is the most seconds of `retry-after`: who is no such client is told the whole wait, as the message does.
    """
    lines = ["content-type: application/json\r\n", f"x-request-id: {request_id}\r\n"]
    if error.retry_after is not None:
        seconds = min(longest, error.retry_after)
        lines.append(f"retry-after: {max(1, math.ceil(seconds))}\r\n")
        lines.append(f"retry-after-ms: {max(1, math.ceil(seconds * 1000))}\r\n")
    if isinstance(error, MethodNotAllowed):
        lines.append(f"allow: {', '.join(error.allow)}\r\n")
    if isinstance(error, Unauthenticated):
        lines.append("www-authenticate: Bearer\r\n")
    lines += [f"{name}: {value}\r\n" for name, value in error.headers]
    return "".join(lines).encode("ascii")


def unreadable() -> Overloaded:
    """What is told where the database could not be read; its own words are for the log."""
    return Overloaded(
        "The database cannot be read at the moment. Send the request again shortly; if it stays so, the operator finds "
        "the cause in the log.",
        code="storage_unavailable",
        retry_after=2.0,
    )


def _describe(status: int, message: str) -> ApiError:
    if status == 408:
        return RequestTimeout(message)
    if status == 431:
        return HeadersTooLarge(message)
    return InvalidRequest(message, code="malformed_request")


def refusals(
    encode: EncodeError, *, measures: Measures, log: Log
) -> Callable[[int, str], tuple[bytes, bytes]]:
    """Records and renders requests that never became one: malformed, oversized or too slow."""

    def refuse(status: int, message: str) -> tuple[bytes, bytes]:
        error = _describe(status, message)
        request_id = new_id("req")
        measures.refusals["connection", error.code or ""] += 1
        log.info("request refused", request_id=request_id, status=error.status, code=error.code)
        return error_head(error, request_id), encode(error, request_id)

    return refuse
