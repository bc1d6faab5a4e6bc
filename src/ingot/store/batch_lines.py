"""The statements that read the lines of a batch: which name stands for what, how each stands, and what it was answered.

    a line that has an outcome           cancelled or expired without a stored response
    whose stored response is there       what that says: completed, failed, cancelled, expired
    whose item a running job has         running
    any other                            pending

Pages go on behind a place and show lines that have ended, in the order of their places. Plain functions over a connection.
"""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from ingot.store.batches import ENDED, BatchRow
from ingot.store.responses import is_plain
from ingot.store.schema import batch_lines, batches, items, jobs, ledger, response_waits, responses

_l, _r, _j, _i, _w = batch_lines.c, responses.c, jobs.c, items.c, response_waits.c
PENDING: Final = "pending"
RUNNING: Final = "running"


class LineRow(Struct, frozen=True, kw_only=True):
    """A line and what came of it; `answer` is None where there is none or it is not kept any more."""

    seq: int
    custom_id: str
    response_id: str
    state: str
    status: int | None = None
    error: str | None = None
    request_id: str | None = None
    answer: bytes | None = None
    finished_at: int | None = None


class LineFound(Struct, frozen=True, kw_only=True):
    """One line with what it was asked and answered, and how long that took; instants in microseconds."""

    response_id: str
    state: str
    surface: str
    model: str
    window: str
    created_at: int
    due_at: int
    price: str | None
    request: bytes | None
    answer: bytes | None
    error: str | None = None
    finished_at: int | None = None
    achieved: str | None = None
    queued_us: int = 0
    amount: int | None = None


_RESULT: Final = (
    _l.seq, _l.custom_id, _l.response_id, _l.outcome, _r.state, _r.status, _r.error, _r.request_id, _r.answer,
    _r.finished_at,
)  # fmt: skip


def ended_lines(conn: Connection, batch_id: str, *, after: int, limit: int) -> list[LineRow]:
    """The next lines that have ended, behind a place."""
    query = (
        _results(batch_id)
        .where(_l.seq > after, or_(_l.outcome.is_not(None), _r.id.is_not(None)))
        .order_by(_l.seq)
        .limit(limit)
    )
    return [_line(row) for row in conn.execute(query)]


def all_states(conn: Connection, batch_id: str) -> Iterator[tuple[str, str]]:
    """Every line's name with how it stands, in the order of their places."""
    running = _running_ranges(conn, batch_id)
    query = (
        select(_l.seq, _l.custom_id, _l.outcome, _r.state)
        .select_from(batch_lines)
        .outerjoin(responses, _r.id == _l.response_id)
        .where(_l.batch_id == batch_id)
        .order_by(_l.seq)
    )
    for row in conn.execute(query):
        state = row.outcome or row.state
        if state is None:
            state = RUNNING if any(lo <= row.seq <= hi for lo, hi in running) else PENDING
        yield row.custom_id, state


def running_count(conn: Connection, batch: BatchRow) -> int:
    """How many of a batch's requests are being worked on; no more than its figures leave."""
    if not batch.left or batch.state in ENDED:
        return 0
    within = and_(_i.batch_id == _j.batch_id, _i.seq.between(_j.lo, _j.hi))
    query = select(func.count()).select_from(jobs).join(items, within)
    found = conn.execute(query.where(_j.batch_id == batch.id, _j.state == "running")).scalar_one()
    return min(int(found), batch.left)


def find_line(conn: Connection, batch_id: str, custom_id: str) -> LineFound | None:
    """The line with this name; None where the batch has none."""
    if not is_plain(custom_id):
        return None
    query = select(_l.seq, _l.response_id, _l.outcome).where(
        _l.batch_id == batch_id, _l.custom_id == custom_id
    )
    line = conn.execute(query).first()
    if line is None:
        return None
    # What waits is looked at first: an end between two statements is then seen by the second one.
    return _waiting(conn, batch_id, line) or _ended(conn, line) or _never_ran(conn, batch_id, line)


def place_of(conn: Connection, batch_id: str, custom_id: str) -> int | None:
    """The place of the line with this name."""
    if not is_plain(custom_id):
        return None
    query = select(_l.seq).where(_l.batch_id == batch_id, _l.custom_id == custom_id)
    return conn.execute(query).scalar()


def _waiting(conn: Connection, batch_id: str, line: Any) -> LineFound | None:
    job = and_(_j.batch_id == _i.batch_id, _i.seq.between(_j.lo, _j.hi))
    query = (
        select(_i.request, _j.state, _j.surface, _j.model, _j.window, _j.created_at, _j.due_at, _j.price)
        .select_from(items)
        .join(jobs, job)
        .where(_i.batch_id == batch_id, _i.seq == line.seq)
    )
    row = conn.execute(query).first()
    if row is None:
        return None
    return LineFound(
        response_id=line.response_id,
        state=RUNNING if row.state == "running" else PENDING,
        surface=row.surface,
        model=row.model,
        window=row.window,
        created_at=row.created_at,
        due_at=row.due_at,
        price=row.price,
        request=bytes(row.request),
        answer=None,
    )


def _ended(conn: Connection, line: Any) -> LineFound | None:
    query = (
        select(
            _r.state, _r.surface, _r.model, _r.window, _r.created_at, _r.finished_at, _r.amount, _r.request,
            _r.answer, _r.error, _w.due_at, _w.achieved, _w.queued_us, ledger.c.price,
        )
        .join(response_waits, _w.response_id == _r.id)
        .outerjoin(ledger, ledger.c.billable_id == _r.id)
        .where(_r.id == line.response_id)
    )  # fmt: skip
    row = conn.execute(query).first()
    if row is None:
        return None
    return LineFound(
        response_id=line.response_id,
        state=row.state,
        surface=row.surface,
        model=row.model,
        window=row.window,
        created_at=row.created_at,
        due_at=row.due_at,
        price=row.price,
        request=None if row.request is None else bytes(row.request),
        answer=None if row.answer is None else bytes(row.answer),
        error=row.error,
        finished_at=row.finished_at,
        achieved=row.achieved,
        queued_us=row.queued_us,
        amount=row.amount,
    )


def _never_ran(conn: Connection, batch_id: str, line: Any) -> LineFound:
    """A line of which only its end is known."""
    own = batches.c
    query = select(own.model, own.window, own.created_at, own.due_at, own.endpoint)
    row = conn.execute(query.where(own.id == batch_id)).one()
    return LineFound(
        response_id=line.response_id,
        state=line.outcome or PENDING,
        surface="",
        model=row.model or "",
        window=row.window or "",
        created_at=row.created_at,
        due_at=row.due_at,
        price=None,
        request=None,
        answer=None,
    )


def _results(batch_id: str) -> Select[Any]:
    return (
        select(*_RESULT)
        .select_from(batch_lines)
        .outerjoin(responses, _r.id == _l.response_id)
        .where(_l.batch_id == batch_id)
    )


def _running_ranges(conn: Connection, batch_id: str) -> list[tuple[int, int]]:
    query = select(_j.lo, _j.hi).where(_j.batch_id == batch_id, _j.state == "running")
    return [(row.lo, row.hi) for row in conn.execute(query)]


def _line(row: Row[Any]) -> LineRow:
    return LineRow(
        seq=row.seq,
        custom_id=row.custom_id,
        response_id=row.response_id,
        state=row.outcome or row.state,
        status=row.status,
        error=row.error,
        request_id=row.request_id,
        answer=None if row.answer is None else bytes(row.answer),
        finished_at=row.finished_at,
    )
