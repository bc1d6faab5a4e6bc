"""What a codec is: a dialect's way into the canonical form and out of it, as a frozen record of pure functions.

    decode(encode(x)) == x      for all that the dialect can carry, places aside
    encode(decode(b)) == b      as JSON, null and empty members aside
    fold(decode_stream(s))      is decode_answer of the same answer, however the bytes were cut

Decides the shape of these functions. Refuses to know any wire format, HTTP, and what becomes of a loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ingot.canonical import Answer, DialectName, Failure, Losses, Origin, Request, Usage
from ingot.catalog import Quirks
from ingot.errors import ApiError
from ingot.events import AnyEvent
from ingot.rawjson import Body


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes: the target as an origin of reasoning, what it calls the model, and how it differs.

    `stream` asks the target for a stream, whatever the client asked for.
    """

    origin: Origin
    model: str
    quirks: Quirks
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer to a client takes from us and from the client's own request, not from the target.

    `created` is in Unix seconds; `body` is the client's, for dialects whose answers echo it.
    """

    id: str
    model: str
    created: int
    request: Request
    body: Body


class StreamDecoder(Protocol):
    """One target's stream on its way to events."""

    @property
    def losses(self) -> Losses:
        """What could not be carried so far; paths are those of a whole answer."""
        ...

    def feed(self, data: bytes) -> list[AnyEvent]:
        """The events in the data of the next server-sent event; bytes that are no JSON raise ValueError."""
        ...

    def close(self) -> list[AnyEvent]:
        """The events that the end of the bytes makes certain: `Ended` where all was said, else none."""
        ...


class StreamEncoder(Protocol):
    """One client's stream: canonical events in, server-sent events out, each whole."""

    @property
    def losses(self) -> Losses:
        """What could not be carried so far."""
        ...

    def feed(self, events: Sequence[AnyEvent]) -> bytes:
        """The bytes for events that came together; a `Failed` among them is the caller's to report."""
        ...

    def fail(self, error: ApiError, request_id: str) -> bytes | None:
        """The bytes that end a stream which cannot go on; None where the dialect's own error event is all."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """The functions of one dialect.

    Bodies that are not of the dialect raise InvalidRequest where they are a client's, ValueError where a target's.
    """

    name: DialectName
    # The client's checked body.
    decode_request: Callable[[Body], tuple[Request, Losses]]
    # Losses name places in the client's body, be its dialect what it may.
    encode_request: Callable[[Request, Destination], tuple[bytes, Losses]]
    decode_answer: Callable[[bytes, Origin], tuple[Answer, Losses]]
    encode_answer: Callable[[Answer, Reply], tuple[bytes, Losses]]
    # The number is that of the answers asked for.
    decode_stream: Callable[[Origin, int], StreamDecoder]
    encode_stream: Callable[[Reply], StreamEncoder]
    # The usage object of an answer, decoded; None where it cannot be believed.
    decode_usage: Callable[[Any], Usage | None]
    encode_usage: Callable[[Usage], dict[str, Any]]
    # A target's error body, whatever it is; our own errors are worded by the client's Dialect, under its preset.
    decode_error: Callable[[bytes], Failure]
