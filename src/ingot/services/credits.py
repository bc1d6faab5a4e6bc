"""What moves an organization's money but its calls: top-ups, promo codes, refunds, corrections. Each is a ledger row.

    top_up    + paid in                         billable id  topup:REFERENCE
    redeem    + a promo code, once each                      promo:CODE:ORG
    refund    + of a call, - of a top-up                     refund:REFERENCE
    correct   + or -, with a reason                          correction:REFERENCE

A reference makes a command safe to repeat: with the same values it answers what was done, with others it is refused.
A prepaid balance never goes below what is reserved of it. Each change leaves an audit row. Knows no payment provider.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NoReturn

from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock
from ingot.errors import Conflict, InvalidRequest, NotFound
from ingot.pricing import usd
from ingot.store.audit import note
from ingot.store.balances import Standing, add, locked_standing, standing
from ingot.store.database import Database
from ingot.store.faults import StoreConflict
from ingot.store.ledger import (
    Entry,
    Span,
    add_entry,
    find_entry,
    latest,
    referring,
    sums_by_kind,
)
from ingot.store.promos import (
    Promo,
    claim_use,
    end_promo,
    find_promo,
    insert_promo,
    insert_use,
    list_promos,
    used_by,
)
from ingot.store.schema import micros, moment

CODE: Final = re.compile(r"[A-Z0-9][A-Z0-9_-]{2,39}")
REFERENCE: Final = re.compile(r"[!-9;-~]{1,100}")
CODE_LENGTH: Final = 12
MOST: Final = 10**18
"""A million USD in one row: more is a slip of the hand, and a balance has to stay within 64 bits."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A row that was written, or found where the same was asked before, and the balance after it."""

    entry: Entry
    standing: Standing
    repeated: bool = False


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
    limit: int | None = None  # a refund's: what was paid for


