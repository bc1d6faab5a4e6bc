"""Output items of a client's stream, one class a kind: the events of an item, in OpenAI's order, and the item at its end.

    output_item.added
      content_part.added, output_text.delta, output_text.annotation.added, output_text.done, content_part.done
      refusal.delta, refusal.done                                             (inside of a content part, too)
      function_call_arguments.delta, .done     custom_tool_call_input.delta, .done
      reasoning_summary_part.added, reasoning_summary_text.delta, .done, reasoning_summary_part.done
      reasoning_text.delta, .done                                             (inside of a content part)
    output_item.done

Knows nothing of the order of items and of the response around them.
"""

from typing import Any, Literal

import msgspec
from msgspec import Raw, structs

from ingot.canonical import (
    Citation,
    Extras,
    Loss,
    NativePart,
    Reasoning,
    Refusal,
    Seal,
    Text,
    ToolCall,
    lost_extras,
)
from ingot.dialects.codecs.responses.citations import encode_citations
from ingot.dialects.codecs.responses.output import (
    call_item,
    content_part,
    message_item,
    thoughts_item,
)
from ingot.sse import encode_event

Json = dict[str, Any]
Said = Text | Refusal | NativePart
Paragraph = tuple[Literal["content", "summary"], int]

_encode = msgspec.json.Encoder().encode


class EventWriter:
    """Writes numbered events; pieces of one text that follow each other become one event."""

    __slots__ = ("_fields", "_kind", "_out", "_texts", "_tokens", "number")

    def __init__(self) -> None:
        self.number = 0
        self._out: list[bytes] = []
        # The piece that waits for more of its text.
        self._kind = ""
        self._fields: Json = {}
        self._texts: list[str] = []
        self._tokens: list[Any] = []

    def write(self, kind: str, fields: Json) -> None:
        self._flush()
        self._emit(kind, fields)

    def write_bytes(self, event: bytes) -> None:
        """An event that has no number."""
        self._flush()
        self._out.append(event)

    def delta(self, kind: str, fields: Json, text: str, tokens: list[Any] | None = None) -> None:
        """A piece of a text, with the log probabilities of its tokens where it has any."""
        if kind != self._kind or fields != self._fields:
            self._flush()
            self._kind, self._fields = kind, fields
        self._texts.append(text)
        self._tokens += tokens or ()

    def _flush(self) -> None:
        kind = self._kind
        if not kind:
            return
        fields = {**self._fields, "delta": "".join(self._texts)}
        if kind == "response.output_text.delta":
            fields["logprobs"] = self._tokens
        self._kind, self._fields, self._texts, self._tokens = "", {}, [], []
        self._emit(kind, fields)

    def _emit(self, kind: str, fields: Json) -> None:
        data = _encode({"type": kind, "sequence_number": self.number, **fields})
        self.number += 1
        self._out.append(encode_event(data, kind.encode()))

    def take(self) -> bytes:
        """The bytes of all that was written."""
        self._flush()
        told = b"".join(self._out)
        self._out.clear()
        return told


class ItemEncoder:
    """What all items have in common; `value` is the item as it is at its end."""

    __slots__ = ("_losses", "_writer", "ended", "index", "name", "value")

    def __init__(self, writer: EventWriter, losses: list[Loss], *, index: int, name: str) -> None:
        self._writer = writer
        self._losses = losses
        self.index = index
        self.name = name
        self.ended = False
        self.value: Json | Raw | None = None

    def _write(self, kind: str, fields: Json) -> None:
        self._writer.write(f"response.{kind}", {**self._place(), **fields})

    def _place(self) -> Json:
        return {"item_id": self.name, "output_index": self.index}

    def _delta(self, kind: str, place: Json, text: str, tokens: list[Any] | None = None) -> None:
        self._writer.delta(f"response.{kind}.delta", {**self._place(), **place}, text, tokens)

    def open(self) -> None:
        item = self.shown("in_progress")
        self._writer.write("response.output_item.added", {"output_index": self.index, "item": item})

    def close(self, status: str) -> None:
        """Its end, once: what it is then."""
        if self.value is None:
            self.value = self.shown(status)
            told = {"output_index": self.index, "item": self.value}
            self._writer.write("response.output_item.done", told)

    def shown(self, status: str) -> Json | Raw:
        """The item as far as it has come."""
        raise NotImplementedError

    def end(self, part: int, extras: Extras | None) -> None:
        """A part of it ends."""
        raise NotImplementedError


