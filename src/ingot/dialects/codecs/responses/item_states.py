"""Single output items of a stream on their way, one class a kind; `items_decoder` says which events come to them.

Knows nothing of the order of items.
"""

from typing import Any

import msgspec
from msgspec import Raw

from ingot.canonical import (
    Extras,
    Reasoning,
    Refusal,
    Seal,
    Text,
    ToolCall,
    where,
)
from ingot.dialects.codecs.leftovers import extras_of, unknown
from ingot.dialects.codecs.responses.citations import decode_citation
from ingot.dialects.codecs.responses.items import KNOWN_CALL, KNOWN_REASONING, reasoning_of
from ingot.dialects.codecs.responses.output import (
    CALLS,
    decode_item,
    decode_said,
    item_fields,
    raw_tokens,
    with_fields,
)
from ingot.dialects.codecs.responses.pieces import Channel, PartSource
from ingot.dialects.codecs.values import text_of
from ingot.dialects.cuts import dump, mend_all
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    LogprobsDelta,
    PartEnded,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    SummaryDelta,
    TextDelta,
)

Json = dict[str, Any]
Events = list[AnyEvent]

_SAID = ("output_text", "refusal")
_CONTRADICTION = "its end says another text than its pieces, which were told"


class ItemState:
    """What all items have in common; what an item cannot hold is told as lost."""

    __slots__ = ("_at", "_source", "done", "name")

    def __init__(self, source: PartSource, value: Json, at: str) -> None:
        self._source = source
        self._at = at
        self.name = text_of(value.get("id"))
        self.done = False

    def begin(self, events: Events) -> None:
        """Tells the start, where there is one yet."""

    def end(self, value: Json, events: Events) -> None:
        """Tells what is left; `value` is the item at its end, empty where the stream does not say."""
        raise NotImplementedError

    def _lose(self, what: str) -> None:
        self._source.lose(self._at, f"{what}: such an item has no place for it")

    def begin_part(self, _event: Json, _events: Events) -> None:
        """A content part begins; of calls and thoughts it says nothing."""

    def end_part(self, _event: Json, _events: Events) -> None:
        """A content part ends."""

    def say(self, _event: Json, _events: Events) -> None:
        self._lose("a piece of a text")

    def refuse(self, _event: Json, _events: Events) -> None:
        self._lose("a piece of a refusal")

    def cite(self, _event: Json, _events: Events) -> None:
        self._lose("an annotation")

    def argue(self, _event: Json, _events: Events) -> None:
        self._lose("a piece of a call's arguments")

    def think(self, _event: Json, _events: Events) -> None:
        self._lose("a piece of thoughts")

    def summarize(self, _event: Json, _events: Events) -> None:
        self._lose("a piece of a summary")


class NativeState(ItemState):
    """An item that nobody here knows: told whole at its end; its own events say nothing more."""

    __slots__ = ("_value",)

    def __init__(self, source: PartSource, value: Json, index: int) -> None:
        super().__init__(source, value, f"output[{index}]")
        self._value = value

    def end(self, value: Json, events: Events) -> None:
        if self.done:
            return
        self.done = True
        told = value or self._value
        # It may be known after all, if its start did not say enough.
        part = self._source.start(decode_item(told, self._source.origin, self._at), events)
        events.append(PartEnded(0, part))

    def _lose(self, what: str) -> None:
        """Its end tells it."""


class CallState(ItemState):
    """A tool call."""

    __slots__ = ("_arguments", "_call", "_part")

    def __init__(self, source: PartSource, call: ToolCall) -> None:
        super().__init__(source, {"id": call.item}, call.at)
        self._call = call
        self._arguments = Channel()
        self._part = 0

    def begin(self, events: Events) -> None:
        self._part = self._source.start(self._call, events)

    def argue(self, event: Json, events: Events) -> None:
        text = self._arguments.add(event.get("delta"))
        if text:
            events.append(ArgumentsDelta(0, self._part, text))

    def end(self, value: Json, events: Events) -> None:
        if self.done:
            return
        self.done = True
        told = value.get(CALLS["custom_tool_call" if self._call.kind == "custom" else "function_call"])
        whole = told if told is None or type(told) is str else dump(told).decode()
        rest = self._arguments.finish(whole)
        if rest is None:
            self._source.lose(self._at, _CONTRADICTION)
        elif rest:
            events.append(ArgumentsDelta(0, self._part, rest))
        extras = extras_of(dict(unknown(value, KNOWN_CALL)), "responses")
        events.append(PartEnded(0, self._part, _changed(self._call.extras, extras)))


