"""The statements about batches: begun, shown, found, listed, taken for their files, let go.

    staged      its lines come in, a few at a time; nobody sees it, and nothing of it runs
    validating  seen; its file is being read                      (shape `file` alone)
    in_progress, finalizing, cancelling, and how they end: `batch_ends`

    to              from                                by
    in_progress     staged, validating                  reveal, in one commit with all of its jobs
    failed          validating                          fail
    completed ...   finalizing                          finish, with its files
    gone            staged, of a process that ended     discard

Each is bound to an organization but for what keepers do. Who reads or writes the files of a batch holds it by a lease with
an epoch, as jobs are held. Plain functions over a connection.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from ingot.store import clocks
from ingot.store.bulk import insert_rows
from ingot.store.instants import shared_now
from ingot.store.orders import Hook, drop_orders, insert_order
from ingot.store.queue import Job, NewItem, job_rows
from ingot.store.responses import Mark, Step, beyond, is_plain
from ingot.store.schema import MICROSECOND, batch_lines, batches, items, jobs, organizations
from ingot.store.webhooks import post_event

Shape = Literal["requests", "file", "messages"]
State = Literal[
    "staged", "validating", "in_progress", "finalizing", "cancelling", "completed", "failed", "expired", "cancelled"
]  # fmt: skip

LEASE: Final = 60 * MICROSECOND
MOST_JOB_BYTES: Final = 2 * 1024 * 1024
"""Of the requests of one job, unless one alone has more."""
ENDED: Final = ("completed", "failed", "expired", "cancelled")
OPEN: Final = ("staged", "validating", "in_progress", "finalizing", "cancelling")


class BatchRow(Struct, frozen=True, kw_only=True):
    """A batch; instants in microseconds, counts in requests."""

    id: str
    org_id: str
    key_id: str
    preset: str
    shape: Shape
    endpoint: str
    state: State
    asked_window: str
    created_at: int
    due_at: int
    label: str | None = None
    metadata: str | None = None
    window: str | None = None
    model: str | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    output_seconds: int | None = None
    errors: str | None = None
    grant_data: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    tokens: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    started_at: int | None = None
    finalizing_at: int | None = None
    ended_at: int | None = None
    cancel_at: int | None = None
    archived_at: int | None = None
    owner: str | None = None
    lease_until: int | None = None
    epoch: int = 0

    @property
    def left(self) -> int:
        """Requests that have not ended."""
        return self.total - self.completed - self.failed - self.cancelled - self.expired


class NewLine(Struct, frozen=True, gc=False):
    """A request of a batch: its place, the name that the client gave it, what the queue needs, whom to tell of its end."""

    seq: int
    custom_id: str
    item: NewItem
    hook: Hook | None = None


class Revealed(Struct, frozen=True, kw_only=True):
    """What is known of a batch once all of its lines are in."""

    total: int
    tokens: int
    due_at: int
    model: str | None


_b, _l, _i = batches.c, batch_lines.c, items.c
_FIELDS: Final = BatchRow.__struct_fields__
_COLUMNS: Final = tuple(batches.c[name] for name in _FIELDS)
_ITEM: Final = ("batch_id", "seq", "id", "request_id", "reserved", "headers", "request")
_LINE: Final = ("batch_id", "seq", "custom_id", "response_id")
_MINE: Final = and_(_b.id == bindparam("which"), _b.epoch == bindparam("at_epoch"))


def insert_batch(conn: Connection, row: BatchRow) -> None:
    """Adds a batch."""
    conn.execute(insert(batches), {name: getattr(row, name) for name in _FIELDS})


def add_lines(conn: Connection, batch: BatchRow, lines: Sequence[NewLine]) -> bool:
    """Adds requests to a batch that nobody sees yet; False where it was ended or taken over meanwhile."""
    batch_id = batch.id
    if not _is_mine(conn, batch, _b.state == batch.state):
        return False
    held = [
        (batch_id, each.seq, i.id, i.request_id, i.reserved, i.headers, i.request)
        for each in lines
        for i in (each.item,)
    ]
    insert_rows(conn, items, _ITEM, held)
    insert_rows(
        conn, batch_lines, _LINE, [(batch_id, each.seq, each.custom_id, each.item.id) for each in lines]
    )
    for each in lines:
        if each.hook is not None:
            insert_order(conn, batch.org_id, each.item.id, hook=each.hook, at=batch.created_at)
    return True


def reveal(
    conn: Connection, batch: BatchRow, found: Revealed, *, work: Sequence[Job], at: int
) -> BatchRow | None:
    """Makes it seen, and its jobs wait: all of it or nothing; None where it was ended or taken over meanwhile."""
    values = {
        "state": "in_progress",
        "started_at": at,
        "owner": None,
        "lease_until": None,
        "grant_data": None,
        **{name: getattr(found, name) for name in Revealed.__struct_fields__},
    }
    mine = update(batches).where(_MINE, _b.state == batch.state, _b.cancel_at.is_(None)).values(values)
    row = conn.execute(mine.returning(*_COLUMNS), {"which": batch.id, "at_epoch": batch.epoch}).first()
    if row is None:
        return None
    clocks.enter(conn, batch.org_id)
    insert_rows(conn, jobs, *job_rows(work))
    return read_row(row)


def find_batch(conn: Connection, org_id: str, which: str, *, shapes: Collection[Shape]) -> BatchRow | None:
    """The organization's batch with this id that is told in one of these shapes."""
    if not is_plain(which):
        return None
    own = (_b.org_id == org_id, _b.id == which, _b.shape.in_(sorted(shapes)), _b.state != "staged")
    row = conn.execute(select(*_COLUMNS).where(*own)).first()
    return None if row is None else read_row(row)


