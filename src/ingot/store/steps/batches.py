"""Step 9: batches, and the names that their requests have.

A batch's items and jobs are those of the queue (step 7); its results are stored responses. What is kept here is the batch
itself, whose figures are counted in the commits that bring results, and a line for each request: it says under which id
its answer is stored, and how it ended where no answer ever was.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy import (
    text as sql,
)

from ingot.store.steps.kinds import ident, instant, number, text

_OPEN = "state IN ('staged', 'validating', 'in_progress', 'finalizing', 'cancelling')"


def define(tables: MetaData) -> None:
    """The tables of this step."""
    Table(
        "batches",
        tables,
        *_columns(),
        Index("batches_by_org", "org_id", "created_at", "id"),
        Index("batches_open", "state", "due_at", sqlite_where=sql(_OPEN), postgresql_where=sql(_OPEN)),
    )
    Table(
        "batch_lines",
        tables,
        Column("batch_id", Text, primary_key=True),
        Column("seq", Integer, primary_key=True, autoincrement=False),
        text("custom_id"),
        text("response_id"),
        Column("outcome", Text),  # cancelled, expired: it ended without a stored response
        UniqueConstraint("batch_id", "custom_id", name="batch_lines_by_name"),
        sqlite_with_rowid=False,
    )


def _columns() -> tuple[Column[Any], ...]:
    return (
        ident(),
        text("org_id"),
        text("key_id"),
        text("preset"),
        text("shape"),  # requests, file, messages: how it came, and how it is told
        text("endpoint"),  # a path, as clients write it
        Column(
            "state",
            Text,
            CheckConstraint(
                "state IN ('staged', 'validating', 'in_progress', 'finalizing', 'cancelling', 'completed', 'failed', "
                "'expired', 'cancelled')"
            ),
            nullable=False,
        ),
        Column("label", Text),
        Column("metadata", Text),  # a JSON object of strings
        Column("window", Text),  # for requests that name none; null: the model's own
        text("asked_window"),  # as the client wrote it
        Column("model", Text),  # where all requests name one
        Column("input_file_id", Text),
        Column("output_file_id", Text),
        Column("error_file_id", Text),
        Column("output_seconds", BigInteger),  # how long its files are kept
        Column("errors", Text),  # a JSON array: why it failed
        Column("grant_data", Text),  # what its key allowed, as JSON, until it has begun
        number("total"),
        number("completed"),
        number("failed"),
        number("cancelled"),
        number("expired"),
        number("tokens"),  # that its requests were estimated at, together
        number("input_tokens"),
        number("cached_tokens"),
        number("output_tokens"),
        number("reasoning_tokens"),
        instant("created_at"),
        instant("due_at"),
        Column("started_at", BigInteger),
        Column("finalizing_at", BigInteger),
        Column("ended_at", BigInteger),
        Column("cancel_at", BigInteger),
        Column("archived_at", BigInteger),  # when its lines and results went
        Column("owner", Text),  # who reads or writes its files
        Column("lease_until", BigInteger),
        number("epoch"),
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates them."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
