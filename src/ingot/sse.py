"""Server-sent events, split from bytes and never from text.

Lines end at LF, CR or CRLF and nowhere else: U+2028 and U+0085 are ordinary characters inside a `data:` line.
An event keeps its own bytes, so that a relay can pass them on untouched; a byte order mark before the first is none of
them, and left out. This module knows no dialect.
"""

import re
from collections.abc import Iterator

DONE = b"[DONE]"
_MARK = b"\xef\xbb\xbf"
BETWEEN = b"\n\ndata: "
"""Joins the data of two events to what `encode_event` makes two of."""

# An atomic group: CRLF must never be read as two line ends by backtracking.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventTooLarge(Exception):
    """An event grew past the bound while its end had not come."""


class SseSplitter:
    """Cuts a byte stream into events; `feed` in any portions, each event comes out once and whole."""

    __slots__ = ("_fresh", "_limit", "_pending")

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        """`limit` bounds the bytes held for an event that has not ended."""
        self._pending = b""
        self._limit = limit
        # Until it is known whether the stream begins with a byte order mark.
        self._fresh = True

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that `piece` completes, each with the blank line that ends it."""
        pending = self._pending
        if pending:
            piece = pending + piece
        if self._fresh:
            if len(piece) < len(_MARK) and _MARK.startswith(piece):
                self._pending = piece
                return []
            self._fresh = False
            piece = piece.removeprefix(_MARK)
        if b"\r" not in piece:
            # Nearly every upstream writes LF only, and one whole event a write: no copy then.
            end = piece.find(b"\n\n")
            if end >= 0 and end + 2 == len(piece):
                self._pending = b""
                return [piece]
            events = [event + b"\n\n" for event in piece.split(b"\n\n")]
            rest = events.pop()[:-2]
        else:
            events, rest = _split_any(piece)
        if len(rest) > self._limit:
            raise EventTooLarge
        self._pending = rest
        return events

    def lone_data(self, piece: bytes) -> bytes | None:
        """The data of `piece` where it is exactly one plain event and nothing is held; else None, to be fed.

        The usual case of a relay: most upstreams write one event at a time.
        """
        if (
            self._pending
            or not piece.startswith(b"data: ")
            or piece.find(b"\n", 6) != len(piece) - 2
            or not piece.endswith(b"\n\n")
            or b"\r" in piece
        ):
            return None
        self._fresh = False
        return piece[6:-2]

    def rest(self) -> bytes:
        """What came after the last whole event: an event that the sender never ended."""
        return self._pending


def _split_any(piece: bytes) -> tuple[list[bytes], bytes]:
    events = []
    start = 0
    for match in _BLANK_LINE.finditer(piece):
        # A lone CR at the very end may be the first half of CRLF: wait for the next piece. After another CR it
        # is taken for a whole line end: a sender who writes CR only must not have its last event held back.
        if match.end() == len(piece) and piece.endswith(b"\n\r"):
            break
        events.append(piece[start : match.end()])
        start = match.end()
    return events, piece[start:]


def event_data(event: bytes) -> bytes | None:
    """The data of an event, its `data:` lines joined with LF; None for comments and events without data."""
    if event.startswith(b"data: ") and event.find(b"\n", 6) == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    if event.startswith(b"event: ") and b"\r" not in event:
        start = event.find(b"\n") + 7
        if event.startswith(b"data: ", start - 6) and event.find(b"\n", start) == len(event) - 2:
            return event[start:-2]
    parts = [value for name, value in event_fields(event) if name == b"data"]
    return b"\n".join(parts) if parts else None


def event_fields(event: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The fields of an event in order (`data`, `event`, `id`, ...), comments left out."""
    for line in _LINE_END.split(event):
        name, _, value = line.partition(b":")
        if name:
            yield name, value.removeprefix(b" ")


def one_line(data: bytes) -> bytes:
    """JSON as the data of an event: line ends in it are only ever spaces, and would end the event's line."""
    return data.replace(b"\r", b" ").replace(b"\n", b" ")


def encode_event(data: bytes, name: bytes | None = None) -> bytes:
    """One event on the wire, LF line ends, in one piece; `data` must hold no line end."""
    if name is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
