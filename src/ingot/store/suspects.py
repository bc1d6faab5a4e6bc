"""Who is suspected of killing the workers: jobs of one item that were there each time their worker died.

    lapses   0, 1       whoever works on it may have died of anything
             2 to 5     a suspect: cut into single items; each begins at a distance from the last one that its process began
             6          given up without another try: after three deaths where it was all that its process had at the last one,
                        after six in company

What kills its worker at once takes along only suspects that have run for longer than their distance, which grows with every
death: an innocent one comes to its end before it was there six times. One that hangs holds the others up for seconds at first. Work that is no suspect runs beside them. Nodes know nothing of each other's.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from sqlalchemy import ColumnElement, Connection, not_, or_, select
from sqlalchemy import text as sql

from ingot.store.schema import jobs
from ingot.store.steps.suspects import SUSPECTS

SUSPECTED: Final = 2
"""Lapses after which a job is cut into single items, and each of these keeps its distance from others like it."""
PROVEN: Final = 3
"""Lapses after which a job is given up that was alone at the last one."""
MOST_LAPSES: Final = 6
"""Lapses after which it is given up whoever was there."""
DISTANCE_SECONDS: Final = 2.0
GROWTH: Final = 4
"""By what the distance grows with each lapse: 2, 8, 32, 128 seconds."""

_j = jobs.c
_MARKED: Final = sql(SUSPECTS)  # word for word as the index has it, which SQLite then uses


def first(conn: Connection, *ready: ColumnElement[bool]) -> str | None:
    """The suspect that is due first of those that may begin."""
    query = select(_j.id).where(*ready, _MARKED).order_by(_j.due_at, _j.id).limit(1)
    found: str | None = conn.execute(query).scalar_one_or_none()
    return found


def admitted(suspect: str | None) -> ColumnElement[bool]:
    """Which jobs may be leased: all but suspects, and this one of them."""
    clear = not_(_j.lapses.between(SUSPECTED, MOST_LAPSES - 1))
    return clear if suspect is None else or_(clear, _j.id == suspect)


def distance(lapses: int) -> float:
    """For how many seconds after a job of so many lapses began no suspect begins in its process; 0 where it is none."""
    return DISTANCE_SECONDS * GROWTH ** (lapses - SUSPECTED) if SUSPECTED <= lapses < MOST_LAPSES else 0.0


def alone(lapsed: Iterable[tuple[str, str]]) -> set[str]:
    """Of jobs whose leases are over, each with its owner, those that were all that their owner had."""
    lapsed = list(lapsed)
    count = Counter(owner for _, owner in lapsed)
    return {job_id for job_id, owner in lapsed if count[owner] == 1}
