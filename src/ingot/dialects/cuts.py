"""Texts that were cut inside of a character: some servers cut tokens, not characters, between two events.

Half an escaped pair, or some bytes of a character, are no text that could be passed on: what is whole is passed on,
and the rest waits for the next piece. Bytes that are part of no character at all are a fault of whoever sent them.
Knows no dialect.
"""

import codecs
import json
import re
from typing import Any

import msgspec

_STRAY = re.compile("[\udc80-\udcff]+")
_GOING_ON = re.compile(rb"\A[\x80-\xbf]{1,3}")
_NO_CHARACTER = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_HIGH = range(0xD800, 0xDC00)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def check_text(data: bytes) -> None:
    """Raises ValueError for bytes that are no UTF-8."""
    if not data.isascii():
        data.decode()


class TextCheck:
    """Whether the events of one stream are text: each by itself, or where its server cut characters with others.

    A character may begin at the end of a JSON string and go on at the start of a later one. Which of those that have begun
    it is, is not asked: a stream may tell several answers at once, and one may be cut by the end of its answer.
    """

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        # Whether any character was cut.
        self._begun = False

    def takes(self, event: bytes) -> bool:
        """Whether all bytes of the next event are part of a character. Of ASCII it need not be asked."""
        try:
            event.decode()
        except UnicodeDecodeError:
            text = event.decode("utf-8", "surrogateescape")
            return all(self._is_cut(text, stray.start(), stray.end()) for stray in _STRAY.finditer(text))
        return True

    def _is_cut(self, text: str, start: int, end: int) -> bool:
        data = text[start:end].encode("utf-8", "surrogateescape")
        if self._begun and text[start - 1 : start] == '"':
            data = _GOING_ON.sub(b"", data, count=1)
        rest = _unfinished(data)
        if rest is None or (rest and text[end : end + 1] != '"'):
            return False
        self._begun = self._begun or rest != b""
        return True


def _unfinished(data: bytes) -> bytes | None:
    """The beginning of a character at the end of bytes, empty where they are whole; None where they are no UTF-8."""
    try:
        return data[codecs.utf_8_decode(data, "strict", False)[1] :]
    except UnicodeDecodeError:
        return None


def load(data: bytes) -> Any:
    """JSON, also where a character was cut in two: its halves are surrogates then. Raises ValueError."""
    try:
        return _decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(data.decode("utf-8", "surrogateescape"))
    except RecursionError as error:
        raise ValueError("The JSON nests too deep.") from error


def dump(value: Any) -> bytes:
    """JSON of a value that `load` read; what is half a character in it becomes U+FFFD."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(mend_all(value))


def mend_all(value: Any) -> Any:
    """`mend` for each text in a decoded value."""
    if type(value) is str:
        return mend(value)
    if type(value) is list:
        return [mend_all(each) for each in value]
    if type(value) is dict:
        return {mend(key): mend_all(each) for key, each in value.items()}
    return value


def mend(text: str) -> str:
    """Joins halves of characters that came in two pieces; what stays half becomes U+FFFD."""
    return text if _is_whole(text) else _mended(text, final=True)[0]


def mend_start(text: str) -> tuple[str, str]:
    """`mend` for a text that goes on: what is whole, and the beginning of a character at its end."""
    return (text, "") if _is_whole(text) else _mended(text, final=False)


def _is_whole(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mended(text: str, *, final: bool) -> tuple[str, str]:
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    half = "" if final or ord(paired[-1]) not in _HIGH else paired[-1]
    bare = _NO_CHARACTER.sub("\ufffd", paired[: len(paired) - len(half)])
    data = bare.encode("utf-8", "surrogateescape")
    # A character that is only begun can be followed by nothing, so not by half a pair either.
    whole, used = codecs.utf_8_decode(data, "replace", final or half != "")
    return whole, data[used:].decode("utf-8", "surrogateescape") + half
