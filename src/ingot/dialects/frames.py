"""What the taps of all dialects share: events that differ only in their text are known by their frame.

A frame is an event's data without its text: the bytes before it and the bytes after it. Once an event was decoded and
found to be nothing but text, one with the same frame is that too, as long as no quote in its text ends the string.
Another model name or a field that is dropped is then another frame, made once. What was given is kept for the store
the same way, texts in one frame joined: 0.1 us an event; how much text came is measured where they are, not event by event. Knows no wire format.
"""

import re
from abc import abstractmethod
from typing import ClassVar

from ingot.dialects.dialect import Said, Turn
from ingot.dialects.taps import Tap
from ingot.dialects.wordage import length_in_json
from ingot.errors import ApiError


class FramedTap(Tap):
    """Follows one stream; see `dialect.StreamTap` for what each attribute says."""

    __slots__ = (
        "_events",
        "_following",
        "_head",
        "_least",
        "_new_head",
        "_new_tail",
        "_tail",
        "_texts",
    )

    framed: ClassVar[re.Pattern[bytes]]
    """An event, cut before and after the first text in it that is not empty."""

    def _begin(self, turn: Turn) -> None:  # noqa: ARG002  # for the taps that turn a stream back
        self._following = None if self.reshape is None else self.reshape.follow()
        self._head = b""
        self._tail = b""
        self._new_head: bytes | None = None
        self._new_tail = b""
        # Bytes that the frame has without any text; no event is as long as this one.
        self._least = 2**62
        # What went to the client: whole events, and the texts of those that share the frame of now.
        self._events: list[bytes] = []
        # They are measured once they are joined.
        self._texts: list[bytes] = []

    @abstractmethod
    def _study(self, data: bytes) -> bytes | None:
        """`feed` for an event that may say more than the next piece of text."""

    @property
    def given(self) -> bytes:
        """What the client was given, as a stream with fewer events: texts in the same frame are one (JSON text joins)."""
        self._join()
        return b"".join([self.frame(event) for event in self._events])

    @property
    def said(self) -> Said:
        """All output that came."""
        self._join()
        return super().said

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client: `data` itself where nothing changes, other bytes, or None for nothing."""
        # Longer than the frame: an event without any text is no output, and is looked at.
        if len(data) > self._least and data.startswith(self._head) and data.endswith(self._tail):
            text = data[len(self._head) : len(data) - len(self._tail)]
            if b'"' not in text or (b"\\\\" not in text and text.count(b'"') == text.count(b'\\"')):
                self.deltas += 1
                self._texts.append(text)
                return data if self._new_head is None else self._new_head + text + self._new_tail
        self._join()
        given = self._study(data)
        if given is not None:
            self._events.append(given)
        return given

    def fail(self, error: ApiError, request_id: str) -> bytes:
        """The event that ends the stream with this error."""
        self._join()
        data = self.encode(error, request_id)[1]
        self._events.append(data)
        return self.frame(data)

    def _join(self) -> None:
        """Makes one event of the texts that came in one frame; called before the frame changes."""
        if self._texts:
            text = b"".join(self._texts)
            self._texts.clear()
            self._add(length_in_json(text))
            if self._new_head is None:
                self._events.append(self._head + text + self._tail)
            else:
                self._events.append(self._new_head + text + self._new_tail)

    def _forget(self) -> None:
        """No event is known by its frame."""
        self._least = 2**62

    def _learn(self, data: bytes, given: bytes) -> None:
        """Takes the frame of an event that is nothing but text, and of what the client got of it."""
        frame = self.framed.fullmatch(data)
        new = frame if given is data else self.framed.fullmatch(given)
        if frame is None or new is None:
            return
        self._head, self._tail = frame.groups()
        self._least = len(self._head) + len(self._tail)
        self._new_head, self._new_tail = (None, b"") if given is data else new.groups()
