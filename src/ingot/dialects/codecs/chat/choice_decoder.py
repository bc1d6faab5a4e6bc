"""One alternative of a streamed chat answer: deltas in, canonical events out.

    delta      thoughts | content | refusal     one part at a time, a new one when the kind changes
               tool_calls                       a part a call; several may be open, for fragments may interleave
               anything else                    Noted
    choice     finish_reason                    ends the open parts, then Finished

A call starts with the first piece of its arguments, when its name is sure to be whole. Texts that were cut inside of
a character wait for the rest of it. Knows nothing of the chunk around its choice.
"""

from typing import Any, Final

from msgspec import Raw

from ingot.canonical import (
    Extras,
    Loss,
    NativePart,
    Origin,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from ingot.dialects.codecs.chat.choices import (
    decode_citations,
    decode_end,
    known_fields,
    raw_tokens,
)
from ingot.dialects.codecs.chat.parts import decode_content
from ingot.dialects.codecs.chat.turns import KNOWN_CALL, KNOWN_CUSTOM, KNOWN_FUNCTION, THOUGHTS
from ingot.dialects.codecs.leftovers import extras_of, unknown
from ingot.dialects.cuts import dump, mend, mend_start
from ingot.dialects.fold import call_place
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    Finished,
    LogprobsDelta,
    Noted,
    PartEnded,
    PartStarted,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
)

Json = dict[str, Any]
Events = list[AnyEvent]

_KNOWN_DELTA: Final = frozenset({"role", "content", "refusal", "tool_calls", "annotations", *THOUGHTS})
_CALL_FIELDS: Final = {"function": KNOWN_FUNCTION, "custom": KNOWN_CUSTOM}


class _Call:
    """A tool call on its way; `part` is None until it starts."""

    __slots__ = ("fields", "id", "kind", "name", "part", "rest", "told")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.kind: str = "function"
        self.part: int | None = None
        self.rest = ""
        self.fields: dict[str, Raw] = {}
        self.told = 0  # fields that its start told


