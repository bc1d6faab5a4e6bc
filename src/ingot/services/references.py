"""Items that a request refers to by their ids alone, wherever their organization keeps them.

    an id made here      tells its response
    any other            the newest response that holds it, which the store has names for
    else                 the newest conversation that has it

An item is found as long as what holds it can be read: not one that was deleted, has expired, was not kept, or is another
organization's. With it comes its maker, so that a target's thoughts go to nobody else. Decides nothing about chains.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from ingot.dialects import responses_state as state
from ingot.dialects.dialect import Past
from ingot.dialects.responses import RESPONSES
from ingot.dialects.responses_items import kind_of
from ingot.errors import PlatformError, TooLarge
from ingot.store import conversations
from ingot.store import responses as store
from ingot.store.names import find_holder
from ingot.store.responses import Exchange

MOST_ITEMS: Final = 2_000

Json = dict[str, Any]

_item: Final = msgspec.json.Decoder(Json)


class Search:
    """A search for items in one read of the store."""

    def __init__(self, conn: Connection, org_id: str, *, now: int, most: int) -> None:
        """`most` are the bytes of all that is read for it."""
        self._conn = conn
        self._org_id = org_id
        self._now = now
        self._most = most
        self._left = most
        self.found: dict[str, Past] = {}

    def look_for(self, ids: Sequence[str]) -> None:
        """Finds what there is of these; raises TooLarge."""
        if len(ids) > MOST_ITEMS:
            raise too_much(self._most)
        self._look_into({item_id: state.holder_of(item_id) for item_id in ids})
        self._look_into({item_id: self._named(item_id) for item_id in self._missing(ids)})
        for item_id in self._missing(ids):
            kept = conversations.find_item_anywhere(self._conn, self._org_id, item_id)
            if kept is not None:
                self._spend(len(kept.item))
                self.found[item_id] = Past(_item.decode(kept.item), kept.maker)

    def _missing(self, ids: Iterable[str]) -> list[str]:
        return [item_id for item_id in ids if item_id not in self.found]

    def _named(self, item_id: str) -> str | None:
        return find_holder(self._conn, self._org_id, item_id, now=self._now)

    def _look_into(self, holders: Mapping[str, str | None]) -> None:
        wanted: dict[str, set[str]] = {}
        for item_id, holder in holders.items():
            if holder is not None:
                wanted.setdefault(holder, set()).add(item_id)
        for holder, ids in wanted.items():
            self._look_into_one(holder, ids)

    def _look_into_one(self, holder: str, ids: set[str]) -> None:
        answered = store.read_answered(self._conn, self._org_id, holder)
        if answered is None or not is_readable(answered, now=self._now):
            return
        self._spend(len(answered.answer or b""))
        self._take((Past(item, answered.target) for item in items_out(answered)), ids)
        if ids <= self.found.keys():
            return
        # Most are an answer's, and a request may hold far more than one.
        request = store.read_part(self._conn, self._org_id, holder, part="request") or b"{}"
        self._spend(len(request))
        asked = items_in(Exchange(answered.head, answered.target, request, None))
        self._take((Past(item) for item in asked[::-1] if kind_of(item, "input") != "item_reference"), ids)

    def _take(self, items: Iterable[Past], ids: set[str]) -> None:
        for past in items:
            name = past.item.get("id")
            if type(name) is str and name in ids:
                self.found.setdefault(name, past)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise too_much(self._most)


def too_much(most: int) -> TooLarge:
    """What is said of references to more than a request may hold."""
    return TooLarge(
        f"What the input refers to is too much: at most {MOST_ITEMS:,} items, and {most:,} bytes together with what comes "
        "before the input, are put in the place of references. Refer to fewer items.",
        param="input",
    )


def is_readable(found: Exchange, *, now: int) -> bool:
    """Whether a stored row is a response that can be read: kept, and neither expired nor deleted."""
    head = found.head
    fresh = head.expires_at is not None and head.expires_at > now
    return head.surface == RESPONSES.name and head.kept and fresh and found.answer is not None


def items_in(link: Exchange) -> list[Json]:
    """The items that a stored response was asked with, each with its id."""
    try:
        return state.items_in(link.request or b"{}", link.head.id)
    except ValueError as error:
        raise unreadable() from error


def items_out(link: Exchange) -> list[Json]:
    """The items that a stored response gave."""
    try:
        return state.items_out(link.answer or b"")
    except ValueError as error:
        raise unreadable() from error


def unreadable() -> PlatformError:
    """What is said where stored content is not what it was."""
    return PlatformError("What was stored cannot be read.")
