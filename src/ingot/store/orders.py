"""What requests ordered to be told when they are done, until their answers are there; and what of that could not be taken.

    insert_order --> take_orders, in the transaction of the answer          taken
                 '-> stays, with the reason, for who reads the record       rejected

A token lies sealed. Plain functions over a connection.
"""

from collections.abc import Collection
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import BindParameter, Connection, Select, bindparam, delete, select, update

from ingot.deliveries import COMPLETION
from ingot.store.bulk import insert_rows
from ingot.store.schema import webhook_events, webhook_orders

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_o, _v = webhook_orders.c, webhook_events.c
_ORDER: Final = ("response_id", "org_id", "url", "place", "token", "policy", "rejected", "created_at")
_ORDERED: Final = select(webhook_orders).where(_o.response_id.in_(_IDS), _o.rejected.is_(None))
_TAKEN: Final = delete(webhook_orders).where(_o.response_id.in_(_IDS))


class Hook(Struct, frozen=True, kw_only=True, gc=False):
    """What a request ordered: the address to call, the sealed token to call it with, and how often it is tried.

    `rejected` says why the address is not called. `answer` is what was given, where the record keeps none.
    """

    url: str
    place: str = ""
    token: bytes | None = None
    policy: str = ""
    rejected: str | None = None
    answer: bytes | None = None


def insert_order(conn: Connection, org_id: str, response_id: str, *, hook: Hook, at: int) -> None:
    """Keeps what a request ordered until its answer is there, or that it cannot be done."""
    values = (response_id, org_id, hook.url, hook.place, hook.token, hook.policy, hook.rejected, at)
    insert_rows(conn, webhook_orders, _ORDER, [values])


def take_orders(conn: Connection, ids: Collection[str]) -> dict[str, Hook]:
    """What was ordered for these responses, which is then the caller's to do."""
    if not ids:
        return {}
    found = {
        row["response_id"]: Hook(url=row["url"], place=row["place"], token=row["token"], policy=row["policy"])
        for row in conn.execute(_ORDERED, {"ids": sorted(ids)}).mappings()
    }
    if found:
        conn.execute(_TAKEN, {"ids": sorted(found)})
    return found


def drop_orders(conn: Connection, ids: Select[Any]) -> None:
    """Forgets what was ordered for responses that will never be."""
    conn.execute(delete(webhook_orders).where(_o.response_id.in_(ids)))


def forget_object(conn: Connection, org_id: str, object_id: str) -> None:
    """Removes the body that holds a deleted object, and what was ordered for it."""
    own = (_v.org_id == org_id, _v.object_id == object_id, _v.kind == COMPLETION)
    conn.execute(update(webhook_events).where(*own).values(body=None))
    conn.execute(delete(webhook_orders).where(_o.org_id == org_id, _o.response_id == object_id))