def list_batches(
    conn: Connection, org_id: str, *, shapes: Collection[Shape], step: Step
) -> tuple[list[BatchRow], bool]:
    """The next batches of a list, and whether more follow."""
    query = select(*_COLUMNS).where(
        _b.org_id == org_id,
        _b.shape.in_(sorted(shapes)),
        _b.state != "staged",
        *beyond(_b.created_at, _b.id, step),
    )
    order = (_b.created_at.desc(), _b.id.desc()) if step.descending else (_b.created_at, _b.id)
    found = conn.execute(query.order_by(*order).limit(step.limit + 1)).all()
    return [read_row(row) for row in found[: step.limit]], len(found) > step.limit


def mark_of(row: BatchRow) -> Mark:
    """A batch's place in lists."""
    return Mark(row.created_at, row.id)


def queued_tokens(conn: Connection, org_id: str) -> int:
    """Tokens that the requests of an organization's open batches are estimated at, those aside that have ended."""
    query = select(_b.tokens, _b.total, _b.completed, _b.failed, _b.cancelled, _b.expired).where(
        _b.org_id == org_id, _b.state.in_(OPEN), _b.total > 0
    )
    return sum(
        row.tokens * (row.total - row.completed - row.failed - row.cancelled - row.expired) // row.total
        for row in conn.execute(query)
    )


def delete_batch(conn: Connection, org_id: str, which: str) -> bool:
    """Removes the row of a batch that has ended; False where there is none. Its lines go with `drop_lines`."""
    own = (_b.org_id == org_id, _b.id == which, _b.state.in_(ENDED))
    return conn.execute(delete(batches).where(*own)).rowcount == 1


# ---- for those who read and write files


