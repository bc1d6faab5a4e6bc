"""The tables as they are now, for the statements; how they came to be is in `migrations`.

Instants are whole microseconds since the epoch, UTC, on every database. Knows no statement.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

MICROSECOND = 1_000_000


def micros(seconds: float) -> int:
    """An instant of the clock as the store keeps it."""
    return round(seconds * MICROSECOND)


def seconds(instant: int) -> int:
    """A stored instant in whole seconds, as APIs show it."""
    return instant // MICROSECOND


def moment(instant: int) -> str:
    """A stored instant for people, to the minute."""
    return datetime.fromtimestamp(seconds(instant), UTC).strftime("%Y-%m-%d %H:%M UTC")


metadata = MetaData()

schema_migrations = Table(
    "schema_migrations",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("applied_at", BigInteger, nullable=False),
)

peppers = Table(
    "peppers",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
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
