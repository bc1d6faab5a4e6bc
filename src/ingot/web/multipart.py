"""A form whose file goes to disk as it comes: at most a piece of it is ever in memory.

Reads `multipart/form-data` with one file and a few short fields, in any order. Decides what a form may look like; what
its fields mean is decided by who asked for it.
"""

from collections.abc import Callable
from typing import Final, Literal

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from ingot.errors import InvalidRequest, TooLarge
from ingot.rawjson import clip
from ingot.services.files import on_disk
from ingot.store.blobs import Draft
from ingot.web.exchange import ClientGone

PIECE: Final = 1024 * 1024
MOST_FIELDS: Final = 32
FIELD_BYTES: Final = 4096

_Event = tuple[Literal["begin", "field", "value", "header", "data", "end"], bytes]


class Form:
    """What came beside the file."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.has_file = False


async def read_form(request: Request, draft: Draft, *, name: str, most: int) -> Form:
    """The fields of a form whose file part is `name`; its bytes are in `draft`, which holds at most `most`.

    Raises InvalidRequest, TooLarge, Overloaded, ClientGone.
    """
    reader = _Reader(draft, name=name, most=most)
    parser = _parser(request, reader)
    try:
        async for piece in request.stream():
            if piece:
                parser.write(piece)
                await reader.digest()
        parser.finalize()
    except ClientDisconnect:
        raise ClientGone from None
    except FormParserError as error:
        raise _malformed(str(error)) from error
    await reader.digest(last=True)
    if not reader.ended:
        raise _malformed("it ends in the middle of a part")
    if not reader.form.has_file:
        raise InvalidRequest(
            f"Missing required parameter: '{name}'. It must be a file, sent as a part of the form.",
            param=name,
            code="missing_required_parameter",
        )
    return reader.form


class _Reader:
    """Collects what the parser tells, and acts on it between two pieces, where it may wait for the disk."""

    def __init__(self, draft: Draft, *, name: str, most: int) -> None:
        self.form = Form()
        self.ended = False
        self._draft = draft
        self._name = name
        self._most = most
        self._events: list[_Event] = []
        self._headers: dict[bytes, bytes] = {}
        self._header = b""
        self._part: str | None = None
        self._text = bytearray()
        self._held = bytearray()

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """For the parser."""

        def note(kind: Literal["field", "value", "data"]) -> Callable[[bytes, int, int], None]:
            return lambda data, start, end: self._events.append((kind, data[start:end]))

        def mark(kind: Literal["begin", "header", "end"]) -> Callable[[], None]:
            return lambda: self._events.append((kind, b""))

        return {
            "on_header_field": note("field"),
            "on_header_value": note("value"),
            "on_header_end": mark("header"),
            "on_headers_finished": mark("begin"),
            "on_part_data": note("data"),
            "on_part_end": mark("end"),
            "on_end": self._end,
        }

    def _end(self) -> None:
        self.ended = True

    async def digest(self, *, last: bool = False) -> None:
        """Acts on what was told; writes where a piece is full."""
        events, self._events = self._events, []
        for kind, data in events:
            self._act(kind, data)
        if len(self._held) >= PIECE or (last and self._held):
            held, self._held = bytes(self._held), bytearray()
            await on_disk(lambda: self._draft.write(held))

    def _act(self, kind: str, data: bytes) -> None:
        if kind == "data":
            self._take(data)
        elif kind == "field":
            self._header += data
        elif kind == "value":
            self._headers[self._header.lower()] = self._headers.get(self._header.lower(), b"") + data
        elif kind == "header":
            self._header = b""
        elif kind == "begin":
            self._begin()
        else:
            self._finish()

    def _begin(self) -> None:
        _, options = parse_options_header(self._headers.pop(b"content-disposition", b""))
        self._headers.clear()
        name = options.get(b"name")
        if name is None:
            raise _malformed("a part of it has no name")
        self._part = name.decode("utf-8", "replace")
        self._text.clear()
        if self._part != self._name:
            if self._part in self.form.fields or len(self.form.fields) >= MOST_FIELDS:
                raise InvalidRequest(
                    f"The form has '{clip(self._part)}' twice, or too many fields.", param=clip(self._part)
                )
            return
        if self.form.has_file:
            raise InvalidRequest(
                f"The form has '{self._name}' twice; send one file at a time.", param=self._name
            )
        self.form.has_file = True
        filename = options.get(b"filename")
        self.form.filename = None if filename is None else filename.decode("utf-8", "replace")

    def _take(self, data: bytes) -> None:
        if self._part == self._name:
            self._held += data
            if self._draft.size + len(self._held) > self._most:
                raise TooLarge(f"'{self._name}' has more than {self._most:,} bytes.", param=self._name)
        else:
            self._text += data
            if len(self._text) > FIELD_BYTES:
                raise InvalidRequest(
                    f"The value of '{clip(self._part or '')}' is longer than {FIELD_BYTES:,} bytes.",
                    param=clip(self._part or ""),
                )

    def _finish(self) -> None:
        if self._part is not None and self._part != self._name:
            self.form.fields[self._part] = self._text.decode("utf-8", "replace")
        self._part = None


def _parser(request: Request, reader: _Reader) -> MultipartParser:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidRequest(
            "The body must be a form: send it as multipart/form-data, with a boundary in its content-type.",
            code="invalid_content_type",
        )
    try:
        return MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]  # its callbacks are a closed TypedDict
    except FormParserError as error:
        raise _malformed(str(error)) from error


def _malformed(why: str) -> InvalidRequest:
    return InvalidRequest(f"The form cannot be read: {why}.", code="invalid_form")
