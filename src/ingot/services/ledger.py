"""The ledger as people ask for it: a proof that all money adds up, rows to look at, rows to take away.

Bounded in memory whatever the ledger's size. Decides nothing about money.
"""

import csv
import io
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Connection

from ingot.errors import InvalidRequest
from ingot.services.statements import EntryInfo, entry_info
from ingot.store.database import Database
from ingot.store.findings import Finding
from ingot.store.ledger import Entry, Span, find_entry, latest, page
from ingot.store.testimony import Heard, testimony
from ingot.store.verification import CHECKS, counted, unhurried

MOST_SHOWN: Final = 1_000

Form = Literal["csv", "jsonl"]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verification found: nothing, if `findings` is empty. Of very many findings the first are shown."""

    counted: Mapping[str, int]
    findings: Sequence[Finding]
    wrong: Mapping[str, int]  # how many findings each check has
    heard: Heard | None = None  # how many stored answers were read, where they were

    @property
    def holds(self) -> bool:
        """Whether everything agrees."""
        return not self.wrong


class Ledger:
    """The ledger of one database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def verify(self, *, most: int = MOST_SHOWN, deep: bool = False) -> Proof:
        """Compares stored responses, ledger, balances, budgets and hourly sums, on one snapshot.

        Where `deep` it also reads every stored answer, for the usage that it tells.
        """
        return await self._db.read(partial(_verify, most=most, deep=deep))

    async def latest(self, span: Span, *, limit: int, before: str | None = None) -> Sequence[Entry]:
        """The last rows of a span, the newest first, `before` a row by its id; raises InvalidRequest where it names none."""
        return await self._db.read(partial(_latest, span=span, limit=limit, before=before))

    async def export(self, span: Span, form: Form) -> AsyncIterator[str]:
        """All rows of a span as text, the oldest first, in pieces."""
        if form == "csv":
            yield _csv([COLUMNS])
        after: Entry | None = None
        while rows := await self._db.read(partial(page, span=span, after=after)):
            after = rows[-1]
            told = [entry_info(each) for each in rows]
            yield _csv([astuple(each) for each in told]) if form == "csv" else _jsonl(told)


COLUMNS: Final = EntryInfo.__struct_fields__


def _latest(conn: Connection, *, span: Span, limit: int, before: str | None) -> Sequence[Entry]:
    found = None if before is None else find_entry(conn, before)
    # Another organization's row is told from none by nothing.
    foreign = found is not None and span.org_id is not None and found.org_id != span.org_id
    if foreign or (before is not None and found is None):
        raise InvalidRequest(
            "'before' names no row of this ledger; take it from `next` of the page before.", param="before"
        )
    return latest(conn, span, limit=limit, before=found)


def _verify(conn: Connection, *, most: int, deep: bool) -> Proof:
    unhurried(conn)
    shown: list[Finding] = []
    wrong: Counter[str] = Counter()
    heard = Heard() if deep else None
    checks = [check(conn) for check in CHECKS.values()]
    for finding in chain(*checks, () if heard is None else testimony(conn, heard)):
        wrong[finding.check] += 1
        if len(shown) < most:
            shown.append(finding)
    return Proof(counted(conn), shown, dict(wrong), heard)


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _jsonl(rows: Sequence[EntryInfo]) -> str:
    return "".join(f"{msgspec.json.encode(each).decode()}\n" for each in rows)
