"""Texts of a stream in pieces, and the numbers of its parts.

Texts that were cut inside of a character wait for the rest of it. What an end repeats of its pieces is compared with
them. Knows no event of this dialect.
"""

from typing import Any

from ingot.canonical import AnyPart, Loss, Origin, ToolCall
from ingot.dialects.cuts import mend, mend_start
from ingot.events import AnyEvent, PartStarted

Events = list[AnyEvent]


class PartSource:
    """Starts and ends parts in their order, and notes what is lost."""

    __slots__ = ("_count", "_losses", "called", "origin")

    def __init__(self, origin: Origin, losses: list[Loss]) -> None:
        self.origin = origin
        self.called = False
        self._losses = losses
        self._count = 0

    def lose(self, path: str, reason: str) -> None:
        loss = Loss(path, "answer", reason)
        if loss not in self._losses:
            self._losses.append(loss)

    def start(self, value: AnyPart, events: Events) -> int:
        """Its number."""
        part = self._count
        self._count += 1
        self.called = self.called or isinstance(value, ToolCall)
        events.append(PartStarted(0, part, value))
        return part


class Channel:
    """One text in pieces."""

    __slots__ = ("_pieces", "_rest")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._rest = ""

    def add(self, piece: Any) -> str:
        """What can be told of the next piece now."""
        if type(piece) is not str:
            return ""
        text = piece
        if self._rest or not text.isascii():
            text, self._rest = mend_start(self._rest + text)
        if text:
            self._pieces.append(text)
        return text

    def finish(self, whole: str | None) -> str | None:
        """What is left to tell of the whole text; None where it contradicts its pieces."""
        told = "".join(self._pieces)
        rest, self._rest = mend(self._rest) if self._rest else "", ""
        if whole is None:
            self._pieces.append(rest)
            return rest
        if not whole.startswith(told):
            return None
        self._pieces.append(whole[len(told) :])
        return whole[len(told) :]
