"""The places that an organization's keys take, where their number is limited: rows that can exist only once.

    slots (org_id, slot) UNIQUE      slot 1 .. limit, one key in each

A key takes a place when it is made, its successor takes the place over when it is rolled, and the place is free
again when the key was revoked or has expired. Who calls holds the lock of the organization (`plans.lock_org`); the
unique index would refuse a second key in one place even without it. Bootstrap keys take none.
"""

from sqlalchemy import Connection, and_, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from ingot.store.schema import api_keys, slots

_TAKE = insert(slots).on_conflict_do_nothing(index_elements=["org_id", "slot"]).returning(slots.c.slot)


def take_slot(conn: Connection, org_id: str, *, key_id: str, limit: int, at: int) -> bool:
    """Puts a new key into the lowest free place up to `limit`; False where the organization has that many keys.

    First makes the rows true: places of ended keys are freed, and keys from a time without a limit take theirs,
    beyond `limit` if need be, so that they count.
    """
    live = _live_keys(conn, org_id, at=at)
    held = _held(conn, org_id)
    for ended in held.keys() - set(live):
        free_slot(conn, org_id, key_id=ended)
        del held[ended]
    for key in live:
        if key not in held:
            held[key] = _place(conn, org_id, key_id=key, taken=set(held.values()))
    if len(live) >= limit:
        return False
    return _place(conn, org_id, key_id=key_id, taken=set(held.values())) <= limit


def free_slot(conn: Connection, org_id: str, *, key_id: str) -> None:
    """Gives the place of a key back, if it has one."""
    conn.execute(delete(slots).where(slots.c.org_id == org_id, slots.c.key_id == key_id))


def hand_over_slot(conn: Connection, org_id: str, *, key_id: str, to: str) -> None:
    """Puts another key into the place of this one, if it has one."""
    conn.execute(
        update(slots).where(slots.c.org_id == org_id, slots.c.key_id == key_id).values(key_id=to),
    )


def _live_keys(conn: Connection, org_id: str, *, at: int) -> list[str]:
    """The keys that count, the oldest first; one that was rolled lives on in the place of its successor."""
    live = and_(
        api_keys.c.org_id == org_id,
        api_keys.c.source != "bootstrap",
        api_keys.c.revoked_at.is_(None),
        api_keys.c.replaced_by.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > at),
    )
    query = select(api_keys.c.id).where(live).order_by(api_keys.c.created_at, api_keys.c.id)
    return list(conn.execute(query).scalars())


def _held(conn: Connection, org_id: str) -> dict[str, int]:
    query = select(slots.c.key_id, slots.c.slot).where(slots.c.org_id == org_id)
    return {row.key_id: row.slot for row in conn.execute(query)}


def _place(conn: Connection, org_id: str, *, key_id: str, taken: set[int]) -> int:
    """The lowest place that was free, now the key's; one that another process took meanwhile is passed over."""
    slot = 0
    while True:
        slot += 1
        if slot in taken:
            continue
        row = {"org_id": org_id, "slot": slot, "key_id": key_id}
        if conn.execute(_TAKE, row).first() is not None:
            return slot
