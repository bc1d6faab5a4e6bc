"""JSON that is too long to be held at once, cut into values as it comes: an object with one long array, or lines.

    feed(piece) --> the array's items that are whole by now      head: the object's other members, at the end
    feed(piece) --> the lines that are whole by now

Only finds where values end: the bytes of each are handed out as they came, for `rawjson` to judge. What lies between items
is checked here. Looks at each byte about once, whatever pieces it comes in: strings are skipped by a search for their end,
and a value that is not whole yet is gone on with where the last look stopped.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import msgspec

from ingot.errors import InvalidRequest, TooLarge

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_MARK: Final = re.compile(rb'["{}\[\]]')
_QUOTED: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
"""As much of a text as is there: up to the quote that ends it, or to an escape that is cut in two."""
_SCALAR: Final = re.compile(rb"[^ \t\r\n,\]}\[{\"]+")
_OPENING: Final = b"{["
_SIGN: Final = 0x22
"""The quote, as a byte."""

_text: Final = msgspec.json.Decoder(str).decode


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
        self._quoted = self._bare = False
        """What the last look ended in: a text, or a value without brackets and quotes."""
        self._name_read = b""
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
        if self._held[:1] != b'"':
            raise _nameless()
        self._name_read = bytes(self._held[:end])
        self._drop(end)
        self._state = self._colon
        return True

    def _colon(self, _: list[bytes]) -> bool:
        if not self._skip():
            return False
        if self._held[:1] != b":":
            raise _nameless()
        self._drop(1)
        key = self._name_read
        if self._is_own(key):
            if self.found:
                raise InvalidRequest(
                    f"The key '{self._name.decode()}' is given twice in one object; give it once.",
                    param=self._name.decode(),
                )
            self._state = self._open
        else:
            self._keep(key + b":")
            self._state = self._member
        return True

    def _is_own(self, key: bytes) -> bool:
        """Whether a name in quotes is the array's, however it is written."""
        if b"\\" not in key:
            return key[1:-1] == self._name
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return bool(_text(key).encode() == self._name)
        return False  # it is judged with the head

    def _keep(self, part: bytes) -> None:
        self._kept += len(part)
        if self._kept > self._most_head:
            raise self._too_large()
        self._members.append(part)

    def _member(self, _: list[bytes]) -> bool:
        if not self._skip():
            return False
        end = self._end_of_value()
        if end is None:
            return self._wait(self._most_head)
        name = self._members.pop()
        self._kept -= len(name)
        self._keep(name + bytes(self._held[:end]))
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
        self._quoted = self._bare = False

    def _end_of_value(self) -> int | None:
        """Where the value ends that `_held` begins with; None while that is not to be seen."""
        held = self._held
        if self._at == 0:
            self._bare = held[0] not in _OPENING and held[0] != _SIGN
        if self._bare:
            return self._end_of_bare()
        while self._at == 0 or self._quoted or self._depth:
            if self._quoted:
                text = _QUOTED.match(held, self._at)
                self._at = self._at if text is None else text.end()
                if held[self._at : self._at + 1] != b'"':
                    return None
                self._at += 1
                self._quoted = False
                continue
            mark = _MARK.search(held, self._at)
            if mark is None:
                self._at = len(held)
                return None
            sign = held[mark.start()]
            self._at = mark.end()
            if sign == _SIGN:
                self._quoted = True
            else:
                self._depth += 1 if sign in _OPENING else -1
        return self._at

    def _end_of_bare(self) -> int | None:
        more = _SCALAR.match(self._held, self._at)
        if more is not None:
            self._at = more.end()
        elif self._at == 0:
            raise _malformed("a value is expected")
        return self._at if self._at < len(self._held) else None

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
        self._check(self._number + 1, len(self._held))

    def close(self) -> Iterator[tuple[int, bytes]]:
        """The last line, where it has no end."""
        yield from self._line(0, len(self._held))
        self._held.clear()

    def _line(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        self._number += 1
        self._check(self._number, end - start)
        line = bytes(self._held[start:end]).strip(b" \t\r")
        if line:
            yield self._number, line

    def _check(self, number: int, size: int) -> None:
        if size > self._most:
            raise TooLarge(f"Line {number:,} has more than {self._most:,} bytes.")


def _malformed(what: str) -> InvalidRequest:
    return InvalidRequest(f"The request body is not valid JSON: {what}.", code="invalid_json")


def _nameless() -> InvalidRequest:
    return _malformed("a name in quotes and a colon are expected before each value of the object")
