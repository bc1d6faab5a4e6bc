"""Files that requests name by their ids: found among their organization's, and read before a target is asked.

    find      once a request is known: each is there and is the caller's; counts and sizes are what may be sent
    put_in    once it is admitted: their bytes in place of the ids, images judged as if they had been sent

What belongs to somebody else, has expired or was deleted cannot be told from what never was. What is stored of the request
keeps the ids. Knows no wire format; where a file stands is the dialect's to say.
"""

import asyncio
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from msgspec.structs import replace

from ingot.catalog import Deployment
from ingot.config import Config
from ingot.dialects.attached import PDF
from ingot.dialects.dialect import Attachment, Call, Content, Dialect
from ingot.errors import InvalidRequest, NotFound, Overloaded, TooLarge
from ingot.images import BadImage, read_picture
from ingot.rawjson import clip
from ingot.services.files import Files
from ingot.services.images import Images, refusal, refuse_unread
from ingot.store.files import FileRow

MOST: Final = 100
"""Files of one request that are no images."""

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_TYPES: Final = {
    ".csv": "text/csv",
    ".htm": "text/html",
    ".html": "text/html",
    ".md": "text/markdown",
    ".xml": "text/xml",
    ".doc": "application/msword",
    ".docx": f"{_OFFICE}wordprocessingml.document",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ppt": "application/vnd.ms-powerpoint",
    ".pptx": f"{_OFFICE}presentationml.presentation",
    ".xls": "application/vnd.ms-excel",
    ".xlsx": f"{_OFFICE}spreadsheetml.sheet",
}
"""By the end of a name; the standard library's table is another one with each release."""


class Attachments:
    """Finds and reads; one for a process."""

    def __init__(self, files: Files, images: Images, config: Config) -> None:
        self._files = files
        self._images = images
        self._bounds = config.images
        self._body_bytes = config.limits.image_body_bytes

    async def find(self, call: Call, org_id: str, deployment: Deployment) -> Call:
        """The call with what its files add to it; raises ClientError for the first that is not taken. Reads no file."""
        return (await self._find(call, org_id, deployment))[0]

    async def _find(self, call: Call, org_id: str, deployment: Deployment) -> tuple[Call, dict[str, FileRow]]:
        images = [file for file in call.files if file.kind == "image"]
        refuse_unread(call, deployment)
        _check_count(images, most=self._bounds.most - len(call.images), kind="images")
        _check_count([file for file in call.files if file.kind == "file"], most=MOST, kind="files")
        rows = await self._files.named(org_id, {file.id for file in call.files})
        total = held = 0
        for file in call.files:
            row = rows.get(file.id)
            if row is None:
                raise _missing(file)
            self._check_size(file, row)
            held += row.bytes if file.kind == "file" else 0
            if held > self._files.limits.inline_bytes:
                raise _too_large(
                    file, f"The files have more than {self._files.limits.inline_bytes:,} bytes together"
                )
            total += encoded_size(row.bytes)
            if len(call.body.data) + total > self._body_bytes:
                raise TooLarge(
                    f"With the file at '{file.field}' the request has more than {self._body_bytes:,} bytes. Name fewer or "
                    "smaller files.",
                    param=file.field,
                )
        return replace(call, attached=total), rows

    async def put_in(self, call: Call, org_id: str, deployment: Deployment, *, dialect: Dialect) -> Call:
        """The call as a target gets it; raises ClientError, or Overloaded where the disk fails."""
        # Once more: a job may have waited for long, and a file may be gone.
        call, rows = await self._find(call, org_id, deployment)
        made = await asyncio.to_thread(self._put_in, call, rows, dialect)
        if any(file.kind == "image" for file in call.files):
            await self._images.check(made, deployment)
        return made

    def _put_in(self, call: Call, rows: dict[str, FileRow], dialect: Dialect) -> Call:
        read: dict[str, bytes] = {}
        contents: dict[Attachment, Content] = {}
        for file in call.files:
            row = rows[file.id]
            if file.id not in read:
                read[file.id] = self._read(file, row)
            contents[file] = _content(file, row, read[file.id])
        if dialect.attach is None:
            raise LookupError(dialect.name)
        return dialect.attach(call, contents)

    def _read(self, file: Attachment, row: FileRow) -> bytes:
        try:
            return self._files.blobs.path(row.id).read_bytes()
        except FileNotFoundError as error:
            raise _missing(file) from error
        except OSError as error:
            raise Overloaded(
                "The disk that files are kept on failed, so the request was not run. Send it again later; if it stays so, "
                "the operator has to look at it.",
                code="storage_unavailable",
                retry_after=30.0,
            ) from error

    def _check_size(self, file: Attachment, row: FileRow) -> None:
        if file.kind == "image" and row.bytes > self._bounds.image_bytes:
            raise InvalidRequest(
                f"The image at '{file.field}' has more than {self._bounds.image_bytes:,} bytes. Send a smaller image.",
                param=file.field,
                code="image_file_too_large",
            )
        if file.kind == "file" and row.bytes > self._files.limits.inline_bytes:
            most = self._files.limits.inline_bytes
            raise _too_large(file, f"The file at '{file.field}' has more than {most:,} bytes")


def encoded_size(size: int) -> int:
    """Bytes of so many in base64."""
    return (size + 2) // 3 * 4


def _content(file: Attachment, row: FileRow, data: bytes) -> Content:
    """What a file is, by its bytes first."""
    if file.kind == "image":
        try:
            return Content(data, f"image/{read_picture(data).format}", row.filename)
        except BadImage as error:
            raise refusal(file, error) from error
    return Content(data, media_type_of(data, row.filename), row.filename)


def media_type_of(data: bytes, filename: str) -> str:
    """PDF by its first bytes, text where all of it is; else what the name says."""
    if data.startswith(b"%PDF-"):
        return PDF
    told = _TYPES.get(PurePath(filename).suffix.lower(), "")
    try:
        data.decode()
    except UnicodeDecodeError:
        return told if told.startswith("application/") else "application/octet-stream"
    return told if told.startswith("text/") else "text/plain"


def _check_count(files: Sequence[Attachment], *, most: int, kind: str) -> None:
    if len(files) > max(most, 0):
        raise InvalidRequest(
            f"The request names more {kind} by their ids than are taken: here {max(most, 0)} at most.",
            param=files[max(most, 0)].field,
            code="array_above_max_length",
        )


def _missing(file: Attachment) -> NotFound:
    return NotFound(
        f"The file '{clip(file.id)}' at '{file.field}' does not exist: upload it with /v1/files, and name it by the id that "
        "it gets there.",
        param=file.field,
        code="file_not_found",
    )


def _too_large(file: Attachment, what: str) -> InvalidRequest:
    return InvalidRequest(f"{what}. Send smaller files.", param=file.field, code="file_too_large")
