"""The statements about all that waits, as sums: by organization and model, by the moment it is due and its target.

Read every second or so, and seldomer where it takes longer, by whoever admits and by whoever works; the order of the queue
needs none of it. Plain functions over a connection.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from ingot.store.schema import MICROSECOND, jobs

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
_RUNNING: Final = (
    select(_j.model, _j.org_id, func.max(_j.weight).label("weight"), _SERVICE.label("service"))
    .where(_j.state == "running")
    .group_by(_j.model, _j.org_id)
)


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
    """What runs of an organization for a model."""

    model: str
    org_id: str
    weight: int
    service: int


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
    runs = [Runs(row.model, row.org_id, row.weight, int(row.service)) for row in conn.execute(_RUNNING)]
    return waits, runs
