"""Output items of a stream: their events in, canonical parts out.

    message      a part for each of its content parts; the last one ends with its item
    calls        a part, from the item's start on
    reasoning    a part, with its summary and its text as paragraphs
    others       native, whole, when they are done

Parts keep the order of the items: what is told of an item behind a message or a native one waits for that one's end.
Servers tell these one by one; only calls take turns, and those need not wait.

What an event repeats of earlier ones is compared: a server that leaves out deltas still has all told, and one that
contradicts itself leaves a `Loss`. Knows nothing of the response around the items.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, Final

from ingot.canonical import Loss, Origin
from ingot.dialects.codecs.responses.item_states import (
    CallState,
    ItemState,
    MessageState,
    NativeState,
    ReasoningState,
)
from ingot.dialects.codecs.responses.output import CALLS, decode_call
from ingot.dialects.codecs.responses.pieces import PartSource
from ingot.dialects.codecs.values import text_of
from ingot.dialects.cuts import mend_all
from ingot.events import AnyEvent

Json = dict[str, Any]
Events = list[AnyEvent]

# What these say is said by their item's end, too.
_TOLD: Final = frozenset(
    {
        "response.output_text.done",
        "response.refusal.done",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.done",
        # vLLM's names for the parts of its thoughts.
        "response.reasoning_part.added",
        "response.reasoning_part.done",
    }
)
# The item that an event is about whose item did not begin.
_BEGUN_BY: Final = {
    "response.output_text.delta": "message",
    "response.output_text.annotation.added": "message",
    "response.refusal.delta": "message",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}


class ItemsDecoder:
    """The items of one answer, as far as they have come."""

    __slots__ = ("_items", "_source", "_waiting", "losses")

    def __init__(self, origin: Origin) -> None:
        self.losses: list[Loss] = []
        self._source = PartSource(origin, self.losses)
        self._items: dict[int, ItemState] = {}
        # Events of items behind one that has to be done first.
        self._waiting: list[tuple[str, Json, int]] = []

    @property
    def called(self) -> bool:
        """Whether a tool is called."""
        return self._source.called

    def lose(self, reason: str) -> None:
        """Notes once that something of the stream is not told."""
        self._source.lose("", reason)

    def feed(self, kind: str, event: Json, events: Events) -> None:
        """The next event about an item."""
        index = self._index(event)
        if index is None:
            self.lose(f"events of type '{kind}'")
        elif any(before < index for before in self._pending()):
            self._waiting.append((kind, event, index))
        else:
            self._take(kind, event, index, events)

    def _pending(self) -> list[int]:
        return [
            index
            for index, item in self._items.items()
            if isinstance(item, NativeState | MessageState) and not item.done
        ]

    def _index(self, event: Json) -> int | None:
        """Which item an event is about; some servers leave out its number, or its id."""
        index, name = event.get("output_index"), event.get("item_id")
        if type(index) is int:
            return index
        if type(event.get("item")) is dict:
            return max(self._items, default=-1) + 1
        return next((index for index, item in self._items.items() if name and item.name == name), None)

    def _take(self, kind: str, event: Json, index: int, events: Events) -> None:
        if kind == "response.output_item.added":
            # Some servers begin with an item that says nothing.
            if event.get("item"):
                self._begin(index, event["item"], events)
            return
        item = self._items.get(index)
        if kind == "response.output_item.done":
            self._end_item(index, event.get("item"), events)
            return
        if item is None and kind in _BEGUN_BY:
            item = self._begin(index, {"type": _BEGUN_BY[kind]}, events)
        elif item is None:
            self.lose(f"events of type '{kind}' of an item that did not begin")
            return
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(item)(event, events)
        elif kind not in _TOLD and not isinstance(item, NativeState):
            self.lose(f"events of type '{kind}'")

    def _begin(self, index: int, told: Any, events: Events) -> ItemState:
        value = mend_all(told) if type(told) is dict else {}
        known = self._items.get(index)
        if known is not None:
            return known
        kind = text_of(value.get("type"))
        item: ItemState
        if kind == "message":
            item = MessageState(self._source, value, index)
        elif kind == "reasoning":
            item = ReasoningState(self._source, value, index)
        elif kind in CALLS and (call := decode_call({**value, CALLS[kind]: ""}, f"output[{index}]")):
            item = CallState(self._source, call)
        else:
            item = NativeState(self._source, value, index)
        self._items[index] = item
        item.begin(events)
        return item

    def _end_item(self, index: int, told: Any, events: Events) -> None:
        item = self._begin(index, told, events)
        item.end(mend_all(told) if type(told) is dict else {}, events)
        self._go_on(events)

    def _go_on(self, events: Events) -> None:
        """Tells what waited, as far as nothing before it is pending."""
        waiting, self._waiting = self._waiting, []
        for kind, event, index in waiting:
            if any(before < index for before in self._pending()):
                self._waiting.append((kind, event, index))
            else:
                self._take(kind, event, index, events)

    def close(self, output: Any, events: Events) -> None:
        """The end: what the whole output says of items that are not done, or that no event told."""
        final = output if type(output) is list else []
        done = [item for item in self._items.values() if item.done]
        names = {item.name for item in done if item.name}
        if len(done) < len(final):
            for index, told in enumerate(final):
                known = self._items.get(index)
                if type(told) is dict and text_of(told.get("id")) not in names and not (known and known.done):
                    self._end_item(index, told, events)
        for item in list(self._items.values()):
            if not item.done:
                item.end({}, events)
        self._go_on(events)
        for item in self._items.values():
            if not item.done:
                item.end({}, events)

    _handlers: ClassVar[dict[str, Callable[[ItemState], Callable[[Json, Events], None]]]] = {
        "response.content_part.added": attrgetter("begin_part"),
        "response.content_part.done": attrgetter("end_part"),
        "response.output_text.delta": attrgetter("say"),
        "response.refusal.delta": attrgetter("refuse"),
        "response.output_text.annotation.added": attrgetter("cite"),
        "response.function_call_arguments.delta": attrgetter("argue"),
        "response.custom_tool_call_input.delta": attrgetter("argue"),
        "response.reasoning_text.delta": attrgetter("think"),
        "response.reasoning_summary_text.delta": attrgetter("summarize"),
    }