def take(conn: Connection, *, states: Collection[State], owner: str, now: int) -> BatchRow | None:
    """Leases the oldest batch in one of these states that nobody holds."""
    at = shared_now(conn, now)
    free = (
        select(_b.id)
        .where(_b.state.in_(sorted(states)), or_(_b.lease_until.is_(None), _b.lease_until <= at))
        .order_by(_b.created_at, _b.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    values = {"owner": owner, "lease_until": at + LEASE, "epoch": _b.epoch + 1}
    mine = update(batches).where(_b.id.in_(free.scalar_subquery())).values(values)
    row = conn.execute(mine.returning(*_COLUMNS)).first()
    return None if row is None else read_row(row)


def void_leases(conn: Connection, owner: str) -> int:
    """Ends the leases of all others where they cannot be alive: one process serves a SQLite file."""
    if conn.dialect.name == "postgresql":
        return 0
    held = and_(_b.lease_until.is_not(None), _b.owner != owner)
    return conn.execute(update(batches).where(held).values(owner=None, lease_until=None)).rowcount


def renew(conn: Connection, batch: BatchRow, *, now: int) -> bool:
    """Prolongs a lease; False where it was lost."""
    mine = update(batches).where(_MINE).values(lease_until=shared_now(conn, now) + LEASE)
    return conn.execute(mine, {"which": batch.id, "at_epoch": batch.epoch}).rowcount == 1


def release(conn: Connection, batch: BatchRow) -> None:
    """Ends a lease, so that another can go on."""
    mine = update(batches).where(_MINE).values(owner=None, lease_until=None)
    conn.execute(mine, {"which": batch.id, "at_epoch": batch.epoch})


def fail(conn: Connection, batch: BatchRow, *, errors: str, at: int) -> bool:
    """Ends one whose file cannot be used; False where its lease was lost."""
    mine = update(batches).where(_MINE, _b.state == "validating")
    values = {"state": "failed", "errors": errors, "ended_at": at, "owner": None, "lease_until": None}
    if conn.execute(mine.values(values), {"which": batch.id, "at_epoch": batch.epoch}).rowcount != 1:
        return False
    post_event(conn, batch.org_id, kind="batch.failed", object_id=batch.id, at=at)
    return True


def finish(
    conn: Connection, batch: BatchRow, *, state: State, output: str | None, errors: str | None, at: int
) -> BatchRow | None:
    """Ends one whose files are written; `output` and `errors` are their ids. None where its lease was lost."""
    values = {
        "state": state,
        "output_file_id": output,
        "error_file_id": errors,
        "ended_at": at,
        "owner": None,
        "lease_until": None,
    }
    mine = update(batches).where(_MINE, _b.state == "finalizing").values(values).returning(*_COLUMNS)
    row = conn.execute(mine, {"which": batch.id, "at_epoch": batch.epoch}).first()
    if row is None:
        return None
    post_event(conn, batch.org_id, kind=f"batch.{state}", object_id=batch.id, at=at)
    return read_row(row)


def abandoned(conn: Connection, *, before: int) -> list[str]:
    """Batches that nobody ever saw, and whose maker has stopped."""
    query = select(_b.id).where(_b.state == "staged", _b.created_at < before).limit(100)
    return list(conn.execute(query).scalars())


def drop_lines(conn: Connection, batch_id: str, *, most: int) -> int:
    """Removes lines, and items that never ran, at most so many; how many lines there were."""
    own = select(_l.seq).where(_l.batch_id == batch_id).order_by(_l.seq).limit(most)
    seqs = list(conn.execute(own).scalars())
    if seqs:
        span = (seqs[0], seqs[-1])
        drop_orders(conn, select(_i.id).where(_i.batch_id == batch_id, _i.seq.between(*span)))
        conn.execute(delete(batch_lines).where(_l.batch_id == batch_id, _l.seq.between(*span)))
        conn.execute(delete(items).where(_i.batch_id == batch_id, _i.seq.between(*span)))
    return len(seqs)


def drop_staged(conn: Connection, batch: BatchRow, *, most: int) -> int:
    """`drop_lines` of a batch that never began; none where it has, or where another has it by now."""
    return drop_lines(conn, batch.id, most=most) if _is_mine(conn, batch, _b.started_at.is_(None)) else 0


def disown(conn: Connection, batch_id: str) -> BatchRow | None:
    """Takes a batch that nobody ever saw from its maker, who then cannot make it seen; None where it was."""
    own = update(batches).where(_b.id == batch_id, _b.state == "staged").values(epoch=_b.epoch + 1)
    row = conn.execute(own.returning(*_COLUMNS)).first()
    return None if row is None else read_row(row)


def discard(conn: Connection, batch_id: str) -> None:
    """Removes the row of a batch that nobody ever saw."""
    conn.execute(delete(batches).where(_b.id == batch_id, _b.state == "staged"))


def outdated(conn: Connection, *, before: int) -> list[str]:
    """Batches that ended before an instant, and whose lines are still there."""
    lines = exists().where(_l.batch_id == _b.id)
    query = select(_b.id).where(
        _b.ended_at < before, or_(_b.archived_at.is_(None), lines), _b.state.in_(ENDED)
    )
    return list(conn.execute(query.limit(100)).scalars())


def archive(conn: Connection, batch_id: str, *, at: int) -> None:
    """Notes that its lines are gone."""
    conn.execute(update(batches).where(_b.id == batch_id).values(archived_at=at))


def ownerless(conn: Connection) -> list[str]:
    """Batches of deleted organizations of which nothing waits or runs."""
    gone = select(organizations.c.id).where(organizations.c.deleted_at.is_not(None))
    works = exists().where(jobs.c.batch_id == _b.id)
    return list(conn.execute(select(_b.id).where(_b.org_id.in_(gone), ~works).limit(100)).scalars())


def forget(conn: Connection, batch_id: str) -> None:
    """Removes the row of a batch of a deleted organization."""
    conn.execute(delete(batches).where(_b.id == batch_id))


def _is_mine(conn: Connection, batch: BatchRow, how: ColumnElement[bool]) -> bool:
    """Whether it is still as its holder knows it, until the transaction ends."""
    query = select(_b.id).where(_MINE, how).with_for_update()
    return conn.execute(query, {"which": batch.id, "at_epoch": batch.epoch}).first() is not None


def read_row(row: Row[Any]) -> BatchRow:
    values = row._mapping  # noqa: SLF001  # its public name for this
    return BatchRow(**{name: values[name] for name in _FIELDS})
