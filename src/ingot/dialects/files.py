"""Files and uploads as OpenAI's clients know them: what a request may hold, the objects, lists of them, a deletion.

Decides what a request may say and how everything is written. Knows no store, no disk and nobody's rights.
Source: contract §4.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ingot.dialects.complaint import END, convert, unknown
from ingot.errors import InvalidRequest

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
PURPOSES: Final = (*get_args(Purpose), "batch_output")
"""What lists can be filtered by; the last is of files that the server makes."""

BATCH_DAYS: Final = 30
"""Files for batches go after this time where the client says nothing."""

_encode = msgspec.json.Encoder().encode
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_FORM = ("file", "purpose", _ANCHOR, _SECONDS)

FileName = Annotated[str, Meta(min_length=1, max_length=512)]


class Expiry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a file lives, from the moment it is whole."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3_600, le=2_592_000)]


class CreateFile(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a form beside its file."""

    purpose: Purpose
    expires_after: Expiry | None = None


class CreateUpload(msgspec.Struct, frozen=True, kw_only=True):
    """The body that begins an upload."""

    bytes: Annotated[int, Meta(ge=1)]
    filename: FileName
    mime_type: Annotated[str, Meta(min_length=1, max_length=256)]
    purpose: Purpose
    expires_after: Expiry | None = None


class CompleteUpload(msgspec.Struct, frozen=True, kw_only=True):
    """The body that ends an upload: its parts in their order."""

    part_ids: Annotated[list[str], Meta(min_length=1, max_length=10_000)]
    md5: Annotated[str, Meta(pattern=f"^[0-9a-fA-F]{{32}}{END}")] | None = None


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file; instants in seconds since the epoch."""

    id: str
    object: str = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str = "processed"
    expires_at: int | UnsetType = UNSET


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of files."""

    object: str = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(msgspec.Struct, frozen=True):
    """The answer to a deletion."""

    id: str
    object: str = "file"
    deleted: bool = True


class UploadObject(msgspec.Struct, frozen=True, kw_only=True):
    """An upload; instants in seconds since the epoch."""

    id: str
    object: str = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: str
    file: FileObject | None = None


class UploadPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an upload."""

    id: str
    object: str = "upload.part"
    created_at: int
    upload_id: str


def decode_form(fields: Mapping[str, str]) -> CreateFile:
    """What a form says beside its file; raises InvalidRequest, Unsupported."""
    for name in fields:
        if name not in _FORM:
            raise unknown(name, _FORM)
    value: dict[str, Any] = {name: text for name, text in fields.items() if name == "purpose"}
    if _ANCHOR in fields or _SECONDS in fields:
        value["expires_after"] = {
            **({"anchor": fields[_ANCHOR]} if _ANCHOR in fields else {}),
            **({"seconds": _whole(fields[_SECONDS])} if _SECONDS in fields else {}),
        }
    made: CreateFile = convert(value, CreateFile)
    return made


def decode_upload(value: dict[str, Any]) -> CreateUpload:
    """What an upload will be; raises InvalidRequest, Unsupported."""
    made: CreateUpload = convert(value, CreateUpload)
    return made


def decode_completion(value: dict[str, Any]) -> CompleteUpload:
    """How an upload ends; raises InvalidRequest, Unsupported."""
    made: CompleteUpload = convert(value, CompleteUpload)
    if len(set(made.part_ids)) != len(made.part_ids):
        raise InvalidRequest("'part_ids' names a part twice.", param="part_ids")
    return made


def check_name(filename: str | None) -> str:
    """The name of a file as it is shown; raises InvalidRequest."""
    if not filename:
        raise InvalidRequest(
            "The part 'file' has no file name: send it as filename=\"...\" in its content-disposition.",
            param="file",
        )
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    if not 0 < len(name) <= 512 or "\0" in name:
        raise InvalidRequest("The file's name must have 1 to 512 characters.", param="file")
    return name


def encode(told: msgspec.Struct) -> bytes:
    """One of the objects above."""
    return _encode(told)


def _whole(text: str) -> int | str:
    """A form knows text alone; what is no number is left for the check to complain of."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text
