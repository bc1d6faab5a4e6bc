"""Conversations of an organization: made, read, relabelled and deleted, with the items that they keep in order.

A conversation is there until somebody deletes it: it does not expire, and neither do its items. Where prompts and
answers are kept out of the store, by the server or by the organization, there is nothing that it could hold, and none is
made. What belongs to somebody else and what was deleted cannot be told from what never was.

Bodies come and go as JSON. Knows no HTTP; who asks is known before.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.config import StoreConfig
from ingot.dialects import conversations as wire
from ingot.dialects.conversations import ConversationDeleted, ConversationObject
from ingot.dialects.item_checks import duplicate
from ingot.dialects.items import Item, encode_item
from ingot.errors import InvalidRequest, NotFound, Unauthenticated, Unsupported
from ingot.ids import new_id, ordered_id
from ingot.rawjson import clip
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.services.keys import Principal
from ingot.store import conversations as store
from ingot.store.conversations import Conversation, Kept
from ingot.store.database import Database
from ingot.store.organizations import organization
from ingot.store.schema import micros, seconds

PAGE_BYTES = 4 * 1024 * 1024
"""What the items of one page may weigh; a page of one is never too heavy."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """Which part of the items a list shows, and what of them; `after` is an item's id."""

    after: str | None = None
    limit: int = 20
    descending: bool = True
    include: Collection[str] = ()


class Conversations:
    """The conversations of one database."""

    def __init__(self, db: Database, *, clock: Clock, content: bool) -> None:
        """`content` says whether this server keeps prompts and answers at all."""
        self._db = db
        self._clock = clock
        self._content = content

    async def create(
        self, who: Principal, body: Mapping[str, Any], *, keep: Keep[bytes] = keep_nothing
    ) -> bytes:
        """A new conversation; raises InvalidRequest, Unsupported."""
        check_storage(who, content=self._content)
        wanted = wire.decode_create(dict(body), new_id=new_id)
        now = self._clock.now()
        row = Conversation(ordered_id("conv", now), micros(now), wanted.metadata)

        def write(conn: Connection) -> bytes:
            _check_organization(conn, who.org_id)
            store.insert_conversation(conn, who.org_id, row)
            _append(conn, who.org_id, row.id, wanted.items)
            return _render(row)

        return await self._write(who, kept(write, keep))

    async def read(self, who: Principal, which: str) -> bytes:
        """The conversation; raises NotFound."""
        return await self._db.read(lambda conn: _render(_find(conn, who.org_id, which)))

    async def update(self, who: Principal, which: str, body: Mapping[str, Any]) -> bytes:
        """The conversation with new metadata in place of the old; raises NotFound, InvalidRequest, Unsupported."""
        metadata = wire.decode_update(dict(body))

        def write(conn: Connection) -> bytes:
            _find(conn, who.org_id, which)
            store.relabel_conversation(conn, who.org_id, which, metadata=metadata)
            return _render(_find(conn, who.org_id, which))

        return await self._write(who, write)

    async def delete(self, who: Principal, which: str) -> bytes:
        """Removes it for good, with all its items; raises NotFound."""

        def write(conn: Connection) -> bytes:
            if not store.delete_conversation(conn, who.org_id, which):
                raise missing_conversation(which)
            return wire.encode(ConversationDeleted(which))

        return await self._write(who, write)

    async def add(
        self,
        who: Principal,
        which: str,
        body: Mapping[str, Any],
        *,
        include: Collection[str] = (),
        keep: Keep[bytes] = keep_nothing,
    ) -> bytes:
        """Appends items, and tells them as a list; raises NotFound, InvalidRequest, Unsupported."""
        check_storage(who, content=self._content)
        items = wire.decode_items(dict(body), new_id=new_id)

        def write(conn: Connection) -> bytes:
            _check_organization(conn, who.org_id)
            rows = _append(conn, who.org_id, which, items)
            return wire.render_items([(row.id, row.item) for row in rows], include, more=False)

        return await self._write(who, kept(write, keep))

    async def items(self, who: Principal, which: str, page: ItemsPage) -> bytes:
        """A page of the items; raises NotFound, InvalidRequest."""

        def read(conn: Connection) -> bytes:
            _find(conn, who.org_id, which)
            rows, more = store.list_items(
                conn,
                which,
                after=None if page.after is None else _place(conn, which, page.after),
                limit=page.limit,
                descending=page.descending,
                room=PAGE_BYTES,
            )
            return wire.render_items([(row.id, row.item) for row in rows], page.include, more=more)

        return await self._db.read(read)

    async def item(self, who: Principal, which: str, item_id: str, *, include: Collection[str] = ()) -> bytes:
        """One item; raises NotFound."""

        def read(conn: Connection) -> bytes:
            _find(conn, who.org_id, which)
            found = store.find_item(conn, which, item_id)
            if found is None:
                raise _missing_item(which, item_id)
            return wire.render_item(found.item, include)

        return await self._db.read(read)

    async def delete_item(self, who: Principal, which: str, item_id: str) -> bytes:
        """Removes an item for good, and tells the conversation, as OpenAI does; raises NotFound."""

        def write(conn: Connection) -> bytes:
            found = _find(conn, who.org_id, which)
            if not store.delete_item(conn, which, item_id):
                raise _missing_item(which, item_id)
            return _render(found)

        return await self._write(who, write)

    async def _write(self, who: Principal, work: Callable[[Connection], T]) -> T:
        return await self._db.write(work, locks=(who.org_id,))


