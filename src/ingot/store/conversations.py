"""The statements about conversations: made, found, relabelled, appended to, read in order, deleted.

    append   the conversation's row is taken, and with it the places of all that is appended; then the items
    delete   the row goes, then its items: who appends at that moment finds no row and has appended nothing

Every statement that finds a conversation is bound to an organization, and so is the one that finds an item in any of them;
those about the items of one are for who has found it.
Two that append at once wait for each other at the row, so that all see one order. Nothing expires here: a conversation
stays until somebody deletes it, or its organization is deleted.

Plain functions over a connection; who calls decides about transactions, and about who may see what.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, delete, func, insert, literal_column, select, update

from ingot.store.responses import is_plain
from ingot.store.schema import conversation_items, conversations, organizations

_c = conversations.c
_i = conversation_items.c


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its items; the instant in microseconds."""

    id: str
    created_at: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Kept:
    """An item of a conversation: its place in the order, its id, and the JSON object that it is."""

    place: int
    id: str
    item: bytes
    maker: str | None = None
    """The target that gave it; None where the client sent it."""


_FIND = select(_c.id, _c.created_at, _c.metadata).where(
    _c.org_id == bindparam("org"), _c.id == bindparam("which")
)
_APPEND = (
    update(conversations)
    .where(_c.org_id == bindparam("org"), _c.id == bindparam("which"))
    .values(appended=_c.appended + bindparam("count"))
    .returning(_c.appended)
)
_ITEM = select(_i.place, _i.id, _i.item).where(
    _i.conversation_id == bindparam("which"), _i.id == bindparam("item_id")
)
_ALL = select(_i.place, _i.id, _i.item, _i.maker).where(_i.conversation_id == bindparam("which"))
_ANYWHERE = (
    select(_i.place, _i.id, _i.item, _i.maker)
    .where(_i.org_id == bindparam("org"), _i.id == bindparam("item_id"))
    .order_by(_i.conversation_id.desc())
    .limit(1)
)
_WEIGHT = select(func.coalesce(func.sum(func.length(_i.item)), 0)).where(
    _i.conversation_id == bindparam("which")
)


def insert_conversation(conn: Connection, org_id: str, row: Conversation) -> None:
    """Adds a conversation without items."""
    values = {
        "id": row.id,
        "org_id": org_id,
        "created_at": row.created_at,
        "metadata": _text(row.metadata),
    }
    conn.execute(insert(conversations), values)


def find_conversation(conn: Connection, org_id: str, which: str) -> Conversation | None:
    """The organization's conversation with this id."""
    if not is_plain(which):
        return None
    row = conn.execute(_FIND, {"org": org_id, "which": which}).first()
    if row is None:
        return None
    metadata = {} if row.metadata is None else msgspec.json.decode(row.metadata, type=dict[str, str])
    return Conversation(row.id, row.created_at, metadata)


def relabel_conversation(conn: Connection, org_id: str, which: str, *, metadata: Mapping[str, str]) -> None:
    """Puts new metadata in place of the old."""
    own = (_c.org_id == org_id, _c.id == which)
    conn.execute(update(conversations).where(*own).values(metadata=_text(metadata)))


def delete_conversation(conn: Connection, org_id: str, which: str) -> bool:
    """Removes a conversation and all its items; False where there is none."""
    if not is_plain(which):
        return False
    gone = conn.execute(delete(conversations).where(_c.org_id == org_id, _c.id == which)).rowcount == 1
    if gone:
        conn.execute(delete(conversation_items).where(_i.conversation_id == which))
    return gone


def take_places(conn: Connection, org_id: str, which: str, *, count: int) -> int | None:
    """The first of `count` places at the end; None where there is no such conversation.

    Until the commit all others who append here wait.
    """
    if not is_plain(which):
        return None
    after: int | None = conn.execute(_APPEND, {"org": org_id, "which": which, "count": count}).scalar()
    return None if after is None else after - count


def taken_ids(conn: Connection, which: str, ids: Collection[str]) -> set[str]:
    """Which of these ids items of the conversation have already."""
    query = select(_i.id).where(_i.conversation_id == which, _i.id.in_(sorted(ids)))
    return set(conn.execute(query).scalars()) if ids else set()


