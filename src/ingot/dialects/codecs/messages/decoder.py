"""A target's stream of named events as canonical events.

    message_start           Started, UsageTold
    content_block_*         a part, by a BlockDecoder
    message_delta           Finished, UsageTold, Noted
    message_stop | error    Ended | Failed

Counts are told in pieces here, of which each replaces what it names. Decides when a stream has begun, failed or ended;
the type of an event is in its data, so that its name is not needed.
"""

from typing import Any, Final

from ingot.canonical import Extras, Loss, Losses, Origin
from ingot.dialects.codecs.leftovers import extras_of, unknown
from ingot.dialects.codecs.messages.block_decoder import BlockDecoder, raw_fields
from ingot.dialects.codecs.messages.counts import decode_usage
from ingot.dialects.codecs.messages.ends import DETAILS, KNOWN_TOP, decode_end, decode_tier
from ingot.dialects.codecs.messages.failures import decode_failure
from ingot.dialects.codecs.values import text_of
from ingot.dialects.cuts import load, mend_all
from ingot.events import AnyEvent, Ended, Failed, Finished, Noted, Ping, Started, UsageTold
from ingot.sse import DONE

Json = dict[str, Any]
Events = list[AnyEvent]

_KNOWN_DELTA: Final = frozenset({"stop_reason", "stop_sequence", DETAILS})
_KNOWN_EVENT: Final = frozenset({"type", "delta", "usage"})


class MessagesDecoder:
    """One stream; see `codec.StreamDecoder`."""

    __slots__ = (
        "_blocks",
        "_counts",
        "_finished",
        "_losses",
        "_origin",
        "_over",
        "_parts",
        "_started",
        "_tier",
    )

    def __init__(self, origin: Origin, _: int = 1) -> None:
        self._origin = origin
        self._losses: list[Loss] = []
        self._started = False
        self._finished = False
        self._over = False
        self._blocks: dict[int | None, BlockDecoder] = {}
        self._parts = 0
        self._counts: Json = {}
        self._tier: str | None = None

    @property
    def losses(self) -> Losses:
        return tuple(self._losses)

    def feed(self, data: bytes) -> Events:
        """The events of one event of the target; raises ValueError where it is none."""
        if data.startswith(DONE):
            # Some servers end every stream with it.
            return []
        value = load(data)
        if type(value) is not dict:
            raise ValueError("The target's stream holds an event that is no object.")
        if self._over:
            self._losses.append(Loss("", "answer", "an event behind the end of the stream"))
            return []
        events: Events = []
        self._take(value, events)
        return events

    def close(self) -> Events:
        """`Ended` where the message has its end, though the stream's own is missing."""
        if self._over or not self._finished:
            return []
        self._over = True
        return [Ended()]

    def _take(self, value: Json, events: Events) -> None:
        match value.get("type"):
            case "content_block_delta":
                self._grow(value, events)
            case "content_block_start":
                self._start_block(value, events)
            case "content_block_stop":
                block = self._blocks.pop(_index(value), None)
                if block is not None:
                    block.stop(events)
            case "message_start":
                self._start(value.get("message"), events)
            case "message_delta":
                self._take_rest(value, events)
            case "message_stop":
                self._over = True
                self._close_blocks(events)
                events.append(Ended())
            case "ping":
                events.append(Ping())
            case "error":
                self._fail(value, events)
            case kind:
                if value.get("error"):
                    self._fail(value, events)
                else:
                    self._losses.append(Loss("", "answer", f"an event of type '{kind}'"))

    def _fail(self, value: Json, events: Events) -> None:
        self._over = True
        events.append(Failed(decode_failure(mend_all(value.get("error") or value))))

    def _start(self, message: Any, events: Events) -> None:
        if type(message) is not dict or self._started:
            raise ValueError("The target's stream holds a message_start without a message, or a second one.")
        self._started = True
        message = mend_all(message)
        counts = message.get("usage")
        self._tier = decode_tier(counts)
        events.append(
            Started(
                self._origin,
                text_of(message.get("id")) or "",
                text_of(message.get("model")) or "",
                None,
                self._tier,
                None,
                extras_of(dict(unknown(message, KNOWN_TOP)), "messages"),
            )
        )
        self._count(counts, events)
        for block in message.get("content") or ():
            # Only servers that have the whole answer already write any.
            self._start_block({"content_block": block}, events)
            self._close_blocks(events)
        self._end(message, events)

    def _start_block(self, value: Json, events: Events) -> None:
        block, index = value.get("content_block"), _index(value)
        if type(block) is not dict or not self._started:
            raise ValueError("The target's stream holds a content_block_start without a block or a message.")
        if index in self._blocks or self._finished:
            self._losses.append(
                Loss(f"content[{index}]", "answer", "a block that starts twice, or behind the end")
            )
            return
        # Blocks do not interleave: one that starts ends those before it.
        self._close_blocks(events)
        at = f"content[{self._parts}]"
        opened = BlockDecoder(block, self._parts, at=at, origin=self._origin, losses=self._losses)
        self._blocks[index] = opened
        self._parts += 1
        opened.start(events)

    def _grow(self, value: Json, events: Events) -> None:
        index, delta = _index(value), value.get("delta")
        block = self._blocks.get(index)
        if block is None or type(delta) is not dict:
            self._losses.append(Loss(f"content[{index}]", "answer", "a piece of a block that is not open"))
            return
        block.grow(delta, events)

    def _close_blocks(self, events: Events) -> None:
        for block in self._blocks.values():
            block.stop(events)
        self._blocks.clear()

    def _take_rest(self, value: Json, events: Events) -> None:
        if not self._started:
            raise ValueError("The target's stream holds a message_delta without a message.")
        delta = value.get("delta")
        delta = mend_all(delta) if type(delta) is dict else {}
        fields = {
            **dict(unknown(delta, _KNOWN_DELTA)),
            **dict(unknown(mend_all(value), _KNOWN_EVENT)),
        }
        if fields:
            events.append(Noted(Extras("messages", fields)))
        self._end(delta, events)
        self._count(value.get("usage"), events)

    def _end(self, delta: Json, events: Events) -> None:
        """What a message or its last delta says of its end."""
        details = raw_fields({DETAILS: delta.get(DETAILS)})
        if details:
            events.append(Noted(Extras("messages", details), "choice"))
        word = text_of(delta.get("stop_reason"))
        if word and not self._finished:
            self._close_blocks(events)
            self._finished = True
            reason, told = decode_end(word)
            events.append(Finished(0, reason, told, text_of(delta.get("stop_sequence"))))

    def _count(self, told: Any, events: Events) -> None:
        if type(told) is not dict:
            return
        self._counts.update({name: held for name, held in told.items() if held is not None})
        usage = decode_usage(self._counts)
        if usage is not None:
            events.append(UsageTold(usage))
        else:
            events.append(Noted(Extras("messages", raw_fields({"usage": mend_all(self._counts)}))))
        tier = decode_tier(told)
        if tier is not None and tier != self._tier:
            self._tier = tier
            events.append(Noted(service_tier=tier))


def _index(value: Json) -> int | None:
    index = value.get("index")
    return index if type(index) is int else None