class NativeEncoder(ItemEncoder):
    """An item that came whole."""

    __slots__ = ("_raw",)

    def __init__(self, writer: EventWriter, losses: list[Loss], *, index: int, part: NativePart) -> None:
        super().__init__(writer, losses, index=index, name="")
        self._raw = part.raw

    def shown(self, _status: str) -> Raw:
        return self._raw

    def end(self, _part: int, _extras: Extras | None) -> None:
        self.ended = True


class CallEncoder(ItemEncoder):
    """A tool call."""

    __slots__ = ("_call", "_pieces")

    def __init__(
        self, writer: EventWriter, losses: list[Loss], *, index: int, name: str, part: ToolCall
    ) -> None:
        super().__init__(writer, losses, index=index, name=name)
        self._call = structs.replace(part, arguments="")
        self._pieces: list[str] = []
        self.open()
        if part.arguments:
            self.argue(part.arguments)

    def shown(self, status: str) -> Json:
        return call_item(structs.replace(self._call, arguments="".join(self._pieces)), self.name, status)

    def argue(self, text: str) -> None:
        custom = self._call.kind == "custom"
        self._pieces.append(text)
        self._delta("custom_tool_call_input" if custom else "function_call_arguments", {}, text)

    def end(self, _part: int, extras: Extras | None) -> None:
        self.ended = True
        call = self._call = structs.replace(self._call, extras=extras or self._call.extras)
        self._losses += lost_extras(call.extras, "responses", at=call.at)
        text = "".join(self._pieces)
        if call.kind == "custom":
            self._write("custom_tool_call_input.done", {"input": text})
        else:
            self._write("function_call_arguments.done", {"name": call.name, "arguments": text})


class ThoughtsEncoder(ItemEncoder):
    """Thoughts: a paragraph ends where the next begins."""

    __slots__ = ("_open", "_texts", "_thoughts")

    def __init__(
        self, writer: EventWriter, losses: list[Loss], *, index: int, name: str, part: Reasoning
    ) -> None:
        super().__init__(writer, losses, index=index, name=name)
        self._thoughts = structs.replace(part, content=(), summary=(), seal=None)
        self._texts: dict[Paragraph, list[str]] = {}
        self._open: Paragraph | None = None
        self.open()

    def shown(self, status: str) -> Json:
        # Its seal is told at its end, as in OpenAI's streams.
        thoughts = structs.replace(
            self._thoughts, content=self._paragraphs("content"), summary=self._paragraphs("summary")
        )
        return thoughts_item(
            structs.replace(thoughts, seal=None) if status == "in_progress" else thoughts, self.name
        )

    def _paragraphs(self, kind: str) -> tuple[str, ...]:
        told = sorted((index, texts) for (each, index), texts in self._texts.items() if each == kind)
        return tuple("".join(texts) for _, texts in told)

    @property
    def at(self) -> str:
        """Where the thoughts stand in the target's answer."""
        return self._thoughts.at

    def think(self, kind: Literal["content", "summary"], index: int, text: str) -> None:
        """More of a paragraph."""
        paragraph: Paragraph = (kind, index)
        if paragraph not in self._texts:
            self._end_paragraph()
            self._texts[paragraph] = []
            self._open = paragraph
            part = {"type": "summary_text" if kind == "summary" else "reasoning_text", "text": ""}
            place = self._index(paragraph)
            self._write(
                "reasoning_summary_part.added" if kind == "summary" else "content_part.added",
                {**place, "part": part},
            )
        self._texts[paragraph].append(text)
        name = "reasoning_summary_text" if kind == "summary" else "reasoning_text"
        self._delta(name, self._index(paragraph), text)

    @staticmethod
    def _index(paragraph: Paragraph) -> Json:
        return {"summary_index" if paragraph[0] == "summary" else "content_index": paragraph[1]}

    def _end_paragraph(self) -> None:
        paragraph, self._open = self._open, None
        if paragraph is None:
            return
        place, text = self._index(paragraph), "".join(self._texts[paragraph])
        if paragraph[0] == "summary":
            self._write("reasoning_summary_text.done", {**place, "text": text})
            part = {"type": "summary_text", "text": text}
            self._write("reasoning_summary_part.done", {**place, "part": part})
        else:
            self._write("reasoning_text.done", {**place, "text": text})
            part = {"type": "reasoning_text", "text": text}
            self._write("content_part.done", {**place, "part": part})

    def seal(self, seal: Seal) -> None:
        self._thoughts = structs.replace(self._thoughts, seal=seal)

    def end(self, _part: int, extras: Extras | None) -> None:
        self.ended = True
        self._end_paragraph()
        thoughts = self._thoughts = structs.replace(self._thoughts, extras=extras or self._thoughts.extras)
        self._losses += lost_extras(thoughts.extras, "responses", at=thoughts.at)


