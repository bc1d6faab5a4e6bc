"""The statements about all that waits, as sums: by organization and model, by the moment it is due and its target.

Read every second or so, and seldomer where it takes longer, by whoever admits and by whoever works; the order of the queue
needs none of it. Plain functions over a connection.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, func, select

from ingot.store.schema import MICROSECOND, items, jobs

STEP: Final = 5
"""Seconds: moments are summed in steps of so many."""

_j = jobs.c
_SERVICE: Final = func.sum(_j.estimate * (_j.hi - _j.lo + 1))
_ITEMS: Final = func.sum(_j.hi - _j.lo + 1)
_DUE: Final = (_j.due_at // (STEP * MICROSECOND)).label("due")
_TARGET: Final = (_j.target_at // (STEP * MICROSECOND)).label("target")
_WAITING: Final = (
    select(
        _j.model, _j.org_id, _DUE, _TARGET,
        func.max(_j.weight).label("weight"), _SERVICE.label("service"), _ITEMS.label("items"),
    )
    .where(_j.state == "queued")
    .group_by(_j.model, _j.org_id, _DUE, _TARGET)
)  # fmt: skip
# Of jobs that somebody has, what has no result yet: a large one may be nearly done.
_RUNNING: Final = (
    select(
        _j.model, _j.org_id, _DUE, func.max(_j.weight).label("weight"), func.sum(_j.estimate).label("service"),
        func.count().label("items"),
    )
    .join(items, and_(items.c.batch_id == _j.batch_id, items.c.seq.between(_j.lo, _j.hi)))
    .where(_j.state == "running")
    .group_by(_j.model, _j.org_id, _DUE)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Waits:
    """What waits of an organization for a model, due and aimed at in one step: moments in seconds."""

    model: str
    org_id: str
    weight: int
    due: float
    target: float
    service: int
    items: int


@dataclass(frozen=True, slots=True)
class Runs:
    """What is left of jobs of an organization for a model that somebody has, due in one step; the moment in seconds."""

    model: str
    org_id: str
    weight: int
    due: float
    service: int
    items: int


def read(conn: Connection) -> tuple[list[Waits], list[Runs]]:
    """All that waits, and all that runs."""
    waits = [
        Waits(
            row.model,
            row.org_id,
            row.weight,
            float(row.due * STEP),
            float(row.target * STEP),
            int(row.service),
            int(row.items),
        )
        for row in conn.execute(_WAITING)
    ]
    runs = [
        Runs(row.model, row.org_id, row.weight, float(row.due * STEP), int(row.service), int(row.items))
        for row in conn.execute(_RUNNING)
    ]
    return waits, runs
