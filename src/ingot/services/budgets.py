"""Budgets: sets, shows and ends hard caps on what an organization or a key may spend. The purse keeps to them.

One budget at most is in force for an organization, or a key of it, and a period; setting it again changes its cap.
Each change leaves an audit row.
"""

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, select

from ingot import ids
from ingot.clock import Clock
from ingot.errors import InvalidRequest, NotFound
from ingot.pricing import LARGEST, usd
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.store import budgets as store
from ingot.store.audit import note
from ingot.store.balances import locked_standing
from ingot.store.budgets import Budget, BudgetRow, Period
from ingot.store.database import Database
from ingot.store.schema import api_keys, micros


class Budgets:
    """The budgets of all organizations of one database."""

    def __init__(self, db: Database, *, clock: Clock, new_id: ids.NewId = ids.new_id) -> None:
        self._db = db
        self._clock = clock
        self._new_id = new_id

    async def set(
        self,
        org_id: str,
        cap: int,
        *,
        period: Period,
        actor: str,
        key_id: str | None = None,
        keep: Keep[BudgetRow] = keep_nothing,
    ) -> BudgetRow:
        """Caps a month's spending, or all of it, of an organization or of one of its keys; 0 stops it."""
        if not 0 <= cap <= LARGEST:
            raise InvalidRequest(f"A budget's cap is 0 to {usd(LARGEST)} USD.", param="cap")
        if period not in {"month", "total"}:
            raise InvalidRequest("A budget's period is month or total.", param="period")
        budget = Budget(self._new_id("bud"), key_id, period, cap)
        work = partial(_set, org_id=org_id, budget=budget, actor=actor, at=self._now())
        return await self._db.write(kept(work, keep))

    async def end(self, org_id: str, budget_id: str, *, actor: str) -> None:
        """Takes a budget out of force; raises NotFound where there is none of that organization."""
        await self._db.write(partial(_end, org_id=org_id, budget_id=budget_id, actor=actor, at=self._now()))

    async def list(self, org_id: str | None = None, *, ended: bool = False) -> Sequence[BudgetRow]:
        """Budgets with what is spent of them in the present period."""
        return await self._db.read(partial(store.list_budgets, org_id=org_id, at=self._now(), ended=ended))

    def _now(self) -> int:
        return micros(self._clock.now())


def _set(conn: Connection, org_id: str, *, budget: Budget, actor: str, at: int) -> BudgetRow:
    if locked_standing(conn, org_id) is None:
        raise NotFound(f"There is no organization {org_id!r}.")
    if budget.key_id is not None:
        owner = conn.execute(select(api_keys.c.org_id).where(api_keys.c.id == budget.key_id)).scalar()
        if owner != org_id:
            raise NotFound("This organization has no such key; name it by its id.", param="key")
    found = store.find_budget(conn, org_id, key_id=budget.key_id, period=budget.period)
    if found is None:
        store.open_budget(conn, org_id, budget=budget, at=at)
    else:
        store.change_cap(conn, found, cap=budget.cap)
    which = found or budget.id
    detail = {"cap": usd(budget.cap), "period": budget.period, "key_id": budget.key_id}
    note(conn, org_id=org_id, actor=actor, action="budget.set", subject=which, detail=detail, at=at)
    return next(row for row in store.list_budgets(conn, org_id, at=at) if row.id == which)


def _end(conn: Connection, org_id: str, *, budget_id: str, actor: str, at: int) -> None:
    if not store.end_budget(conn, org_id, budget_id=budget_id, at=at):
        raise NotFound(
            f"This organization has no such budget in force; GET /admin/v1/organizations/{org_id}/budgets, or `ingot "
            "budgets list`, shows them."
        )
    note(conn, org_id=org_id, actor=actor, action="budget.end", subject=budget_id, detail={}, at=at)
