"""What an image is, told from its first bytes: one of four formats, and its size in pixels; and data URIs that hold one.

Decides by magic bytes alone; what a data URI claims beside them is told, for the two have to agree. Decodes no picture: only the fields of the head are read,
so that a bomb costs what its head costs. Sources: PNG (RFC 2083), GIF89a, JPEG (ITU T.81), WebP (RFC 9649).
"""

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

Format = Literal["png", "jpeg", "gif", "webp"]

DATA: Final = "data:"
FORMATS: Final = "PNG, JPEG, GIF or WebP"
_DECLARED: Final = frozenset({"image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp"})
_URI_HEAD: Final = re.compile(r"data:([A-Za-z0-9.+/-]*)((?:;[A-Za-z0-9=.+_-]+)*?)(;base64)?,", re.IGNORECASE)
LONGEST_HEAD: Final = 200

# JPEG markers that begin a frame and so carry its size; the three that are missing mean something else.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


class BadImage(ValueError):
    """Bytes or text that are no image that is taken; the message goes on from "the image"."""


class BadFormat(BadImage):
    """An image perhaps, of a format that is not taken."""


class BadBase64(BadImage):
    """A data URI that does not decode."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the head of an image says of it; sides in pixels."""

    format: Format
    width: int
    height: int


def read_picture(data: bytes) -> Picture:
    """The picture that these bytes begin; raises BadImage."""
    for magic, kind, read in _KINDS:
        if magic.match(data):
            size = read(data)
            if size is None:
                raise BadImage("ends before it says how large it is")
            if 0 in size:
                raise BadImage("has no pixels")
            return Picture(kind, *size)
    if not data:
        raise BadImage("is empty")
    raise BadFormat(f"is neither {FORMATS}: its first bytes say so")


def decode_data_uri(uri: str) -> bytes:
    """The bytes in a data URI of an image; raises BadImage."""
    head = _URI_HEAD.match(uri, 0, LONGEST_HEAD)
    if head is None or head[3] is None:
        raise BadBase64('must be written "data:image/png;base64," and then the bytes in base64')
    if head[1].lower() not in _DECLARED:
        raise BadFormat(
            f"is declared as '{head[1][:40]}'; taken are image/png, image/jpeg, image/gif and image/webp"
        )
    try:
        return binascii.a2b_base64(uri[head.end() :], strict_mode=True)
    except ValueError as error:
        raise BadBase64(
            f"is not base64 of the standard alphabet, with its padding and without spaces: {error}"
        ) from error


def declared_format(uri: str) -> str:
    """The format that a data URI says that its image has."""
    kind = uri[len(DATA) + len("image/") :].partition(";")[0].lower()
    return "jpeg" if kind == "jpg" else kind


def decoded_size(uri: str) -> int:
    """At least how many bytes a data URI holds, reckoned from its length."""
    return max(0, len(uri) - LONGEST_HEAD) * 3 // 4


def data_uri(kind: Format, data: bytes) -> str:
    """An image as a data URI."""
    return f"data:image/{kind};base64,{binascii.b2a_base64(data, newline=False).decode('ascii')}"


Size = tuple[int, int]


def _png(data: bytes) -> Size | None:
    """The IHDR chunk comes first."""
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _gif(data: bytes) -> Size | None:
    if len(data) < 10:
        return None
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


def _jpeg(data: bytes) -> Size | None:
    for marker, at in _segments(data):
        if marker in _FRAMES:
            frame = data[at + 3 : at + 7]
            if len(frame) < 4:
                return None
            return int.from_bytes(frame[2:], "big"), int.from_bytes(frame[:2], "big")
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The markers before the scan, each with the place of its length."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        at += 2
        if marker in _ALONE:
            continue
        if marker in {0xD9, 0xDA}:  # the end, or the scan: whatever follows is no head
            return
        yield marker, at
        at += max(2, int.from_bytes(data[at : at + 2], "big"))


def _webp(data: bytes) -> Size | None:
    """Lossy, lossless or extended: the first chunk tells."""
    chunk = data[12:16]
    if len(data) < 30 and not (chunk == b"VP8L" and len(data) >= 25):
        return None
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


_KINDS: Final[tuple[tuple[re.Pattern[bytes], Format, Callable[[bytes], Size | None]], ...]] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png", _png),
    (re.compile(rb"\xff\xd8\xff"), "jpeg", _jpeg),
    (re.compile(rb"GIF8[79]a"), "gif", _gif),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp", _webp),
)
