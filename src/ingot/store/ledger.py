"""The statements about ledger rows: written once, never changed, read in the order in which they came.

Plain functions over a connection. A row's `billable_id` is what is billed; the database takes each one once. Decides
how rows are found and paged. Refuses to know why one is written; balances are moved by `balances`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Select, func, insert, select, tuple_

from ingot.store.schema import ledger

Kind = Literal["inference", "topup", "promo", "subscription", "monthly", "refund", "correction", "shortfall"]

PAGE: Final = 2_000
_HALF: Final = 10**9


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger row; `amount` is below zero where money was spent, `seq` the database's to give."""

    billable_id: str
    org_id: str
    kind: Kind
    amount: int
    at: int
    key_id: str | None = None
    model: str | None = None
    window: str | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    price: str | None = None
    estimated: int = 0
    refers_to: str | None = None
    note: str | None = None
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows are meant; None is no bound, `end` is the first instant after the span."""

    org_id: str | None = None
    start: int | None = None
    end: int | None = None
    kind: Kind | None = None


_FIELDS = tuple(field.name for field in fields(Entry))
_COLUMNS = tuple(ledger.c[name] for name in _FIELDS)
_INSERT = insert(ledger)


def add_entry(conn: Connection, entry: Entry) -> None:
    """Writes a row; raises StoreConflict (through the database) where its billable id is there already."""
    values = {name: getattr(entry, name) for name in _FIELDS}
    del values["seq"]
    conn.execute(_INSERT, values)


def find_entry(conn: Connection, billable_id: str) -> Entry | None:
    """The row of a billable id."""
    found = conn.execute(select(*_COLUMNS).where(ledger.c.billable_id == billable_id)).first()
    return None if found is None else Entry(*found)


def referring(conn: Connection, billable_id: str, *, org_id: str, kind: Kind) -> int:
    """The sum of an organization's rows of a kind about another row."""
    query = select(func.coalesce(func.sum(ledger.c.amount), 0)).where(
        ledger.c.org_id == org_id, ledger.c.refers_to == billable_id, ledger.c.kind == kind
    )
    return int(conn.execute(query).scalar_one())


def page(conn: Connection, span: Span, *, after: Entry | None, limit: int = PAGE) -> Sequence[Entry]:
    """The next rows of a span after a row, the oldest first."""
    query = _within(select(*_COLUMNS), span).order_by(*_order(span)).limit(limit)
    if after is not None:
        query = query.where(tuple_(*_order(span)) > tuple_(*_at(after, span)))
    return [Entry(*row) for row in conn.execute(query)]


def latest(conn: Connection, span: Span, *, limit: int, before: Entry | None = None) -> Sequence[Entry]:
    """The last rows of a span, the newest first; `before` is the row at which the page before ended."""
    query = _within(select(*_COLUMNS), span).order_by(*(each.desc() for each in _order(span))).limit(limit)
    if before is not None:
        query = query.where(tuple_(*_order(span)) < tuple_(*_at(before, span)))
    return [Entry(*row) for row in conn.execute(query)]


def _order(span: Span) -> tuple[ColumnElement[int], ...]:
    """The order that an index has: by time within an organization, else in which the rows came."""
    return (ledger.c.seq,) if span.org_id is None else (ledger.c.at, ledger.c.seq)


def _at(entry: Entry, span: Span) -> tuple[int, ...]:
    """A row's place in that order."""
    return (entry.seq,) if span.org_id is None else (entry.at, entry.seq)


def sums_by_kind(conn: Connection, org_id: str) -> dict[str, int]:
    """What each kind of row adds up to for an organization."""
    query = (
        select(ledger.c.kind, *exact_sum(ledger.c.amount))
        .where(ledger.c.org_id == org_id)
        .group_by(ledger.c.kind)
    )
    return {kind: joined(high, low) for kind, high, low in conn.execute(query)}


def exact_sum(amount: ColumnElement[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """The sum of amounts in two halves, for a whole one may not fit in 64 bits: `joined` puts them together."""
    return func.sum(amount // _HALF), func.sum(amount % _HALF)


def joined(high: int | None, low: int | None) -> int:
    """The sum that the halves are of."""
    return int(high or 0) * _HALF + int(low or 0)


def _within(query: Select[Any], span: Span) -> Select[Any]:
    if span.org_id is not None:
        query = query.where(ledger.c.org_id == span.org_id)
    if span.start is not None:
        query = query.where(ledger.c.at >= span.start)
    if span.end is not None:
        query = query.where(ledger.c.at < span.end)
    return query if span.kind is None else query.where(ledger.c.kind == span.kind)
