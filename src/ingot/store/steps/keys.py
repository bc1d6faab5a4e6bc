"""Step 1: the record of steps, API keys, and the peppers that signed them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)


def define(tables: MetaData) -> None:
    """The tables of this step; the record of steps stands apart, as it is there before any step."""
    Table(
        "peppers",
        tables,
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("created_at", BigInteger, nullable=False),
    )
    Table(
        "api_keys",
        tables,
        Column("id", Text, primary_key=True),
        Column("kid", Text, nullable=False, unique=True),
        Column("digest", LargeBinary, nullable=False),
        Column("pepper", Integer, ForeignKey("peppers.version"), nullable=False),
        Column("last4", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("source", Text, CheckConstraint("source IN ('issued', 'bootstrap')"), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("last_used_at", BigInteger),
        Column("expires_at", BigInteger),
        Column("revoked_at", BigInteger),
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # the steps' common shape
    """Creates the tables."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
