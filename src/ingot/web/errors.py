"""Errors on the wire: `tell` alone turns an ApiError into an HTTP answer, whoever refuses: the connection, a page, a surface.

Decides the header lines. Status and body come from an encoder, which knows the preset's table; an error without an
encoder cannot be told. In a stream that has begun the dialect's error event takes its place.
"""

import math
from collections.abc import Callable
from functools import partial

from starlette.responses import Response

from ingot.dialects.envelope import USUAL, encode_error
from ingot.errors import (
    ApiError,
    HeadersTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    PlatformError,
    RequestTimeout,
    Unauthenticated,
)
from ingot.ids import new_id
from ingot.logs import Log
from ingot.services.measures import Measures

EncodeError = Callable[[ApiError, str], tuple[int, bytes]]
"""The status and the body of an error with the request's id; such as a dialect's, or a preset's."""

Told = tuple[int, bytes, bytes]
"""An answer: status, header lines, body."""

UNDRESSED: EncodeError = partial(encode_error, table=USUAL)
"""The encoder of the admin API, which stands in for nobody whatever the preset: its statuses are its description's."""

MESSAGES = "/v1/messages"

LONGEST_RETRY_AFTER = 120
"""Seconds; official clients of inferences give up at once when told to wait longer."""


def is_anthropics(path: str) -> bool:
    """Whether what stands at a path answers as Anthropic does, whoever asks."""
    return path == MESSAGES or path.startswith(f"{MESSAGES}/")


def tell(
    error: ApiError, request_id: str, *, encode: EncodeError, longest: float = LONGEST_RETRY_AFTER
) -> Told:
    """The answer that tells an error.

    `longest` is the most seconds of `retry-after`: who is no client of inferences is told the whole wait, as the message
    does, and so is everybody where coming sooner is in vain; official clients are then told not to try.
    """
    status, body = encode(error, request_id)
    return status, error_head(error, request_id, longest=longest), body


def as_response(told: Told) -> Response:
    """The answer for Starlette."""
    status, head, body = told
    lines = head.decode("ascii").splitlines()
    return Response(body, status_code=status, headers=dict(line.split(": ", 1) for line in lines))


def error_head(error: ApiError, request_id: str, *, longest: float = LONGEST_RETRY_AFTER) -> bytes:
    """The header lines that belong to an error, with what a client needs for its next try."""
    lines = ["content-type: application/json\r\n", f"x-request-id: {request_id}\r\n"]
    if error.retry_after is not None:
        seconds = error.retry_after if error.patient else min(longest, error.retry_after)
        lines.append(f"retry-after: {max(1, math.ceil(seconds))}\r\n")
        lines.append(f"retry-after-ms: {max(1, math.ceil(seconds * 1000))}\r\n")
        if error.patient and seconds > longest:
            lines.append("x-should-retry: false\r\n")
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


def broken() -> PlatformError:
    """What is told of a fault of ours, whose cause is for the log; the id is added to it as to each of its class."""
    return PlatformError("Something went wrong on our side. Tell the operator the request id.")


def refusals(encode: EncodeError, *, measures: Measures, log: Log) -> Callable[[int, str], Told]:
    """Records and renders requests that never became one: malformed, oversized or too slow."""

    def refuse(status: int, message: str) -> Told:
        error = _describe(status, message)
        request_id = new_id("req")
        told = tell(error, request_id, encode=encode)
        measures.refusals["connection", error.code or ""] += 1
        log.info("request refused", request_id=request_id, status=told[0], code=error.code)
        return told

    return refuse