class ChoiceDecoder:
    """One alternative, as far as it has come."""

    __slots__ = (
        "_at",
        "_calls",
        "_kind",
        "_losses",
        "_origin",
        "_part",
        "_parts",
        "_rest",
        "_seen",
        "finished",
        "index",
    )

    def __init__(self, index: int, origin: Origin, losses: list[Loss]) -> None:
        self.index = index
        self.finished = False
        self._origin = origin
        self._losses = losses
        self._at = f"choices[{index}].message."
        self._parts = 0
        # The part that is open now, calls aside, and the beginning of a character at its end.
        self._kind = ""
        self._part = 0
        self._rest = ""
        self._calls: dict[int, _Call] = {}
        self._seen: Json = {}

    def take_delta(self, delta: Json, events: Events) -> None:
        """What a delta says: thoughts, then content, refusal and calls."""
        if self.finished:
            if any(value for name, value in delta.items() if name != "role"):
                self._losses.append(Loss(self._at[:-1], "answer", "a delta behind the end of its choice"))
            return
        content = delta.get("content")
        if len(delta) == 1 and type(content) is str:
            if content:
                self._say("content", content, events)
            return
        self._take_thoughts(delta, events)
        if type(content) is str:
            if content:
                self._say("content", content, events)
        elif content:
            self._take_parts(content, events)
        refusal = delta.get("refusal")
        if refusal and type(refusal) is str:
            self._say("refusal", refusal, events)
        calls = delta.get("tool_calls")
        for fragment in calls if type(calls) is list else ():
            self._take_fragment(fragment, events)
        if delta.get("annotations"):
            self._take_annotations(delta["annotations"], events)
        self._note(dict(unknown(delta, _KNOWN_DELTA)), events)

    def _take_thoughts(self, delta: Json, events: Events) -> None:
        said = ""
        for name in THOUGHTS:
            text = delta.get(name)
            if not text or text == said:
                continue
            if said or type(text) is not str:
                self._note({name: Raw(dump(text))}, events)
            else:
                self._say(name, text, events)
                said = text

    def _note(self, fields: dict[str, Raw], events: Events) -> None:
        if fields:
            events.append(Noted(Extras("chat", fields), "message", self.index))

    def _say(self, kind: str, text: str, events: Events) -> None:
        if self._kind != kind:
            self._close(events)
            self._kind = kind
            self._part = self._open(self._shell(kind), events)
        if self._rest or not text.isascii():
            text, self._rest = mend_start(self._rest + text)
        if text:
            events.append(_delta(kind, self.index, self._part, text))

    def _shell(self, kind: str) -> Text | Refusal | Reasoning:
        at = self._at + kind
        if kind == "content":
            return Text("", at=at)
        return Refusal("", at=at) if kind == "refusal" else Reasoning(self._origin, at=at)

    def _open(self, value: Text | Refusal | Reasoning | ToolCall | NativePart, events: Events) -> int:
        part = self._parts
        self._parts += 1
        events.append(PartStarted(self.index, part, value))
        return part

    def _close(self, events: Events) -> None:
        """Ends the open part, and starts the calls that came before what follows now."""
        if self._kind:
            if self._rest:
                events.append(_delta(self._kind, self.index, self._part, mend(self._rest)))
                self._rest = ""
            events.append(PartEnded(self.index, self._part))
            self._kind = ""
        for place, call in self._calls.items():
            if call.part is None:
                self._start_call(place, call, events)

    def _take_parts(self, content: Any, events: Events) -> None:
        """Content in parts, which some servers write."""
        for part in decode_content(content):
            if isinstance(part, Text) and part.extras is None:
                if part.text:
                    self._say("content", part.text, events)
            elif isinstance(part, NativePart):
                self._close(events)
                events.append(PartEnded(self.index, self._open(part, events)))
            else:
                self._losses.append(
                    Loss(self._at + part.at, "answer", "a part of an answer's content that is no text")
                )

    def _take_fragment(self, fragment: Any, events: Events) -> None:
        if type(fragment) is not dict:
            self._losses.append(
                Loss(f"{self._at}tool_calls", "answer", "a piece of a tool call that is no object")
            )
            return
        place = self._place(fragment)
        call = self._calls.get(place)
        if call is None:
            self._close(events)
            call = self._calls[place] = _Call()
        kind = "custom" if "custom" in fragment else "function"
        held = fragment.get(kind)
        if type(held) is not dict:
            held = {}
        else:
            call.kind = kind
        if fragment.get("id"):
            call.id = call.id or str(fragment["id"])
        name = held.get("name")
        # Some servers repeat the name with every piece, others give it in pieces.
        if name and type(name) is str and name != call.name and call.part is None:
            call.name += name
        call.fields.update(unknown(fragment, KNOWN_CALL))
        call.fields.update(unknown(held, _CALL_FIELDS[kind], inside=kind))
        text = held.get("input" if kind == "custom" else "arguments")
        if text not in (None, ""):
            self._say_arguments(place, call, text if type(text) is str else dump(text).decode(), events)

    def _place(self, fragment: Json) -> int:
        last = max(self._calls, default=-1)
        return call_place(fragment, last, known=self._calls[last].id if last >= 0 else None)

    def _say_arguments(self, place: int, call: _Call, text: str, events: Events) -> None:
        part = self._start_call(place, call, events) if call.part is None else call.part
        if call.rest or not text.isascii():
            text, call.rest = mend_start(call.rest + text)
        if text:
            events.append(ArgumentsDelta(self.index, part, text))

    def _start_call(self, place: int, call: _Call, events: Events) -> int:
        # Its number is taken before those of calls that stand behind it.
        value = ToolCall(
            mend(call.id),
            mend(call.name),
            "",
            "custom" if call.kind == "custom" else "function",
            at=f"{self._at}tool_calls[{place}]",
            extras=extras_of(call.fields, "chat"),
        )
        call.part = part = self._open(value, events)
        call.told = len(call.fields)
        return part

    def _take_annotations(self, annotations: Any, events: Events) -> None:
        if self._kind == "content" and type(annotations) is list:
            for citation in decode_citations(annotations):
                events.append(Cited(self.index, self._part, citation))
        else:
            self._note({"annotations": Raw(dump(annotations))}, events)

    def take_logprobs(self, logprobs: Any, events: Events) -> None:
        """Log probabilities of the tokens in a chunk."""
        texts, refusals = raw_tokens(logprobs, "content"), raw_tokens(logprobs, "refusal")
        if texts:
            events.append(LogprobsDelta(self.index, texts))
        if refusals:
            events.append(LogprobsDelta(self.index, refusals, "refusal"))

    def take_rest(self, choice: Json, events: Events) -> None:
        """What stands beside the delta: the end, and fields that nobody here knows."""
        word = choice.get("finish_reason")
        reason, told, met = (None, None, None)
        if type(word) is str and word and not self.finished:
            reason, told, met = decode_end(choice)
        seen = self._seen
        fields = {name: raw for name, raw in unknown(choice, known_fields(reason)) if seen.get(name) != raw}
        if fields:
            seen.update(fields)
            events.append(Noted(Extras("chat", fields), "choice", self.index))
        if reason is not None:
            self._finish(events)
            events.append(Finished(self.index, reason, told, met))

    def _finish(self, events: Events) -> None:
        self._close(events)
        self.finished = True
        for call in sorted(self._calls.values(), key=_part_of):
            part = _part_of(call)
            if call.rest:
                events.append(ArgumentsDelta(self.index, part, mend(call.rest)))
            grown = extras_of(call.fields, "chat") if len(call.fields) > call.told else None
            events.append(PartEnded(self.index, part, grown))


def _part_of(call: _Call) -> int:
    return call.part or 0


def _delta(kind: str, choice: int, part: int, text: str) -> AnyEvent:
    if kind == "content":
        return TextDelta(choice, part, text)
    return RefusalDelta(choice, part, text) if kind == "refusal" else ReasoningDelta(choice, part, text)
