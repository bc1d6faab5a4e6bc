"""The content blocks of a client's stream, one after the other: a part's events in, a block's events out.

Decides how a part's start and pieces are told here: its thoughts as one text, free text that a custom tool is called
with as a member of an object. Knows nothing of the message around its blocks.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    Loss,
    NativePart,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    lost_extras,
)
from ingot.dialects.codecs.messages.answers import encode_answered
from ingot.dialects.codecs.messages.block_writer import (
    ENCRYPTED,
    NO_OBJECT,
    PARAGRAPHS,
    SUMMARY,
    encode_citations,
    is_object,
)
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    PartEnded,
    PartStarted,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    SummaryDelta,
    TextDelta,
)

Json = dict[str, Any]
Write = Callable[[bytes, Json], None]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class BlockEncoder:
    """Writes blocks by `write`, an event's name and the rest of it; losses go to `lose`."""

    __slots__ = (
        "_arguments",
        "_at",
        "_free",
        "_index",
        "_lose",
        "_paragraph",
        "_shown",
        "_told",
        "_write",
        "called",
        "refused",
    )

    def __init__(self, write: Write, lose: Callable[[Loss], None]) -> None:
        self._write = write
        self._lose = lose
        # Whether the model said a refusal, and whether it called a tool.
        self.refused = False
        self.called = False
        self._index = -1
        # Of the open block: its place, whether the client knows of it, and what is shown of thoughts.
        self._at = ""
        self._told = False
        self._shown = ""
        self._paragraph: int | None = None
        # What a tool is called with, until it is whole; free text is told only then.
        self._arguments: list[str] | None = None
        self._free = False

    def feed(self, event: AnyEvent) -> None:
        """One event of the part whose turn it is."""
        match event:
            case PartStarted():
                self._start(event.value)
            case PartEnded():
                self._stop(event)
            case _ if not self._told:
                pass
            case TextDelta() | RefusalDelta():
                self._delta("text_delta", "text", event.text)
            case ArgumentsDelta():
                self._argue(event.text)
            case ReasoningDelta():
                self._think("content", event.index, event.text)
            case SummaryDelta():
                self._think("summary", event.index, event.text)
            case Sealed():
                self._seal(event)
            case Cited():
                self._cite(event)
            case _:
                pass

    def _start(self, part: AnyPart) -> None:
        self._at = part.at
        self._shown, self._paragraph, self._arguments, self._free = "", None, None, False
        losses: list[Loss] = []
        block = encode_answered(_shell(part), losses, path=part.at)
        for loss in losses:
            self._lose(loss)
        self._told = block is not None
        if block is None:
            return
        self._index += 1
        if isinstance(part, NativePart) and isinstance(block, Raw):
            self._start_native(block)
            return
        self._write(b"content_block_start", {"index": self._index, "content_block": block})
        self._begin(part)

    def _begin(self, part: AnyPart) -> None:
        """What a part that starts says already."""
        match part:
            case Text() | Refusal():
                self.refused = self.refused or isinstance(part, Refusal)
                if part.text:
                    self._delta("text_delta", "text", part.text)
                if isinstance(part, Text) and part.citations:
                    self._tell_citations(part)
            case Reasoning():
                for index, text in enumerate(part.content):
                    self._think("content", index, text)
                for index, text in enumerate(part.summary):
                    self._think("summary", index, text)
                if part.seal is not None and part.seal.kind == "signature":
                    self._delta("signature_delta", "signature", part.seal.data)
            case ToolCall():
                self.called = True
                self._arguments, self._free = [], part.kind == "custom"
                if part.arguments:
                    self._argue(part.arguments)
            case _:
                pass

    def _start_native(self, block: Raw) -> None:
        """A block that came whole; clients read the input of a call from its pieces."""
        value = _decode(block)
        told = value.get("input") if type(value) is dict else None
        calls = type(told) is dict and bool(told) and str(value.get("type")).endswith("tool_use")
        shell = {**value, "input": {}} if calls else block
        self._write(b"content_block_start", {"index": self._index, "content_block": shell})
        if calls:
            self._delta("input_json_delta", "partial_json", _encode(told).decode())

    def _delta(self, kind: str, name: str, held: Any) -> None:
        self._write(b"content_block_delta", {"index": self._index, "delta": {"type": kind, name: held}})

    def _argue(self, text: str) -> None:
        if self._arguments is not None:
            self._arguments.append(text)
        if not self._free:
            self._delta("input_json_delta", "partial_json", text)

    def _think(self, kind: str, index: int, text: str) -> None:
        self._shown = self._shown or kind
        if self._shown != kind:
            self._lose(Loss(self._at, "answer", SUMMARY))
            return
        if self._paragraph not in (None, index):
            text = PARAGRAPHS + text
        self._paragraph = index
        self._delta("thinking_delta", "thinking", text)

    def _seal(self, event: Sealed) -> None:
        if event.seal.kind == "signature":
            self._delta("signature_delta", "signature", event.seal.data)
        else:
            self._lose(Loss(self._at, "answer", ENCRYPTED))

    def _cite(self, event: Cited) -> None:
        self._tell_citations(Text("", (event.citation,), at=self._at))

    def _tell_citations(self, part: Text) -> None:
        losses: list[Loss] = []
        for raw in encode_citations(part.citations, losses, path=self._at):
            self._delta("citations_delta", "citation", raw)
        for loss in losses:
            self._lose(loss)

    def _end_call(self, text: str) -> None:
        if self._free:
            self._lose(Loss(self._at, "answer", NO_OBJECT))
            self._delta("input_json_delta", "partial_json", _encode({"input": text}).decode())
        elif text.strip() and not is_object(text):
            self._lose(
                Loss(
                    self._at, "answer", "its arguments are no JSON object: their pieces are told as they are"
                )
            )

    def _stop(self, event: PartEnded) -> None:
        if not self._told:
            return
        for loss in lost_extras(event.extras, "messages", at=self._at):
            self._lose(loss)
        if self._arguments is not None:
            self._end_call("".join(self._arguments))
        self._write(b"content_block_stop", {"index": self._index})
        self._told = False


def _shell(part: AnyPart) -> AnyPart:
    """A part without what its pieces tell."""
    match part:
        case Text():
            return msgspec.structs.replace(part, text="", citations=())
        case Refusal():
            return msgspec.structs.replace(part, text="")
        case ToolCall():
            return msgspec.structs.replace(part, arguments="", kind="function")
        case Reasoning() if part.seal is not None and part.seal.kind == "signature":
            return msgspec.structs.replace(part, content=(), summary=(), seal=None)
        case Reasoning():
            return msgspec.structs.replace(part, content=(), summary=())
        case _:
            return part
