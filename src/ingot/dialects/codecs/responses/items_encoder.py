"""Parts of an answer as output items of a client's stream: which part opens which item, and when an item closes.

Texts and refusals of one message share an item. An item is done when the next one begins or the answer ends, for its
status depends on that. Items may be open at once: their events say whose they are. Thoughts that another dialect
keeps secret open none. Decides what has no place; the same as `answers` does for a whole one.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from msgspec import Raw

from ingot.canonical import AnyPart, Loss, NativePart, Reasoning, Text, ToolCall
from ingot.dialects.codecs.responses.answers import NO_PART, ONE_ANSWER
from ingot.dialects.codecs.responses.item_encoder import (
    CallEncoder,
    EventWriter,
    ItemEncoder,
    MessageEncoder,
    NativeEncoder,
    ThoughtsEncoder,
)
from ingot.dialects.codecs.responses.output import (
    NO_LOGPROBS,
    SEAL,
    is_in_message,
    item_id,
    lost_seal,
    prefix_of,
    token_list,
)
from ingot.dialects.codecs.responses.writer import is_sealed
from ingot.events import (
    ArgumentsDelta,
    Cited,
    Event,
    LogprobsDelta,
    PartEnded,
    PartStarted,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    SummaryDelta,
    TextDelta,
)

Json = dict[str, Any]


class ItemsEncoder:
    """The items of one answer, as far as they have come."""

    __slots__ = ("_hidden", "_items", "_open", "_reply_id", "_texts", "_writer", "losses", "native")

    def __init__(self, reply_id: str, writer: EventWriter) -> None:
        self.losses: list[Loss] = []
        self.native = False
        self._reply_id = reply_id
        self._writer = writer
        self._items: list[ItemEncoder] = []
        # Which item a part is in, and thoughts that have said nothing yet.
        self._open: dict[int, ItemEncoder] = {}
        self._hidden: dict[int, Reasoning] = {}
        self._texts: list[int] = []

    @property
    def output(self) -> list[Json | Raw]:
        """The items that are done."""
        return [item.value for item in self._items if item.value is not None]

    def lose(self, loss: Loss) -> None:
        if loss not in self.losses:
            self.losses.append(loss)

    def feed(self, event: Any) -> None:
        """An event of a part; of other choices than the first nothing can be told."""
        if event.choice != 0:
            self.lose(Loss(f"outputs[{event.choice}]", "answer", ONE_ANSWER))
        else:
            self._handlers[type(event)](self, event)

    def close(self, status: str) -> None:
        """The end: the last item of an answer that broke off did so too."""
        for item in self._items:
            if isinstance(item, MessageEncoder):
                item.end_all()
            elif not item.ended:
                item.end(0, None)
        for item in self._items:
            last = item is self._items[-1]
            item.close("incomplete" if last and status != "completed" else "completed")

    def _start(self, event: PartStarted) -> None:
        part = event.value
        if isinstance(part, Reasoning):
            for loss in lost_seal(part):
                self.lose(loss)
            self._hidden[event.part] = part
            if part.origin.dialect == "responses" or part.content or part.summary or is_sealed(part):
                self._show(event.part)
        elif is_in_message(part):
            self._start_said(event.part, part)
        elif isinstance(part, ToolCall):
            item = CallEncoder(self._writer, self.losses, part=part, **self._next(part))
            self._add(event.part, item)
        elif isinstance(part, NativePart) and part.dialect == "responses":
            self._close_ended()
            native = NativeEncoder(self._writer, self.losses, index=len(self._items), part=part)
            native.open()
            self._add(event.part, native)
        elif isinstance(part, NativePart):
            reason = f"only the {part.dialect} dialect knows a part of type '{part.kind}'"
            self.lose(Loss(part.at, "answer", reason))
        else:
            self.lose(Loss(part.at, "answer", NO_PART))

    def _next(self, part: AnyPart) -> Json:
        """Number and id of the next item; those that have ended are closed first."""
        self._close_ended()
        index = len(self._items)
        return {"index": index, "name": part.item or item_id(self._reply_id, prefix_of(part), index)}

    def _close_ended(self) -> None:
        for item in self._items:
            if item.ended:
                item.close("completed")

    def _add(self, number: int, item: ItemEncoder) -> None:
        self._items.append(item)
        self._open[number] = item

    def _start_said(self, number: int, part: Any) -> None:
        last = self._items[-1] if self._items else None
        if isinstance(last, MessageEncoder) and last.item == part.item and last.value is None:
            message = last
        else:
            message = MessageEncoder(self._writer, self.losses, part=part, **self._next(part))
            self._items.append(message)
        self._open[number] = message
        if isinstance(part, Text):
            self._texts.append(number)
        message.begin(number, part)

    def _show(self, number: int) -> ThoughtsEncoder | None:
        """The item of thoughts, opened by the first of them."""
        known = self._open.get(number)
        if isinstance(known, ThoughtsEncoder):
            return known
        part = self._hidden.pop(number, None)
        if part is None:
            return None
        item = ThoughtsEncoder(self._writer, self.losses, part=part, **self._next(part))
        self._add(number, item)
        for index, text in enumerate(part.summary):
            item.think("summary", index, text)
        for index, text in enumerate(part.content):
            item.think("content", index, text)
        if part.seal is not None:
            item.seal(part.seal)
        return item

    def _say(self, event: TextDelta | RefusalDelta) -> None:
        item = self._open.get(event.part)
        if isinstance(item, MessageEncoder):
            item.say(event.part, event.text)

    def _cite(self, event: Cited) -> None:
        item = self._open.get(event.part)
        if isinstance(item, MessageEncoder):
            item.cite(event.part, event.citation)

    def _weigh(self, event: LogprobsDelta) -> None:
        if event.kind == "refusal":
            self.lose(Loss("logprobs", "answer", NO_LOGPROBS))
            return
        number = event.part if event.part is not None else next(iter(self._texts), -1)
        item = self._open.get(number)
        if isinstance(item, MessageEncoder) and item.holds_text(number):
            item.say(number, "", token_list(event.tokens, native=self.native))
        else:
            self.lose(Loss("logprobs", "answer", "they belong to no text of the answer"))

    def _argue(self, event: ArgumentsDelta) -> None:
        item = self._open.get(event.part)
        if isinstance(item, CallEncoder):
            item.argue(event.text)

    def _think(self, event: ReasoningDelta) -> None:
        item = self._show(event.part)
        if item is not None:
            item.think("content", event.index, event.text)

    def _summarize(self, event: SummaryDelta) -> None:
        item = self._show(event.part)
        if item is not None:
            item.think("summary", event.index, event.text)

    def _seal(self, event: Sealed) -> None:
        sealed = event.seal.kind == "encrypted"
        item = self._show(event.part) if sealed else self._open.get(event.part)
        if isinstance(item, ThoughtsEncoder) and sealed:
            item.seal(event.seal)
        else:
            held = self._hidden.get(event.part)
            at = item.at if isinstance(item, ThoughtsEncoder) else "" if held is None else held.at
            self.lose(Loss(at, "answer", SEAL))

    def _end(self, event: PartEnded) -> None:
        item = self._open.get(event.part)
        if item is not None:
            item.end(event.part, event.extras)

    _handlers: ClassVar[dict[type[Event], Callable[["ItemsEncoder", Any], None]]] = {
        PartStarted: _start,
        TextDelta: _say,
        RefusalDelta: _say,
        Cited: _cite,
        LogprobsDelta: _weigh,
        ArgumentsDelta: _argue,
        ReasoningDelta: _think,
        SummaryDelta: _summarize,
        Sealed: _seal,
        PartEnded: _end,
    }
