"""JSON that is too long to be held at once, cut into values as it comes: an object with one long array, or lines.

    feed(piece) --> the array's items that are whole by now      head: the object's other members, at the end
    feed(piece) --> the lines that are whole by now

Only finds where values end: the bytes of each are handed out as they came, for `rawjson` to judge. What lies between items
is checked here. Looks at each byte about once, whatever pieces it comes in: strings are skipped by a search for their end,
and a value that is not whole yet is gone on with where the last look stopped.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from ingot.errors import InvalidRequest, TooLarge

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_MARK: Final = re.compile(rb'["{}\[\]]')
_QUOTE: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[^ \t\r\n,\]}\[{\"]+")
_OPENING: Final = b"{["


class Values:
    """Items of the array `name` of one JSON object; everything else of the object is small, and kept as `head`."""

    def __init__(self, name: str, *, most: int, head: int = 65_536) -> None:
        """`most` bytes of one item, and `head` bytes of all other members, are the most that is taken."""
        self.head: bytes = b""
        self.found = False
        """Whether the array has been seen."""
        self._name = name.encode()
        self._most = most
        self._most_head = head
        self._held = bytearray()
        self._at = 0
        """What has been looked at of `_held`."""
        self._depth = 0
        self._members: list[bytes] = []
        self._kept = 0
        self._state: Callable[[list[bytes]], bool] = self._begin

    def feed(self, piece: bytes) -> list[bytes]:
        """The items that are whole with these bytes; raises InvalidRequest, TooLarge."""
        self._held += piece
        found: list[bytes] = []
        while self._state(found):
            pass
        return found

    def close(self) -> None:
        """Ends the input; raises InvalidRequest where the object is not whole."""
        if self._state != self._after:
            what = (
                "it ends too early"
                if self._held or self._state != self._begin
                else "it is empty, and a JSON object is expected"
            )
            raise _malformed(what)
        self.head = b"{" + b",".join(self._members) + b"}"

    # Each state eats what it can, and says whether another one is to go on; False waits for more bytes.

    def _begin(self, _: list[bytes]) -> bool:
        if not self._skip():
            return False
        if self._held[:1] != b"{":
            raise InvalidRequest("The request body must be a JSON object.", code="invalid_type")
        self._drop(1)
        self._state = self._key
        return True

    def _key(self, _: list[bytes]) -> bool:
        if not self._skip():
            return False
        if self._held[:1] == b"}" and not self._members and not self.found:
            self._drop(1)
            self._state = self._after
            return True
        end = self._end_of_value()
        if end is None:
            return self._wait(self._most_head)
        key = bytes(self._held[:end])
        colon = _SPACE.match(self._held, end)
        at = end if colon is None else colon.end()
        if at == len(self._held):
            return self._wait(self._most_head)
        if key[:1] != b'"' or self._held[at : at + 1] != b":":
            raise _malformed("a name in quotes and a colon are expected before each value of the object")
        self._drop(at + 1)
        self._depth = self._at = 0
        if key == b'"' + self._name + b'"':
            if self.found:
                raise InvalidRequest(
                    f"The key '{self._name.decode()}' is given twice in one object; give it once.",
                    param=self._name.decode(),
                )
            self._state = self._open
        else:
            self._members.append(key + b":")
            self._state = self._member
        return True

    def _member(self, _: list[bytes]) -> bool:
        if not self._skip():
            return False
        end = self._end_of_value()
        if end is None:
            return self._wait(self._most_head)
        self._kept += end
        if self._kept > self._most_head:
            raise self._too_large()
        self._members[-1] += bytes(self._held[:end])
        self._drop(end)
        self._state = self._comma
        return True

    def _open(self, _: list[bytes]) -> bool:
        if not self._skip():
            return False
        name = self._name.decode()
        if self._held[:1] != b"[":
            raise InvalidRequest(
                f"Invalid type for '{name}': expected an array.", param=name, code="invalid_type"
            )
        self.found = True
        self._drop(1)
        self._state = self._first
        return True

    def _first(self, _: list[bytes]) -> bool:
        if not self._skip():
            return False
        if self._held[:1] == b"]":
            self._drop(1)
            self._state = self._comma
        else:
            self._state = self._item
        return True

    def _item(self, found: list[bytes]) -> bool:
        if not self._skip():
            return False
        end = self._end_of_value()
        if end is None:
            return self._wait(self._most)
        if end > self._most:
            raise self._item_too_large()
        found.append(bytes(self._held[:end]))
        self._drop(end)
        self._state = self._between
        return True

    def _between(self, _: list[bytes]) -> bool:
        if not self._skip():
            return False
        mark = bytes(self._held[:1])
        if mark not in (b",", b"]"):
            raise _malformed(
                f"a comma or a closing bracket is expected behind an item of '{self._name.decode()}'"
            )
        self._drop(1)
        self._state = self._item if mark == b"," else self._comma
        return True

    def _comma(self, _: list[bytes]) -> bool:
        if not self._skip():
            return False
        mark = bytes(self._held[:1])
        if mark not in (b",", b"}"):
            raise _malformed("a comma or a closing brace is expected behind a value of the object")
        self._drop(1)
        self._state = self._key if mark == b"," else self._after
        return True

    def _after(self, _: list[bytes]) -> bool:
        if self._skip():
            raise _malformed("something follows the object")
        return False

    # ---- pieces

    def _skip(self) -> bool:
        """Takes white space away; whether anything is left. Not within a value that was begun with."""
        if self._at == 0:
            space = _SPACE.match(self._held)
            if space is not None and space.end():
                del self._held[: space.end()]
        return bool(self._held)

    def _drop(self, count: int) -> None:
        del self._held[:count]
        self._at = self._depth = 0

    def _end_of_value(self) -> int | None:
        """Where the value ends that `_held` begins with; None while that is not to be seen."""
        held = self._held
        if self._at and self._depth == 0:
            return self._at  # it was seen before
        if self._at == 0 and held[0] not in _OPENING and held[:1] != b'"':
            scalar = _SCALAR.match(held)
            if scalar is None:
                raise _malformed("a value is expected")
            return scalar.end() if scalar.end() < len(held) else None
        while (mark := _MARK.search(held, self._at)) is not None:
            place = mark.start()
            sign = held[place]
            if sign == 0x22:
                quote = _QUOTE.match(held, place + 1)
                if quote is None:
                    self._at = place
                    return None
                self._at = quote.end()
            else:
                self._depth += 1 if sign in _OPENING else -1
                self._at = place + 1
            if self._depth == 0:
                return self._at
            if self._depth < 0:
                raise _malformed("a bracket closes that was never opened")
        self._at = len(held)
        return None

    def _wait(self, most: int) -> bool:
        if len(self._held) > most:
            raise self._item_too_large() if self._state == self._item else self._too_large()
        return False

    def _item_too_large(self) -> TooLarge:
        name = self._name.decode()
        return TooLarge(f"An item of '{name}' has more than {self._most:,} bytes.", param=name)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"What stands beside '{self._name.decode()}' has more than {self._most_head:,} bytes."
        )


class Lines:
    """Lines of text without their ends; empty ones are left out, and counted all the same."""

    def __init__(self, *, most: int) -> None:
        """`most` bytes are the most of one line."""
        self._held = bytearray()
        self._looked = 0
        self._number = 0
        self._most = most

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """The lines that are whole with these bytes, each with its number from 1; raises TooLarge."""
        self._held += piece
        start = 0
        while (end := self._held.find(b"\n", max(start, self._looked))) >= 0:
            yield from self._line(start, end)
            start = end + 1
        del self._held[:start]
        self._looked = len(self._held)
        self._check(len(self._held))

    def close(self) -> Iterator[tuple[int, bytes]]:
        """The last line, where it has no end."""
        yield from self._line(0, len(self._held))
        self._held.clear()

    def _line(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        self._number += 1
        self._check(end - start)
        line = bytes(self._held[start:end]).strip(b" \t\r")
        if line:
            yield self._number, line

    def _check(self, size: int) -> None:
        if size > self._most:
            raise TooLarge(f"A line has more than {self._most:,} bytes.")


def _malformed(what: str) -> InvalidRequest:
    return InvalidRequest(f"The request body is not valid JSON: {what}.", code="invalid_json")
