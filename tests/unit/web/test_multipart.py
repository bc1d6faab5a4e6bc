"""Forms whose file goes to disk: the same whatever the pieces that they come in."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from ingot.errors import InvalidRequest, TooLarge
from ingot.store.blobs import Blobs
from ingot.web.exchange import ClientGone
from ingot.web.multipart import Form, read_form

BOUNDARY = "bound"


def _form(data: bytes) -> bytes:
    """A form with a file between two fields."""
    return (
        b'--bound\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--bound\r\nContent-Disposition: form-data; name="file"; filename="n\xc3\xa4me.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n" + data + b"\r\n"
        b'--bound\r\nContent-Disposition: form-data; name="note"\r\n\r\nab\r\n--bound--\r\n'
    )


async def _read(
    pieces: list[bytes], folder: Path, *, most: int = 10_000, cut: bool = False
) -> tuple[Form, bytes]:
    """The form that comes in these pieces, and its file; `cut` where the client leaves behind them."""

    async def messages() -> AsyncIterator[Message]:
        for piece in pieces:
            yield {"type": "http.request", "body": piece, "more_body": True}
        yield (
            {"type": "http.disconnect"} if cut else {"type": "http.request", "body": b"", "more_body": False}
        )

    source = messages()

    async def receive() -> Message:
        return await anext(source)

    head = [(b"content-type", b"multipart/form-data; boundary=" + BOUNDARY.encode())]
    request = Request({"type": "http", "method": "POST", "headers": head}, receive)
    draft = Blobs(folder).begin()
    try:
        form = await read_form(request, draft, name="file", most=most)
        draft.close()
        return form, draft.path.read_bytes()
    finally:
        draft.discard()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=200) | st.just(b"\r\n--boun\r\n--bound-\r\r\n"),
    cuts=st.lists(st.integers(0, 500), max_size=20),
)
async def test_form_is_the_same_when_cut_anywhere(data: bytes, cuts: list[int], tmp_path: Path) -> None:
    """The fields, the name of the file and its bytes do not depend on how the body was cut."""
    body = _form(data)
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    pieces = [body[start:end] for start, end in pairwise(places)]
    form, kept = await _read(pieces, tmp_path)
    assert (form.fields, form.filename, kept) == ({"purpose": "user_data", "note": "ab"}, "näme.txt", data)


async def test_form_is_given_up_when_its_client_leaves(tmp_path: Path) -> None:
    """What came is no form, however much of it there is."""
    with pytest.raises(ClientGone):
        await _read([_form(b"abc")[:-12]], tmp_path, cut=True)


async def test_file_is_refused_when_it_passes_its_bound(tmp_path: Path) -> None:
    """As soon as the byte too much is there, with the rest unread."""
    body = _form(b"x" * 101)
    assert (await _read([_form(b"x" * 100)], tmp_path, most=100))[1] == b"x" * 100
    with pytest.raises(TooLarge):
        await _read([body[:320], body[320:]], tmp_path, most=100)


@pytest.mark.parametrize(
    "body",
    [
        _form(b"abc").replace(b'"note"', b'"purpose"'),
        _form(b"abc").replace(b'"note"', b'"file"; filename="b"'),
        _form(b"abc").replace(b"\r\n\r\nab", b"\r\n\r\n" + b"a" * 4097),
        _form(b"abc").replace(b'name="note"', b"nothing"),
    ],
)
async def test_form_is_refused_when_ambiguous(body: bytes, tmp_path: Path) -> None:
    """A field or file twice, a field without end, a part without a name."""
    with pytest.raises(InvalidRequest):
        await _read([body], tmp_path)