class ReasoningState(ItemState):
    """Thoughts: paragraphs of text and of a summary."""

    __slots__ = ("_channels", "_extras", "_part")

    def __init__(self, source: PartSource, value: Json, index: int) -> None:
        super().__init__(source, value, f"output[{index}]")
        self._channels: dict[tuple[str, int], Channel] = {}
        self._extras = extras_of(dict(unknown(value, KNOWN_REASONING)), "responses")
        self._part = 0

    def begin(self, events: Events) -> None:
        value = Reasoning(self._source.origin, at=self._at, item=self.name, extras=self._extras)
        self._part = self._source.start(value, events)

    def think(self, event: Json, events: Events) -> None:
        self._add("content", event.get("content_index"), event.get("delta"), events)

    def summarize(self, event: Json, events: Events) -> None:
        self._add("summary", event.get("summary_index"), event.get("delta"), events)

    def _add(self, kind: str, index: Any, text: Any, events: Events) -> None:
        index = index if type(index) is int else 0
        said = self._channels.setdefault((kind, index), Channel()).add(text)
        if said:
            events.append(self._delta(kind, index, said))

    def _delta(self, kind: str, index: int, text: str) -> AnyEvent:
        if kind == "content":
            return ReasoningDelta(0, self._part, text, index)
        return SummaryDelta(0, self._part, text, index)

    def end(self, value: Json, events: Events) -> None:
        if self.done:
            return
        self.done = True
        whole = reasoning_of(value, self._source.origin, {})
        if whole is None:
            self._source.lose(self._at, "thoughts in a form that nobody here knows")
            whole = Reasoning(self._source.origin)
        told = {("content", index): text for index, text in enumerate(whole.content)}
        told |= {("summary", index): text for index, text in enumerate(whole.summary)}
        for kind, index in [*self._channels, *(key for key in told if key not in self._channels)]:
            self._finish(kind, index, told.get((kind, index)), events)
        if whole.seal is not None:
            events.append(Sealed(0, self._part, Seal("encrypted", whole.seal.data)))
        extras = extras_of(dict(unknown(value, KNOWN_REASONING)), "responses")
        events.append(PartEnded(0, self._part, _changed(self._extras, extras)))

    def _finish(self, kind: str, index: int, whole: str | None, events: Events) -> None:
        rest = self._channels.get((kind, index), Channel()).finish(whole)
        if rest is None:
            self._source.lose(self._at, _CONTRADICTION)
        elif rest or whole == "":
            # Also an empty paragraph is one.
            events.append(self._delta(kind, index, rest))


class _Said:
    """A content part of a message: its number, its text, and what else was told of it."""

    __slots__ = ("channel", "cited", "ended", "extras", "final", "known", "number", "refuses", "weighed")

    def __init__(self, number: int, extras: Extras | None, *, refuses: bool) -> None:
        self.number = number
        self.refuses = refuses
        self.channel = Channel()
        self.cited = 0
        self.weighed = False
        # Its own end came, so that nothing of it is to be told any more.
        self.known = False
        self.ended = False
        self.extras = extras
        self.final = extras