def insert_items(conn: Connection, which: str, items: Sequence[Kept], *, org_id: str) -> None:
    """Adds items at the places that were taken for them, to a conversation of this organization."""
    rows = [
        {
            "org_id": org_id,
            "conversation_id": which,
            "place": each.place,
            "id": each.id,
            "item": each.item,
            "maker": each.maker,
        }
        for each in items
    ]
    if rows:
        conn.execute(insert(conversation_items), rows)


def find_item(conn: Connection, which: str, item_id: str) -> Kept | None:
    """The item of the conversation with this id."""
    if not is_plain(item_id):
        return None
    row = conn.execute(_ITEM, {"which": which, "item_id": item_id}).first()
    return None if row is None else _kept(row)


def find_item_anywhere(conn: Connection, org_id: str, item_id: str) -> Kept | None:
    """The item with this id in the organization's newest conversation that has one."""
    if not is_plain(item_id):
        return None
    row = conn.execute(_ANYWHERE, {"org": org_id, "item_id": item_id}).first()
    return None if row is None else Kept(row.place, row.id, bytes(row.item), row.maker)


def list_items(
    conn: Connection, which: str, *, after: int | None, limit: int, descending: bool, room: int
) -> tuple[list[Kept], bool]:
    """The next items after a place, newest or oldest first, and whether more follow.

    At most `limit` of them, and no more than `room` bytes where it is more than one.
    """
    order = _i.place.desc() if descending else _i.place
    sizes = select(_i.place, func.length(_i.item).label("size")).where(_i.conversation_id == which)
    if after is not None:
        sizes = sizes.where(_i.place < after if descending else _i.place > after)
    found = conn.execute(sizes.order_by(order).limit(limit + 1)).all()
    places: list[int] = []
    for row in found[:limit]:
        room -= row.size
        if places and room < 0:
            break
        places.append(row.place)
    query = select(_i.place, _i.id, _i.item).where(_i.conversation_id == which, _i.place.in_(places))
    items = [_kept(row) for row in conn.execute(query.order_by(order))] if places else []
    return items, len(items) < len(found)


def weigh(conn: Connection, which: str) -> int:
    """The bytes of all items of the conversation."""
    return int(conn.execute(_WEIGHT, {"which": which}).scalar_one())


def read_items(conn: Connection, which: str) -> list[Kept]:
    """All items of the conversation in their order."""
    rows = conn.execute(_ALL.order_by(_i.place), {"which": which})
    return [Kept(row.place, row.id, bytes(row.item), row.maker) for row in rows]


def delete_item(conn: Connection, which: str, item_id: str) -> bool:
    """Removes an item; False where there is none."""
    if not is_plain(item_id):
        return False
    own = (_i.conversation_id == which, _i.id == item_id)
    return conn.execute(delete(conversation_items).where(*own)).rowcount == 1


def erase_conversations(conn: Connection, org_id: str, *, most: int) -> int:
    """Removes an organization's conversations and items, at most `most` rows; how many there were."""
    of_org = select(_i.conversation_id, _i.place).join(conversations, _c.id == _i.conversation_id)
    found = conn.execute(of_org.where(_c.org_id == org_id).limit(most)).all()
    for which in {row.conversation_id for row in found}:
        places = [row.place for row in found if row.conversation_id == which]
        conn.execute(delete(conversation_items).where(_i.conversation_id == which, _i.place.in_(places)))
    if len(found) == most:
        return most
    ids = conn.execute(select(_c.id).where(_c.org_id == org_id).limit(most - len(found))).scalars().all()
    if ids:
        conn.execute(delete(conversations).where(_c.id.in_(ids)))
        # What was appended a moment ago; whoever comes later finds no conversation.
        conn.execute(delete(conversation_items).where(_i.conversation_id.in_(ids)))
    return len(found) + len(ids)


def organizations_with_conversations(conn: Connection) -> list[str]:
    """The deleted organizations of which conversations are still kept."""
    left: Select[Any] = (
        select(literal_column("1")).where(_c.org_id == organizations.c.id).correlate(organizations)
    )
    query = select(organizations.c.id).where(organizations.c.deleted_at.is_not(None), left.exists())
    return list(conn.execute(query).scalars())


def _kept(row: Any) -> Kept:
    return Kept(row.place, row.id, bytes(row.item))


def _text(metadata: Mapping[str, str]) -> str | None:
    return msgspec.json.encode(metadata).decode() if metadata else None
