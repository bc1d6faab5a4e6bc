"""What has to leave this system: rows written with what caused them, leased by a sender, done once it has left.

    due --lease--> leased --finish--> done
     ^                |---- retry --> due later, with the reason
     +--lease lapsed--+                                            give up: done, with the reason

A lease is a fence: who lost it changes nothing. Sending is at least once. Knows no way of sending, and no secret:
a payload says what to write, not with which token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, delete, insert, select, update

from ingot.store.schema import outbox

_INSERT = insert(outbox)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One thing to send; `attempts` counts this one."""

    id: str
    org_id: str | None
    kind: str
    address: str
    payload: dict[str, Any]
    attempts: int


def post(
    conn: Connection,
    org_id: str | None,
    *,
    post_id: str,
    kind: str,
    address: str,
    payload: Mapping[str, Any],
    at: int,
) -> None:
    """Adds a row that is due at once."""
    conn.execute(
        _INSERT,
        {
            "id": post_id,
            "org_id": org_id,
            "kind": kind,
            "address": address,
            "payload": msgspec.json.encode(dict(payload)).decode(),
            "created_at": at,
            "due_at": at,
        },
    )


def lease(
    conn: Connection, kind: str, *, owner: str, now: int, until: int, limit: int = 10
) -> list[OutboxRow]:
    """Takes what is due of a kind and held by nobody; two senders never get the same row."""
    query = _due(kind, now).limit(limit).with_for_update(skip_locked=True)
    found = conn.execute(query).mappings().all()
    if found:
        mine = update(outbox).where(outbox.c.id.in_([each["id"] for each in found]))
        conn.execute(mine.values(owner=owner, lease_until=until, attempts=outbox.c.attempts + 1))
    return [
        OutboxRow(
            id=each["id"],
            org_id=each["org_id"],
            kind=each["kind"],
            address=each["address"],
            payload=msgspec.json.decode(each["payload"]),
            attempts=each["attempts"] + 1,
        )
        for each in found
    ]


def amend(conn: Connection, post_id: str, *, owner: str, payload: Mapping[str, Any]) -> bool:
    """Replaces a payload; False where the lease was lost."""
    changed = _held(post_id, owner).values(payload=msgspec.json.encode(dict(payload)).decode())
    return conn.execute(changed).rowcount == 1


def finish(conn: Connection, post_id: str, *, owner: str, at: int, error: str | None = None) -> bool:
    """Marks a row as done, with the reason where it was given up; False where the lease was lost."""
    changed = _held(post_id, owner).values(done_at=at, error=error, owner=None, lease_until=None)
    return conn.execute(changed).rowcount == 1


def retry(conn: Connection, post_id: str, *, owner: str, due: int, error: str) -> bool:
    """Gives a row back until `due`; False where the lease was lost."""
    changed = _held(post_id, owner).values(due_at=due, error=error, owner=None, lease_until=None)
    return conn.execute(changed).rowcount == 1


def any_due(conn: Connection, kind: str, *, now: int) -> bool:
    """Whether there is something of a kind to send now."""
    return conn.execute(_due(kind, now).limit(1)).first() is not None


def prune(conn: Connection, kind: str, *, before: int) -> int:
    """Deletes rows of a kind that were done before an instant; how many."""
    gone = delete(outbox).where(outbox.c.kind == kind, outbox.c.done_at < before)
    return conn.execute(gone).rowcount


def _due(kind: str, now: int) -> Select[Any]:
    return (
        select(outbox)
        .where(outbox.c.done_at.is_(None), outbox.c.due_at <= now, outbox.c.kind == kind)
        .where(outbox.c.lease_until.is_(None) | (outbox.c.lease_until <= now))
        .order_by(outbox.c.due_at, outbox.c.id)
    )


def _held(post_id: str, owner: str) -> Any:
    return update(outbox).where(outbox.c.id == post_id, outbox.c.owner == owner, outbox.c.done_at.is_(None))
