"""Step 12: an index of the jobs that are suspected of killing their workers, of which there are none on most days."""

from sqlalchemy import Connection
from sqlalchemy import text as sql

SUSPECTS = "state = 'queued' AND lapses BETWEEN 2 AND 5"
"""Of the jobs; see `store.suspects`."""
COLUMNS = ("due_at", "id")


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates it."""
    conn.execute(sql(f"CREATE INDEX jobs_suspected ON jobs ({', '.join(COLUMNS)}) WHERE {SUSPECTS}"))
