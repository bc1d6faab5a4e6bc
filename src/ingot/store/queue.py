"""The statements about jobs: put in, leased, renewed, given back, cancelled, ended with the results of their items.

    queued --claim, epoch+1--> running --last item settled--> gone, its results are stored responses
      ^                          |
      |<--give back, epoch+1-----+     by who holds it: not now, or the process ends
      '<--reclaim, epoch+1-------'     by anybody: its lease is over; counted as a lapse

    to         from               by
    running    queued             claim
    queued     running            give_back, reclaim
    gone       queued, running    conclude (with each result), cancel

The epoch is a fence: whoever lost its lease changes nothing, and is told so. No statement here waits for anything but the
database; which of the waiting jobs come first is handed in. Plain functions over a connection.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, Row, and_, bindparam, func, select, update

from ingot.scheduling.choice import Grant, Look, Queue
from ingot.store import clocks, heads
from ingot.store.bulk import insert_rows
from ingot.store.heads import LEASE, Claimer
from ingot.store.instants import shared_now
from ingot.store.schema import items, jobs

MOST_LAPSES: Final = 3
"""Leases that may lapse before a job is taken for what kills its workers."""
SPLIT_FROM: Final = 2
"""Lapses after which a job is cut into single items, so that one of them takes no other with it."""
BEFORE: Final = {"running": ("queued",), "queued": ("running",), "gone": ("queued", "running")}
"""The states from which a job may come to another."""

RESPONSE: Final = "resp_"
"""How the id of a response in the background begins, which is a batch of its own."""

Choose = Callable[[Sequence[Queue]], Sequence[Grant]]


class NewItem(Struct, frozen=True, gc=False):
    """The input of one inference; `id` is what its answer is stored and billed under."""

    id: str
    request_id: str
    request: bytes
    headers: str | None = None
    reserved: int = 0


class Job(Struct, frozen=True, kw_only=True):
    """A job as it is put in; instants in microseconds, `lo` and `hi` are items of its batch, both included."""

    id: str
    batch_id: str
    lo: int
    hi: int
    org_id: str
    key_id: str
    surface: str
    preset: str
    model: str
    window: str
    on_miss: str
    streamed: int
    price: str
    prepaid: int
    holds: str
    limits: str | None
    weight: int
    estimate: int
    created_at: int
    due_at: int
    lift_at: int
    target_at: int = 0
    """By when it is to have come so far, for an even pace of its batch; 0: when it is due."""
    prefix: str = ""
    """How its prompts begin, as `scheduling.grouping` has it."""

    @property
    def in_batch(self) -> bool:
        """Whether its items are requests of a batch, and not one response in the background."""
        return not self.batch_id.startswith(RESPONSE)


class Leased(Job, frozen=True, kw_only=True):
    """A job that somebody holds; the epoch proves it."""

    epoch: int
    started_at: int | None
    tries: int
    lapses: int
    cancel_at: int | None


class Claim(Struct, frozen=True, gc=False):
    """What proves that a result may be written: the job's lease, and which of its items."""

    job_id: str
    epoch: int
    batch_id: str
    seq: int
    org_id: str
    weight: int
    estimate: int
    due_at: int


class Item(Struct, frozen=True, gc=False):
    """One of a job's items that has no result yet."""

    seq: int
    id: str
    request_id: str
    reserved: int
    headers: str | None
    request: bytes


_JOB = Job.__struct_fields__
_NAMED = tuple(name for name in _JOB if name != "target_at")
_LEASED = Leased.__struct_fields__
_ITEM = Item.__struct_fields__
_NEW = ("state", "epoch", "not_before", "tries", "lapses")
_j, _i = jobs.c, items.c
_COLUMNS = tuple(jobs.c[name] for name in _LEASED)
_MINE = and_(_j.id == bindparam("job"), _j.epoch == bindparam("at_epoch"), _j.state == "running")
_WITHIN = and_(_i.batch_id == bindparam("batch"), _i.seq.between(bindparam("first"), bindparam("last")))


