"""The statements about what streams in the background said: written while they run, read from any place, by any process.

    append   while the job's lease holds: a zombie adds nothing
    close    the last events and an empty one behind them, once the result is written

Events are numbered without gaps. A run that is begun anew goes on counting, under its own epoch, and takes the place of what
was said before, so that a reader can tell that what it had is not the beginning of what follows. Plain functions over a connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from ingot.store.harvest import is_held
from ingot.store.queue import Claim
from ingot.store.schema import job_events

MOST: Final = 256
"""Events of one page."""

ANEW: Final = b": begun anew\n\n"

_e = job_events.c
_ADD = insert(job_events).on_conflict_do_nothing()


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it goes out; without data it says that none follows."""

    seq: int
    epoch: int
    data: bytes


def begin(conn: Connection, claim: Claim, response_id: str) -> int:
    """The number of a run's first event; what an earlier run said is gone, but for a comment that holds its place."""
    last = conn.execute(select(func.max(_e.seq)).where(_e.response_id == response_id)).scalar()
    if last is None or not is_held(conn, claim):
        return 0
    conn.execute(delete(job_events).where(_e.response_id == response_id))
    _add(conn, response_id, [Event(int(last) + 1, claim.epoch, ANEW)])
    return int(last) + 2


def append(conn: Connection, claim: Claim, response_id: str, *, events: Sequence[Event]) -> bool:
    """Adds events; False where the lease is not held any more, and nothing was added."""
    if not is_held(conn, claim):
        return False
    _add(conn, response_id, events)
    return True


def close(conn: Connection, response_id: str, *, events: Sequence[Event]) -> None:
    """Adds the last events of a run whose result was written."""
    _add(conn, response_id, events)


def page(conn: Connection, response_id: str, *, after: int) -> list[Event]:
    """The next events behind a number."""
    query = select(_e.seq, _e.epoch, _e.data).where(_e.response_id == response_id, _e.seq > after)
    found = conn.execute(query.order_by(_e.seq).limit(MOST))
    return [Event(row.seq, row.epoch, bytes(row.data)) for row in found]


def epoch_at(conn: Connection, response_id: str, seq: int) -> int | None:
    """The run that an event is of; None where there is no such event."""
    query = select(_e.epoch).where(_e.response_id == response_id, _e.seq == seq)
    return conn.execute(query).scalar()


def first(conn: Connection, response_id: str) -> int | None:
    """The number of the first event that is there."""
    return conn.execute(select(func.min(_e.seq)).where(_e.response_id == response_id)).scalar()


def _add(conn: Connection, response_id: str, events: Sequence[Event]) -> None:
    rows = [
        {"response_id": response_id, "seq": each.seq, "epoch": each.epoch, "data": each.data}
        for each in events
    ]
    if rows:
        conn.execute(_ADD, rows)
