"""Canonical events as a client's stream of chat chunks.

    events that came together  -->  one chunk for each choice that they are about, its texts joined
    Finished                   -->  a chunk of its own, with an empty delta
    Ended                      -->  the counts, where the client asked for them, then [DONE]

The role goes with a choice's first chunk. Decides how parts of any dialect become the one message of a chat choice;
the same as `answers` does for a whole one. An error is the caller's to tell.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final

import msgspec

from ingot.canonical import (
    Citation,
    DialectName,
    Extras,
    Loss,
    Losses,
    NativePart,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
    lost_extras,
)
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.chat.answers import SEAL, SUMMARY, thoughts_name
from ingot.dialects.codecs.chat.choice_encoder import ChoiceEncoder
from ingot.dialects.codecs.chat.choices import STOPPED_BY, encode_citations, encode_end
from ingot.dialects.codecs.chat.counts import encode_usage, lost_of_usage
from ingot.dialects.finishes import lost_finish
from ingot.errors import ApiError
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    Ended,
    Event,
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
from ingot.sse import DONE, encode_event

Json = dict[str, Any]

_PING: Final = b": ping\n\n"

_encode = msgspec.json.Encoder().encode


class ChatEncoder:
    """One client's stream; see `codec.StreamEncoder`."""

    __slots__ = ("_choices", "_head", "_losses", "_of", "_out", "_pending", "_reply", "_tail", "_usage")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        # The dialect of the target.
        self._of: DialectName = "chat"
        self._choices: dict[int, ChoiceEncoder] = {}
        self._losses: list[Loss] = []
        self._out: list[bytes] = []
        # Fields of the top level that wait for the next chunk.
        self._pending: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._head = b""
        # Every chunk but the last says that the counts are not there yet, where they were asked for.
        self._tail = b'],"usage":null}' if reply.request.stream_usage else b"]}"
        self._write_head(tier=None, fingerprint=None)

    @property
    def losses(self) -> Losses:
        return tuple(self._losses)

    def fail(self, error: ApiError, request_id: str) -> None:
        """Nothing: the dialect's error event says it all."""

    def feed(self, events: Sequence[AnyEvent]) -> bytes:
        """The bytes for events that came together."""
        for event in events:
            self._handlers[type(event)](self, event)
        self._flush()
        if len(self._out) == 1:
            return self._out.pop()
        told = b"".join(self._out)
        self._out.clear()
        return told

    # --- the top level ---

    def _write_head(self, *, tier: str | None, fingerprint: str | None) -> None:
        reply = self._reply
        head: Json = {
            "id": reply.id,
            "object": "chat.completion.chunk",
            "created": reply.created,
            "model": reply.model,
        }
        if tier is not None:
            head["service_tier"] = tier
        if fingerprint is not None:
            head["system_fingerprint"] = fingerprint
        self._head = b"data: " + _encode(head)[:-1]

    def _write(self, choices: bytes, tail: bytes) -> None:
        more = b"," + _encode(self._pending)[1:-1] if self._pending else b""
        self._pending.clear()
        self._out.append(self._head + more + b',"choices":[' + choices + tail + b"\n\n")

    def _flush(self) -> None:
        for choice in self._choices.values():
            if choice.pending:
                self._write(choice.take(), self._tail)

    def _start(self, event: Started) -> None:
        self._of = event.origin.dialect
        self._write_head(tier=event.service_tier, fingerprint=event.fingerprint)
        self._take_extras(event.extras, self._pending)

    def _take_extras(self, extras: Extras | None, into: Json) -> None:
        if extras is not None:
            self._losses += lost_extras(extras, "chat")
            if extras.dialect == "chat":
                into.update(extras.fields)

    def _note(self, event: Noted) -> None:
        if event.place == "answer":
            if event.service_tier is not None:
                self._pending["service_tier"] = event.service_tier
            if event.fingerprint is not None:
                self._pending["system_fingerprint"] = event.fingerprint
            self._take_extras(event.extras, self._pending)
        else:
            self._note_choice(event)

    def _tell_usage(self, event: UsageTold) -> None:
        self._usage = event.usage

    def _ping(self, _: Ping) -> None:
        self._out.append(_PING)

    def _fail(self, _: Failed) -> None:
        self._flush()

    def _end(self, _: Ended) -> None:
        self._flush()
        usage = self._usage
        if usage is not None and self._reply.request.stream_usage:
            self._losses += lost_of_usage(usage)
            self._write(b"", b'],"usage":' + _encode(encode_usage(usage)) + b"}")
        elif self._pending:
            self._write(b"", self._tail)
        self._out.append(encode_event(DONE))

    # --- choices ---

    def _choice(self, index: int) -> ChoiceEncoder:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = ChoiceEncoder(index)
        return choice

    def _start_part(self, event: PartStarted) -> None:
        choice = self._choice(event.choice)
        part = event.value
        self._losses += lost_extras(part.extras, "chat", at=part.at)
        match part:
            case Text():
                choice.begin_text(event.part, part)
                if part.text:
                    choice.say("content", part.text)
                for citation in part.citations:
                    self._cite(Cited(event.choice, event.part, citation))
            case Refusal():
                if part.text:
                    choice.say("refusal", part.text)
            case Reasoning():
                self._start_thoughts(choice, event.part, part)
            case ToolCall():
                choice.begin_call(event.part, part)
            case NativePart(dialect="chat"):
                self._tell_native(choice, part)
            case NativePart():
                reason = f"only the {part.dialect} dialect knows a part of type '{part.kind}'"
                self._losses.append(Loss(part.at, "answer", reason))
            case _:
                self._losses.append(
                    Loss(part.at, "answer", "an answer of the chat dialect has no place for such a part")
                )

    def _tell_native(self, choice: ChoiceEncoder, part: NativePart) -> None:
        """A part of chat that came whole: it goes in a chunk of its own."""
        if choice.pending:
            self._write(choice.take(), self._tail)
        choice.delta["tool_calls" if part.kind == "tool_call" else "content"] = [part.raw]
        self._write(choice.take(), self._tail)

    def _start_thoughts(self, choice: ChoiceEncoder, number: int, part: Reasoning) -> None:
        choice.begin_thoughts(number, part.at, name=thoughts_name(part))
        if part.seal is not None:
            self._losses.append(Loss(part.at, "answer", SEAL))
        for index, text in enumerate(part.content):
            choice.think(number, "content", index=index, text=text)
        for index, text in enumerate(part.summary):
            self._summarize(SummaryDelta(choice.index, number, text, index))

    def _say_text(self, event: TextDelta) -> None:
        self._choice(event.choice).say("content", event.text)

    def _refuse(self, event: RefusalDelta) -> None:
        self._choice(event.choice).say("refusal", event.text)

    def _think(self, event: ReasoningDelta) -> None:
        choice = self._choice(event.choice)
        if not choice.think(event.part, "content", index=event.index, text=event.text):
            self._lose(
                choice.place(event.part),
                "thoughts behind their summary: the chat dialect has one place for both",
            )

    def _summarize(self, event: SummaryDelta) -> None:
        choice = self._choice(event.choice)
        if not choice.think(event.part, "summary", index=event.index, text=event.text):
            self._lose(choice.place(event.part), SUMMARY)

    def _lose(self, path: str, reason: str) -> None:
        loss = Loss(path, "answer", reason)
        if loss not in self._losses:
            self._losses.append(loss)

    def _seal(self, event: Sealed) -> None:
        self._losses.append(Loss(self._choice(event.choice).place(event.part), "answer", SEAL))

    def _argue(self, event: ArgumentsDelta) -> None:
        self._choice(event.choice).argue(event.part, event.text)

    def _cite(self, event: Cited) -> None:
        choice = self._choice(event.choice)
        if event.citation.dialect != "chat" and event.citation.end is None:
            # It is of the whole text, which goes on.
            choice.cite(event.part, event.citation)
        else:
            self._tell_citations(choice, event.part, (event.citation,))

    def _tell_citations(self, choice: ChoiceEncoder, part: int, citations: Iterable[Citation]) -> None:
        start, length = choice.span(part)
        path = choice.place(part)
        told = encode_citations(citations, self._losses, path=path, start=start, length=length)
        if told:
            choice.delta.setdefault("annotations", []).extend(told)

    def _weigh(self, event: LogprobsDelta) -> None:
        name = "content" if event.kind == "text" else "refusal"
        self._choice(event.choice).logprobs.setdefault(name, []).extend(event.tokens)

    def _note_choice(self, event: Noted) -> None:
        choice = self._choice(event.choice)
        extras = event.extras
        if event.place == "choice":
            self._take_extras(extras, choice.fields)
        elif extras is not None:
            # Those of a message grow piece by piece: two pieces need two chunks.
            if extras.fields.keys() & choice.delta.keys():
                self._write(choice.take(), self._tail)
            self._take_extras(extras, choice.delta)

    def _end_part(self, event: PartEnded) -> None:
        choice = self._choice(event.choice)
        cited = choice.cited(event.part)
        if cited:
            self._tell_citations(choice, event.part, cited)
        if event.extras is not None:
            self._losses += lost_extras(event.extras, "chat")
            if event.extras.dialect == "chat":
                choice.grow_call(event.part, event.extras)

    def _finish(self, event: Finished) -> None:
        choice = self._choice(event.choice)
        fields, choice.fields = choice.fields, {}
        if choice.pending or not choice.begun:
            self._write(choice.take(), self._tail)
        if event.stop_sequence is not None:
            fields[STOPPED_BY] = event.stop_sequence
        choice.fields = fields
        self._losses += lost_finish(event.reason, event.told, of=self._of, to="chat")
        self._write(choice.take(encode_end(event.reason, event.told, native=self._of == "chat")), self._tail)

    _handlers: ClassVar[dict[type[Event], Callable[["ChatEncoder", Any], None]]] = {
        Started: _start,
        PartStarted: _start_part,
        TextDelta: _say_text,
        RefusalDelta: _refuse,
        ReasoningDelta: _think,
        SummaryDelta: _summarize,
        Sealed: _seal,
        ArgumentsDelta: _argue,
        Cited: _cite,
        LogprobsDelta: _weigh,
        PartEnded: _end_part,
        Finished: _finish,
        Noted: _note,
        UsageTold: _tell_usage,
        Ping: _ping,
        Failed: _fail,
        Ended: _end,
    }
