"""The kinds of canonical events, one record each; `ingot.events` says how they follow one another."""

from typing import Literal

from msgspec import Raw, Struct

from ingot.canonical import (
    AnyPart,
    Citation,
    Extras,
    Failure,
    FinishReason,
    Origin,
    Seal,
    Usage,
)


class Event(Struct, frozen=True, gc=False, tag_field="type", omit_defaults=True):
    """Something that a stream says."""


class Started(Event, frozen=True):
    """The first event: what is known of the answer's top level."""

    origin: Origin
    id: str
    model: str
    created: float | None = None
    service_tier: str | None = None
    fingerprint: str | None = None
    extras: Extras | None = None


class PartStarted(Event, frozen=True):
    choice: int
    part: int
    value: AnyPart


class TextDelta(Event, frozen=True):
    choice: int
    part: int
    text: str


class RefusalDelta(Event, frozen=True):
    choice: int
    part: int
    text: str


class ReasoningDelta(Event, frozen=True):
    choice: int
    part: int
    text: str
    index: int = 0


class SummaryDelta(Event, frozen=True):
    choice: int
    part: int
    text: str
    index: int = 0


class Sealed(Event, frozen=True):
    """The seal of a reasoning part, whole."""

    choice: int
    part: int
    seal: Seal


class ArgumentsDelta(Event, frozen=True):
    """More of a tool call's arguments, or of a custom tool's text."""

    choice: int
    part: int
    text: str


class Cited(Event, frozen=True):
    choice: int
    part: int
    citation: Citation


class LogprobsDelta(Event, frozen=True):
    """Log probabilities of more tokens; `part` is None where the dialect does not say whose."""

    choice: int
    tokens: tuple[Raw, ...]
    kind: Literal["text", "refusal"] = "text"
    part: int | None = None


class PartEnded(Event, frozen=True):
    """`extras`, where given, take the place of those that the part started with."""

    choice: int
    part: int
    extras: Extras | None = None


class Finished(Event, frozen=True):
    """A choice is complete; the fields are those of `Output`."""

    choice: int
    reason: FinishReason
    told: str | None = None
    stop_sequence: str | None = None


class Noted(Event, frozen=True):
    """Uninterpreted fields. Of the answer or a choice the last value counts; those of a message grow piece by piece."""

    extras: Extras | None = None
    place: Literal["answer", "choice", "message"] = "answer"
    choice: int = 0
    service_tier: str | None = None
    fingerprint: str | None = None


class UsageTold(Event, frozen=True):
    usage: Usage


class Ping(Event, frozen=True):
    """Nothing but a sign of life."""


class Failed(Event, frozen=True):
    """The target reported an error; nothing follows."""

    failure: Failure


class Ended(Event, frozen=True):
    """The dialect's own end came: the stream is whole."""


AnyEvent = (
    Started
    | PartStarted
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | SummaryDelta
    | Sealed
    | ArgumentsDelta
    | Cited
    | LogprobsDelta
    | PartEnded
    | Finished
    | Noted
    | UsageTold
    | Ping
    | Failed
    | Ended
)
