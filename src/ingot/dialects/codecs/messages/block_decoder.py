"""One content block of a streamed answer: its start, its deltas and its stop, as canonical events.

    text, thinking, tool_use    events as the pieces come; texts that were cut inside of a character wait for the rest
    anything else               whole when it stops, for nobody else knows what its pieces are

Knows nothing of the message around it.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from ingot.canonical import Loss, Origin, Reasoning, Seal, Text, ToolCall
from ingot.dialects.codecs.messages.blocks import (
    call_extras,
    decode_block,
    decode_citation,
    text_extras,
    thinking_extras,
)
from ingot.dialects.cuts import dump, mend, mend_all, mend_start
from ingot.events import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    PartEnded,
    PartStarted,
    ReasoningDelta,
    Sealed,
    TextDelta,
)

Json = dict[str, Any]
Events = list[AnyEvent]

_TEXTS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
# What each kind of block grows by.
_GROWS: Final = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}


class BlockDecoder:
    """A block on its way; `part` is its number among the parts."""

    __slots__ = ("_at", "_block", "_grows", "_json", "_losses", "_origin", "_rest", "_said", "part")

    def __init__(self, block: Json, part: int, *, at: str, origin: Origin, losses: list[Loss]) -> None:
        self.part = part
        self._block = block
        self._at = at
        self._origin = origin
        self._losses = losses
        kind = block.get("type")
        self._grows = _GROWS.get(kind, "") if type(kind) is str else ""
        # The beginning of a character at the end of what came.
        self._rest = ""
        self._said = False
        # Pieces of the input of a block that others do not know.
        self._json: list[str] = []

    def start(self, events: Events) -> None:
        """The start of a part that is told as it comes."""
        block = self._block
        value: Text | Reasoning | ToolCall
        match self._grows:
            case "text_delta":
                value = Text("", at=self._at, extras=text_extras(block))
            case "thinking_delta":
                value = Reasoning(self._origin, at=self._at, extras=thinking_extras(block))
            case "input_json_delta":
                value = self._call()
            case _:
                return
        events.append(PartStarted(0, self.part, value))
        # Some servers put the first piece, or all, into the start.
        for name in ("text", "thinking"):
            if block.get(name) and type(block[name]) is str:
                self._say(block[name], events)
        for citation in block.get("citations") or ():
            self._cite(citation, events)
        if block.get("signature"):
            self._seal(block["signature"], events)

    def _call(self) -> ToolCall:
        call_id, name = self._block.get("id"), self._block.get("name")
        return ToolCall(
            mend(call_id) if type(call_id) is str else "",
            mend(name) if type(name) is str else "",
            "",
            at=self._at,
            extras=call_extras(self._block),
        )

    def grow(self, delta: Json, events: Events) -> None:
        """One delta."""
        kind = delta.get("type")
        if not self._grows:
            self._gather(delta)
        elif kind == self._grows:
            text = delta.get(_TEXTS[kind])
            if type(text) is str:
                self._say(text, events)
        elif kind == "citations_delta" and self._grows == "text_delta":
            self._cite(delta.get("citation"), events)
        elif kind == "signature_delta" and self._grows == "thinking_delta":
            self._seal(delta.get("signature"), events)
        else:
            self._losses.append(
                Loss(self._at, "answer", f"a piece of type '{kind}', which does not belong there")
            )

    def _say(self, text: str, events: Events) -> None:
        if self._rest or not text.isascii():
            text, self._rest = mend_start(self._rest + text)
        if text:
            events.append(self._delta(text))

    def _delta(self, text: str) -> AnyEvent:
        self._said = True
        if self._grows == "text_delta":
            return TextDelta(0, self.part, text)
        if self._grows == "thinking_delta":
            return ReasoningDelta(0, self.part, text)
        return ArgumentsDelta(0, self.part, text)

    def _cite(self, citation: Any, events: Events) -> None:
        if type(citation) is dict:
            events.append(Cited(0, self.part, decode_citation(citation)))
        else:
            self._losses.append(Loss(self._at, "answer", "a citation that is no object"))

    def _seal(self, signature: Any, events: Events) -> None:
        if type(signature) is str and signature:
            events.append(Sealed(0, self.part, Seal("signature", signature)))

    def _gather(self, delta: Json) -> None:
        """Adds a piece to a block that is told whole: texts grow, lists get longer, of all else the last counts."""
        block = self._block
        for name, piece in delta.items():
            held = block.get(name)
            if name == "type":
                continue
            if name == "partial_json":
                self._json.append(piece if type(piece) is str else "")
            elif name == "citation":
                block["citations"] = [*(block.get("citations") or ()), piece]
            else:
                block[name] = held + piece if type(held) is type(piece) is str else piece

    def stop(self, events: Events) -> None:
        """The end of the part."""
        if self._grows:
            self._stop_growing(events)
        else:
            self._take_input()
            value = decode_block(mend_all(self._block), self._origin, at=self._at)
            events.append(PartStarted(0, self.part, value))
        events.append(PartEnded(0, self.part))

    def _stop_growing(self, events: Events) -> None:
        if self._rest:
            events.append(self._delta(mend(self._rest)))
            self._rest = ""
        if self._grows == "input_json_delta" and not self._said:
            # A call without arguments has no pieces, or an empty one; some servers tell all of them at the start.
            told = self._block.get("input")
            events.append(self._delta(dump(told).decode() if type(told) is dict else "{}"))

    def _take_input(self) -> None:
        text = "".join(self._json)
        if not text:
            return
        try:
            self._block["input"] = msgspec.json.decode(mend(text))
        except (ValueError, RecursionError):
            self._block["input"] = {}
            self._losses.append(Loss(self._at, "answer", "its input is no JSON"))


def raw_fields(value: Json) -> dict[str, Raw]:
    """Fields as they are kept raw."""
    return {name: Raw(dump(held)) for name, held in value.items() if held is not None}