def enqueue(conn: Connection, job: Job, new: Sequence[NewItem]) -> None:
    """Puts in a job and the items of its range, in their order."""
    rows = [
        (job.batch_id, job.lo + place, each.id, each.request_id, each.reserved, each.headers, each.request)
        for place, each in enumerate(new)
    ]
    columns = ("batch_id", "seq", "id", "request_id", "reserved", "headers", "request")
    insert_rows(conn, items, columns, rows)
    clocks.enter(conn, job.org_id)
    insert_rows(conn, jobs, *job_rows([job]))


def job_rows(new: Iterable[Job]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The columns of jobs that wait from now on, and their rows."""
    rows = [
        (*(getattr(job, name) for name in _NAMED), job.target_at or job.due_at, "queued", 0, 0, 0, 0)
        for job in new
    ]
    return (*_NAMED, "target_at", *_NEW), rows


def claim(conn: Connection, claimer: Claimer, look: Look, *, choose: Choose) -> list[Leased]:
    """Leases what `choose` grants of the heads of the queue; what another took in between is missing."""
    now = shared_now(conn, claimer.now)
    queues = heads.queues(conn, look, claimer, shared=now)
    wanted = list(dict.fromkeys(grant.job for grant in choose(queues))) if queues else []
    if not wanted:
        return []
    free = (
        select(_j.id)
        .where(_j.id.in_(wanted), _j.state.in_(BEFORE["running"]))
        .with_for_update(skip_locked=True)
    )
    values = {
        "state": "running",
        "epoch": _j.epoch + 1,
        "owner": claimer.owner,
        "lease_until": now + claimer.lease,
        "started_at": func.coalesce(_j.started_at, now),
    }
    taken = update(jobs).where(_j.id.in_(free.scalar_subquery()), _j.state.in_(BEFORE["running"]))
    found = [_leased(row) for row in conn.execute(taken.values(values).returning(*_COLUMNS))]
    clocks.charge(conn, found)
    order = {job_id: place for place, job_id in enumerate(wanted)}
    return sorted(found, key=lambda job: order[job.id])


def items_of(conn: Connection, job: Leased) -> list[Item]:
    """The items of a job that have no result yet, in their order."""
    place = {"batch": job.batch_id, "first": job.lo, "last": job.hi}
    query = select(*(items.c[name] for name in _ITEM)).where(_WITHIN).order_by(_i.seq)
    return [
        Item(row.seq, row.id, row.request_id, row.reserved, row.headers, bytes(row.request))
        for row in conn.execute(query, place)
    ]


def renew(
    conn: Connection, owner: str, *, job_ids: Collection[str], now: int, lease: int = LEASE
) -> set[tuple[str, int]]:
    """Prolongs these leases of an owner; which of the jobs it still has, each with its epoch."""
    values = {"lease_until": shared_now(conn, now) + lease}
    own = (_j.id.in_(sorted(job_ids)), _j.owner == owner, _j.state == "running")
    mine = update(jobs).where(*own).values(values)
    return {(row.id, row.epoch) for row in conn.execute(mine.returning(_j.id, _j.epoch))}


@dataclass(frozen=True, slots=True)
class Rest:
    """How a job goes back: for how long nobody takes it, in microseconds, and whether a try is counted."""

    now: int
    pause: int = 0
    tried: bool = False


def give_back(conn: Connection, job_id: str, epoch: int, *, owner: str, rest: Rest) -> bool:
    """Puts a job back; False where its lease was lost."""
    values = {
        "state": "queued",
        "epoch": _j.epoch + 1,
        "owner": None,
        "lease_until": None,
        "not_before": shared_now(conn, rest.now) + rest.pause if rest.pause else 0,
        "tries": _j.tries + int(rest.tried),
    }
    back = update(jobs).where(_MINE, _j.owner == owner).values(values).returning(*_COLUMNS)
    found = [_leased(row) for row in conn.execute(back, {"job": job_id, "at_epoch": epoch})]
    clocks.refund(conn, found)
    return bool(found)


def reclaim(conn: Connection, now: int, *, held: Collection[str] = ()) -> int:
    """Takes back every job whose lease is over; how many. One that lapsed twice goes on item by item.

    `held` are those that the caller works on: where it alone can be alive it has them whatever the clock says.
    """
    over = and_(_j.state.in_(BEFORE["queued"]), _j.lease_until <= shared_now(conn, now))
    if held and conn.dialect.name != "postgresql":
        over = and_(over, _j.id.not_in(sorted(held)))
    lapsed = select(_j.id).where(over).limit(500).with_for_update(skip_locked=True)
    values = {
        "state": "queued",
        "epoch": _j.epoch + 1,
        "owner": None,
        "lease_until": None,
        "not_before": 0,
        "lapses": _j.lapses + 1,
    }
    back = update(jobs).where(_j.id.in_(lapsed.scalar_subquery()), over).values(values)
    found = [_leased(row) for row in conn.execute(back.returning(*_COLUMNS))]
    clocks.refund(conn, found)
    for job in found:
        if job.lapses >= SPLIT_FROM and job.hi > job.lo:
            _split(conn, job)
    return len(found)


def void_leases(conn: Connection, owner: str) -> int:
    """Ends the leases of all others where they cannot be alive: one process serves a SQLite file."""
    if conn.dialect.name == "postgresql":
        return 0
    others = and_(_j.state == "running", _j.owner != owner)
    return conn.execute(update(jobs).where(others).values(lease_until=0)).rowcount


def cancelled(conn: Connection, owner: str) -> dict[str, int]:
    """Of the jobs that an owner holds, those that somebody wants ended, and since when."""
    wanted = select(_j.id, _j.cancel_at).where(
        _j.owner == owner, _j.state == "running", _j.cancel_at.is_not(None)
    )
    return {row.id: row.cancel_at for row in conn.execute(wanted)}


def ask_cancel(conn: Connection, batch_id: str, *, at: int) -> bool:
    """Asks whoever has jobs of a batch to end them; False where there is none."""
    own = update(jobs).where(_j.batch_id == batch_id, _j.cancel_at.is_(None))
    conn.execute(own.values(cancel_at=at, lift_at=0, not_before=0))
    return conn.execute(select(_j.id).where(_j.batch_id == batch_id).limit(1)).first() is not None


def cancel_organization(conn: Connection, org_id: str, *, at: int) -> int:
    """Asks for the end of all that waits or runs for an organization; how many jobs."""
    own = update(jobs).where(_j.org_id == org_id, _j.cancel_at.is_(None))
    return conn.execute(own.values(cancel_at=at, lift_at=0, not_before=0)).rowcount


def take_queued(conn: Connection, batch_id: str, *, owner: str, now: int) -> Leased | None:
    """Leases a job of one item that waits, whatever its place in the queue; None where it runs or is not there."""
    values = {
        "state": "running",
        "epoch": _j.epoch + 1,
        "owner": owner,
        "lease_until": shared_now(conn, now) + LEASE,
    }
    own = update(jobs).where(_j.batch_id == batch_id, _j.state.in_(BEFORE["running"])).values(values)
    row = conn.execute(own.returning(*_COLUMNS)).first()
    found = None if row is None else _leased(row)
    if found is not None:
        clocks.charge(conn, [found])
    return found


def models_waiting(conn: Connection, now: int) -> list[str]:
    """The models for which jobs wait that may begin."""
    ready = (_j.state == "queued", _j.not_before <= shared_now(conn, now))
    return sorted(conn.execute(select(_j.model).where(*ready).distinct()).scalars())


def waiting(conn: Connection) -> dict[str, int]:
    """How many jobs are in each state."""
    return {
        state: conn.execute(select(func.count()).where(_j.state == state)).scalar_one()
        for state in ("queued", "running")
    }


def _split(conn: Connection, job: Leased) -> None:
    """Cuts a job into one for each item that is left; the first keeps its row, and its money."""
    left = [each.seq for each in items_of(conn, job)]
    if not left:
        return
    conn.execute(update(jobs).where(_j.id == job.id).values(lo=left[0], hi=left[0]))
    columns = (*_JOB, *_NEW)
    kept = {name: getattr(job, name) for name in _JOB}
    rows = []
    for seq in left[1:]:
        own = {**kept, "id": f"{job.id}-{seq}", "lo": seq, "hi": seq, "limits": None}
        rows.append((*(own[name] for name in _JOB), "queued", 0, 0, job.tries, job.lapses))
    insert_rows(conn, jobs, columns, rows)


def _leased(row: Row[Any]) -> Leased:
    values = row._mapping  # noqa: SLF001  # its public name for this
    return Leased(**{name: values[name] for name in _LEASED})
