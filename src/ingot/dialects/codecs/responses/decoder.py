"""A target's stream of named events as canonical ones: the response around its items, and its end.

    data --ResponsesDecoder--> Started, Noted, UsageTold, Finished, Failed, Ended
            items --ItemsDecoder--> all that belongs to parts

The name is read from the data, which all servers repeat it in. Decides when a stream has begun, failed or ended. The
last event repeats the whole output; what no event told before is told then.
"""

from typing import Any, Final

from ingot.canonical import Losses, Origin
from ingot.dialects.codecs.leftovers import extras_of
from ingot.dialects.codecs.responses.answers import top_fields
from ingot.dialects.codecs.responses.counts import decode_usage
from ingot.dialects.codecs.responses.failures import decode_end, decode_failure
from ingot.dialects.codecs.responses.items_decoder import ItemsDecoder
from ingot.dialects.codecs.values import text_of
from ingot.dialects.cuts import load, mend_all
from ingot.events import AnyEvent, Ended, Failed, Finished, Noted, Ping, Started, UsageTold
from ingot.sse import DONE

Json = dict[str, Any]
Events = list[AnyEvent]

_BEGINS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
_PINGS: Final = frozenset({"keepalive", "ping"})


class ResponsesDecoder:
    """One stream; see `codec.StreamDecoder`."""

    __slots__ = ("_items", "_origin", "_over", "_seen", "_started", "_tier")

    def __init__(self, origin: Origin, _: int = 1) -> None:
        self._origin = origin
        self._items = ItemsDecoder(origin)
        self._started = False
        self._over = False
        self._tier: str | None = None
        # Fields that the start told.
        self._seen: dict[str, Any] = {}

    @property
    def losses(self) -> Losses:
        return tuple(self._items.losses)

    def feed(self, data: bytes) -> Events:
        """The events of one event's data; raises ValueError where it is none of this dialect."""
        if data.startswith(DONE):
            return []
        event = load(data)
        if type(event) is not dict:
            raise ValueError("The target's stream holds an event that is no object.")
        kind = event.get("type")
        if self._over:
            self._items.lose("an event behind the end of the stream")
            return []
        if kind == "error" or (kind is None and event.get("error")):
            self._over = True
            error = event.get("error")
            return [Failed(decode_failure(mend_all(error or _without_type(event))))]
        if type(kind) is not str:
            raise ValueError("The target's stream holds an event without a type.")
        events: Events = []
        if kind in _PINGS:
            events.append(Ping())
        elif kind in _BEGINS:
            self._start(_response(event), events)
        elif kind in _ENDS:
            self._start(_response(event), events)
            self._end(_response(event), events)
        else:
            self._start({}, events)
            self._items.feed(kind, event, events)
        return events

    def close(self) -> Events:
        """Nothing: what this dialect ends with is an event."""
        return []

    def _start(self, response: Json, events: Events) -> None:
        if self._started:
            return
        self._started = True
        created = response.get("created_at")
        self._seen = top_fields(response)
        self._tier = text_of(response.get("service_tier"))
        events.append(
            Started(
                self._origin,
                text_of(response.get("id")) or "",
                text_of(response.get("model")) or "",
                created if type(created) in (int, float) else None,
                self._tier,
                None,
                extras_of(self._seen, "responses"),
            )
        )

    def _end(self, response: Json, events: Events) -> None:
        self._over = True
        self._items.close(response.get("output"), events)
        self._note(response, events)
        usage = decode_usage(response.get("usage"))
        if usage is not None:
            events.append(UsageTold(usage))
        status, error = response.get("status"), response.get("error")
        if status == "failed" and error:
            events.append(Failed(decode_failure(error)))
            return
        reason, told = decode_end(status, response.get("incomplete_details"), called=self._items.called)
        if reason is not None:
            events.append(Finished(0, reason, told))
        events.append(Ended())

    def _note(self, response: Json, events: Events) -> None:
        """What the end says otherwise than the start."""
        fields = top_fields(response)
        changed = {name: raw for name, raw in fields.items() if self._seen.get(name) != raw}
        tier = text_of(response.get("service_tier"))
        tier = None if tier == self._tier else tier
        if changed or tier is not None:
            events.append(Noted(extras_of(changed, "responses"), service_tier=tier))


def _response(event: Json) -> Json:
    response = event.get("response")
    if type(response) is not dict:
        raise ValueError(f"The target's stream holds a '{event['type']}' without its response.")
    mended: Json = mend_all(response)
    return mended


def _without_type(event: Json) -> Json:
    return {name: held for name, held in event.items() if name not in {"type", "sequence_number"}}
