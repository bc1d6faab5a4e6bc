"""Canonical events as a client's stream of named, numbered events.

    Started      response.created, response.in_progress
    parts        the events of their items, by an ItemsEncoder; pieces that came together are joined
    Ended        response.completed or response.incomplete, with the counts and the whole output

An error is the caller's to tell: `fail` tells it as `response.failed`, numbered on, with the output so far.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from ingot.canonical import DialectName, Extras, Loss, Losses, Usage, lost_extras
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.leftovers import restore
from ingot.dialects.codecs.responses.answers import NO_FINGERPRINT, NO_STOP, ONE_ANSWER
from ingot.dialects.codecs.responses.counts import encode_usage, lost_of_usage
from ingot.dialects.codecs.responses.echo import Envelope
from ingot.dialects.codecs.responses.failures import encode_end
from ingot.dialects.codecs.responses.item_encoder import EventWriter
from ingot.dialects.codecs.responses.items_encoder import ItemsEncoder
from ingot.dialects.finishes import lost_finish
from ingot.dialects.responses_errors import error_event, failed_error
from ingot.errors import ApiError
from ingot.events import (
    AnyEvent,
    Ended,
    Event,
    Failed,
    Finished,
    Noted,
    Ping,
    Started,
    UsageTold,
)

Json = dict[str, Any]

_PING: Final = b": ping\n\n"


class ResponsesEncoder:
    """One client's stream; see `codec.StreamEncoder`."""

    __slots__ = ("_envelope", "_fields", "_finish", "_items", "_of", "_started", "_tier", "_usage", "_writer")

    def __init__(self, reply: Reply) -> None:
        self._envelope = Envelope(reply)
        self._writer = EventWriter()
        self._items = ItemsEncoder(reply.id, self._writer)
        # The dialect of the target.
        self._of: DialectName = "responses"
        self._started = False
        self._finish: Finished | None = None
        self._tier: str | None = None
        self._usage: Usage | None = None
        # Uninterpreted fields of the response.
        self._fields: Json = {}

    @property
    def losses(self) -> Losses:
        return tuple(self._items.losses)

    def feed(self, events: Sequence[AnyEvent]) -> bytes:
        """The bytes for events that came together."""
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(self, event)
            else:
                self._items.feed(event)
        return self._writer.take()

    def fail(self, error: ApiError, request_id: str) -> bytes:
        """The bytes that end a stream which cannot go on: a response that failed, or, before its start, the error."""
        if not self._started:
            return error_event(error, request_id, number=self._writer.number)
        self._items.close("failed")
        self._tell("response.failed", "failed", error=failed_error(error, request_id))
        return self._writer.take()

    def _tell(self, kind: str, status: str, *, reason: str | None = None, error: Json | None = None) -> None:
        over = status != "in_progress"
        usage = self._usage if over else None
        response = self._envelope.write(
            status,
            output=self._items.output if over else [],
            tier=self._tier,
            usage=None if usage is None else encode_usage(usage),
            reason=reason,
            error=error,
        )
        fields = self._fields
        if over and usage is None and "usage" in fields:
            del response["usage"]
        elif not over:
            fields = {name: raw for name, raw in fields.items() if name != "usage"}
        restore(Extras("responses", fields), response, dialect="responses")
        self._writer.write(kind, {"response": response})

    def _start(self, event: Started) -> None:
        self._started = True
        self._of = event.origin.dialect
        self._items.native = self._of == "responses"
        self._tier = event.service_tier
        self._take_extras(event.extras)
        self._take_fingerprint(event.fingerprint)
        self._tell("response.created", "in_progress")
        self._tell("response.in_progress", "in_progress")

    def _take_extras(self, extras: Extras | None) -> None:
        for loss in lost_extras(extras, "responses"):
            self._items.lose(loss)
        if extras is not None and extras.dialect == "responses":
            self._fields.update(extras.fields)

    def _take_fingerprint(self, fingerprint: str | None) -> None:
        if fingerprint is not None:
            self._items.lose(NO_FINGERPRINT)

    def _note(self, event: Noted) -> None:
        if event.place == "answer":
            self._tier = event.service_tier or self._tier
            self._take_fingerprint(event.fingerprint)
            self._take_extras(event.extras)
        else:
            for loss in lost_extras(event.extras, "responses"):
                self._items.lose(loss)

    def _tell_usage(self, event: UsageTold) -> None:
        self._usage = event.usage

    def _ping(self, _: Ping) -> None:
        self._writer.write_bytes(_PING)

    def _fail(self, _: Failed) -> None:
        """The caller's to tell."""

    def _take_finish(self, event: Finished) -> None:
        if event.choice != 0:
            self._items.lose(Loss(f"outputs[{event.choice}]", "answer", ONE_ANSWER))
            return
        self._finish = event
        if event.stop_sequence is not None:
            self._items.lose(Loss("stop_sequence", "answer", NO_STOP))
        for loss in lost_finish(event.reason, event.told, of=self._of, to="responses"):
            self._items.lose(loss)
        self._items.close(self._end_of(event)[0])

    def _end_of(self, finish: Finished | None) -> tuple[str, str | None]:
        if finish is None:
            return encode_end(None, None, native=False)
        return encode_end(finish.reason, finish.told, native=self._items.native)

    def _end(self, _: Ended) -> None:
        status, reason = self._end_of(self._finish)
        if self._finish is None:
            self._items.close(status)
        if self._usage is not None:
            for loss in lost_of_usage(self._usage):
                self._items.lose(loss)
        self._tell(f"response.{status}", status, reason=reason)

    _handlers: ClassVar[dict[type[Event], Callable[["ResponsesEncoder", Any], None]]] = {
        Started: _start,
        Noted: _note,
        UsageTold: _tell_usage,
        Ping: _ping,
        Failed: _fail,
        Finished: _take_finish,
        Ended: _end,
    }
