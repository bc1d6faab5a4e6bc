"""The statements that count what of a batch has ended, and that end what still waits.

    in_progress --count: the last one--> completed | expired, or finalizing where files are to be written
    in_progress --ask_end-------------> cancelling --count: the last one--> cancelled, or finalizing

    how it ends     cancelled   somebody asked for it
                    expired     a request ended without having run, its time was over
                    completed   any other, whatever became of its requests

    to            from                       by
    cancelling    validating, in_progress    ask_end
    the end       in_progress, cancelling    count

Counts move in the commits that bring results, so that they are exact at every moment, and never change once a batch has
ended. Plain functions over a connection.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import Connection, and_, bindparam, delete, exists, select, update

from ingot.store import deposits, harvest, queue, windows
from ingot.store.batches import BatchRow, State, read_row
from ingot.store.orders import drop_orders
from ingot.store.schema import batch_lines, batches, items, jobs
from ingot.store.webhooks import post_event
from ingot.store.windows import Missed

Outcome = Literal["completed", "failed", "cancelled", "expired"]
OUTCOMES: Final = ("completed", "failed", "cancelled", "expired")
FILED: Final = "file"
"""The shape whose results are written to files before it ends."""

_b, _l, _i, _j = batches.c, batch_lines.c, items.c, jobs.c
_USED: Final = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
_WITHIN: Final = and_(_i.batch_id == bindparam("batch"), _i.seq.between(bindparam("lo"), bindparam("hi")))
_MARK: Final = (
    update(batch_lines)
    .where(_l.batch_id == bindparam("batch"), _l.seq.in_(select(_i.seq).where(_WITHIN)))
    .values(outcome=bindparam("how"))
)
_DROP: Final = delete(items).where(_WITHIN)


class Tally(Struct):
    """What ended of a batch in one commit, in requests and in tokens."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


def count(conn: Connection, tallies: Mapping[str, Tally], *, at: int) -> list[BatchRow]:
    """Adds to the figures of batches, by their ids; those that ended with it, in their last state."""
    ended = []
    for batch_id in sorted(tallies):
        added = tallies[batch_id]
        names = [name for name in Tally.__struct_fields__ if getattr(added, name)]
        own = update(batches).where(_b.id == batch_id)
        own = own.values({name: batches.c[name] + getattr(added, name) for name in names})
        found = conn.execute(own.returning(*batches.c)).first() if names else None
        if found is not None and not (row := read_row(found)).left:
            ended.append(_end(conn, row, at=at))
    return ended


def last_state(row: BatchRow) -> State:
    """How a batch ends all of whose requests have."""
    if row.cancel_at is not None:
        return "cancelled"
    return "expired" if row.expired else "completed"


def ask_end(conn: Connection, batch: BatchRow, *, at: int) -> bool:
    """Asks for the end of a batch, with all that runs of it; False where it has ended, or is already to be ended."""
    own = update(batches).where(
        _b.id == batch.id, _b.state.in_(("validating", "in_progress")), _b.cancel_at.is_(None)
    )
    row = conn.execute(own.values(state="cancelling", cancel_at=at).returning(*batches.c)).first()
    if row is None:
        return False
    queue.ask_cancel(conn, batch.id, at=at)
    if not row.total:  # its file was still being read: nothing of it waits, and nothing will
        _end(conn, read_row(row), at=at, state="cancelled")
    return True


def end_waiting(
    conn: Connection,
    batch_id: str,
    *,
    how: Literal["cancelled", "expired"],
    at: int,
    most: int,
    node: str = "",
) -> tuple[int, list[BatchRow]]:
    """Ends requests that wait and have never run, those of at most so many jobs: how many jobs, and the batch if it ended.

    `expired` ends those alone whose time is over, in windows whose work ends with it: broken promises, which `node` notes.
    """
    own = [_j.batch_id == batch_id, _j.state == "queued"]
    if how == "expired":
        own += [_j.due_at <= at, _j.on_miss == "fail"]
    waiting = (
        select(_j.id, _j.lo, _j.hi, _j.holds, _j.window, _j.model, _j.created_at)
        .where(*own)
        .order_by(_j.lo)
        .limit(most)
    )
    found = conn.execute(waiting.with_for_update(skip_locked=True)).all()
    gone: list[Missed] = []
    for row in found:
        span = {"batch": batch_id, "lo": row.lo, "hi": row.hi}
        conn.execute(_MARK, {**span, "how": how})
        drop_orders(conn, select(_i.id).where(_i.batch_id == batch_id, _i.seq.between(row.lo, row.hi)))
        gone.append(Missed(row.window, row.model, row.created_at, conn.execute(_DROP, span).rowcount))
    conn.execute(delete(jobs).where(_j.id.in_([row.id for row in found])))
    for holds in sorted({row.holds for row in found}):
        if free := harvest.freed(conn, batch_id, holds):
            deposits.release(conn, deposits.decode(free))
    if not (items_gone := sum(each.items for each in gone)):
        return len(found), []
    if how == "expired":
        windows.miss(conn, [each for each in gone if each.items], at=at, node=node)
    tally = Tally(cancelled=items_gone) if how == "cancelled" else Tally(expired=items_gone)
    return len(found), count(conn, {batch_id: tally}, at=at)


def overdue(conn: Connection, *, now: int) -> list[tuple[str, str]]:
    """Open batches with work that waits although its time is over, each with its organization."""
    late = exists().where(_j.batch_id == _b.id, _j.state == "queued", _j.due_at <= now, _j.on_miss == "fail")
    query = select(_b.id, _b.org_id).where(_b.state == "in_progress", late).limit(100)
    return [(row.id, row.org_id) for row in conn.execute(query)]


def unread(conn: Connection, *, now: int) -> list[BatchRow]:
    """Batches whose time is over before their file could be read."""
    query = select(*batches.c).where(_b.state == "validating", _b.due_at <= now).limit(100)
    return [read_row(row) for row in conn.execute(query)]


def to_be_ended(conn: Connection) -> list[tuple[str, str]]:
    """Batches that are to be ended and of which something waits, each with its organization."""
    waits = exists().where(_j.batch_id == _b.id, _j.state == "queued")
    query = select(_b.id, _b.org_id).where(_b.state == "cancelling", waits).limit(100)
    return [(row.id, row.org_id) for row in conn.execute(query)]


def _end(conn: Connection, row: BatchRow, *, at: int, state: State | None = None) -> BatchRow:
    state = state or ("finalizing" if row.shape == FILED else last_state(row))
    when = "finalizing_at" if state == "finalizing" else "ended_at"
    values: dict[str, Any] = {"state": state, when: at, "owner": None, "lease_until": None}
    own = update(batches).where(_b.id == row.id, _b.state.in_(("in_progress", "cancelling")))
    found = conn.execute(own.values(values).returning(*batches.c)).one()
    if state != "finalizing":
        post_event(conn, row.org_id, kind=f"batch.{state}", object_id=row.id, at=at)
    return read_row(found)
