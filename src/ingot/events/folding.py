"""Folding events: the whole answer that they spell, or as much of it as came.

Decides how pieces join. Knows no wire format.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw

from ingot.canonical import (
    Answer,
    AnyPart,
    Citation,
    DialectName,
    Extras,
    Failure,
    Logprobs,
    Output,
    Reasoning,
    Refusal,
    Seal,
    Text,
    ToolCall,
    Usage,
)
from ingot.events.kinds import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    Ended,
    Failed,
    Finished,
    LogprobsDelta,
    Noted,
    PartEnded,
    PartStarted,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    Started,
    SummaryDelta,
    TextDelta,
    UsageTold,
)


class _OpenPart:
    """A part on its way: paragraphs by index, each in pieces."""

    __slots__ = ("citations", "extras", "pieces", "seal", "summaries", "value")

    def __init__(self, value: AnyPart) -> None:
        self.value = value
        self.pieces: dict[int, list[str]] = {}
        self.summaries: dict[int, list[str]] = {}
        self.citations: list[Citation] = []
        self.seal: Seal | None = None
        self.extras = value.extras

    def whole(self) -> AnyPart:
        value = self.value
        text = "".join(self.pieces.get(0, ()))
        match value:
            case Text():
                citations = (*value.citations, *self.citations)
                changes: dict[str, Any] = {"text": value.text + text, "citations": citations}
            case Refusal():
                changes = {"text": value.text + text}
            case ToolCall():
                changes = {"arguments": value.arguments + text}
            case Reasoning():
                changes = {
                    "content": _paragraphs(value.content, self.pieces),
                    "summary": _paragraphs(value.summary, self.summaries),
                    "seal": self.seal or value.seal,
                }
            case _:
                changes = {}
        return msgspec.structs.replace(value, extras=self.extras, **changes)


def _paragraphs(begun: tuple[str, ...], grown: Mapping[int, list[str]]) -> tuple[str, ...]:
    count = max(len(begun), 1 + max(grown, default=-1))
    return tuple(
        (begun[index] if index < len(begun) else "") + "".join(grown.get(index, ())) for index in range(count)
    )


class _OpenOutput:
    """A choice on its way."""

    __slots__ = ("end", "extras", "logprobs", "message", "parts")

    def __init__(self) -> None:
        self.parts: dict[int, _OpenPart] = {}
        self.logprobs: dict[tuple[Literal["text", "refusal"], int | None], list[Raw]] = {}
        self.end: Finished | None = None
        self.extras = _OpenExtras()
        self.message = _OpenExtras()

    def whole(self, index: int) -> Output:
        end = self.end
        return Output(
            index=index,
            parts=tuple(self.parts[number].whole() for number in sorted(self.parts)),
            finish=None if end is None else end.reason,
            told=None if end is None else end.told,
            stop_sequence=None if end is None else end.stop_sequence,
            logprobs=tuple(
                Logprobs(tokens=tuple(tokens), kind=kind, part=part)
                for (kind, part), tokens in self.logprobs.items()
            ),
            extras=self.extras.whole(),
            message_extras=self.message.whole(),
        )


class _OpenExtras:
    """Uninterpreted fields on their way."""

    __slots__ = ("dialect", "fields")

    def __init__(self) -> None:
        self.dialect: DialectName | None = None
        self.fields: dict[str, Any] = {}

    def take(self, extras: Extras | None, *, grow: bool = False) -> None:
        if extras is None:
            return
        self.dialect = extras.dialect
        for name, raw in extras.fields.items():
            value = msgspec.json.decode(raw)
            self.fields[name] = _grown(self.fields.get(name), value, name=name) if grow else value

    def whole(self) -> Extras | None:
        if self.dialect is None:
            return None
        fields = {name: Raw(msgspec.json.encode(value)) for name, value in self.fields.items()}
        return Extras(self.dialect, fields)


def _grown(old: Any, new: Any, *, name: str) -> Any:
    """A value of unknown meaning with its next piece: texts and lists grow, of other values the last counts."""
    if new is None or old is None:
        return old if new is None else new
    if isinstance(old, str) and isinstance(new, str):
        # Some servers repeat these with every piece.
        return old if name in {"id", "name", "type", "format"} and new == old else old + new
    if isinstance(old, list) and isinstance(new, list):
        return old + new
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _grown(old.get(key), value, name=key) for key, value in new.items()}}
    return new


class Folder:
    """Takes events one by one; `answer` is what they say so far."""

    __slots__ = ("_ended", "_extras", "_failure", "_fingerprint", "_outputs", "_start", "_tier", "_usage")

    def __init__(self) -> None:
        self._start: Started | None = None
        self._outputs: dict[int, _OpenOutput] = {}
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._fingerprint: str | None = None
        self._extras = _OpenExtras()
        self._failure: Failure | None = None
        self._ended = False

    def feed(self, event: AnyEvent) -> None:
        """Takes the next event."""
        match event:
            case Started():
                self._start = event
                self._tier, self._fingerprint = event.service_tier, event.fingerprint
                self._extras.take(event.extras)
            case UsageTold():
                self._usage = event.usage
            case Noted(place="answer"):
                self._tier = event.service_tier or self._tier
                self._fingerprint = event.fingerprint or self._fingerprint
                self._extras.take(event.extras)
            case Failed():
                self._failure = event.failure
            case Ended():
                self._ended = True
            case Ping():
                pass
            case _:
                _take(self._outputs.setdefault(event.choice, _OpenOutput()), event)

    def answer(self) -> Answer:
        """The whole answer, or what there is of it; raises ValueError where nothing started."""
        start = self._start
        if start is None:
            raise ValueError("The stream did not start: there is no answer.")
        outputs = tuple(self._outputs[index].whole(index) for index in sorted(self._outputs))
        complete = self._ended and self._failure is None and all(each.finish for each in outputs)
        return Answer(
            origin=start.origin,
            id=start.id,
            model=start.model,
            outputs=outputs,
            created=start.created,
            usage=self._usage,
            service_tier=self._tier,
            fingerprint=self._fingerprint,
            complete=complete,
            failure=self._failure,
            extras=self._extras.whole(),
        )


def _take(output: _OpenOutput, event: AnyEvent) -> None:
    """An event of one choice."""
    match event:
        case TextDelta() | RefusalDelta() | ArgumentsDelta():
            output.parts[event.part].pieces.setdefault(0, []).append(event.text)
        case ReasoningDelta():
            output.parts[event.part].pieces.setdefault(event.index, []).append(event.text)
        case SummaryDelta():
            output.parts[event.part].summaries.setdefault(event.index, []).append(event.text)
        case PartStarted():
            output.parts[event.part] = _OpenPart(event.value)
        case PartEnded():
            output.parts[event.part].extras = event.extras or output.parts[event.part].extras
        case Sealed():
            output.parts[event.part].seal = event.seal
        case Cited():
            output.parts[event.part].citations.append(event.citation)
        case LogprobsDelta():
            output.logprobs.setdefault((event.kind, event.part), []).extend(event.tokens)
        case Finished():
            output.end = event
        case Noted():
            grows = event.place == "message"
            (output.message if grows else output.extras).take(event.extras, grow=grows)


def fold(events: Iterable[AnyEvent]) -> Answer:
    """The answer that the events tell, partial where they break off; raises ValueError where they never started."""
    folder = Folder()
    for event in events:
        folder.feed(event)
    return folder.answer()
