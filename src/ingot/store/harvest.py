"""The statements that take items out of the queue for their results, and jobs with their last item.

    held --conclude, with each result--> item gone --the last one--> job gone --the last with its money--> leases to give back

Whoever lost its lease takes nothing out, and is told so. Plain functions over a connection.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, delete, literal_column, select

from ingot.store.queue import BEFORE, Claim
from ingot.store.schema import items, jobs

_j, _i = jobs.c, items.c
_HELD: Final = (
    select(_j.id)
    .where(_j.id == bindparam("job"), _j.epoch == bindparam("at_epoch"), _j.state == "running")
    .with_for_update()
)
_DROP_ITEM: Final = delete(items).where(_i.batch_id == bindparam("batch"), _i.seq == bindparam("place"))
_DROP_ITEMS: Final = (
    delete(items)
    .where(_i.batch_id == bindparam("batch"), _i.seq.in_(bindparam("places", expanding=True)))
    .returning(_i.seq)
)
_WITHIN: Final = and_(
    _i.batch_id == bindparam("batch"), _i.seq.between(bindparam("first"), bindparam("last"))
)
_LEFT: Select[Any] = select(literal_column("1")).where(_WITHIN).limit(1)
_RANGE = select(_j.lo, _j.hi, _j.holds).where(_j.id == bindparam("job"))
_SHARED = select(_j.id).where(_j.batch_id == bindparam("batch"), _j.holds == bindparam("kept")).limit(1)
_DROP_JOB = delete(jobs).where(_j.id == bindparam("job"), _j.state.in_(BEFORE["gone"]))


def is_held(conn: Connection, claim: Claim) -> bool:
    """Whether the lease is in force, until the transaction ends."""
    return conn.execute(_HELD, {"job": claim.job_id, "at_epoch": claim.epoch}).first() is not None


def conclude(conn: Connection, claim: Claim) -> str | None:
    """Takes an item out of the queue for the result that is written with it; None: the lease was lost, write nothing.

    The last one takes the job along: what is then returned are the leases that its money was in, "" before.
    Call it first in the transaction that bills.
    """
    if not is_held(conn, claim):
        return None
    if not conn.execute(_DROP_ITEM, {"batch": claim.batch_id, "place": claim.seq}).rowcount:
        return None
    return _end_job(conn, claim)


def conclude_some(conn: Connection, claims: Sequence[Claim]) -> tuple[set[int], str]:
    """`conclude` for items of one job, which one lease covers: the places of those that may be written, and its money."""
    first = claims[0]
    if len(claims) == 1:
        holds = conclude(conn, first)
        return (set(), "") if holds is None else ({first.seq}, holds)
    if not is_held(conn, first):
        return set(), ""
    places = sorted({each.seq for each in claims})
    taken = conn.execute(_DROP_ITEMS, {"batch": first.batch_id, "places": places})
    return set(taken.scalars()), _end_job(conn, first)


def _end_job(conn: Connection, claim: Claim) -> str:
    """Takes a job out whose last item has ended: the leases that its money was in, "" while something is left."""
    row = conn.execute(_RANGE, {"job": claim.job_id}).one()
    if conn.execute(_LEFT, {"batch": claim.batch_id, "first": row.lo, "last": row.hi}).first() is not None:
        return ""
    conn.execute(_DROP_JOB, {"job": claim.job_id})
    return freed(conn, claim.batch_id, row.holds)


def freed(conn: Connection, batch_id: str, holds: str) -> str:
    """The leases of money that no job of a batch has any more; "" while one does: the last gives back what is left."""
    shared = conn.execute(_SHARED, {"batch": batch_id, "kept": holds}).first() is not None
    return "" if shared else str(holds)
