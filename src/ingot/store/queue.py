"""The statements about jobs: put in, leased, renewed, given back, cancelled, ended with the results of their items.

    queued --claim, epoch+1--> running --last item settled--> gone, its results are stored responses
      ^                          |
      |<--give back, epoch+1-----+     by who holds it: not now, or the process ends; cut where tries differ
      '<--reclaim, epoch+1-------'     by anybody: its lease is over; counted as a lapse, cut into items from the second on

    to         from               by
    running    queued             claim
    queued     running            give_back, reclaim
    gone       queued, running    conclude (with each result), cancel

The epoch is a fence: whoever lost its lease changes nothing, and is told so. No statement here waits for anything but the
database; which of the waiting jobs come first is handed in. Plain functions over a connection.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Row, and_, bindparam, case, func, select, update

from ingot.scheduling.choice import Grant, Look, Queue
from ingot.store import clocks, heads
from ingot.store.bulk import insert_rows
from ingot.store.heads import LEASE, Claimer
from ingot.store.instants import shared_now
from ingot.store.schema import items, jobs
from ingot.store.suspects import MOST_LAPSES, PROVEN, SUSPECTED, alone

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
    spent: int = 0
    """Service of its tries that failed under this lease."""


class Item(Struct, frozen=True, gc=False):
    """One of a job's items that has no result yet."""

    seq: int
    id: str
    request_id: str
    reserved: int
    headers: str | None
    request: bytes


class Rest(Struct, frozen=True, gc=False):
    """How an item goes back: failed tries that its lease has cost it, microseconds for which nobody takes it, and the service
    that its tries have cost others.
    """

    tries: int = 0
    pause: int = 0
    spent: int = 0


class _Part(NamedTuple):
    """Neighbours of a job that were tried equally often."""

    lo: int
    hi: int
    rest: Rest


_UNTRIED: Final = Rest()
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
    held = {each.head.job for each in claimer.own}
    granted = dict.fromkeys(grant.job for grant in choose(queues)) if queues else {}
    wanted = [job_id for job_id in granted if job_id not in held]
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


def give_back(
    conn: Connection, job_id: str, epoch: int, *, owner: str, now: int, rests: Mapping[int, Rest]
) -> bool:
    """Puts a job back, cut where its items were tried unequally often; False where its lease was lost.

    `rests` are by place; an item without one goes back as it came.
    """
    values = {"state": "queued", "epoch": _j.epoch + 1, "owner": None, "lease_until": None}
    back = update(jobs).where(_MINE, _j.owner == owner).values(values).returning(*_COLUMNS)
    row = conn.execute(back, {"job": job_id, "at_epoch": epoch}).first()
    if row is None:
        return False
    job = _leased(row)
    whole = [_Part(job.lo, job.hi, _UNTRIED)]
    parts = _parts(_places(conn, job), rests) if rests else whole
    laid = _lay(conn, job, parts or whole, now=shared_now(conn, now))
    clocks.refund(conn, laid, spent=sum(rest.spent for rest in rests.values()))
    return True


def reclaim(conn: Connection, now: int, *, held: Collection[str] = ()) -> int:
    """Takes back every job whose lease is over; how many. One that lapsed twice goes on item by item.

    `held` are those that the caller works on: where it alone can be alive it has them whatever the clock says.
    """
    over = and_(_j.state.in_(BEFORE["queued"]), _j.lease_until <= shared_now(conn, now))
    if held and conn.dialect.name != "postgresql":
        over = and_(over, _j.id.not_in(sorted(held)))
    lapsed = select(_j.id, _j.owner).where(over).limit(500).with_for_update(skip_locked=True)
    owners = {row.id: row.owner for row in conn.execute(lapsed)}
    if not owners:
        return 0
    proven = and_(_j.id.in_(sorted(alone(owners.items()))), _j.lapses + 1 >= PROVEN)
    values = {
        "state": "queued",
        "epoch": _j.epoch + 1,
        "owner": None,
        "lease_until": None,
        "not_before": 0,
        "lapses": case((proven, MOST_LAPSES), else_=_j.lapses + 1),
    }
    back = update(jobs).where(_j.id.in_(sorted(owners)), over).values(values)
    found = [_leased(row) for row in conn.execute(back.returning(*_COLUMNS))]
    laid: list[Leased] = []
    for job in found:
        single = job.lapses >= SUSPECTED and job.hi > job.lo
        parts = [_Part(seq, seq, _UNTRIED) for seq in _places(conn, job)] if single else []
        laid += _lay(conn, job, parts, now=now) if parts else [job]
    clocks.refund(conn, laid)
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
    ready = (_j.state == "queued", heads.rested(shared_now(conn, now)))
    return sorted(conn.execute(select(_j.model).where(*ready).distinct()).scalars())


def waiting(conn: Connection) -> dict[str, int]:
    """How many jobs are in each state."""
    return {
        state: conn.execute(select(func.count()).where(_j.state == state)).scalar_one()
        for state in ("queued", "running")
    }


def _places(conn: Connection, job: Leased) -> list[int]:
    """The places of a job's items that have no result yet, in their order."""
    place = {"batch": job.batch_id, "first": job.lo, "last": job.hi}
    return list(conn.execute(select(_i.seq).where(_WITHIN).order_by(_i.seq), place).scalars())


def _parts(places: Iterable[int], rests: Mapping[int, Rest]) -> list[_Part]:
    """Cuts where the tries of neighbours differ; a part rests for as long as the most patient of its items."""
    parts: list[_Part] = []
    for seq in places:
        rest = rests.get(seq, _UNTRIED)
        last = parts[-1] if parts else None
        if last is not None and last.rest.tries == rest.tries:
            longest = max(last.rest, rest, key=lambda each: each.pause)
            parts[-1] = _Part(last.lo, seq, longest)
        else:
            parts.append(_Part(seq, seq, rest))
    return parts


def _lay(conn: Connection, job: Leased, parts: Sequence[_Part], *, now: int) -> list[Leased]:
    """Puts parts in the place of a job, as they wait from then on; the first has its row, and what its rates were charged."""
    laid: list[Leased] = []
    rows: list[tuple[Any, ...]] = []
    for part in parts:
        rest = part.rest
        first = not laid
        own = replace(
            job,
            id=job.id if first else f"{job.id}-{part.lo}",
            lo=part.lo,
            hi=part.hi,
            limits=job.limits if first else None,
            tries=job.tries + rest.tries,
        )
        values = {name: getattr(own, name) for name in _LEASED}
        values["not_before"] = now + rest.pause if rest.pause else 0
        if first:
            conn.execute(update(jobs).where(_j.id == job.id).values(values))
        else:
            rows.append((*values.values(), "queued"))
        laid.append(own)
    insert_rows(conn, jobs, (*_LEASED, "not_before", "state"), rows)
    return laid


def _leased(row: Row[Any]) -> Leased:
    values = row._mapping  # noqa: SLF001  # its public name for this
    return Leased(**{name: values[name] for name in _LEASED})
