"""Turns as messages of a chat request.

    system, developer, user  -->  one message each; the results of tools among a user's parts become messages before it
    assistant                -->  one message: thoughts, content, refusal and calls have a place each
    tool                     -->  a message for each result; images and files of results stand in a turn of the user behind them

From another dialect, neighbouring turns of the assistant become one message, for servers expect results right
behind the message that calls. Decides what of a turn cannot be said. What cannot leaves a `Loss`, and the message
without it; a message with nothing left in it is not sent.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard

from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    File,
    Kind,
    Loss,
    NativePart,
    Origin,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    lost_extras,
    where,
)
from ingot.catalog import Quirks
from ingot.dialects.codecs.chat.parts import encode_part, finish_part, lost_of
from ingot.dialects.codecs.chat.turns import THOUGHTS
from ingot.dialects.codecs.headings import heading_of
from ingot.dialects.codecs.leftovers import restore

Json = dict[str, Any]
# A part with the steps to its place: they are joined only where it is lost.
Steps = tuple[str, ...]
Placed = tuple[Steps, AnyPart]

_MEDIA = ("image_url", "input_audio", "file")
_NATIVE = "native"
_BEHIND = (
    "its place in the result of a tool: the chat dialect shows it in a turn of the user behind the results"
)
_INTERRUPTS = frozenset({"system", "developer", "assistant"})
_TEXT = frozenset({"text"})
_KINDS = {
    "user": frozenset({"text", *_MEDIA, _NATIVE}),
    "assistant": frozenset({"text", "refusal", _NATIVE}),
}


class MessageWriter:
    """Writes the messages of one request to one target, and notes what is lost."""

    __slots__ = ("_hints", "_native", "_origin", "_refused", "_shown", "losses")

    def __init__(self, request: Request, *, origin: Origin, quirks: Quirks) -> None:
        self.losses: list[Loss] = []
        self._native = request.origin == "chat"
        self._hints = request.origin != "messages"
        self._origin = origin
        # What results of tools hold beyond text, until the last of them is written.
        self._shown: list[Placed] = []
        reject = quirks.reject
        self._refused = frozenset(
            [kind for kind in _MEDIA if kind in reject or f"messages[].content[].{kind}" in reject]
        )

    def write(self, turns: Iterable[Turn]) -> list[Json | Raw]:
        """The messages of these turns."""
        messages: list[Json | Raw] = []
        run: list[Turn] = []
        for turn in turns:
            if run and turn.role != "assistant":
                self._write_turns(run, messages)
                run = []
            if turn.role in _INTERRUPTS:
                self._show(messages)
            if turn.role == "assistant" and not self._native:
                run.append(turn)
            else:
                self._write_turns([turn], messages)
        if run:
            self._write_turns(run, messages)
        self._show(messages)
        return messages

    def _show(self, messages: list[Json | Raw]) -> None:
        """What results of tools hold beyond text, as a turn of the user."""
        if self._shown:
            shown, self._shown = self._shown, []
            messages.append({"role": "user", "content": self._write_content(shown, role="user")})

    def _write_turns(self, together: list[Turn], messages: list[Json | Raw]) -> None:
        """One turn, or several of the assistant as one message."""
        turn = together[0]
        parts = turn.parts
        # Most turns are one text: a conversation of a thousand takes a millisecond then, not five.
        short = len(together) == len(parts) == 1 and turn.extras is None and not self._shown
        if short and _is_plain(parts[0]):
            message: Json = {"role": "user" if turn.role == "tool" else turn.role, "content": parts[0].text}
            if turn.name is not None:
                message["name"] = turn.name
            messages.append(message)
        else:
            messages.extend(self._write_turn(turn, together))

    def _write_turn(self, turn: Turn, together: list[Turn]) -> Iterator[Json | Raw]:
        parts: list[Placed] = []
        for each in together:
            at = each.at
            parts += [((at, part.at), part) for part in each.parts]
            if each.extras is not None:
                self.losses += lost_extras(each.extras, "chat", at=at)
        if turn.role == "assistant":
            message: Json | Raw | None = self._write_assistant(parts)
            messages = [] if message is None else [message]
        else:
            messages = self._write_others(turn, parts)
        for message in messages:
            if isinstance(message, dict):
                if turn.name is not None:
                    message["name"] = turn.name
                if turn.extras is not None:
                    restore(turn.extras, message, dialect="chat")
            yield message

    def _lose(self, steps: Steps, kind: Kind, reason: str) -> None:
        self.losses.append(Loss(where(*steps), kind, reason))

    def _note(self, steps: Steps, part: AnyPart) -> None:
        """What an encoded part does not say."""
        if part.cache is not None or part.extras is not None or isinstance(part, Text | File):
            self.losses += lost_of(part, where(*steps), hints=self._hints)

    def _write_others(self, turn: Turn, parts: list[Placed]) -> list[Json | Raw]:
        messages: list[Json | Raw] = []
        said: list[Placed] = []
        for steps, part in parts:
            if isinstance(part, ToolResult):
                messages += self._write_said(turn, said)
                said = []
                messages.append(self._write_result(steps, part))
            elif isinstance(part, NativePart) and part.kind == "function" and part.dialect == "chat":
                messages.append(part.raw)
            else:
                said.append((steps, part))
        return messages + self._write_said(turn, said)

    def _write_said(self, turn: Turn, parts: list[Placed]) -> list[Json | Raw]:
        """A message of what is no tool's result; none where nothing of it can be said."""
        if not parts:
            return []
        # A turn of a tool that holds no result speaks as the user does.
        role = "user" if turn.role == "tool" else turn.role
        if role == "user" and self._shown:
            parts, self._shown = self._shown + parts, []
        content = self._write_content(parts, role=role)
        return [] if content is None else [{"role": role, "content": content}]

    def _write_result(self, steps: Steps, result: ToolResult) -> Json:
        self._note(steps, result)
        if result.is_error:
            self._lose((*steps, "is_error"), "tool_error", "the chat dialect cannot say that a tool failed")
        parts: list[Placed] = [((*steps, part.at), part) for part in result.parts]
        content = self._write_content(parts, role="tool")
        return {"role": "tool", "tool_call_id": result.call_id, "content": content or ""}

    def _write_content(self, parts: list[Placed], *, role: str) -> str | list[Json | Raw] | None:
        """A string where one plain text is all there is, which every server takes; None where nothing is left."""
        if len(parts) == 1 and _is_plain(parts[0][1]):
            return parts[0][1].text
        content: list[Json | Raw] = []
        for steps, part in parts:
            encoded = self._encode(steps, part, role=role)
            heading = heading_of(part) if encoded is not None and isinstance(part, File) else None
            if heading is not None:
                content.append({"type": "text", "text": heading})
            if encoded is not None:
                content.append(encoded)
        first = content[0] if len(content) == 1 else None
        # A document's text is a text once it is written.
        if isinstance(first, dict) and first["type"] == "text" and len(first) == 2:
            return str(first["text"])
        return content or None

    def _encode(self, steps: Steps, part: AnyPart, *, role: str) -> Json | Raw | None:
        encoded = encode_part(part)
        if isinstance(encoded, str):
            self._lose(steps, "part", encoded)
            return None
        kind = encoded["type"] if isinstance(encoded, dict) else _NATIVE
        if role == "tool" and kind in _MEDIA and kind not in self._refused:
            self._lose(steps, "shown_behind", _BEHIND)
            self._shown.append((steps, part))
            return None
        if kind not in _KINDS.get(role, _TEXT):
            self._lose(steps, "part", f"a message of role '{role}' of the chat dialect cannot hold it")
            return None
        if kind in self._refused:
            self._lose(steps, "part", f"the target takes no content parts of type '{kind}'")
            return None
        self._note(steps, part)
        return finish_part(part, encoded, hints=self._hints)

    def _write_assistant(self, parts: list[Placed]) -> Json | None:
        message: Json = {"role": "assistant", "content": None}
        calls: list[Json | Raw] = []
        said: list[Placed] = []
        for steps, part in parts:
            match part:
                case Reasoning():
                    self._write_thoughts(message, steps, part)
                case ToolCall():
                    calls.append(self._write_call(steps, part))
                case NativePart(dialect="chat", kind="tool_call"):
                    calls.append(part.raw)
                case _:
                    if calls:
                        self._lose(
                            steps, "earlier_answer", "its place behind a tool call: chat has no such order"
                        )
                    said.append((steps, part))
        self._write_answer(message, said)
        if calls:
            message["tool_calls"] = calls
        if not self._native and len(message) == 2 and message["content"] is None:
            return None
        return message

    def _write_answer(self, message: Json, said: list[Placed]) -> None:
        """Text as a string and a refusal in its own field where that says it all, else both as parts."""
        before = said[:-1]
        if said and (not before or (len(before) == 1 and _is_plain(before[0][1]))):
            last = said[-1][1]
            if isinstance(last, Refusal) and self._is_field(last):
                message["refusal"] = last.text
                said = before
        message["content"] = self._write_content(said, role="assistant")

    def _is_field(self, refusal: Refusal) -> bool:
        """Whether a refusal goes into its own field; one that a chat client wrote as a part stays a part."""
        plain = refusal.cache is None and refusal.extras is None
        return plain and not (self._native and refusal.at.startswith("content["))

    def _write_thoughts(self, message: Json, steps: Steps, part: Reasoning) -> None:
        """Thoughts go back to where they came from, under the name that they had there."""
        if not part.returns_to(self._origin):
            self._lose(steps, "thoughts", "a model's thoughts go back only to where they came from")
            return
        if part.seal is not None or part.summary:
            self._lose(steps, "thoughts", "its seal and summary: the chat dialect has no place for them")
        self._note(steps, part)
        name = part.at if part.at in THOUGHTS else THOUGHTS[0]
        message[name] = "\n\n".join([message[name], *part.content] if name in message else part.content)

    def _write_call(self, steps: Steps, part: ToolCall) -> Json:
        self._note(steps, part)
        return encode_call(part)


def encode_call(part: ToolCall) -> Json:
    """A tool call of a message."""
    text = "arguments" if part.kind == "function" else "input"
    call: Json = {"id": part.id, "type": part.kind, part.kind: {"name": part.name, text: part.arguments}}
    if part.extras is not None:
        restore(part.extras, call, dialect="chat")
    return call


def _is_plain(part: AnyPart) -> TypeGuard[Text]:
    return isinstance(part, Text) and part.cache is None and part.extras is None and not part.citations
