"""Images for tests: the heads of all four formats as their specifications have them, with as many bytes behind as wanted."""

import base64
import struct
import zlib


def png(width: int = 1, height: int = 1, *, size: int = 0) -> bytes:
    """A whole PNG of one black line repeated; `size` pads it with bytes behind its end."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" * (1 + (width + 7) // 8)) * min(height, 64))
    whole = b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    return whole.ljust(size, b"\0")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif(width: int = 1, height: int = 1) -> bytes:
    """The head of a GIF."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)


def jpeg(width: int = 1, height: int = 1, *, frame: int = 0xC0, before: bytes = b"") -> bytes:
    """A JPEG up to its scan: `before` are segments ahead of the frame, as a camera's EXIF."""
    start = b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0\1\1\0\0\1\0\1\0\0"
    head = bytes((0xFF, frame)) + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    return start + before + head + b"\xff\xda" + struct.pack(">H", 8) + b"\1\1\0\0\x3f\0"


def webp(kind: bytes = b"VP8 ", width: int = 1, height: int = 1) -> bytes:
    """The head of a WebP: lossy (`VP8 `), lossless (`VP8L`) or extended (`VP8X`)."""
    most_x, most_y = max(width, 1) - 1, max(height, 1) - 1
    chunk = {
        b"VP8 ": b"\x10\2\0\x9d\x01\x2a" + struct.pack("<HH", width, height),
        b"VP8L": b"\x2f" + struct.pack("<I", most_x | most_y << 14),
        b"VP8X": b"\0\0\0\0" + most_x.to_bytes(3, "little") + most_y.to_bytes(3, "little"),
    }[kind]
    body = b"WEBP" + kind + struct.pack("<I", len(chunk)) + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """These bytes as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
