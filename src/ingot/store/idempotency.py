"""The statements about idempotency keys: who leads, what came of it, and until when that is known.

    claim --> Lead ----finish (in the transaction that bills)--> Kept by the next claim
      |        |-------release (nothing was billed)-------------> Lead of the next claim
      |        '-------withdraw (refused, nothing was done)-----> no row: Lead of any claim
      '-----> Held (another leads) | Kept | Mismatched

Every change is guarded by the epoch: a leader that lost its lease changes nothing, and is told. Leases follow the
clock of all who share the database. Plain functions over a connection; who calls decides about transactions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, and_, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from ingot.idempotency import Standing, Verdict, decide
from ingot.store.instants import shared_now
from ingot.store.schema import MICROSECOND, idempotency, response_losses, responses

KEEP = 24 * 3600 * MICROSECOND
"""How long an outcome is kept, from the moment that it is there."""
LEASE = 30 * MICROSECOND

CHANGE = "chg"
"""How ids of changes begin, which share the table with inferences: they have neither a response nor a ledger row."""

_TRIES = 5
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose key it is: the same text under another API key is another key."""

    org_id: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Lead:
    """The right to do the work of a key; `response_id` is the billable id, also after a take-over."""

    scope: Scope
    key: str
    epoch: int
    response_id: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An outcome, as it is replayed; `losses` are what its translation left out, as a JSON array."""

    response_id: str
    status: int
    content_type: str
    answer: bytes
    losses: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Another leads, and its lease is in force."""


@dataclass(frozen=True, slots=True)
class Mismatched:
    """The key belongs to another request, which was sent there."""

    path: str


Claim = Lead | Kept | Held | Mismatched

_table = idempotency.c


def _at_key() -> ColumnElement[bool]:
    return and_(
        _table.org_id == bindparam("at_org"),
        _table.key_id == bindparam("at_key_id"),
        _table.key == bindparam("at_key"),
    )


# Built once: to construct a statement costs more than to run it. PostgreSQL's form is SQLite's too.
_INSERT = (
    insert(idempotency)
    .on_conflict_do_nothing(index_elements=["org_id", "key_id", "key"])
    .returning(_table.epoch)
)
_FIND = select(idempotency).where(_at_key())
_FIND_AND_LOCK = _FIND.with_for_update()
_RETAKE = update(idempotency).where(_at_key()).values(status=None, content_type=None, answer=None)
_MINE = and_(
    _at_key(),
    _table.epoch == bindparam("my_epoch"),
    _table.response_id == bindparam("my_response"),
    _table.state == "running",
)
_END = update(idempotency).where(_MINE)
_WITHDRAW = delete(idempotency).where(_MINE)
_RENEW = (
    update(idempotency)
    .where(
        _table.response_id.in_(bindparam("mine", expanding=True)),
        _table.owner == bindparam("by"),
        _table.state == "running",
    )
    .values(lease_until=bindparam("until"), expires_at=bindparam("forgotten"))
)
_OUTDATED = (
    select(_table.response_id)
    .where(_table.expires_at <= bindparam("now"))
    .order_by(_table.expires_at)
    .limit(bindparam("most"))
)
_SWEEP = (
    delete(idempotency)
    .where(
        _table.response_id.in_(_OUTDATED.scalar_subquery()),
        _table.expires_at <= bindparam("now"),  # again: it may have been taken anew since it was looked for
    )
    .returning(_table.response_id)
)
_LOSSES = select(response_losses.c.losses).where(response_losses.c.response_id == bindparam("which"))
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_LOSSY = select(response_losses.c.response_id).where(response_losses.c.response_id.in_(_IDS))
_WITH_CONTENT = select(responses.c.id).where(responses.c.id.in_(_IDS), responses.c.expires_at.is_not(None))
_FORGET_LOSSES = delete(response_losses).where(response_losses.c.response_id.in_(_IDS))


def claim(
    conn: Connection,
    scope: Scope,
    *,
    key: str,
    path: str,
    fingerprint: bytes,
    response_id: str,
    owner: str,
    now: int,
    lease: int = LEASE,
) -> Claim:
    """Takes the lead where it is free; `response_id` is what a new lead gets, and must be fresh."""
    shared = shared_now(conn, now)
    values = {
        "fingerprint": fingerprint,
        "path": path,
        "response_id": response_id,
        "state": "running",
        "epoch": 1,
        "owner": owner,
        "lease_until": shared + lease,
        "created_at": now,
        "expires_at": now + lease + KEEP,
    }
    place = {"org_id": scope.org_id, "key_id": scope.key_id, "key": key}
    for _ in range(_TRIES):
        if conn.execute(_INSERT, {**place, **values}).first() is not None:
            return Lead(scope, key, 1, response_id)
        row = conn.execute(_FIND_AND_LOCK, _at(scope, key)).first()
        if row is not None:  # else it was swept between the two statements
            return _retake(conn, scope, key=key, row=row, values=values, shared=shared)
    raise AssertionError("a row that is there is never found")


