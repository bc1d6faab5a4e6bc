"""Conversations as OpenAI's clients know them: the bodies of requests, the object, its items, lists of them, a deletion.

Decides what a body may hold and how everything is written. What an item is, is said in `items`. Knows no store, and
nobody's rights. Source: contract §3.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ingot import rawjson
from ingot.dialects.chat_request import Metadata, Rows
from ingot.dialects.complaint import convert
from ingot.dialects.item_checks import read_items
from ingot.dialects.items import Item, cut, encode_item
from ingot.dialects.stored import read_metadata, render_list
from ingot.ids import NewId

MOST_ITEMS: Final = 20

_encode = msgspec.json.Encoder().encode
_item = msgspec.json.Decoder(dict[str, Any])

Items = Annotated[list[dict[str, Any]], Meta(max_length=MOST_ITEMS)]


class CreateConversation(Rows, frozen=True, kw_only=True):
    """The body that makes a conversation."""

    items: Items | None = None
    metadata: Metadata | None = None


class UpdateConversation(Rows, frozen=True, kw_only=True):
    """The body of an update: metadata takes the place of what was there, null clears it."""

    metadata: Metadata | None


class AddItems(Rows, frozen=True, kw_only=True):
    """The body that appends items to a conversation."""

    items: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=MOST_ITEMS)]


class ConversationObject(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation; `created_at` in seconds since the epoch."""

    id: str
    object: str = "conversation"
    created_at: int
    metadata: Mapping[str, str]


class ConversationDeleted(msgspec.Struct, frozen=True):
    """The answer to a deletion."""

    id: str
    object: str = "conversation.deleted"
    deleted: bool = True


class ItemList(msgspec.Struct, frozen=True):
    """A page of items."""

    object: str
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Wanted(msgspec.Struct, frozen=True):
    """What a body asks for: items to keep, and pairs to find the conversation by."""

    items: list[Item]
    metadata: dict[str, str]


def decode_create(value: dict[str, Any], *, new_id: NewId) -> Wanted:
    """What a new conversation begins with; raises InvalidRequest, Unsupported."""
    body = convert(value, CreateConversation)
    items = read_items(body.items, path="items", new_id=new_id) if body.items else []
    return Wanted(items, read_metadata(body.metadata))


def decode_update(value: dict[str, Any]) -> dict[str, str]:
    """The new metadata; raises InvalidRequest, Unsupported."""
    return read_metadata(convert(value, UpdateConversation).metadata)


def decode_items(value: dict[str, Any], *, new_id: NewId) -> list[Item]:
    """The items to append; raises InvalidRequest, Unsupported."""
    return read_items(convert(value, AddItems).items, path="items", new_id=new_id)


def read_body(data: bytes) -> dict[str, Any]:
    """A body as JSON; none at all is an empty object, as every field of a new conversation may be left out."""
    return rawjson.parse(data).value if data.strip() else {}


def render_item(stored: bytes, include: Collection[str]) -> bytes:
    """An item as a client sees it."""
    return encode_item(cut(_item.decode(stored), include))


def render_items(items: Sequence[tuple[str, bytes]], include: Collection[str], *, more: bool) -> bytes:
    """A page of items, by their ids."""
    return render_list([(name, render_item(stored, include)) for name, stored in items], more=more)


def encode(told: msgspec.Struct) -> bytes:
    """One of the objects above."""
    return _encode(told)