class _Content:
    """A content part on its way."""

    __slots__ = ("annotations", "cited", "ended", "index", "part", "pieces", "tokens", "value")

    def __init__(self, part: Said, index: int) -> None:
        self.part = part
        self.index = index
        self.pieces: list[str] = []
        self.annotations: list[Any] = []
        self.cited: list[Citation] = []
        self.tokens: list[Any] = []
        self.ended = False
        self.value: Json | Raw | None = None


class MessageEncoder(ItemEncoder):
    """A message: its content parts by the numbers of the canonical ones."""

    __slots__ = ("_contents", "_first", "item")

    def __init__(self, writer: EventWriter, losses: list[Loss], *, index: int, name: str, part: Said) -> None:
        super().__init__(writer, losses, index=index, name=name)
        self.item = part.item
        self._contents: dict[int, _Content] = {}
        self._first: Extras | None = part.extras
        self.open()

    def shown(self, status: str) -> Json:
        content = [each.value for each in self._contents.values() if each.value is not None]
        return message_item(self.name, content, status, self._first)

    def begin(self, number: int, part: Said) -> None:
        """A content part begins, with the text that it starts with."""
        content = self._contents[number] = _Content(part, len(self._contents))
        self.ended = False
        if isinstance(part, NativePart):
            self._write("content_part.added", {"content_index": content.index, "part": part.raw})
            return
        citations: tuple[Citation, ...] = part.citations if isinstance(part, Text) else ()
        bare = (
            structs.replace(part, text="", citations=())
            if isinstance(part, Text)
            else structs.replace(part, text="")
        )
        shell = content_part(bare, [], [])
        self._write("content_part.added", {"content_index": content.index, "part": shell})
        content.part = bare
        if part.text:
            self.say(number, part.text)
        for citation in citations:
            self.cite(number, citation)

    def holds_text(self, number: int) -> bool:
        """Whether this part is a text that goes on."""
        content = self._contents.get(number)
        return content is not None and not content.ended and isinstance(content.part, Text)

    def say(self, number: int, text: str, tokens: list[Any] | None = None) -> None:
        """More of a text or a refusal, or only log probabilities of what was said."""
        content = self._contents[number]
        content.pieces.append(text)
        content.tokens += tokens or ()
        kind = "refusal" if isinstance(content.part, Refusal) else "output_text"
        self._delta(kind, {"content_index": content.index}, text, tokens)

    def cite(self, number: int, citation: Citation) -> None:
        """A source; one of the whole text, which goes on, is told at its end."""
        content = self._contents[number]
        if citation.end is None and citation.dialect != "responses":
            content.cited.append(citation)
        else:
            self._tell_citation(content, citation)

    def _tell_citation(self, content: _Content, citation: Citation) -> None:
        length = sum(map(len, content.pieces))
        told = encode_citations((citation,), self._losses, path=content.part.at, length=length)
        for annotation in told:
            place = {"content_index": content.index, "annotation_index": len(content.annotations)}
            self._write("output_text.annotation.added", {**place, "annotation": annotation})
            content.annotations.append(annotation)

    def end(self, part: int, extras: Extras | None) -> None:
        content = self._contents[part]
        content.ended = True
        self.ended = all(each.ended for each in self._contents.values())
        said = content.part
        if extras is not None and not isinstance(said, NativePart):
            said = structs.replace(said, extras=extras)
            if content.index == 0:
                self._first = extras
        text, place = "".join(content.pieces), {"content_index": content.index}
        for citation in content.cited:
            self._tell_citation(content, citation)
        if isinstance(said, Text):
            content.value = content_part(structs.replace(said, text=text), content.tokens, self._losses)
            if isinstance(content.value, dict):
                content.value["annotations"] = content.annotations
            self._write("output_text.done", {**place, "text": text, "logprobs": content.tokens})
        elif isinstance(said, Refusal):
            content.value = content_part(structs.replace(said, text=text), [], self._losses)
            self._write("refusal.done", {**place, "refusal": text})
        else:
            content.value = said.raw
        self._write("content_part.done", {**place, "part": content.value})

    def end_all(self) -> None:
        """Ends what is open, where the answer broke off."""
        for number, content in list(self._contents.items()):
            if not content.ended:
                self.end(number, None)
