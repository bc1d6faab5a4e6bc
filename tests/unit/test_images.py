"""What an image is, told from its first bytes."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.images import (
    BadBase64,
    BadFormat,
    BadImage,
    Picture,
    data_uri,
    decode_data_uri,
    decoded_size,
    read_picture,
)
from pictures import data_uri as uri_of
from pictures import gif, jpeg, png, webp

EXIF = b"\xff\xe1" + (2 + 600).to_bytes(2, "big") + b"Exif\0\0" + jpeg(160, 120).ljust(594, b"\0")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (png(640, 480), "png"),
        (gif(640, 480), "gif"),
        (b"GIF87a" + gif(640, 480)[6:], "gif"),
        (jpeg(640, 480), "jpeg"),
        (jpeg(640, 480, frame=0xC2), "jpeg"),
        (jpeg(640, 480, before=EXIF), "jpeg"),
        (jpeg(640, 480, before=b"\xff" + EXIF + b"\xff\xff\xfe\0\3x"), "jpeg"),
        (webp(b"VP8 ", 640, 480), "webp"),
        (webp(b"VP8L", 640, 480), "webp"),
        (webp(b"VP8X", 640, 480), "webp"),
    ],
)
def test_read_picture_when_it_is_one(data: bytes, kind: str) -> None:
    """Each format gives its size, also behind a camera's thumbnail and fill bytes."""
    assert read_picture(data) == Picture(kind, 640, 480)  # type: ignore[arg-type]  # a parameter's text


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"BM" + bytes(60),
        b"II*\0" + bytes(60),
        b"RIFF\0\0\0\0WAVEfmt ",
        b"%PDF-1.7",
        b"\0\0\0\x1cftypavif",
        b" " + png(),
        b"\x89PNG\n\x1a\n",
        b"{}",
    ],
)
def test_read_picture_when_it_is_something_else(data: bytes) -> None:
    """What is no PNG, JPEG, GIF or WebP by its first bytes is refused, whatever it says of itself."""
    with pytest.raises(BadFormat, match="neither PNG, JPEG, GIF or WebP"):
        read_picture(data)


@pytest.mark.parametrize(
    "whole", [png(9, 9), gif(9, 9), jpeg(9, 9), webp(b"VP8 ", 9, 9), webp(b"VP8L", 9, 9)]
)
def test_read_picture_when_it_is_cut(whole: bytes) -> None:
    """A head that is cut anywhere is refused, or was whole enough to tell the size."""
    for end in range(len(whole)):
        try:
            assert read_picture(whole[:end]) == read_picture(whole)
        except BadImage as error:
            assert str(error)  # noqa: PT017  # either outcome is right, and no other exception
    assert read_picture(whole).width == 9


@pytest.mark.parametrize("data", [png(0, 9), gif(9, 0), jpeg(0, 9), webp(b"VP8 ", 0, 9)])
def test_read_picture_when_a_side_is_zero(data: bytes) -> None:
    """An image without pixels is none."""
    with pytest.raises(BadImage, match="no pixels"):
        read_picture(data)


@given(st.binary(max_size=80), st.sampled_from([png(), gif(), jpeg(), webp(), b""]), st.integers(0, 40))
def test_read_picture_when_bytes_are_hostile(noise: bytes, start: bytes, cut: int) -> None:
    """Whatever follows a magic, the answer is a picture or a refusal."""
    try:
        picture = read_picture(start[:cut] + noise)
    except BadImage:
        return
    assert picture.width > 0 < picture.height


@given(st.binary(max_size=300))
def test_decode_data_uri_when_it_was_made_here(data: bytes) -> None:
    """The bytes come back, and the size that is reckoned from the length never exceeds theirs."""
    uri = data_uri("png", data)
    assert decode_data_uri(uri) == data
    assert decoded_size(uri) <= len(data)


def test_decode_data_uri_when_written_otherwise() -> None:
    """Types and scheme in any case, the common `image/jpg`, and parameters are taken."""
    text = base64.b64encode(b"x").decode()
    for head in ("data:image/jpg;base64", "DATA:IMAGE/PNG;BASE64", "data:image/webp;charset=utf-8;base64"):
        assert decode_data_uri(f"{head},{text}") == b"x"


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("data:image/png,AAAA", BadBase64),
        ("data:image/png;base64AAAA", BadBase64),
        ("data:", BadBase64),
        ("data:image/png;base64,A", BadBase64),
        ("data:image/png;base64,AAA", BadBase64),
        ("data:image/png;base64,AA==AA==", BadBase64),
        ("data:image/png;base64,AA AA", BadBase64),
        ("data:image/png;base64,AA\nAA", BadBase64),
        ("data:image/png;base64,A_-A", BadBase64),
        ("data:image/png;base64,AA%3D%3D", BadBase64),
        ("data:image/png;base64,äAAA", BadBase64),
        ("data:image/svg+xml;base64,AAAA", BadFormat),
        ("data:text/html;base64,AAAA", BadFormat),
        ("data:;base64,AAAA", BadFormat),
        (f"data:image/png;{'a=b;' * 100}base64,AAAA", BadBase64),
    ],
)
def test_decode_data_uri_when_it_is_wrong(uri: str, kind: type[BadImage]) -> None:
    """Base64 is read strictly, and only the four types may be declared."""
    with pytest.raises(kind) as caught:
        decode_data_uri(uri)
    assert type(caught.value) is kind


def test_decoded_size_when_large() -> None:
    """A large data URI is known to be one without being decoded."""
    assert decoded_size(uri_of(png(size=1_000_000))) > 999_000
