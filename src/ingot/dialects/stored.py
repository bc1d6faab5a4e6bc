"""Stored chat completions as OpenAI's clients read them: the object, its messages, lists of both, an update, a deletion.

Everything that was kept goes out with the bytes it was kept with; only `id`, `object` and `metadata` are set. Decides
nothing about who may read what, and knows no store. Source: contract §2.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ingot import rawjson
from ingot.dialects.chat_request import Metadata, Rows
from ingot.dialects.complaint import complain
from ingot.errors import InvalidRequest

_encode = msgspec.json.Encoder().encode
_OBJECT = _encode("chat.completion")


class UpdateRequest(Rows, frozen=True, kw_only=True):
    """The body of an update: metadata takes the place of what was there, null clears it."""

    metadata: Metadata | None


class Deleted(msgspec.Struct, frozen=True):
    """The answer to a deletion."""

    id: str
    object: str = "chat.completion.deleted"
    deleted: bool = True


class _Asked(msgspec.Struct):
    messages: list[dict[str, msgspec.Raw]]


_asked = msgspec.json.Decoder(_Asked)


def decode_update(data: bytes) -> dict[str, str]:
    """The new metadata; raises InvalidRequest."""
    value = rawjson.parse(data).value
    try:
        metadata = msgspec.convert(value, UpdateRequest).metadata
    except msgspec.ValidationError as error:
        raise complain(error, value, UpdateRequest) from error
    return read_metadata(metadata)


def read_metadata(metadata: dict[str, str] | None) -> dict[str, str]:
    """The pairs to keep; raises InvalidRequest for what not every database can store."""
    for name, text in (metadata or {}).items():
        if "\0" in name + text:
            raise InvalidRequest(
                "A key or value of 'metadata' holds the character U+0000, which not every database can store.",
                param="metadata",
            )
    return metadata or {}


def render_completion(answer: bytes, *, shown: str, metadata: Mapping[str, str]) -> bytes:
    """The completion under the id `shown`; raises ValueError where `answer` is no JSON object."""
    own = {"id": _encode(shown), "object": _OBJECT, "metadata": _encode(metadata)}
    return rawjson.splice_bytes(answer, replace=own)


def render_messages(request: bytes, *, shown: str) -> list[tuple[str, bytes]]:
    """The messages that were asked with, each with its id: that of the completion, and its place."""
    messages = _asked.decode(request).messages
    return [_render_message(f"{shown}-{place}", message) for place, message in enumerate(messages)]


def render_list(items: Sequence[tuple[str, bytes]], *, more: bool) -> bytes:
    """A page of a list: ids and objects."""
    ends = (items[0][0], items[-1][0]) if items else (None, None)
    return b'{"object":"list","data":[%b],"first_id":%b,"last_id":%b,"has_more":%b}' % (
        b",".join(item for _, item in items),
        *map(_encode, ends),
        _encode(more),
    )


def _render_message(shown: str, message: dict[str, msgspec.Raw]) -> tuple[str, bytes]:
    """A text stays the content; an array of parts moves to `content_parts`, as the contract has it."""
    return shown, _encode(dict(_members(shown, message)))


def _members(shown: str, message: dict[str, msgspec.Raw]) -> Iterator[tuple[str, Any]]:
    content = message.get("content")
    parts = content is not None and bytes(content).lstrip().startswith(b"[")
    yield "id", shown
    yield "role", message.get("role")
    yield "content", None if parts else content
    yield "name", message.get("name")
    yield "content_parts", content if parts else None
    for name, value in message.items():
        if name not in {"id", "role", "content", "name", "content_parts"}:
            yield name, value
