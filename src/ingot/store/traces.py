"""Checks for what is gone: a response or a ledger row that was taken out of the database leaves traces elsewhere.

    response taken out     its metadata, the answer that is kept for its retries
    ledger row taken out   a gap in the numbers (SQLite); the sums do not add up (`verification`); the guards are gone

A response that was never charged, had no metadata and no key, and whose row is gone, leaves none: nothing tells of it.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, text

from ingot.store.findings import PAGE, Finding
from ingot.store.idempotency import CHANGE
from ingot.store.schema import idempotency, items, ledger, response_metadata, responses
from ingot.store.steps.guards import GUARDS


def traces(conn: Connection) -> Iterator[Finding]:
    """What is written together with a response does not outlive it: its metadata, and the answer for its retries.

    A response that was taken out of the database, with its ledger row or without ever having had one, leaves these.
    """
    labelled = response_metadata.c.response_id
    yield from _dangling(
        conn,
        select(labelled.label("id")).distinct().outerjoin(responses, responses.c.id == labelled),
        labelled,
        detail="has metadata, and is not among the stored responses",
    )
    kept = idempotency.c.response_id
    query = (
        select(kept.label("id"))
        .outerjoin(responses, responses.c.id == kept)
        .outerjoin(ledger, ledger.c.billable_id == kept)
        .where(idempotency.c.state == "done", ledger.c.seq.is_(None))
        # What waits has its key answered with that.
        .where(~select(items.c.id).where(items.c.id == kept).exists())
        .where(~kept.startswith(f"{CHANGE}_", autoescape=True))
    )
    detail = "has an answer that is kept for retries, and neither a stored response nor a ledger row"
    yield from _dangling(conn, query, kept, detail=detail)


def _dangling(
    conn: Connection, query: Select[Any], column: ColumnElement[str], *, detail: str
) -> Iterator[Finding]:
    """The ids in `column` that have no stored response."""
    query = query.where(responses.c.id.is_(None)).order_by(column).limit(PAGE)
    after = ""
    while True:
        ids = conn.execute(query.where(column > after)).scalars().all()
        for each in ids:
            yield Finding("traces", each, detail)
        if len(ids) < PAGE:
            return
        after = ids[-1]


def numbers(conn: Connection) -> Iterator[Finding]:
    """No number is missing between the first and the last row, where the database numbers them without gaps.

    SQLite does: a number that was not committed is given again. PostgreSQL's are not, so that nothing is said of them.
    """
    if conn.dialect.name != "sqlite":
        return
    first, last, count = conn.execute(
        select(func.min(ledger.c.seq), func.max(ledger.c.seq), func.count()).select_from(ledger)
    ).one()
    if not count or (first == 1 and last == count):
        return
    before = func.coalesce(func.lag(ledger.c.seq).over(order_by=ledger.c.seq), 0).label("before")
    numbered = select(ledger.c.seq, before).subquery()
    for seq, previous in conn.execute(
        select(numbered.c.seq, numbered.c.before).where(numbered.c.seq != numbered.c.before + 1)
    ):
        yield Finding("numbers", str(previous + 1), f"{seq - previous - 1} rows are missing before row {seq}")


_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'ledger'",
    # O, A: it fires for everybody, as it was made to; D, R: somebody turned it off.
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = 'ledger'::regclass AND tgenabled IN ('O', 'A')",
}


def guards(conn: Connection) -> Iterator[Finding]:
    """The database refuses to change or delete a row; who does it all the same takes the triggers away first."""
    kind = conn.dialect.name
    there = set(conn.execute(text(_TRIGGERS[kind])).scalars())
    for name in GUARDS[kind]:
        if name not in there:
            yield Finding("guards", name, "is gone or off: since then rows could be changed or deleted")