def keeps_content(store: StoreConfig) -> bool:
    """Whether this server keeps prompts and answers at all."""
    return store.content and store.records


def check_storage(who: Principal, *, content: bool, param: str | None = None) -> None:
    """Raises Unsupported where no conversation can hold anything; `content`: the server keeps prompts and answers."""
    if not (content and who.grant.keep_content):
        by = "its organization" if content else "this server"
        raise Unsupported(
            f"A conversation cannot hold anything: {by} keeps prompts and answers out of the store. Send what came "
            f"before in 'input' instead.",
            param=param,
            code="storage_off",
        )


def missing_conversation(which: str, *, param: str | None = None) -> NotFound:
    """The one answer for a conversation that is not there, was deleted, or is somebody else's."""
    return NotFound(f"No conversation has the id '{clip(which)}'.", param=param)


def _check_organization(conn: Connection, org_id: str) -> None:
    """Nothing is kept for an organization that was deleted while the request was on its way."""
    if organization(conn, org_id) is None:
        raise Unauthenticated("The organization of this API key was deleted.")


def _find(conn: Connection, org_id: str, which: str) -> Conversation:
    found = store.find_conversation(conn, org_id, which)
    if found is None:
        raise missing_conversation(which)
    return found


def _append(conn: Connection, org_id: str, which: str, items: Sequence[Item]) -> list[Kept]:
    first = store.take_places(conn, org_id, which, count=len(items))
    if first is None:
        raise missing_conversation(which)
    taken = store.taken_ids(conn, which, [item.id for item in items])
    for index, item in enumerate(items):
        if item.id in taken:
            raise duplicate(item.id, f"items[{index}].id")
    rows = [Kept(first + index, item.id, encode_item(item.value)) for index, item in enumerate(items)]
    store.insert_items(conn, which, rows, org_id=org_id)
    return rows


def _place(conn: Connection, which: str, item_id: str) -> int:
    found = store.find_item(conn, which, item_id)
    if found is None:
        raise InvalidRequest(
            "'after' names no item of this conversation; take it from the page before.", param="after"
        )
    return found.place


def _missing_item(which: str, item_id: str) -> NotFound:
    return NotFound(f"The conversation '{clip(which)}' holds no item with the id '{clip(item_id)}'.")


def _render(row: Conversation) -> bytes:
    return wire.encode(
        ConversationObject(id=row.id, created_at=seconds(row.created_at), metadata=row.metadata)
    )
