"""Errors in OpenAI's envelope: its keys, one table from our tree to its types, and what a preset changes about both.

Decides `type` by class; `status`, `code` and `param` are the error's own unless the preset's table has a row for its
code or its class. `encode_error` alone makes the bytes of an error, and its status with them; each caller says under
which table, so that none forgets the preset's. With the usual table an error has four keys, all always present. Knows no
HTTP and no preset. The types are those that OpenAI's clients meet: contract §1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
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

KEYS = ("message", "type", "param", "code")

EncodeError = Callable[[ApiError, str], tuple[int, bytes]]
"""The status and the body of an error with the request's id."""

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
# Another body under a known Idempotency-Key is told by its type.
_TYPE_BY_CODE = {"idempotency_error": "idempotency_error"}

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Row:
    """What is special about one class of error, or one code; None leaves it as it is.

    `{message}` in `message` stands for the error's own.
    """

    status: int | None = None
    type: str | None = None
    code: str | None = None
    message: str | None = None
    keys: tuple[str, ...] | None = None


_USUAL = Row()


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """How errors look where not as usual: rows for exact classes of the tree and for codes, which count for more.

    An error class from elsewhere, as one that carries figures along, is told as the class of the tree that it extends.

    `statuses` are the only ones there are, where it is not empty: any other becomes the first of its hundred.
    """

    keys: tuple[str, ...] = KEYS
    classes: Mapping[type[ApiError], Row] = field(default_factory=dict)
    codes: Mapping[str, Row] = field(default_factory=dict)
    statuses: frozenset[int] = frozenset()

    def rows(self, error: ApiError) -> tuple[Row, Row]:
        """The rows for an error, the stronger one first."""
        by_code = self.codes.get(error.code, _USUAL) if error.code is not None else _USUAL
        return by_code, self.classes.get(_of_tree(type(error)), _USUAL)

    def status(self, error: ApiError) -> int:
        """The HTTP status."""
        first, second = self.rows(error)
        status = first.status or second.status or error.status
        if not self.statuses or status in self.statuses:
            return status
        return status - status % 100


def _of_tree(kind: type[ApiError]) -> type[ApiError]:
    return next(
        each for each in kind.__mro__ if issubclass(each, ApiError) and each.__module__ == ApiError.__module__
    )


USUAL = ErrorTable()

Encoder = Callable[[ErrorTable], EncodeError]
"""What makes an `EncodeError` that keeps a table."""


def error_object(error: ApiError, request_id: str, *, table: ErrorTable) -> dict[str, Any]:
    """The envelope as data; a fault of ours carries the request's id, which is all that the client can report."""
    first, second = table.rows(error)
    values = {
        "message": error_message(error, request_id, table=table),
        "type": first.type or second.type or _type(error),
        "param": error.param,
        "code": first.code or second.code or error.code,
    }
    return {"error": {key: values[key] for key in first.keys or second.keys or table.keys}}


def error_message(error: ApiError, request_id: str, *, table: ErrorTable) -> str:
    """What the error says under a table."""
    message = error.message
    first, second = table.rows(error)
    template = first.message or second.message
    if template is not None:
        message = template.replace("{message}", message)
    if request_id and isinstance(error, PlatformError):
        message = f"{message} (request id {request_id})"
    return message


def _type(error: ApiError) -> str:
    known = _TYPE_BY_CODE.get(error.code) if error.code is not None else None
    return known or next(_TYPES[kind] for kind in type(error).__mro__ if kind in _TYPES)


def encode_error(error: ApiError, request_id: str, *, table: ErrorTable) -> tuple[int, bytes]:
    """The status and the body of the answer that tells an error."""
    return table.status(error), _encode(error_object(error, request_id, table=table))


def encoder(table: ErrorTable) -> EncodeError:
    """`encode_error` under a table."""
    return partial(encode_error, table=table)


def error_event(error: ApiError, request_id: str, *, table: ErrorTable) -> bytes:
    """The error as an event, for a stream that has begun: there is no status any more. Clients raise on it."""
    return encode_event(encode_error(error, request_id, table=table)[1])
