"""The statements about budgets: hard caps on what an organization or a key may spend in a month or in all.

    spent = what inferences in its period cost, the part before the budget was set included
    spent + held <= cap holds when money is reserved (`holds`)

A key that was rolled spends from the budgets of the key that replaced it. Months are those of the calendar, in UTC.
Refunds and corrections give nothing back: a cap is about what is used, not about what is paid for it in the end.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from ingot.store.holds import lock_balance
from ingot.store.schema import (
    MICROSECOND,
    api_keys,
    balances,
    budget_spend,
    budgets,
    holds,
    ledger,
    usage_hours,
)

Period = Literal["month", "total"]

HOUR: Final = 3600 * MICROSECOND


@dataclass(frozen=True, slots=True)
class Budget:
    """A hard cap in force, in 1e-12 USD; without a key it is the whole organization's."""

    id: str
    key_id: str | None
    period: Period
    cap: int


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A budget with what was spent and is reserved in its present period."""

    id: str
    org_id: str
    key_id: str | None
    period: Period
    cap: int
    created_at: int
    ended_at: int | None
    period_start: int
    spent: int
    held: int


_MATCHING = select(budgets.c.id, budgets.c.key_id, budgets.c.period, budgets.c.cap).where(
    budgets.c.org_id == bindparam("org"), budgets.c.ended_at.is_(None)
)
_COUNT = (
    update(balances)
    .where(balances.c.org_id == bindparam("org"))
    .values(budgets=balances.c.budgets + bindparam("more"))
)


def period_start(period: Period, at: int) -> int:
    """When the period that an instant falls into began; 0 for the only one of a total."""
    if period == "total":
        return 0
    day = datetime.fromtimestamp(at // MICROSECOND, UTC)
    return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * MICROSECOND


def next_month(start: int) -> int:
    """When the month after the one that began at `start` begins."""
    day = datetime.fromtimestamp(start // MICROSECOND, UTC)
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * MICROSECOND


def matching(conn: Connection, org_id: str, *, key_ids: Collection[str]) -> dict[str, list[Budget]]:
    """The budgets in force that calls with each of these keys fall under."""
    found = [Budget(*row) for row in conn.execute(_MATCHING, {"org": org_id})]
    owners = {each.key_id for each in found if each.key_id is not None}
    lines = {key_id: lineage(conn, key_id) for key_id in key_ids} if owners else {}
    return {
        key_id: [each for each in found if each.key_id is None or each.key_id in lines[key_id]]
        for key_id in key_ids
    }


def lineage(conn: Connection, key_id: str) -> tuple[str, ...]:
    """A key and those that replaced it, one after the other."""
    line = [key_id]
    while True:
        by = conn.execute(select(api_keys.c.replaced_by).where(api_keys.c.id == line[-1])).scalar()
        if by is None or by in line:
            return tuple(line)
        line.append(by)


def ancestry(conn: Connection, key_id: str) -> tuple[str, ...]:
    """A key and those that it replaced, directly or not."""
    line, fresh = [key_id], [key_id]
    while fresh:
        query = select(api_keys.c.id).where(api_keys.c.replaced_by.in_(fresh))
        fresh = [each for each in conn.execute(query).scalars() if each not in line]
        line += fresh
    return tuple(line)


def open_budget(conn: Connection, org_id: str, *, budget: Budget, at: int) -> None:
    """Puts a budget in force; what was spent in its present period counts."""
    # Under the lock: a call that is settled before it is in the sum, one that is settled after it sees the budget.
    lock_balance(conn, org_id)
    row = {
        "id": budget.id,
        "org_id": org_id,
        "key_id": budget.key_id,
        "period": budget.period,
        "cap": budget.cap,
    }
    conn.execute(insert(budgets), row | {"created_at": at})
    conn.execute(_COUNT, {"org": org_id, "more": 1})
    start = period_start(budget.period, at)
    spent = _spent_by_hour(conn, org_id, key_id=budget.key_id, start=start)
    conn.execute(insert(budget_spend), {"budget_id": budget.id, "period_start": start, "spent": spent})


def change_cap(conn: Connection, budget_id: str, *, cap: int) -> None:
    """Sets another cap; what is spent and reserved stays."""
    conn.execute(update(budgets).where(budgets.c.id == budget_id).values(cap=cap))


def end_budget(conn: Connection, org_id: str, *, budget_id: str, at: int) -> bool:
    """Takes a budget out of force; False where it is none of this organization's, or out of force already."""
    lock_balance(conn, org_id)
    query = update(budgets).where(
        budgets.c.id == budget_id, budgets.c.org_id == org_id, budgets.c.ended_at.is_(None)
    )
    if not conn.execute(query.values(ended_at=at)).rowcount:
        return False
    conn.execute(_COUNT, {"org": org_id, "more": -1})
    conn.execute(delete(holds).where(holds.c.org_id == org_id, holds.c.budget_id == budget_id))
    conn.execute(update(budget_spend).where(budget_spend.c.budget_id == budget_id).values(held=0))
    return True


