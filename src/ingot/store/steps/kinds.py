"""Column kinds that all steps share."""

from sqlalchemy import BigInteger, Column, Integer, Text

Serial = BigInteger().with_variant(Integer, "sqlite")
"""A row number that the database hands out; SQLite counts only in a column of this exact type."""


def ident(name: str = "id") -> Column[str]:
    """A primary key of our own making."""
    return Column(name, Text, primary_key=True)


def text(name: str) -> Column[str]:
    """Text that must be there."""
    return Column(name, Text, nullable=False)


def instant(name: str) -> Column[int]:
    """An instant in microseconds since the epoch, UTC."""
    return Column(name, BigInteger, nullable=False)


def number(name: str, default: str = "0") -> Column[int]:
    """A count or an amount; `default` is SQL."""
    return Column(name, BigInteger, nullable=False, server_default=default)
