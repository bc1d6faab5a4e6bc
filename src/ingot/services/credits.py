"""What moves an organization's money but its calls: top-ups, refunds, corrections. Each is a ledger row.

    top_up    + paid in                         billable id  topup:REFERENCE
    refund    + of a call, - of a top-up                     refund:REFERENCE
    correct   + or -, with a reason                          correction:REFERENCE

A reference makes a command safe to repeat: with the same values it answers what was done, with others it is refused.
A prepaid balance never goes below what is reserved of it. Each change leaves an audit row. Knows no payment provider.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock
from ingot.errors import Conflict, InvalidRequest, NotFound
from ingot.pricing import usd
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.services.receipts import (
    MOST,
    Receipt,
    Reserved,
    locked,
    no_such_organization,
    note_text,
    record,
)
from ingot.store.balances import Standing, standing
from ingot.store.database import Database
from ingot.store.faults import StoreConflict
from ingot.store.ledger import (
    Entry,
    Span,
    find_entry,
    latest,
    referring,
    sums_by_kind,
)
from ingot.store.schema import micros

Spare = Callable[[str], Awaitable[None]]

REFERENCE: Final = re.compile(r"[!-9;-~]{1,100}")


@dataclass(frozen=True, slots=True)
class Account:
    """An organization's money: how it stands, what came and went by kind, and the last rows."""

    standing: Standing
    sums: Mapping[str, int]
    last: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class _Wish:
    """A row that somebody wants, before it is known whether it may be."""

    entry: Entry
    actor: str
    action: str


class Credits:
    """The money of all organizations of one database."""

    def __init__(
        self, db: Database, *, clock: Clock, spare: Spare | None = None, new_id: ids.NewId = ids.new_id
    ) -> None:
        """`spare` makes this process give back what it holds of an organization's balance for calls that may come."""
        self._db = db
        self._clock = clock
        self._spare = spare
        self._new_id = new_id

    # ---- rows

    async def top_up(
        self,
        org_id: str,
        amount: int,
        *,
        actor: str,
        reference: str | None = None,
        note: str | None = None,
        keep: Keep[Receipt] = keep_nothing,
    ) -> Receipt:
        """Adds what was paid in; the same reference is one payment however often it is told."""
        if not 0 < amount <= MOST:
            raise InvalidRequest(
                f"A top-up is more than 0 and at most {usd(MOST)} USD; POST /admin/v1/credits/corrections, or `ingot "
                "credits correct`, takes money away.",
                param="amount",
            )
        return await self._write(
            org_id, "topup", amount, actor=actor, reference=reference, text=note, keep=keep
        )

    async def correct(
        self,
        org_id: str,
        amount: int,
        *,
        actor: str,
        note: str,
        reference: str | None = None,
        refers_to: str | None = None,
        keep: Keep[Receipt] = keep_nothing,
    ) -> Receipt:
        """Adds or takes away an amount, with the reason; a prepaid balance keeps what is reserved of it."""
        if amount == 0 or abs(amount) > MOST:
            raise InvalidRequest(f"A correction is not 0 and at most {usd(MOST)} USD.", param="amount")
        if not note.strip():
            raise InvalidRequest("A correction needs its reason.", param="note")
        return await self._write(
            org_id,
            "correction",
            amount,
            actor=actor,
            reference=reference,
            text=note,
            refers_to=refers_to,
            keep=keep,
        )

    async def refund(
        self,
        billable_id: str,
        amount: int | None = None,
        *,
        actor: str,
        reference: str | None = None,
        note: str | None = None,
        keep: Keep[Receipt] = keep_nothing,
    ) -> Receipt:
        """Gives back what a call cost, or pays out what a top-up brought; in part, or what is left of it.

        All refunds of a row together never exceed it. Raises NotFound, Conflict.
        """
        if amount is not None and amount <= 0:
            raise InvalidRequest(
                "A refund is more than 0; without an amount it is all that is left.", param="amount"
            )
        own = self._reference("refund", reference)
        work = partial(
            _refund,
            billable_id=billable_id,
            amount=amount,
            wish=_Wish(
                Entry(own, "", "refund", 0, self._now(), refers_to=billable_id, note=note_text(note)),
                actor,
                "credits.refund",
            ),
        )
        return await self._once(kept(work, keep), own)

    async def show(self, org_id: str, *, rows: int = 10) -> Account:
        """How an organization stands; raises NotFound."""
        return await self._db.read(partial(_show, org_id=org_id, rows=rows))

    # ---- helpers

    async def _write(
        self,
        org_id: str,
        kind: str,
        amount: int,
        *,
        actor: str,
        reference: str | None,
        text: str | None,
        refers_to: str | None = None,
        keep: Keep[Receipt],
    ) -> Receipt:
        own = self._reference(kind, reference)
        if kind == "topup":
            entry = Entry(own, org_id, "topup", amount, self._now(), note=note_text(text))
        else:
            entry = Entry(
                own, org_id, "correction", amount, self._now(), refers_to=refers_to, note=note_text(text)
            )
        work = partial(_enter, wish=_Wish(entry, actor, f"credits.{kind}"))
        return await self._once(kept(work, keep), own)

    async def _once(self, work: Callable[[Connection], Receipt], billable_id: str) -> Receipt:
        try:
            try:
                return await self._db.write(work)
            except Reserved as error:
                if self._spare is not None:
                    await self._spare(error.org_id)
            return await self._db.write(work)
        except Reserved as error:
            raise Conflict(error.message) from error
        except StoreConflict as error:
            # Two commands with one reference at the same moment, about different organizations.
            raise _taken(billable_id) from error

    def _reference(self, kind: str, reference: str | None) -> str:
        if reference is None:
            return self._new_id(kind)
        if not REFERENCE.fullmatch(reference):
            raise InvalidRequest(
                "A reference has 1 to 100 visible ASCII characters without a colon.", param="reference"
            )
        return f"{kind}:{reference}"

    def _now(self) -> int:
        return micros(self._clock.now())


