"""Turns as the system texts and the messages of a request.

    system, developer at the start  -->  `system`
    system, developer later         -->  messages of that role, or of the user where the target has no such
    user, tool                      -->  messages of the user: results of tools are blocks of it
    assistant                       -->  messages of the assistant

Of other dialects, neighbours that get the same role become one message, for roles alternate here; blocks never change
their order. What cannot be said leaves a `Loss`; a message with nothing left in it is not sent.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeGuard

import msgspec
from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    File,
    Loss,
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
from ingot.dialects.codecs.leftovers import restore
from ingot.dialects.codecs.messages.block_writer import (
    call_id,
    encode_part,
    finish_block,
    lost_of,
)
from ingot.dialects.codecs.messages.versions import Rules

Json = dict[str, Any]
Placed = tuple[str, AnyPart]
Content = str | list[Json | Raw]

_INSTRUCTIONS: Final = frozenset({"system", "developer"})


class MessageWriter:
    """Writes the turns of one request to one target, and notes what is lost."""

    __slots__ = ("_ids", "_native", "_origin", "_place", "_rules", "losses")

    def __init__(self, request: Request, *, origin: Origin, rules: Rules) -> None:
        self.losses: list[Loss] = []
        self._ids = _Ids()
        self._native = request.origin == "messages"
        self._origin = origin
        self._place = request.place
        self._rules = rules

    def write(self, turns: Sequence[Turn]) -> tuple[Content | None, list[Json]]:
        """The texts of `system`, None where there are none, and the messages."""
        first = self._leading(turns)
        leading, rest = turns[:first], turns[first:]
        if leading and not rest and not self._native:
            # There is no request without a message.
            messages: list[Json] = []
            self._write_run([*leading[-1:]], "user", messages)
            return (self._write_system(leading[:-1]) if leading[1:] else None), messages
        system = self._write_system(leading) if leading else None
        return system, self._write_messages(rest)

    def _leading(self, turns: Sequence[Turn]) -> int:
        """How many turns are the texts of `system`: this dialect's clients may write messages of that role."""
        count = 0
        for turn in turns:
            if turn.role not in _INSTRUCTIONS or (self._native and turn.at.startswith("messages")):
                break
            count += 1
        return count

    def _write_system(self, turns: Sequence[Turn]) -> Content | None:
        for turn in turns:
            self._note_turn(turn)
        return self._write_content(_placed(turns), role="system") or None

    def _write_messages(self, turns: Sequence[Turn]) -> list[Json]:
        messages: list[Json] = []
        run: list[Turn] = []
        role = ""
        for turn in turns:
            told = self._role(turn)
            if run and (self._native or told != role):
                self._write_run(run, role, messages)
                run = []
            run.append(turn)
            role = told
        if run:
            self._write_run(run, role, messages)
        return messages

    def _role(self, turn: Turn) -> str:
        if turn.role not in _INSTRUCTIONS:
            return "assistant" if turn.role == "assistant" else "user"
        return "system" if self._native or self._rules.system_messages else "user"

    def _write_run(self, run: list[Turn], role: str, messages: list[Json]) -> None:
        for turn in run:
            self._note_turn(turn)
            if turn.role in _INSTRUCTIONS and role == "user":
                reason = (
                    "the target takes instructions at the start only: this one is sent as a text of the user"
                )
                self.losses.append(Loss(turn.at, "late_instructions", reason))
        content = self._write_content(_placed(run), role=role)
        if not content and not self._native:
            return
        message: Json = {"role": role, "content": content}
        if self._native:
            restore(run[0].extras, message, dialect="messages")
        messages.append(message)

    def _note_turn(self, turn: Turn) -> None:
        if turn.extras is not None:
            self.losses += lost_extras(turn.extras, "messages", at=turn.at)

    def _write_content(self, parts: Sequence[Placed], *, role: str) -> Content:
        """A string where a client wrote one, else blocks."""
        if len(parts) == 1 and _is_plain(parts[0][1]):
            return parts[0][1].text
        written = [self._write_part(path, part, role=role) for path, part in parts]
        return [block for block in written if block is not None]

    def _write_part(self, path: str, part: AnyPart, *, role: str) -> Json | Raw | None:
        if isinstance(part, Text):
            if not part.text and not self._native:
                # Servers refuse empty texts, which say nothing.
                return None
            if part.cache is None and part.extras is None and not part.citations:
                # Most parts are.
                return {"type": "text", "text": part.text}
        if isinstance(part, Reasoning) and not part.returns_to(self._origin):
            reason = "a model's thoughts go back only to where they came from"
            self.losses.append(Loss(path, "thoughts", reason))
            return None
        if isinstance(part, ToolResult):
            encoded: Json | Raw | str = self._write_result(path, part)
        else:
            encoded = self._refusal(part, role=role) or encode_part(part)
        if isinstance(encoded, str):
            self.losses.append(Loss(path, "part", encoded))
            return None
        if isinstance(part, ToolCall) and isinstance(encoded, dict):
            encoded["id"] = part.id if self._native else self._ids.of_call(part.id)
            if isinstance(encoded["input"], Raw):
                # It is what the model wrote: nothing of it is lost.
                self.losses += lost_extras(part.extras, "messages", at=path)
            else:
                self.losses += lost_of(part, path, self._place)
        elif part.extras is not None or not isinstance(part, ToolResult):
            self.losses += lost_of(part, path, self._place)
        if isinstance(part, Text) and part.citations and not self._may_cite(role):
            reason = "its citations: only what the assistant said has a place for them"
            self.losses.append(Loss(where(path, "citations"), "earlier_answer", reason))
            part = msgspec.structs.replace(part, citations=())
        return finish_block(part, encoded, self.losses, path=path)

    def _may_cite(self, role: str) -> bool:
        return role == "assistant" or (self._native and (role != "user" or self._rules.user_citations))

    def _refusal(self, part: AnyPart, *, role: str) -> str | None:
        """Why a part must not be sent, though this dialect could say it."""
        if role == "system" and not self._native and not isinstance(part, Text):
            return "instructions are text in the messages dialect"
        if role == "tool" and isinstance(part, ToolCall | Reasoning):
            return "the result of a tool is text, images and documents"
        if isinstance(part, File) and role == "assistant" and not self._rules.assistant_documents:
            return f"anthropic-version {self._rules.version} has no documents in messages of the assistant"
        return None

    def _write_result(self, path: str, result: ToolResult) -> Json:
        told = result.call_id if self._native else self._ids.of_result(result.call_id)
        block: Json = {"type": "tool_result", "tool_use_id": told}
        parts = [(where(path, part.at), part) for part in result.parts]
        content = self._write_content(parts, role="tool")
        if content or (self._native and content == ""):
            block["content"] = content
        if result.is_error is not None:
            block["is_error"] = result.is_error
        return block


class _Ids:
    """The ids of another dialect's calls as this one takes them: in its letters, and no two alike.

    A server that counts its calls anew in each answer has `call_0` in each of them; a result belongs to the first call of its id
    that has none yet.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._waiting: dict[str, deque[str]] = {}
        self._answered: dict[str, str] = {}

    def of_call(self, told: str) -> str:
        own = call_id(told)
        found, number = own, 1
        while found in self._used:
            number += 1
            found = f"{own}_{number}"
        self._used.add(found)
        self._waiting.setdefault(told, deque()).append(found)
        return found

    def of_result(self, told: str) -> str:
        waiting = self._waiting.get(told)
        if waiting:
            self._answered[told] = waiting.popleft()
        return self._answered.get(told) or call_id(told)


def _placed(turns: Iterable[Turn]) -> list[Placed]:
    return [(where(turn.at, part.at), part) for turn in turns for part in turn.parts]


def _is_plain(part: AnyPart) -> TypeGuard[Text]:
    """A text that says nothing else, and that its client wrote as a string."""
    return (
        isinstance(part, Text)
        and part.cache is None
        and part.extras is None
        and not part.citations
        and part.at[:8] != "content["
        and part.at[:1] != "["
    )
