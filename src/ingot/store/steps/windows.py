"""Step 10: truthful promises. What was kept of them, what nodes measured, what was refused and is expected again.

Jobs get the moment by which a batch is to have come so far, and how their prompts begin. `window_slots` has sums by slots of
five minutes and of an hour, each process its own row, so that no two wait for each other; `place` is a class of turn times.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
)
from sqlalchemy import text as sql

from ingot.store.steps.kinds import ident, instant, number, text

QUEUED = "state = 'queued'"
INDEXES = {"jobs_by_target": ("org_id", "target_at", "id"), "jobs_by_due": ("model", "due_at", "id")}
"""Of jobs that wait."""


def define(tables: MetaData) -> None:
    """The tables of this step."""
    Table(
        "window_slots",
        tables,
        Column("span", Integer, nullable=False),  # seconds of a slot: 300, 3600
        Column("slot", BigInteger, nullable=False),  # since the epoch, in spans
        text("window"),
        text("model"),
        Column("batch", Integer, nullable=False),
        Column("place", Integer, nullable=False),  # of the turn time; -1: refused
        text("node"),
        number("ended"),
        number("kept"),
        PrimaryKeyConstraint("span", "slot", "window", "model", "batch", "place", "node"),
    )
    Table(
        "throughput",  # what each node measured
        tables,
        ident("node"),
        instant("at"),
        text("told"),  # JSON
    )
    Table(
        "bookings",  # refused work that was told when to come again
        tables,
        text("org_id"),
        text("work"),  # what tells it again
        text("model"),
        number("service"),
        Column("seconds", Float, nullable=False),  # of its window
        instant("at"),
        instant("until"),
        PrimaryKeyConstraint("org_id", "work"),
        Index("bookings_over", "until"),
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates them, and gives jobs that wait their new columns."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
    for statement in (
        "ALTER TABLE jobs ADD COLUMN target_at BIGINT NOT NULL DEFAULT '0'",
        "ALTER TABLE jobs ADD COLUMN prefix TEXT NOT NULL DEFAULT ''",
        "UPDATE jobs SET target_at = due_at",
        "DROP INDEX jobs_by_org",
        *(f"CREATE INDEX {name} ON jobs ({', '.join(on)}) WHERE {QUEUED}" for name, on in INDEXES.items()),
    ):
        conn.execute(sql(statement))