def _enter(conn: Connection, wish: _Wish) -> Receipt:
    entry = wish.entry
    before = locked(conn, entry.org_id)
    found = find_entry(conn, entry.billable_id)
    if found is not None:
        if (found.org_id, found.amount, found.refers_to) != (entry.org_id, entry.amount, entry.refers_to):
            raise _taken(entry.billable_id)
        return Receipt(found, before, repeated=True)
    if entry.refers_to is not None:
        about = find_entry(conn, entry.refers_to)
        if about is None or about.org_id != entry.org_id:
            raise NotFound(f"This organization has no ledger row {entry.refers_to!r}.", param="refers_to")
    return record(conn, entry, before=before, actor=wish.actor, action=wish.action)


def _refund(conn: Connection, billable_id: str, *, amount: int | None, wish: _Wish) -> Receipt:
    about = find_entry(conn, billable_id)
    if about is None:
        raise NotFound(
            f"There is no ledger row {billable_id!r}; GET /admin/v1/organizations/ORG/ledger, or `ingot ledger list`, "
            "shows them.",
            param="entry",
        )
    if about.kind not in {"inference", "topup"}:
        raise Conflict(
            f"{billable_id} is a {about.kind}; only calls and top-ups are refunded. Write a correction.",
            param="entry",
        )
    before = locked(conn, about.org_id)
    # Under the lock of the organization: two refunds of one row come one after the other.
    given = abs(referring(conn, billable_id, org_id=about.org_id, kind="refund"))
    paid = abs(about.amount) - referring(conn, billable_id, org_id=about.org_id, kind="shortfall")
    found = find_entry(conn, wish.entry.billable_id)
    sign = 1 if about.kind == "inference" else -1
    if found is not None:
        if found.refers_to != billable_id or (amount is not None and found.amount != sign * amount):
            raise _taken(wish.entry.billable_id)
        return Receipt(found, before, repeated=True)
    left = paid - given
    wanted = left if amount is None else amount
    if wanted > left or left == 0:
        raise Conflict(
            f"Of {usd(paid)} USD that were paid for {billable_id}, {usd(given)} USD are refunded already; at most "
            f"{usd(left)} USD can be.",
            param="entry" if amount is None else "amount",
        )
    entry = replace(wish.entry, org_id=about.org_id, key_id=about.key_id, amount=sign * wanted)
    return record(conn, entry, before=before, actor=wish.actor, action=wish.action)


def _show(conn: Connection, org_id: str, *, rows: int) -> Account:
    now = standing(conn, org_id)
    if now is None:
        raise no_such_organization(org_id)
    return Account(now, sums_by_kind(conn, org_id), latest(conn, Span(org_id=org_id), limit=rows))


def _taken(billable_id: str) -> Conflict:
    return Conflict(
        f"{billable_id} is in the ledger already, with another organization or amount. Choose another reference if "
        f"this is not the same.",
        param="reference",
    )
