"""Step 7: work that waits. Items with their input, jobs as leases over them, what streams said so far, and how long answers waited.

An item is never changed: it is there until its answer is, and goes in the commit that brings it. A job is a range of items
of one batch, 1 for a response in the background; its row is all that changes while work waits and runs. `tenant_clocks`
says how much service each organization had, so that who had least comes next.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy import (
    text as sql,
)

from ingot.store.steps.kinds import ident, instant, number, text

_QUEUED = "state = 'queued'"
_RUNNING = "state = 'running'"


def define(tables: MetaData) -> None:
    """The tables of this step."""
    Table(
        "items",
        tables,
        Column("batch_id", Text, primary_key=True),
        Column("seq", Integer, primary_key=True, autoincrement=False),
        Column("id", Text, nullable=False, unique=True),  # what its answer is stored and billed under
        Column("request_id", Text, nullable=False),
        number("reserved"),  # of the job's money
        Column("headers", Text),  # a JSON object, where targets get any of the client's
        Column("request", LargeBinary, nullable=False),
    )
    _define_jobs(tables)
    Table(
        "job_events",  # what streams in the background have said so far
        tables,
        Column("response_id", Text, primary_key=True),
        Column("seq", Integer, primary_key=True, autoincrement=False),
        Column("epoch", Integer, nullable=False),
        Column("data", LargeBinary, nullable=False),
    )
    Table(
        "tenant_clocks",  # service that organizations had of the queue, divided by their weight
        tables,
        ident("org_id"),
        number("counter"),
    )
    Table(
        "response_waits",  # a row for each response that went through the queue
        tables,
        ident("response_id"),
        text("org_id"),
        Column("achieved", Text),  # the fastest window that was kept; null: none was
        number("queued_us"),
        instant("due_at"),
        Index("response_waits_by_org", "org_id"),
    )


def _define_jobs(tables: MetaData) -> None:
    Table(
        "jobs",
        tables,
        ident(),
        text("batch_id"),
        Column("lo", Integer, nullable=False),
        Column("hi", Integer, nullable=False),  # both included
        text("org_id"),
        text("key_id"),
        text("surface"),
        text("preset"),
        text("model"),
        text("window"),
        text("on_miss"),
        number("streamed"),
        text("price"),  # as ledger rows keep it
        number("prepaid"),
        Column("holds", Text, nullable=False),  # the leases that its money is in, a JSON array
        Column("limits", Text),  # what was charged to rates, as JSON
        number("weight", "1"),
        number("estimate"),  # service of one item, in tokens
        instant("created_at"),
        instant("due_at"),
        instant("lift_at"),
        instant("not_before"),
        Column("state", Text, CheckConstraint("state IN ('queued', 'running')"), nullable=False),
        number("epoch"),
        Column("owner", Text),
        Column("lease_until", BigInteger),
        Column("started_at", BigInteger),  # first
        number("tries"),
        number("lapses"),  # leases that nobody gave back
        Column("cancel_at", BigInteger),
        Index("jobs_by_batch", "batch_id", "lo"),
        Index(
            "jobs_by_org", "org_id", "due_at", "id", sqlite_where=sql(_QUEUED), postgresql_where=sql(_QUEUED)
        ),
        Index("jobs_to_lift", "lift_at", sqlite_where=sql(_QUEUED), postgresql_where=sql(_QUEUED)),
        Index("jobs_leased", "lease_until", sqlite_where=sql(_RUNNING), postgresql_where=sql(_RUNNING)),
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates them."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