class Credits:
    """The money of all organizations of one database."""

    def __init__(self, db: Database, *, clock: Clock, new_id: ids.NewId = ids.new_id) -> None:
        self._db = db
        self._clock = clock
        self._new_id = new_id

    # ---- rows

    async def top_up(
        self, org_id: str, amount: int, *, actor: str, reference: str | None = None, note: str | None = None
    ) -> Receipt:
        """Adds what was paid in; the same reference is one payment however often it is told."""
        if not 0 < amount <= MOST:
            raise InvalidRequest(
                f"A top-up is more than 0 and at most {usd(MOST)} USD; `ingot credits correct` takes money away.",
                param="amount",
            )
        return await self._write(org_id, "topup", amount, actor=actor, reference=reference, text=note)

    async def correct(
        self,
        org_id: str,
        amount: int,
        *,
        actor: str,
        note: str,
        reference: str | None = None,
        refers_to: str | None = None,
    ) -> Receipt:
        """Adds or takes away an amount, with the reason; a prepaid balance keeps what is reserved of it."""
        if amount == 0 or abs(amount) > MOST:
            raise InvalidRequest(f"A correction is not 0 and at most {usd(MOST)} USD.", param="amount")
        if not note.strip():
            raise InvalidRequest("A correction needs its reason.", param="note")
        return await self._write(
            org_id, "correction", amount, actor=actor, reference=reference, text=note, refers_to=refers_to
        )

    async def refund(
        self,
        billable_id: str,
        amount: int | None = None,
        *,
        actor: str,
        reference: str | None = None,
        note: str | None = None,
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
                Entry(own, "", "refund", 0, self._now(), refers_to=billable_id, note=_text(note)),
                actor,
                "credits.refund",
            ),
        )
        return await self._once(work, own)

    async def show(self, org_id: str, *, rows: int = 10) -> Account:
        """How an organization stands; raises NotFound."""
        return await self._db.read(partial(_show, org_id=org_id, rows=rows))

    # ---- promo codes

    async def create_promo(
        self,
        amount: int,
        *,
        actor: str,
        code: str | None = None,
        expires: float | None = None,
        most_uses: int | None = None,
    ) -> Promo:
        """A new code; `expires` in seconds since the epoch. Raises InvalidRequest, Conflict."""
        if not 0 < amount <= MOST:
            raise InvalidRequest(
                f"A promo code gives more than 0 and at most {usd(MOST)} USD.", param="amount"
            )
        if most_uses is not None and not 1 <= most_uses <= 10**9:
            raise InvalidRequest("A promo code has at least one use, or no limit.", param="most_uses")
        if expires is not None and expires <= self._clock.now():
            raise InvalidRequest("A promo code's expiry must lie in the future.", param="expires")
        name = ids.random_text(CODE_LENGTH).upper() if code is None else _code(code)
        promo = Promo(
            code=name,
            amount=amount,
            expires_at=None if expires is None else micros(expires),
            most_uses=most_uses,
            uses=0,
            created_at=self._now(),
            ended_at=None,
        )
        try:
            await self._db.write(partial(_create_promo, promo=promo, actor=actor))
        except StoreConflict as error:
            raise Conflict(f"There is a promo code {name} already; codes are never used again.") from error
        return promo

    async def list_promos(self, *, ended: bool = True) -> Sequence[Promo]:
        """All codes, the oldest first."""
        return await self._db.read(partial(list_promos, ended=ended))

    async def end_promo(self, code: str, *, actor: str) -> Promo:
        """Takes a code out of use; again is no error. Raises NotFound."""
        return await self._db.write(partial(_end_promo, code=code.upper(), actor=actor, at=self._now()))

    async def redeem(self, org_id: str, code: str, *, actor: str) -> Receipt:
        """Gives an organization what a code brings, once. Raises NotFound, Conflict."""
        name = code.strip().upper()
        entry = Entry(f"promo:{name}:{org_id}", org_id, "promo", 0, self._now(), note=name)
        try:
            return await self._db.write(partial(_redeem, code=name, entry=entry, actor=actor))
        except StoreConflict as error:
            raise _used(name) from error

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
    ) -> Receipt:
        own = self._reference(kind, reference)
        if kind == "topup":
            entry = Entry(own, org_id, "topup", amount, self._now(), note=_text(text))
        else:
            entry = Entry(
                own, org_id, "correction", amount, self._now(), refers_to=refers_to, note=_text(text)
            )
        return await self._once(partial(_enter, wish=_Wish(entry, actor, f"credits.{kind}")), own)

    async def _once(self, work: "partial[Receipt]", billable_id: str) -> Receipt:
        try:
            return await self._db.write(work)
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
    before = _known(conn, entry.org_id)
    found = find_entry(conn, entry.billable_id)
    if found is not None:
        if (found.org_id, found.amount, found.refers_to) != (entry.org_id, entry.amount, entry.refers_to):
            raise _taken(entry.billable_id)
        return Receipt(found, before, repeated=True)
    if entry.refers_to is not None:
        about = find_entry(conn, entry.refers_to)
        if about is None or about.org_id != entry.org_id:
            raise NotFound(f"This organization has no ledger row {entry.refers_to!r}.", param="refers_to")
    return _record(conn, entry, before=before, actor=wish.actor, action=wish.action)


def _record(conn: Connection, entry: Entry, *, before: Standing, actor: str, action: str) -> Receipt:
    """Writes a row, moves the balance by it, and notes who did."""
    if entry.amount < 0 and before.prepaid and before.available + entry.amount < 0:
        raise Conflict(
            f"The organization has {usd(max(0, before.available))} USD that are not reserved by running requests, "
            f"less than {usd(-entry.amount)} USD; a prepaid balance does not go below zero."
        )
    add_entry(conn, entry)
    add(conn, entry.org_id, amount=entry.amount)
    note(
        conn,
        org_id=entry.org_id,
        actor=actor,
        action=action,
        subject=entry.billable_id,
        detail={"amount": usd(entry.amount), "refers_to": entry.refers_to, "note": entry.note},
        at=entry.at,
    )
    return Receipt(entry, replace(before, balance=before.balance + entry.amount))


