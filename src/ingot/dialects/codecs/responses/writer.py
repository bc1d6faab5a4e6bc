"""Turns as input items of a request.

    leading system turn of one text     instructions, where a client of another dialect or of instructions said it
    texts, images, files, refusals      one message of the turn's role
    tool calls, results, thoughts       an item each, in their place

Decides what of a turn cannot be said. What cannot leaves a `Loss`, and the item without it; an item with nothing left
in it is not sent. Thoughts go back only to where they came from.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeGuard

from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    File,
    Loss,
    NativePart,
    Origin,
    Reasoning,
    Request,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    lost_extras,
    where,
)
from ingot.catalog import Quirks
from ingot.dialects.codecs.headings import heading_of
from ingot.dialects.codecs.leftovers import restore
from ingot.dialects.codecs.responses.parts import CONTENT, encode_part, finish_part

Json = dict[str, Any]

# Kinds of parts that a target may reject, by the names that both OpenAI dialects have for them.
_REFUSABLE: Final = {"input_image": ("input_image", "image_url"), "input_file": ("input_file", "file")}


class ItemWriter:
    """Writes the input of one request to one target, and notes what is lost."""

    __slots__ = ("_custom", "_hints", "_native", "_origin", "_refused", "instructions", "losses")

    def __init__(self, request: Request, *, origin: Origin, quirks: Quirks) -> None:
        self.losses: list[Loss] = []
        self.instructions: str | None = None
        self._native = request.origin == "responses"
        self._hints = request.origin != "messages"
        self._origin = origin
        self._refused = frozenset(
            [kind for kind, names in _REFUSABLE.items() if not quirks.reject.isdisjoint(names)]
        )
        self._custom = "tools.custom" not in quirks.reject

    def write(self, turns: tuple[Turn, ...]) -> str | list[Json | Raw]:
        """The input of these turns; their instructions are in `instructions` then."""
        # Instructions alone are no input, which targets demand.
        if turns and self._instructs(turns[0]) and (len(turns) > 1 or turns[0].parts[0].at == "instructions"):
            self.instructions = _text(turns[0])
            turns = turns[1:]
        if len(turns) == 1 and self._is_string(turns[0]):
            return _text(turns[0])
        items: list[Json | Raw] = []
        for turn in turns:
            self._write_turn(turn, items)
        return items

    def _instructs(self, turn: Turn) -> bool:
        if turn.role != "system" or not _is_one_text(turn):
            return False
        return not self._native or not turn.at or turn.parts[0].at == "instructions"

    def _is_string(self, turn: Turn) -> bool:
        return turn.role == "user" and self._native and _is_one_text(turn) and turn.parts[0].at == "input"

    def _write_turn(self, turn: Turn, items: list[Json | Raw]) -> None:
        self.losses += lost_extras(turn.extras, "responses", at=turn.at)
        said: list[AnyPart] = []
        for part in turn.parts:
            if _is_content(part):
                if said and said[0].item != part.item:
                    self._write_message(turn, said, items)
                    said = []
                said.append(part)
            else:
                self._write_message(turn, said, items)
                said = []
                self._write_item(turn, part, items)
        self._write_message(turn, said, items)
        if not turn.parts and self._native:
            items.append(self._message(turn, []))

    def _message(self, turn: Turn, content: str | list[Json | Raw], item: str | None = None) -> Json:
        role = "user" if turn.role == "tool" else turn.role
        message: Json = {"type": "message", "role": role, "content": content}
        if item is not None:
            message["id"] = item
            if role == "assistant":
                message["status"] = "completed"
        status = None if turn.extras is None else turn.extras.fields.get("status")
        if status is not None and self._native:
            message["status"] = status
        restore(turn.extras, message, dialect="responses")
        return message

    def _write_message(self, turn: Turn, parts: list[AnyPart], items: list[Json | Raw]) -> None:
        if not parts:
            return
        first = parts[0]
        # Servers that know messages by their ids want lists of parts in those.
        if len(parts) == 1 and _is_plain(first) and first.item is None and not self._was_list(first):
            items.append(self._message(turn, first.text))
            return
        content = self._encode_content(parts, at=(turn.at,), said=turn.role == "assistant")
        if content:
            items.append(self._message(turn, content, first.item))

    def _was_list(self, part: AnyPart) -> bool:
        return self._native and part.at.endswith("]")

    def _encode_content(
        self, parts: Iterable[AnyPart], *, at: tuple[str, ...], said: bool
    ) -> list[Json | Raw]:
        content: list[Json | Raw] = []
        for part in parts:
            path = where(*at, part.at)
            encoded = encode_part(part, said=said)
            if isinstance(encoded, str):
                self.losses.append(Loss(path, "part", encoded))
                continue
            if isinstance(encoded, dict) and encoded["type"] in self._refused:
                reason = f"the target takes no content parts of type '{encoded['type']}'"
                self.losses.append(Loss(path, "part", reason))
                continue
            self.losses += lost_extras(part.extras, "responses", at=path)
            hints = self._native or (self._hints and not said)
            finish_part(part, encoded, path, self.losses, hints=hints)
            heading = heading_of(part) if isinstance(part, File) else None
            if heading is not None:
                content.append({"type": "input_text", "text": heading})
            content.append(encoded)
        return content

    # --- items of their own ---

    def _write_item(self, turn: Turn, part: AnyPart, items: list[Json | Raw]) -> None:
        path = where(turn.at, part.at)
        match part:
            case ToolCall():
                items.append(self._write_call(part, path))
            case ToolResult():
                items.append(self._write_result(turn, part, path))
            case Reasoning():
                self._write_reasoning(part, path, items)
            case NativePart(dialect="responses"):
                items.append(part.raw)
            case _:
                self.losses.append(Loss(path, "part", str(encode_part(part, said=False))))

    def _finish(self, part: AnyPart, item: Json, path: str) -> Json:
        if part.item is not None:
            item["id"] = part.item
            if isinstance(part, ToolCall) and not (part.extras and "status" in part.extras.fields):
                item["status"] = "completed"
        self.losses += lost_extras(part.extras, "responses", at=path)
        if part.cache is not None:
            reason = (
                "the cache breakpoint: targets of the responses dialect decide themselves what they cache"
            )
            self.losses.append(Loss(path, "cache_breakpoint", reason))
        restore(part.extras, item, dialect="responses")
        return item

    def _write_call(self, part: ToolCall, path: str) -> Json:
        if part.kind == "custom":
            item = {
                "type": "custom_tool_call",
                "call_id": part.id,
                "name": part.name,
                "input": part.arguments,
            }
        else:
            item = {
                "type": "function_call",
                "call_id": part.id,
                "name": part.name,
                "arguments": part.arguments,
            }
        return self._finish(part, item, path)

    def _write_result(self, turn: Turn, part: ToolResult, path: str) -> Json:
        if part.is_error:
            reason = "the responses dialect cannot say that a tool failed"
            self.losses.append(Loss(where(path, "is_error"), "tool_error", reason))
        parts = part.parts
        first = parts[0] if len(parts) == 1 else None
        output: str | list[Json | Raw]
        if first is not None and _is_plain(first) and not self._was_list(first):
            output = first.text
        else:
            output = self._encode_content(parts, at=(turn.at, part.at), said=False)
            # Some servers refuse an empty list; an empty text says the same.
            output = output or ""
        kind = "custom_tool_call_output" if part.kind == "custom" else "function_call_output"
        return self._finish(part, {"type": kind, "call_id": part.call_id, "output": output}, path)

    def _write_reasoning(self, part: Reasoning, path: str, items: list[Json | Raw]) -> None:
        if not part.returns_to(self._origin):
            self.losses.append(
                Loss(path, "thoughts", "a model's thoughts go back only to where they came from")
            )
            return
        items.append(self._finish(part, reasoning_item(part), path))


def reasoning_item(part: Reasoning) -> Json:
    """A reasoning item without its id; a seal of another kind than this dialect's is not in it."""
    item: Json = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in part.summary],
    }
    if part.content:
        item["content"] = [{"type": "reasoning_text", "text": text} for text in part.content]
    if is_sealed(part):
        item["encrypted_content"] = part.seal.data  # type: ignore[union-attr]  # sealed
    return item


def is_sealed(part: Reasoning) -> bool:
    """Whether its thoughts come encrypted, as this dialect has them."""
    return part.seal is not None and part.seal.kind == "encrypted"


def _is_plain(part: AnyPart) -> TypeGuard[Text]:
    return isinstance(part, Text) and part.cache is None and part.extras is None and not part.citations


def _is_one_text(turn: Turn) -> bool:
    plain = len(turn.parts) == 1 and _is_plain(turn.parts[0]) and turn.parts[0].item is None
    return plain and turn.name is None and turn.extras is None


def _text(turn: Turn) -> str:
    """What a turn of one plain text says."""
    part = turn.parts[0]
    return part.text if isinstance(part, Text) else ""


def _is_content(part: AnyPart) -> bool:
    """Whether a part stands in a message."""
    if isinstance(part, NativePart):
        return part.dialect == "responses" and part.kind.startswith(CONTENT)
    return not isinstance(part, ToolCall | ToolResult | Reasoning)
