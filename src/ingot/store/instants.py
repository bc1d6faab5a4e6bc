"""Whose clock decides about leases: where several machines share a database, the database's."""

from sqlalchemy import BigInteger, Connection, cast, func, select

_DATABASE_NOW = select(cast(func.extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger))


def shared_now(conn: Connection, now: int) -> int:
    """The instant, in microseconds, that all who share this database agree on; `now` is the caller's own."""
    if conn.dialect.name != "postgresql":
        return now  # one machine, one clock
    return int(conn.execute(_DATABASE_NOW).scalar_one())
