"""A deployment's constitution where a request is translated: the first turn of the canonical form, and refusals told as such.

    Request --principled--> Request with the principles as its first turn
    Answer, events --marked, MarkedEvents--> a text that begins with the mark is a refusal

Each dialect's codec says both in its own words. Decides which text is a refusal; refuses to know any wire format.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from ingot.canonical import (
    Answer,
    AnyPart,
    CacheHint,
    Logprobs,
    Loss,
    Losses,
    Output,
    Refusal,
    Request,
    Text,
    ToolResult,
    Turn,
)
from ingot.dialects.marks import Opening, Unmarked, refusal_in
from ingot.events import (
    AnyEvent,
    Cited,
    Ended,
    Failed,
    Finished,
    LogprobsDelta,
    PartEnded,
    PartStarted,
    RefusalDelta,
    TextDelta,
)


class _Token(msgspec.Struct):
    """What is read of a token."""

    token: str = ""


_decode = msgspec.json.Decoder(_Token).decode

_UNCITED: Final = Loss("citations", "answer", "a refusal has no place for its sources")


def principled(request: Request, text: str, *, breakpoints: bool) -> Request:
    """The request with principles as its first turn.

    With `breakpoints` the target is asked to keep them, unless the client says itself what of its prompt is worth that.
    """
    hint = CacheHint() if breakpoints and not _hints(request) else None
    first = Turn("system", (Text(text, cache=hint),))
    return msgspec.structs.replace(request, turns=(first, *request.turns))


def _hints(request: Request) -> bool:
    if request.cache is not None and request.cache.hint is not None:
        return True
    parts: list[AnyPart] = [part for turn in request.turns for part in turn.parts]
    inner = [each for part in parts if isinstance(part, ToolResult) for each in part.parts]
    return any(each.cache is not None for each in (*parts, *inner, *request.tools))


def marked(answer: Answer, mark: str) -> tuple[Answer, Losses]:
    """The answer with the refusals that its texts are; the same where there is none."""
    told = [_refused(output, mark) for output in answer.outputs]
    if all(output is None for output in told):
        return answer, ()
    outputs = tuple(new or old for new, old in zip(told, answer.outputs, strict=True))
    cited = any(
        new is not None and _first_text(old).citations for new, old in zip(told, answer.outputs, strict=True)
    )
    return msgspec.structs.replace(answer, outputs=outputs), (_UNCITED,) if cited else ()


def _first_text(output: Output) -> Text:
    return next((part for part in output.parts if isinstance(part, Text)), Text(""))


def _refused(output: Output, mark: str) -> Output | None:
    """The output as the refusal that it is, None where it is none."""
    first = _first_text(output)
    words = refusal_in(first.text, mark)
    if words is None:
        return None
    refusal = _refusal(first, words)
    parts = tuple(refusal if part is first else part for part in output.parts)
    weighed = tuple([run for each in output.logprobs if (run := _weighed(each, mark)).tokens])
    return msgspec.structs.replace(output, parts=parts, logprobs=weighed)


def _refusal(part: Text, text: str) -> Refusal:
    return Refusal(text, at=part.at, item=part.item, extras=part.extras)


def _weighed(run: Logprobs, mark: str) -> Logprobs:
    return msgspec.structs.replace(
        run, kind="refusal", tokens=tuple(Unmarked(mark).feed(run.tokens, _text_of))
    )


def _text_of(token: msgspec.Raw) -> str:
    try:
        return _decode(token).token
    except msgspec.DecodeError:
        return ""


class MarkedEvents:
    """Follows one stream, and holds the beginning of each choice's first text until it is clear whether it refuses."""

    __slots__ = ("_choices", "_losses", "_mark")

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._choices: dict[int, _Choice] = {}
        self._losses: list[Loss] = []

    @property
    def losses(self) -> Losses:
        """What a refusal has no place for."""
        return tuple(dict.fromkeys(self._losses))

    def feed(self, events: Sequence[AnyEvent]) -> list[AnyEvent]:
        """The events that are due."""
        given: list[AnyEvent] = []
        for event in events:
            if isinstance(event, Ended | Failed):
                for choice in self._choices.values():
                    given += choice.answer()
                given.append(event)
            elif isinstance(event, PartStarted | TextDelta | LogprobsDelta | Cited | PartEnded | Finished):
                choice = self._choices.setdefault(event.choice, _Choice(self._mark))
                given += choice.feed(event)
                if choice.refuses and isinstance(event, Cited) and event.part == choice.part:
                    self._losses.append(_UNCITED)
            else:
                given.append(event)
        return given


class _Choice:
    """One answer: `part` is its first text."""

    __slots__ = ("_held", "_opening", "_unmarked", "part")

    def __init__(self, mark: str) -> None:
        self._held: list[AnyEvent] = []
        self._opening = Opening(mark)
        self._unmarked = Unmarked(mark)
        self.part: int | None = None

    @property
    def refuses(self) -> bool | None:
        """None until that is clear."""
        return self._opening.refuses

    def feed(self, event: AnyEvent) -> Sequence[AnyEvent]:
        """The events that are due."""
        if self.refuses is False:
            return (event,)
        if self.part is None:
            if not isinstance(event, PartStarted) or not isinstance(event.value, Text):
                return (event,)
            self.part = event.part
            return self._piece(event, event.value.text)
        if isinstance(event, TextDelta) and event.part == self.part:
            return self._piece(event, event.text)
        if isinstance(event, LogprobsDelta):
            return self._weigh(event)
        if self.refuses:
            return () if isinstance(event, Cited) and event.part == self.part else (event,)
        return (*self.answer(), event)

    def answer(self) -> list[AnyEvent]:
        """What was held: no refusal came of it."""
        if self.part is not None:
            self._opening.settle()
        held, self._held = self._held, []
        return held

    def _weigh(self, event: LogprobsDelta) -> Sequence[AnyEvent]:
        if self.refuses:
            tokens = tuple(self._unmarked.feed(event.tokens, _text_of))
            return (msgspec.structs.replace(event, kind="refusal", tokens=tokens),) if tokens else ()
        self._held.append(event)
        return ()

    def _turned(self, held: AnyEvent) -> Sequence[AnyEvent]:
        """What was held of a text that has turned out to refuse; its pieces are told anew."""
        match held:
            case PartStarted(value=Text() as part):
                return (msgspec.structs.replace(held, value=_refusal(part, "")),)
            case LogprobsDelta():
                return self._weigh(held)
        return ()

    def _piece(self, event: PartStarted | TextDelta, text: str) -> Sequence[AnyEvent]:
        """What is told once this piece of the text has come."""
        if not self.refuses:
            self._held.append(event)
        due = self._opening.feed(text)
        if due is None:
            return ()
        if not self.refuses:
            return self.answer()
        held, self._held = self._held, []
        turned = [told for each in held for told in self._turned(each)]
        return [*turned, RefusalDelta(event.choice, self.part or 0, due)] if due else turned
