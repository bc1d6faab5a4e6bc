"""The heads of the queue: the few jobs of which the next ones are chosen, however many wait.

    to be lifted           lift_at has passed               the first by that moment
    critical               due by the horizon               the first by due moment, of each model
    all others             who had least service            of each organization the first by target

Each query reads the head of an index (see `scheduling.choice`). Plain functions over a connection.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, literal_column, not_, select

from ingot.scheduling.backoff import LONGEST
from ingot.scheduling.choice import Head, Look, Own, Queue
from ingot.scheduling.fairness import virtual
from ingot.store import clocks, suspects
from ingot.store.schema import MICROSECOND, jobs, micros, tenant_clocks

LEASE: Final = 60 * MICROSECOND
WARM_ROWS: Final = 8
"""Heads of an organization whose prompts a target has in its cache."""

_j = jobs.c
_HEAD: Final = (
    _j.id, _j.org_id, _j.weight, _j.due_at, _j.lift_at, _j.target_at, _j.prefix, _j.estimate, _j.lo, _j.hi,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claimer:
    """Who takes jobs, when, of which models, and for how long."""

    owner: str
    now: int
    models: Collection[str]
    lease: int = LEASE
    horizon: int | None = None
    """Until when all work is critical: what is due by then counts as lifted."""
    warm: Mapping[str, str] = field(default_factory=dict)
    """How the prompts began that the targets worked on last, by organization."""
    suspects: bool = True
    """Whether one job may come along that is suspected of killing its workers."""
    untried: bool = False
    """Whether only jobs come that were never tried, where one is ready: what failed may be to blame itself."""
    own: Collection[Own] = ()
    """What it has already, and waits: none of it is leased again, and what stands behind it is not leased either."""


def head_of(job: Any, *, items: int) -> Head:
    """A job as it is chosen, with so many items that need a permit; `job` is a leased one, or a row of `_HEAD`."""
    return Head(
        job.id,
        job.due_at / MICROSECOND,
        job.lift_at / MICROSECOND,
        job.estimate,
        items,
        job.prefix,
        job.target_at / MICROSECOND,
    )


def rested(shared: int) -> ColumnElement[bool]:
    """Whether a job's pause is over; `shared` is the instant that all agree on. A clock that is put back by hours makes no pause
    longer than the longest.
    """
    return not_(_j.not_before.between(shared + 1, shared + micros(LONGEST)))


def queues(conn: Connection, look: Look, claimer: Claimer, *, shared: int) -> list[Queue]:
    """The heads that can matter: what is to be lifted, and the first jobs of those who had least service.

    Windows are counted by the clocks of processes, as promises are; leases and pauses by the one that all share.
    """
    ready = _ready(conn, claimer, shared)
    urgent = (
        select(*_HEAD)
        .where(*ready, _j.lift_at <= claimer.now)
        .order_by(_j.lift_at, _j.id)
        .limit(4 * look.rows)
    )
    rows = {row.id: row for row in conn.execute(urgent)}
    rows |= {row.id: row for row in _critical(conn, claimer, look, ready=ready)}
    exists = select(literal_column("1")).where(_j.org_id == tenant_clocks.c.org_id, *ready).exists()
    first = select(tenant_clocks).where(exists).order_by(tenant_clocks.c.counter, tenant_clocks.c.org_id)
    counters = {row.org_id: row.counter for row in conn.execute(first.limit(look.organizations))}
    for org_id in counters:
        heads = select(*_HEAD).where(_j.org_id == org_id, *ready).order_by(_j.target_at, _j.id)
        # One that begins as the last one did may stand a little behind.
        count = max(look.rows, WARM_ROWS) if org_id in claimer.warm else look.rows
        rows |= {row.id: row for row in conn.execute(heads.limit(count))}
    wanted = {row.org_id for row in rows.values()} | {each.organization for each in claimer.own}
    counters |= clocks.of(conn, wanted - counters.keys())
    for each in claimer.own:
        waits = virtual(each.head.estimate * each.head.items, each.weight)
        counters[each.organization] = counters.get(each.organization, 0) - waits
    return _by_organization(rows.values(), counters, claimer)


def _ready(conn: Connection, claimer: Claimer, shared: int) -> list[ColumnElement[bool]]:
    """Which jobs may begin; one suspect among them at most, and what was tried only where nothing else is, if that is asked for."""
    ready = [_j.state == "queued", rested(shared), _j.model.in_(sorted(claimer.models))]
    suspect = suspects.first(conn, *ready) if claimer.suspects else None
    ready.append(suspects.admitted(suspect))
    untried = _j.tries == 0
    if claimer.untried and conn.execute(select(_j.id).where(*ready, untried).limit(1)).first() is not None:
        ready.append(untried)
    return ready


def _critical(
    conn: Connection, claimer: Claimer, look: Look, *, ready: Sequence[ColumnElement[bool]]
) -> Iterator[Any]:
    """The first jobs by due moment of each model, where a promise may break unless they go first."""
    if claimer.horizon is None:
        return
    for model in sorted(claimer.models):
        first = (
            select(*_HEAD)
            .where(*ready, _j.model == model, _j.due_at <= claimer.horizon)
            .order_by(_j.due_at, _j.id)
        )
        yield from conn.execute(first.limit(4 * look.rows)).all()


def _by_organization(rows: Iterable[Any], counters: Mapping[str, int], claimer: Claimer) -> list[Queue]:
    found: dict[str, tuple[int, list[Head]]] = {}
    for row in rows:
        head = head_of(row, items=row.hi - row.lo + 1)
        found.setdefault(row.org_id, (row.weight, []))[1].append(head)
    for each in claimer.own:
        found.setdefault(each.organization, (each.weight, []))[1].append(each.head)
    return [
        Queue(
            org_id,
            counters.get(org_id, 0),
            weight,
            sorted(heads, key=lambda head: (head.order, head.job)),
            claimer.warm.get(org_id, ""),
        )
        for org_id, (weight, heads) in found.items()
    ]
