"""Canonical events as a client's stream of named events.

    Started      message_start, with the counts where they came along
    parts        content_block_start, its deltas, content_block_stop: one block at a time, by a BlockEncoder
    Ended        message_delta with the end and all counts, then message_stop

Of parts that are open at once all but the first wait for its end. The end of the message waits for the stream's,
behind which no counts follow. An error is the caller's to tell.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Raw

from ingot.canonical import DialectName, Extras, Loss, Losses, Usage, lost_extras
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.leftovers import restore
from ingot.dialects.codecs.messages.answers import UNTOLD_USAGE, lost_around
from ingot.dialects.codecs.messages.block_encoder import BlockEncoder
from ingot.dialects.codecs.messages.counts import encode_usage, lost_of_usage
from ingot.dialects.codecs.messages.ends import DETAILS, NO_USAGE, TIER, encode_end, encode_tier
from ingot.dialects.finishes import REFUSED, lost_finish
from ingot.errors import ApiError
from ingot.events import (
    AnyEvent,
    Ended,
    Event,
    Failed,
    Finished,
    LogprobsDelta,
    Noted,
    PartEnded,
    PartStarted,
    Ping,
    Started,
    UsageTold,
)
from ingot.sse import encode_event

Json = dict[str, Any]

_PING: Final = encode_event(b'{"type":"ping"}', b"ping")
# What the delta of a message holds beside its end; all else stands beside that delta.
_IN_DELTA: Final = frozenset({"container"})

_encode = msgspec.json.Encoder().encode


class MessagesEncoder:
    """One client's stream; see `codec.StreamEncoder`."""

    __slots__ = (
        "_beside",
        "_blocks",
        "_delta",
        "_finish",
        "_losses",
        "_of",
        "_open",
        "_out",
        "_reply",
        "_start",
        "_tier",
        "_usage",
        "_waiting",
    )

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        # The dialect of the target.
        self._of: DialectName = "messages"
        self._losses: list[Loss] = []
        self._out: list[bytes] = []
        # The start, until what came along with it is known.
        self._start: Started | None = None
        self._blocks = BlockEncoder(self._write, self._lose)
        self._open: int | None = None
        self._waiting: dict[int, list[AnyEvent]] = {}
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._finish: Finished | None = None
        # Fields of the message's last delta, and beside it.
        self._delta: dict[str, Raw] = {}
        self._beside: dict[str, Raw] = {}

    @property
    def losses(self) -> Losses:
        return tuple(self._losses)

    def fail(self, error: ApiError, request_id: str) -> None:
        """Nothing: the dialect's error event says it all."""

    def feed(self, events: Sequence[AnyEvent]) -> bytes:
        """The bytes for events that came together."""
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(self, event)
            else:
                self._take_part(event)
        self._begin()
        told = b"".join(self._out)
        self._out.clear()
        return told

    def _write(self, kind: bytes, value: Json) -> None:
        self._out.append(encode_event(_encode({"type": kind.decode(), **value}), kind))

    def _lose(self, loss: Loss) -> None:
        if loss not in self._losses:
            self._losses.append(loss)

    # --- the message ---

    def _take_start(self, event: Started) -> None:
        self._start = event
        self._of = event.origin.dialect
        self._tier = event.service_tier
        self._losses += lost_around(event.service_tier, event.fingerprint)
        self._losses += lost_extras(event.extras, "messages")

    def _begin(self) -> None:
        """Tells the start, once nothing more can come along with it."""
        if self._start is None:
            return
        message: Json = {
            "id": self._reply.id,
            "type": "message",
            "role": "assistant",
            "model": self._reply.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._counts(),
        }
        restore(self._start.extras, message, dialect="messages")
        self._start = None
        self._write(b"message_start", {"message": message})

    def _counts(self) -> Json:
        told: Json = {**NO_USAGE} if self._usage is None else encode_usage(self._usage)
        tier = encode_tier(self._tier)
        if tier is not None:
            told[TIER] = tier
        return told

    def _tell_usage(self, event: UsageTold) -> None:
        self._usage = event.usage

    def _note(self, event: Noted) -> None:
        for loss in lost_extras(event.extras, "messages"):
            self._lose(loss)
        for loss in lost_around(event.service_tier, event.fingerprint):
            self._lose(loss)
        self._tier = event.service_tier or self._tier
        extras = event.extras
        if extras is not None and extras.dialect == "messages":
            self._take_fields(extras, in_delta=event.place != "answer")

    def _take_fields(self, extras: Extras, *, in_delta: bool) -> None:
        for name, raw in extras.fields.items():
            (self._delta if in_delta or name in _IN_DELTA else self._beside)[name] = raw

    def _ping(self, _: Ping) -> None:
        self._begin()
        self._out.append(_PING)

    def _weigh(self, _: LogprobsDelta) -> None:
        self._lose(Loss("logprobs", "answer", "the messages dialect has no place for log probabilities"))

    def _fail(self, _: Failed) -> None:
        self._begin()

    def _take_finish(self, event: Finished) -> None:
        if event.choice == 0:
            self._finish = event

    def _end(self, _: Ended) -> None:
        self._begin()
        finish = self._finish
        if self._usage is None:
            self._lose(UNTOLD_USAGE)
        else:
            self._losses += lost_of_usage(self._usage)
        reason, told, met = (
            (None, None, None) if finish is None else (finish.reason, finish.told, finish.stop_sequence)
        )
        native = self._of == "messages"
        blocks = self._blocks
        word = encode_end(reason, told, native=native, refused=blocks.refused, called=blocks.called)
        self._losses += lost_finish(reason, told, of=self._of, to="messages")
        unsaid = word == "refusal" and (blocks.refused or not native)
        details = {DETAILS: REFUSED} if unsaid else {}
        delta = {"stop_reason": word, "stop_sequence": met, **details, **self._delta}
        self._write(b"message_delta", {"delta": delta, "usage": self._counts(), **self._beside})
        self._write(b"message_stop", {})

    # --- its blocks ---

    def _take_part(self, event: Any) -> None:
        """An event of a part; of other choices than the first nothing can be told."""
        self._begin()
        if event.choice != 0:
            self._lose(Loss(f"outputs[{event.choice}]", "answer", "the messages dialect gives one answer"))
        elif self._open is None or event.part == self._open:
            self._tell(event)
            while self._open is None and self._waiting:
                for each in self._waiting.pop(next(iter(self._waiting))):
                    self._tell(each)
        else:
            self._waiting.setdefault(event.part, []).append(event)

    def _tell(self, event: AnyEvent) -> None:
        if isinstance(event, PartStarted):
            self._open = event.part
        elif isinstance(event, PartEnded):
            self._open = None
        self._blocks.feed(event)

    _handlers: ClassVar[dict[type[Event], Callable[["MessagesEncoder", Any], None]]] = {
        Started: _take_start,
        Noted: _note,
        UsageTold: _tell_usage,
        Ping: _ping,
        LogprobsDelta: _weigh,
        Failed: _fail,
        Finished: _take_finish,
        Ended: _end,
    }
