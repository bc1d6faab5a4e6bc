"""Who is suspected of killing the workers: jobs of one item that were there each time their worker died.

    lapses   0, 1       whoever works on it may have died of anything
             2          a suspect: cut into single items, and no process has more than one of them at a time
             3          given up without another try: it was the only suspect in the process that died last

So an innocent one is given up only where the process dies of something else three times with it in it: what kills on its
own has two lapses by then, and is no neighbour of it any more. Work that is no suspect runs beside one. Nodes have one each.
"""

from typing import Final

from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy import text as sql

from ingot.store.schema import jobs
from ingot.store.steps.suspects import SUSPECTS

SUSPECTED: Final = 2
"""Lapses after which a job is cut into single items, and each of these is run with no other like it."""
MOST_LAPSES: Final = 3
"""Leases that may lapse before a job is taken for what kills its workers."""

_j = jobs.c
_MARKED: Final = sql(SUSPECTS)  # word for word as the index has it, which SQLite then uses


def first(conn: Connection, *ready: ColumnElement[bool]) -> str | None:
    """The suspect that is due first of those that may begin."""
    query = select(_j.id).where(*ready, _MARKED).order_by(_j.due_at, _j.id).limit(1)
    found: str | None = conn.execute(query).scalar_one_or_none()
    return found


def admitted(suspect: str | None) -> ColumnElement[bool]:
    """Which jobs may be leased: all but suspects, and this one of them."""
    clear = _j.lapses != SUSPECTED
    return clear if suspect is None else clear | (_j.id == suspect)