def find_budget(conn: Connection, org_id: str, *, key_id: str | None, period: Period) -> str | None:
    """The id of the budget in force for this key, or the organization, and period."""
    owner = budgets.c.key_id.is_(None) if key_id is None else budgets.c.key_id == key_id
    query = select(budgets.c.id).where(
        budgets.c.org_id == org_id, owner, budgets.c.period == period, budgets.c.ended_at.is_(None)
    )
    return conn.execute(query).scalar()


def list_budgets(conn: Connection, org_id: str | None, *, at: int, ended: bool = False) -> list[BudgetRow]:
    """Budgets of an organization, or of all, with the figures of the period that `at` falls into."""
    month = period_start("month", at)
    query = (
        select(budgets, budget_spend.c.period_start, budget_spend.c.spent, budget_spend.c.held)
        .outerjoin(
            budget_spend,
            (budget_spend.c.budget_id == budgets.c.id)
            & (
                or_(
                    (budgets.c.period == "total") & (budget_spend.c.period_start == 0),
                    (budgets.c.period == "month") & (budget_spend.c.period_start == month),
                )
            ),
        )
        .order_by(budgets.c.org_id, budgets.c.created_at, budgets.c.id)
    )
    if org_id is not None:
        query = query.where(budgets.c.org_id == org_id)
    if not ended:
        query = query.where(budgets.c.ended_at.is_(None))
    return [
        BudgetRow(
            id=row["id"],
            org_id=row["org_id"],
            key_id=row["key_id"],
            period=row["period"],
            cap=row["cap"],
            created_at=row["created_at"],
            ended_at=row["ended_at"],
            period_start=period_start(row["period"], at),
            spent=row["spent"] or 0,
            held=row["held"] or 0,
        )
        for row in conn.execute(query).mappings()
    ]


def spent_in_ledger(
    conn: Connection, org_id: str, *, key_ids: Collection[str] | None, start: int, end: int
) -> int:
    """What inferences cost in a span, by the ledger itself."""
    query = select(func.coalesce(-func.sum(ledger.c.amount), 0)).where(
        ledger.c.org_id == org_id, ledger.c.kind == "inference", ledger.c.at >= start, ledger.c.at < end
    )
    if key_ids is not None:
        query = query.where(ledger.c.key_id.in_(list(key_ids)))
    return int(conn.execute(query).scalar_one())


def _spent_by_hour(conn: Connection, org_id: str, *, key_id: str | None, start: int) -> int:
    """The same from the hourly sums, of which a month has few; periods begin on the hour."""
    query = select(func.coalesce(func.sum(usage_hours.c.amount), 0)).where(
        usage_hours.c.org_id == org_id, usage_hours.c.hour >= start // HOUR
    )
    if key_id is not None:
        query = query.where(usage_hours.c.key_id.in_(ancestry(conn, key_id)))
    return int(conn.execute(query).scalar_one())
