"""Texts that were cut inside of a character: some servers cut tokens, not characters, between two events.

Half an escaped pair, or some bytes of a character, are no text that could be passed on: what is whole is passed on,
and the rest waits for the next piece. Knows no dialect.
"""

import codecs
import json
import re
from typing import Any

import msgspec

_NO_CHARACTER = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_HIGH = range(0xD800, 0xDC00)

_decode = msgspec.json.Decoder().decode


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
