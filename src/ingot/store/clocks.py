"""The statements about tenant clocks: how much service of the queue each organization had, for its weight.

    enter    an organization whose queue was empty does not begin below those that wait, without what they have running
    charge   the estimates of items that were leased  refund   those of items that go back, without what their tries have cost
    settle   the difference between estimate and what it really was, failed tries included

Rows are changed in the order of their names, so that two transactions seldom wait for each other. The arithmetic is that
of `scheduling.fairness`; nothing here chooses.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from ingot.scheduling.fairness import SCALE, lifted, virtual
from ingot.store.schema import items, jobs, tenant_clocks

_c, _j, _i = tenant_clocks.c, jobs.c, items.c
_OWN = select(_c.counter).where(_c.org_id == bindparam("org"))
_WORK: Select[Any] = select(literal_column("1")).where(jobs.c.org_id == bindparam("org")).limit(1)
_ACTIVE = select(literal_column("1")).where(jobs.c.org_id == _c.org_id).exists()
# What runs is counted with its estimate until it ends, which may be many times what it needs.
_RUNS = (
    select(_j.org_id, cast(func.sum(_j.estimate * SCALE // _j.weight), BigInteger).label("service"))
    .join(items, and_(_i.batch_id == _j.batch_id, _i.seq.between(_j.lo, _j.hi)))
    .where(_j.state == "running")
    .group_by(_j.org_id)
    .subquery()
)
_LEFT = (
    select(_j.id, func.count().label("left"))
    .join(items, and_(_i.batch_id == _j.batch_id, _i.seq.between(_j.lo, _j.hi)))
    .where(_j.id.in_(bindparam("jobs", expanding=True)))
    .group_by(_j.id)
)
_SMALLEST = (
    select(func.min(_c.counter - func.coalesce(_RUNS.c.service, 0)))
    .select_from(tenant_clocks)
    .outerjoin(_RUNS, _RUNS.c.org_id == _c.org_id)
    .where(_ACTIVE)
)
_LAST = select(func.max(_c.counter))
_SET = upsert(tenant_clocks).values(org_id=bindparam("org"), counter=bindparam("at"))
_SET = _SET.on_conflict_do_update(index_elements=[_c.org_id], set_={"counter": _SET.excluded.counter})
_MOVE = (
    update(tenant_clocks).where(_c.org_id == bindparam("org")).values(counter=_c.counter + bindparam("by"))
)


class Charged(Protocol):
    """A job as clocks see it."""

    @property
    def id(self) -> str: ...
    @property
    def org_id(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def estimate(self) -> int: ...
    @property
    def lo(self) -> int: ...
    @property
    def hi(self) -> int: ...


def enter(conn: Connection, org_id: str) -> None:
    """An organization puts in work; call it before its row is there."""
    own = conn.execute(_OWN, {"org": org_id}).scalar()
    if own is not None and conn.execute(_WORK, {"org": org_id}).first() is not None:
        return
    least = conn.execute(_SMALLEST).scalar()
    if least is None:
        least = conn.execute(_LAST).scalar() or 0
    conn.execute(_SET, {"org": org_id, "at": lifted(own, int(least))})


def charge(conn: Connection, leased: Iterable[Charged]) -> None:
    """Counts the estimates of jobs that were leased."""
    move(conn, _estimates(conn, leased))


def refund(conn: Connection, returned: Sequence[Charged], *, spent: int = 0) -> None:
    """Takes the estimates back of jobs that were not done, parts of one job where `spent` is the service of its tries."""
    by = {org_id: -estimate for org_id, estimate in _estimates(conn, returned).items()}
    if spent:
        by[returned[0].org_id] += virtual(spent, returned[0].weight)
    move(conn, by)


def move(conn: Connection, by: Mapping[str, int]) -> None:
    """Moves counters by organization."""
    for org_id in sorted(by):
        if by[org_id]:
            conn.execute(_MOVE, {"org": org_id, "by": by[org_id]})


def of(conn: Connection, org_ids: Collection[str]) -> dict[str, int]:
    """The counters of these organizations."""
    if not org_ids:
        return {}
    query = select(_c.org_id, _c.counter).where(_c.org_id.in_(sorted(org_ids)))
    return {row.org_id: int(row.counter) for row in conn.execute(query)}


def _estimates(conn: Connection, found: Iterable[Charged]) -> dict[str, int]:
    """The estimates of all items that are left of these jobs, by organization: of one that was given back some are done."""
    found = list(found)
    several = [job.id for job in found if job.hi > job.lo]
    left = {row.id: row.left for row in conn.execute(_LEFT, {"jobs": several})} if several else {}
    by: dict[str, int] = defaultdict(int)
    for job in found:
        by[job.org_id] += virtual(job.estimate, job.weight) * left.get(job.id, 1)
    return by