class MessageState(ItemState):
    """A message: content parts by their index, of which the last stays open until the item ends.

    So does one whose own end the server leaves out.
    """

    __slots__ = ("_fields", "_parts")

    def __init__(self, source: PartSource, value: Json, index: int) -> None:
        super().__init__(source, value, f"output[{index}]")
        self._fields = item_fields(value)
        self._parts: dict[int, _Said] = {}

    def begin_part(self, event: Json, events: Events) -> None:
        part = event.get("part")
        if type(part) is dict and part.get("type") in _SAID:
            self._start(_place(event), mend_all(part), events)

    def _start(self, place: int, part: Json, events: Events) -> _Said:
        """A part without its text and citations, which follow; one of another kind comes whole."""
        known = self._parts.get(place)
        if known is not None:
            return known
        for before in self._parts.values():
            if before.known:
                self._end_said(before, events)
        value, _ = decode_said(part, where(self._at, f"content[{place}]"), self.name)
        if isinstance(value, Text):
            value = msgspec.structs.replace(value, text="", citations=())
        elif isinstance(value, Refusal):
            value = msgspec.structs.replace(value, text="")
        if not self._parts and self._fields:
            value = with_fields(value, self._fields)
        number = self._source.start(value, events)
        said = self._parts[place] = _Said(number, value.extras, refuses=isinstance(value, Refusal))
        return said

    @staticmethod
    def _tell(said: _Said, text: str, events: Events) -> None:
        if text:
            delta = RefusalDelta if said.refuses else TextDelta
            events.append(delta(0, said.number, text))

    def say(self, event: Json, events: Events) -> None:
        said = self._start(_place(event), {"type": "output_text", "text": ""}, events)
        self._tell(said, said.channel.add(event.get("delta")), events)
        self._weigh(said, event.get("logprobs"), events)

    def _weigh(self, said: _Said, logprobs: Any, events: Events) -> None:
        tokens = raw_tokens(logprobs)
        if tokens:
            said.weighed = True
            events.append(LogprobsDelta(0, tokens, "text", said.number))

    def refuse(self, event: Json, events: Events) -> None:
        said = self._start(_place(event), {"type": "refusal", "refusal": ""}, events)
        self._tell(said, said.channel.add(event.get("delta")), events)

    def cite(self, event: Json, events: Events) -> None:
        said = self._start(_place(event), {"type": "output_text", "text": ""}, events)
        said.cited += 1
        events.append(Cited(0, said.number, decode_citation(mend_all(event.get("annotation")))))

    def end_part(self, event: Json, events: Events) -> None:
        part = event.get("part")
        if type(part) is dict:
            self._finish(_place(event), mend_all(part), events)

    def _finish(self, place: int, part: Json, events: Events) -> None:
        """Tells what is left of a part, whose whole this is; it may be told twice."""
        whole, tokens = decode_said(part, "", None)
        said = self._start(place, part, events)
        if isinstance(whole, Text | Refusal):
            rest = said.channel.finish(whole.text)
            if rest is None:
                self._source.lose(where(self._at, f"content[{place}]"), _CONTRADICTION)
            else:
                self._tell(said, rest, events)
        if isinstance(whole, Text):
            events += [Cited(0, said.number, each) for each in whole.citations[said.cited :]]
            said.cited = max(said.cited, len(whole.citations))
        if tokens and not said.weighed:
            self._weigh(said, part.get("logprobs"), events)
        said.known = True
        said.final = whole.extras
        if said.number == min(each.number for each in self._parts.values()):
            said.final = _joined(whole.extras, self._fields)

    def end(self, value: Json, events: Events) -> None:
        if self.done:
            return
        self.done = True
        content = value.get("content")
        fields = item_fields(value) if value else self._fields
        for place, part in enumerate(content if type(content) is list else ()):
            if type(part) is dict and not (place in self._parts and self._parts[place].ended):
                self._finish(place, part, events)
        for number, said in enumerate(self._parts.values()):
            if number == 0:
                self._take_fields(said, fields)
            self._end_said(said, events)

    def _take_fields(self, first: _Said, fields: dict[str, Raw]) -> None:
        if not first.ended:
            first.final = _joined(first.final, fields)
        elif fields != self._fields:
            self._source.lose(self._at, "what its end says of a message of several parts")

    def _end_said(self, said: _Said, events: Events) -> None:
        if said.ended:
            return
        said.ended = True
        self._tell(said, said.channel.finish(None) or "", events)
        events.append(PartEnded(0, said.number, _changed(said.extras, said.final)))


def _joined(extras: Extras | None, fields: dict[str, Raw]) -> Extras | None:
    known = {} if extras is None else extras.fields
    return extras_of({**known, **fields}, "responses")


def _place(event: Json) -> int:
    place = event.get("content_index")
    return place if type(place) is int else 0


def _changed(begun: Extras | None, ended: Extras | None) -> Extras | None:
    """The extras at a part's end, where they are not those of its start."""
    return None if begun == ended else ended
