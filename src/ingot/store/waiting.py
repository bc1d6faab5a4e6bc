"""The statements about responses in the background: how one stands, and its deletion.

    waits or runs    its job and its item
    has ended        its stored response, and the row that says how long it waited

A response is found by our id alone: it is the one that its client was given. Plain functions over a connection.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, select

from ingot.store import responses as store
from ingot.store.responses import is_plain
from ingot.store.schema import (
    MICROSECOND,
    items,
    jobs,
    ledger,
    response_waits,
    responses,
    webhook_orders,
)

READABLE: Final = 600 * MICROSECOND
"""How long an answer in the background can be read whose content is not to be kept."""

_r, _w, _j, _i, _l = responses.c, response_waits.c, jobs.c, items.c, ledger.c
_o = webhook_orders.c


@dataclass(frozen=True, slots=True)
class Record:
    """A response in the background; instants in microseconds, the amount in 1e-12 USD. `ended` is None before its end."""

    id: str
    surface: str
    model: str
    window: str
    created_at: int
    due_at: int
    started: bool
    cancelling: bool
    streamed: bool
    request: bytes | None
    price: str | None
    ended: "Ended | None" = None
    rejected: str | None = None
    """Why the webhook that it ordered is not called."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: `state` is completed, failed, cancelled or deleted."""

    state: str
    error: str | None
    answer: bytes | None
    kept: bool
    expires_at: int | None
    finished_at: int
    achieved: str | None
    queued_us: int
    amount: int


_WAITS: Final = (
    select(
        _i.id, _i.request, _j.surface, _j.model, _j.window, _j.created_at, _j.due_at, _j.started_at, _j.cancel_at,
        _j.streamed, _j.price, _o.rejected,
    )
    .join(jobs, and_(_j.batch_id == _i.batch_id, _i.seq.between(_j.lo, _j.hi)))
    .outerjoin(webhook_orders, _o.response_id == _i.id)
    .where(_i.batch_id == bindparam("which"), _i.seq == 0, _j.org_id == bindparam("org"))
)  # fmt: skip
_ENDED: Final = (
    select(
        _r.id, _r.surface, _r.model, _r.window, _r.created_at, _r.streamed, _r.state, _r.error, _r.kept, _r.expires_at,
        _r.finished_at, _r.amount, _r.request, _r.answer, _w.due_at, _w.achieved, _w.queued_us, _l.price,
        _o.rejected,
    )
    .join(response_waits, _w.response_id == _r.id)
    .outerjoin(ledger, _l.billable_id == _r.id)
    .outerjoin(webhook_orders, _o.response_id == _r.id)
    .where(_r.org_id == bindparam("org"), _r.id == bindparam("which"))
)  # fmt: skip


def find(conn: Connection, org_id: str, which: str) -> Record | None:
    """How the response stands; None where there is no such one in the background."""
    if not is_plain(which):
        return None
    values = {"org": org_id, "which": which}
    # What waits is looked at first: an end between two statements is then seen by the second one.
    row = conn.execute(_WAITS, values).first()
    if row is not None:
        return _waiting(row)
    row = conn.execute(_ENDED, values).first()
    return None if row is None else _ended(row)


def find_ended(conn: Connection, org_id: str, which: str) -> Record | None:
    """One that has ended, as it is read from then on."""
    row = conn.execute(_ENDED, {"org": org_id, "which": which}).first()
    return None if row is None else _ended(row)


def is_waiting(conn: Connection, which: str) -> bool:
    """Whether it has not ended."""
    query = select(_i.id).where(_i.batch_id == which, _i.seq == 0)
    return conn.execute(query).first() is not None


def forget(conn: Connection, org_id: str, record: Record) -> None:
    """Removes what is kept of one that has ended, for good; its ledger row stays, and who looks for it finds nothing."""
    completed = record.ended is not None and record.ended.state == "completed"
    store.delete_response(conn, org_id, record.id, completed=completed)
    conn.execute(delete(response_waits).where(_w.response_id == record.id))


def _waiting(row: Any) -> Record:
    return Record(
        id=row.id,
        surface=row.surface,
        model=row.model,
        window=row.window,
        created_at=row.created_at,
        due_at=row.due_at,
        started=row.started_at is not None,
        cancelling=row.cancel_at is not None,
        streamed=bool(row.streamed),
        request=bytes(row.request),
        price=row.price,
        rejected=row.rejected,
    )


def _ended(row: Any) -> Record:
    return Record(
        id=row.id,
        surface=row.surface,
        model=row.model,
        window=row.window,
        created_at=row.created_at,
        due_at=row.due_at,
        started=True,
        cancelling=False,
        streamed=bool(row.streamed),
        request=None if row.request is None else bytes(row.request),
        price=row.price,
        rejected=row.rejected,
        ended=Ended(
            state=row.state,
            error=row.error,
            answer=None if row.answer is None else bytes(row.answer),
            kept=bool(row.kept),
            expires_at=row.expires_at,
            finished_at=row.finished_at,
            achieved=row.achieved,
            queued_us=row.queued_us,
            amount=row.amount,
        ),
    )
