"""Promo codes: an amount of credit for whoever has the code, once an organization, until a day or a number of uses.

Redeeming is one transaction: the use is counted by a guarded update, so that of two who race for the last one wins.
Each change leaves an audit row; the credit is a ledger row, `promo:CODE:ORG`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NoReturn

from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock
from ingot.errors import Conflict, InvalidRequest, NotFound
from ingot.pricing import usd
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.services.receipts import MOST, Receipt, locked, record
from ingot.store.audit import note
from ingot.store.database import Database
from ingot.store.faults import StoreConflict
from ingot.store.ledger import Entry
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
CODE_LENGTH: Final = 12
MOST_USES: Final = 10**9


class Promos:
    """The promo codes of one database."""

    def __init__(
        self, db: Database, *, clock: Clock, random_text: Callable[[int], str] = ids.random_text
    ) -> None:
        self._db = db
        self._clock = clock
        self._random_text = random_text

    async def create(
        self,
        amount: int,
        *,
        actor: str,
        code: str | None = None,
        expires: float | None = None,
        most_uses: int | None = None,
        keep: Keep[Promo] = keep_nothing,
    ) -> Promo:
        """A new code; `expires` in seconds since the epoch. Raises InvalidRequest, Conflict."""
        if not 0 < amount <= MOST:
            raise InvalidRequest(
                f"A promo code gives more than 0 and at most {usd(MOST)} USD.", param="amount"
            )
        if most_uses is not None and not 1 <= most_uses <= MOST_USES:
            raise InvalidRequest(
                f"A promo code has 1 to {MOST_USES} uses, or no limit; leave it out then.", param="most_uses"
            )
        if expires is not None and expires <= self._clock.now():
            raise InvalidRequest("A promo code's expiry must lie in the future.", param="expires_at")
        name = self._random_text(CODE_LENGTH).upper() if code is None else _code(code)
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
            return await self._db.write(kept(partial(_create_promo, promo=promo, actor=actor), keep))
        except StoreConflict as error:
            raise Conflict(
                f"There is a promo code {name} already; codes are never used again.", param="code"
            ) from error

    async def list(self, *, ended: bool = True) -> Sequence[Promo]:
        """All codes, the oldest first."""
        return await self._db.read(partial(list_promos, ended=ended))

    async def end(self, code: str, *, actor: str) -> Promo:
        """Takes a code out of use; again is no error. Raises NotFound."""
        return await self._db.write(partial(_end_promo, code=code.upper(), actor=actor, at=self._now()))

    async def redeem(
        self, org_id: str, code: str, *, actor: str, keep: Keep[Receipt] = keep_nothing
    ) -> Receipt:
        """Gives an organization what a code brings, once. Raises NotFound, Conflict."""
        name = code.strip().upper()
        entry = Entry(f"promo:{name}:{org_id}", org_id, "promo", 0, self._now(), note=name)
        try:
            return await self._db.write(kept(partial(_redeem, code=name, entry=entry, actor=actor), keep))
        except StoreConflict as error:
            raise _used(name) from error

    def _now(self) -> int:
        return micros(self._clock.now())


def _create_promo(conn: Connection, promo: Promo, *, actor: str) -> Promo:
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
    return promo


def _end_promo(conn: Connection, code: str, *, actor: str, at: int) -> Promo:
    if end_promo(conn, code, at=at):
        note(conn, org_id=None, actor=actor, action="promo.end", subject=code, detail={}, at=at)
    found = find_promo(conn, code)
    if found is None:
        _no_such_code(code)
    return found


def _redeem(conn: Connection, code: str, *, entry: Entry, actor: str) -> Receipt:
    before = locked(conn, entry.org_id)
    if used_by(conn, code, org_id=entry.org_id):
        raise _used(code)
    if not claim_use(conn, code, at=entry.at):
        _why_not(find_promo(conn, code), code, at=entry.at)
    promo = find_promo(conn, code)
    if promo is None:
        _no_such_code(code)
    insert_use(conn, code, org_id=entry.org_id, at=entry.at)
    entry = replace(entry, amount=promo.amount)
    return record(conn, entry, before=before, actor=actor, action="promo.redeem")


def _why_not(promo: Promo | None, code: str, *, at: int) -> NoReturn:
    if promo is None:
        _no_such_code(code)
    if promo.ended_at is not None:
        raise Conflict(f"The promo code {code} was ended.", param="code")
    if promo.expires_at is not None and promo.expires_at <= at:
        raise Conflict(f"The promo code {code} expired on {moment(promo.expires_at)}.", param="code")
    raise Conflict(f"The promo code {code} was used as often as it may be.", param="code")


def _no_such_code(code: str) -> NoReturn:
    raise NotFound(f"There is no promo code {code!r}. Check that it was copied as a whole.", param="code")


def _used(code: str) -> Conflict:
    return Conflict(
        f"This organization has used the promo code {code} already; a code counts once.", param="code"
    )


def _code(text: str) -> str:
    code = text.strip().upper()
    if not CODE.fullmatch(code):
        raise InvalidRequest("A promo code has 3 to 40 letters, digits, - or _.", param="code")
    return code