def _retake(
    conn: Connection, scope: Scope, *, key: str, row: Row[Any], values: dict[str, Any], shared: int
) -> Claim:
    verdict = decide(_standing(row), values["fingerprint"], own=values["created_at"], shared=shared)
    if verdict is Verdict.MISMATCH:
        return Mismatched(row.path)
    if verdict is Verdict.JOIN:
        return Held()
    if verdict is Verdict.REPLAY:
        return _kept(conn, row)
    # Whoever led before may have billed under its id at the last moment: then the second time finds it taken.
    response_id = row.response_id if verdict is Verdict.TAKE_OVER else values["response_id"]
    epoch = row.epoch + 1
    conn.execute(_RETAKE, {**_at(scope, key), **values, "response_id": response_id, "epoch": epoch})
    return Lead(scope, key, epoch, response_id)


def find(conn: Connection, scope: Scope, *, key: str, now: int) -> Kept | Held | None:
    """How a key stands, to be asked again and again; None: claim it, and see."""
    row = conn.execute(_FIND, _at(scope, key)).first()
    if row is None:
        return None
    verdict = decide(_standing(row), bytes(row.fingerprint), own=now, shared=shared_now(conn, now))
    if verdict is Verdict.REPLAY:
        return _kept(conn, row)
    return Held() if verdict is Verdict.JOIN else None


def finish(
    conn: Connection, lead: Lead, *, status: int, content_type: str, answer: bytes, now: int, keep: int = KEEP
) -> bool:
    """Keeps the outcome; False: another took over, and the result is to be dropped with all that it would bill.

    Call it first in the transaction that bills.
    """
    outcome = {
        "state": "done",
        "status": status,
        "content_type": content_type,
        "answer": answer,
        "expires_at": now + keep,
    }
    return conn.execute(_END, {**_mine(lead), **outcome}).rowcount == 1


def release(conn: Connection, lead: Lead, *, now: int, keep: int = KEEP) -> bool:
    """Gives the lead to whoever retries, nothing being billed; False: it was lost already."""
    outcome = {"state": "released", "expires_at": now + keep}
    return conn.execute(_END, {**_mine(lead), **outcome}).rowcount == 1


def withdraw(conn: Connection, lead: Lead) -> bool:
    """Frees the key for any request, as if it had not been used; False: the lead was lost already."""
    return conn.execute(_WITHDRAW, _mine(lead)).rowcount == 1


def renew(conn: Connection, owner: str, *, response_ids: list[str], now: int, lease: int = LEASE) -> int:
    """Prolongs the leases of these of the owner's leads; how many it still has."""
    values = {
        "mine": response_ids,
        "by": owner,
        "until": shared_now(conn, now) + lease,
        "forgotten": now + lease + KEEP,
    }
    return conn.execute(_RENEW, values).rowcount


def void_leases(conn: Connection, owner: str) -> int:
    """Ends the leases of all others where they cannot be alive: one process serves a SQLite file."""
    if conn.dialect.name == "postgresql":
        return 0
    others = and_(_table.state == "running", _table.owner != owner)
    return conn.execute(update(idempotency).where(others).values(lease_until=0)).rowcount


def sweep(conn: Connection, now: int, *, most: int = 1000) -> int:
    """Forgets outcomes whose day is over, and leads that nobody asked about for one; how many. Call it until 0."""
    return _forget(conn, conn.execute(_SWEEP, {"now": now, "most": most}).scalars().all())


def erase(conn: Connection, org_id: str) -> int:
    """Forgets the keys of an organization with their answers; how many. What still runs keeps its own, and is billed."""
    over = and_(_table.org_id == org_id, _table.state != "running")
    ids = conn.execute(delete(idempotency).where(over).returning(_table.response_id)).scalars().all()
    return _forget(conn, ids)


def _forget(conn: Connection, ids: Sequence[str]) -> int:
    """Forgets what was kept for the retries of these alone; how many there are."""
    for begin in range(0, len(ids), _AT_ONCE):
        lossy = conn.execute(_LOSSY, {"ids": ids[begin : begin + _AT_ONCE]}).scalars().all()
        if lossy:
            # Of a response whose content is kept they go together with that.
            kept = set(conn.execute(_WITH_CONTENT, {"ids": lossy}).scalars())
            bare = [each for each in lossy if each not in kept]
            if bare:
                conn.execute(_FORGET_LOSSES, {"ids": bare})
    return len(ids)


def _standing(row: Row[Any]) -> Standing:
    return Standing(row.state, bytes(row.fingerprint), lease_until=row.lease_until, expires_at=row.expires_at)


def _kept(conn: Connection, row: Row[Any]) -> Kept:
    losses = conn.execute(_LOSSES, {"which": row.response_id}).scalar()
    return Kept(
        row.response_id,
        row.status,
        content_type=row.content_type,
        answer=bytes(row.answer),
        losses=losses,
    )


def _at(scope: Scope, key: str) -> dict[str, Any]:
    return {"at_org": scope.org_id, "at_key_id": scope.key_id, "at_key": key}


def _mine(lead: Lead) -> dict[str, Any]:
    return {**_at(lead.scope, lead.key), "my_epoch": lead.epoch, "my_response": lead.response_id}