def _refund(conn: Connection, billable_id: str, *, amount: int | None, wish: _Wish) -> Receipt:
    about = find_entry(conn, billable_id)
    if about is None:
        raise NotFound(f"There is no ledger row {billable_id!r}; `ingot ledger list` shows them.")
    if about.kind not in {"inference", "topup"}:
        raise Conflict(
            f"{billable_id} is a {about.kind}; only calls and top-ups are refunded. Write a correction."
        )
    before = _known(conn, about.org_id)
    # Under the lock of the organization: two refunds of one row come one after the other.
    given = abs(referring(conn, billable_id, org_id=about.org_id, kind="refund"))
    found = find_entry(conn, wish.entry.billable_id)
    sign = 1 if about.kind == "inference" else -1
    if found is not None:
        if found.refers_to != billable_id or (amount is not None and found.amount != sign * amount):
            raise _taken(wish.entry.billable_id)
        return Receipt(found, before, repeated=True)
    left = abs(about.amount) - given
    wanted = left if amount is None else amount
    if wanted > left or left == 0:
        raise Conflict(
            f"Of {usd(abs(about.amount))} USD that {billable_id} was about, {usd(given)} USD are refunded already; "
            f"at most {usd(left)} USD can be."
        )
    entry = replace(wish.entry, org_id=about.org_id, key_id=about.key_id, amount=sign * wanted)
    return _record(conn, entry, before=before, actor=wish.actor, action=wish.action)


def _show(conn: Connection, org_id: str, *, rows: int) -> Account:
    now = standing(conn, org_id)
    if now is None:
        raise _no_such_organization(org_id)
    return Account(now, sums_by_kind(conn, org_id), latest(conn, Span(org_id=org_id), limit=rows))


def _create_promo(conn: Connection, promo: Promo, *, actor: str) -> None:
    insert_promo(conn, promo)
    detail = {"amount": usd(promo.amount), "most_uses": promo.most_uses}
    note(
        conn,
        org_id=None,
        actor=actor,
        action="promo.create",
        subject=promo.code,
        detail=detail,
        at=promo.created_at,
    )


def _end_promo(conn: Connection, code: str, *, actor: str, at: int) -> Promo:
    if end_promo(conn, code, at=at):
        note(conn, org_id=None, actor=actor, action="promo.end", subject=code, detail={}, at=at)
    found = find_promo(conn, code)
    if found is None:
        _no_such_code(code)
    return found


def _redeem(conn: Connection, code: str, *, entry: Entry, actor: str) -> Receipt:
    before = _known(conn, entry.org_id)
    if used_by(conn, code, org_id=entry.org_id):
        raise _used(code)
    if not claim_use(conn, code, at=entry.at):
        _why_not(find_promo(conn, code), code, at=entry.at)
    promo = find_promo(conn, code)
    if promo is None:
        _no_such_code(code)
    insert_use(conn, code, org_id=entry.org_id, at=entry.at)
    entry = replace(entry, amount=promo.amount)
    return _record(conn, entry, before=before, actor=actor, action="promo.redeem")


def _why_not(promo: Promo | None, code: str, *, at: int) -> NoReturn:
    if promo is None:
        _no_such_code(code)
    if promo.ended_at is not None:
        raise Conflict(f"The promo code {code} was ended.")
    if promo.expires_at is not None and promo.expires_at <= at:
        raise Conflict(f"The promo code {code} expired on {moment(promo.expires_at)}.")
    raise Conflict(f"The promo code {code} was used as often as it may be.")


def _no_such_code(code: str) -> NoReturn:
    raise NotFound(f"There is no promo code {code!r}. Check that it was copied as a whole.")


def _used(code: str) -> Conflict:
    return Conflict(f"This organization has used the promo code {code} already; a code counts once.")


def _taken(billable_id: str) -> Conflict:
    return Conflict(
        f"{billable_id} is in the ledger already, with another organization or amount. Choose another reference if "
        f"this is not the same."
    )


def _known(conn: Connection, org_id: str) -> Standing:
    found = locked_standing(conn, org_id)
    if found is None:
        raise _no_such_organization(org_id)
    return found


def _no_such_organization(org_id: str) -> NotFound:
    return NotFound(f"There is no organization {org_id!r}.")


def _code(text: str) -> str:
    code = text.strip().upper()
    if not CODE.fullmatch(code):
        raise InvalidRequest("A promo code has 3 to 40 letters, digits, - or _.", param="code")
    return code


def _text(text: str | None) -> str | None:
    kept = None if text is None else text.strip()
    if kept and (len(kept) > 500 or not kept.isprintable()):
        raise InvalidRequest("A note has at most 500 printable characters.", param="note")
    return kept or None
