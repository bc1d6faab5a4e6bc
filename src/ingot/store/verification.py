"""The statements that compare stored responses, ledger and balances with each other, and say where they differ.

    responses <--one each--> ledger --sums--> balances, budget_spend, usage_hours      holds --sums--> held

What else a response leaves is in `traces`, what stored answers say themselves in `testimony`. Each check yields findings and reads in pages or lets the database compare, so that memory stays bounded whatever the
ledger's size. Run them in one read: they need one snapshot. Decides what has to agree. Changes nothing.
"""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, and_, except_, func, literal, or_, select, text

from ingot.pricing import Tokens, parse_frozen, usd
from ingot.store.budgets import HOUR, Period, ancestry, next_month, period_start, spent_in_ledger
from ingot.store.findings import PAGE, Check, Finding
from ingot.store.ledger import exact_sum, joined
from ingot.store.schema import (
    balances,
    budget_spend,
    budgets,
    holds,
    ledger,
    organizations,
    promo_codes,
    promo_uses,
    responses,
    usage_hours,
)
from ingot.store.traces import guards, numbers, traces

FOREVER: Final = 2**62


def unhurried(conn: Connection) -> None:
    """Lets the statements of this transaction take their time, where the database limits it."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SET LOCAL statement_timeout = 0"))


def counted(conn: Connection) -> dict[str, int]:
    """How much there is to compare."""
    tables = {
        "organizations": organizations,
        "responses": responses,
        "ledger": ledger,
        "budgets": budgets,
        "holds": holds,
    }
    return {
        name: int(conn.execute(select(func.count()).select_from(table)).scalar_one())
        for name, table in tables.items()
    }


# ---- calls


_CALL = (
    "org_id",
    "key_id",
    "model",
    "window",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_STORED = tuple(responses.c[name].label(f"stored_{name}") for name in _CALL)


def calls(conn: Connection) -> Iterator[Finding]:
    """Every row of a call costs what its frozen price says, and what the stored response says, if that is still there."""
    query = (
        select(ledger, responses.c.id.label("stored_id"), responses.c.amount.label("stored_amount"), *_STORED)
        .outerjoin(responses, responses.c.id == ledger.c.billable_id)
        .where(ledger.c.kind == "inference")
        .order_by(ledger.c.seq)
        .limit(PAGE)
    )
    after = -1
    while True:
        rows = conn.execute(query.where(ledger.c.seq > after)).mappings().all()
        for row in rows:
            problem = _call_problem(row)
            if problem:
                yield Finding("calls", row["billable_id"], problem)
        if len(rows) < PAGE:
            return
        after = rows[-1]["seq"]


def _call_problem(row: Any) -> str | None:
    if row["amount"] > 0:
        return f"a call gives {usd(row['amount'])} USD instead of costing something"
    used = Tokens(
        input=row["input_tokens"],
        cached_input=row["cached_tokens"],
        cache_write=row["cache_write_tokens"],
        output=row["output_tokens"],
        reasoning=row["reasoning_tokens"],
    )
    try:
        cost = parse_frozen(row["price"] or "").cost(used)
    except ValueError as error:
        return f"its price cannot be read: {error}"
    if cost != -row["amount"]:
        return f"costs {usd(-row['amount'])} USD, but {usd(cost)} USD by its own price"
    if row["stored_id"] is None:
        return None  # the response was deleted or its time is over; its row stays
    if row["stored_amount"] != cost:
        return f"costs {usd(cost)} USD, but the stored response says {usd(row['stored_amount'])} USD"
    for name in _CALL:
        if (row[name] or "") != (row[f"stored_{name}"] or ""):
            return f"{name} is {row[name]}, but the stored response says {row[f'stored_{name}']}"
    return None


def answers(conn: Connection) -> Iterator[Finding]:
    """Every stored response that was completed, or brought output, or cost something, has its row."""
    billed = or_(
        responses.c.state.in_(("completed", "deleted")),  # only what was completed is deleted
        responses.c.output_tokens > 0,
        responses.c.amount != 0,
    )
    query = (
        select(responses.c.id, responses.c.state, responses.c.amount)
        .outerjoin(ledger, and_(ledger.c.billable_id == responses.c.id, ledger.c.kind == "inference"))
        .where(ledger.c.seq.is_(None), billed)
        .order_by(responses.c.id)
        .limit(PAGE)
    )
    after = ""
    while True:
        rows = conn.execute(query.where(responses.c.id > after)).all()
        for row in rows:
            yield Finding(
                "answers", row.id, f"is {row.state}, at {usd(row.amount)} USD, and has no ledger row"
            )
        if len(rows) < PAGE:
            return
        after = rows[-1].id


# ---- sums


def sums(conn: Connection) -> Iterator[Finding]:
    """Every balance is the sum of the organization's rows, and what is held of it the sum of its leases."""
    high, low = exact_sum(ledger.c.amount)
    total = select(ledger.c.org_id, high.label("high"), low.label("low")).group_by(ledger.c.org_id).subquery()
    held = _held(None).subquery()
    query = (
        select(
            balances.c.org_id,
            balances.c.balance,
            balances.c.held,
            organizations.c.prepaid,
            total.c.high,
            total.c.low,
            func.coalesce(held.c.amount, 0).label("leased"),
        )
        .join(organizations, organizations.c.id == balances.c.org_id)
        .outerjoin(total, total.c.org_id == balances.c.org_id)
        .outerjoin(held, held.c.org_id == balances.c.org_id)
        .order_by(balances.c.org_id)
    )
    for row in conn.execute(query):
        damaged = [name for name in ("balance", "held") if not isinstance(getattr(row, name), int)]
        for name in damaged:
            yield Finding(
                "sums",
                row.org_id,
                f"its {name} is {getattr(row, name)}, which is no amount; its rows add up to "
                f"{usd(joined(row.high, row.low))} USD",
            )
        if damaged:
            continue
        if row.balance != joined(row.high, row.low):
            detail = (
                f"the balance is {usd(row.balance)} USD, but its rows add up to "
                f"{usd(joined(row.high, row.low))} USD"
            )
            yield Finding("sums", row.org_id, detail)
        if row.held != row.leased:
            detail = f"{usd(row.held)} USD are held, but leases add up to {usd(int(row.leased))} USD"
            yield Finding("sums", row.org_id, detail)
        if row.prepaid and row.held > max(row.balance, 0):
            detail = f"{usd(row.held)} USD are held of a balance of {usd(row.balance)} USD"
            yield Finding("sums", row.org_id, detail)
    unknown = (
        select(total.c.org_id, total.c.high, total.c.low)
        .outerjoin(balances, balances.c.org_id == total.c.org_id)
        .where(balances.c.org_id.is_(None))
    )
    for org_id, high, low in conn.execute(unknown):
        yield Finding("sums", org_id, f"has rows of {usd(joined(high, low))} USD and no balance")


def caps(conn: Connection) -> Iterator[Finding]:
    """Every budget in force has counted what its calls cost, and holds what its leases hold."""
    last = conn.execute(select(func.max(ledger.c.at))).scalar() or 0
    for row in conn.execute(
        select(budgets).where(budgets.c.ended_at.is_(None)).order_by(budgets.c.id)
    ).mappings():
        keys = None if row["key_id"] is None else ancestry(conn, row["key_id"])
        kept = {
            start: (spent, held)
            for start, spent, held in conn.execute(
                select(budget_spend.c.period_start, budget_spend.c.spent, budget_spend.c.held).where(
                    budget_spend.c.budget_id == row["id"]
                )
            )
        }
        for start, end in _periods(row["period"], row["created_at"], last):
            spent = kept.get(start, (0, 0))[0]
            cost = spent_in_ledger(conn, row["org_id"], key_ids=keys, start=start, end=end)
            if spent != cost:
                detail = f"{usd(spent)} USD are counted from {start} on, but its calls cost {usd(cost)} USD"
                yield Finding("caps", row["id"], detail)
        held = {start: int(amount) for _, start, amount in conn.execute(_held(row["id"]))}
        for start in sorted({*kept, *held}):
            if kept.get(start, (0, 0))[1] != held.get(start, 0):
                detail = f"{usd(kept.get(start, (0, 0))[1])} USD are held, its leases {usd(held.get(start, 0))} USD"
                yield Finding("caps", row["id"], detail)
    counts = select(budgets.c.org_id, func.count().label("n")).where(budgets.c.ended_at.is_(None))
    live = counts.group_by(budgets.c.org_id).subquery()
    wrong = (
        select(balances.c.org_id, balances.c.budgets, func.coalesce(live.c.n, 0))
        .outerjoin(live, live.c.org_id == balances.c.org_id)
        .where(balances.c.budgets != func.coalesce(live.c.n, 0))
    )
    for org_id, counted_ones, there in conn.execute(wrong):
        yield Finding("caps", org_id, f"{counted_ones} budgets are said to be in force, but {there} are")


def _held(budget_id: str | None) -> Any:
    if budget_id is None:
        query = select(holds.c.org_id, func.sum(holds.c.amount).label("amount"))
        return query.where(holds.c.budget_id.is_(None)).group_by(holds.c.org_id)
    total = select(holds.c.budget_id, holds.c.period_start, func.sum(holds.c.amount).label("amount"))
    return total.where(holds.c.budget_id == budget_id).group_by(holds.c.budget_id, holds.c.period_start)


def _periods(period: Period, created_at: int, last: int) -> Iterator[tuple[int, int]]:
    """The periods that a budget has counted, up to the last call."""
    if period == "total":
        yield 0, FOREVER
        return
    start = period_start("month", created_at)
    while start <= max(last, created_at):
        yield start, next_month(start)
        start = next_month(start)


_FIGURES = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


def usage(conn: Connection) -> Iterator[Finding]:
    """Every hourly sum is the sum of that hour's calls."""
    names = [ledger.c.key_id, ledger.c.model, ledger.c.window]
    place = [ledger.c.org_id, ledger.c.at // HOUR, *(func.coalesce(each, "") for each in names)]
    derived = (
        select(
            *place, func.count(), *(func.sum(ledger.c[name]) for name in _FIGURES), -func.sum(ledger.c.amount)
        )
        .where(ledger.c.kind == "inference")
        .group_by(*place)
    )
    columns = ("org_id", "hour", "key_id", "model", "window", "requests", *_FIGURES, "amount")
    kept = select(*(usage_hours.c[name] for name in columns))
    for query, what in (
        (except_(derived, kept), "calls of {0} that the hourly sums do not have so"),
        (except_(kept, derived), "an hourly sum of {0} that the calls do not add up to"),
    ):
        for row in conn.execute(query):
            org_id, hour, key_id, model, window, *figures = row
            told = ", ".join(f"{name} {int(value)}" for name, value in zip(columns[5:], figures, strict=True))
            subject = f"{org_id}/{hour}/{key_id}/{model}/{window}"
            yield Finding("usage", subject, what.format("this hour") + f": {told}")


# ---- references


def references(conn: Connection) -> Iterator[Finding]:
    """Refunds are about a row of the same organization and never exceed it; promo codes count their uses."""
    about = ledger.alias("about")
    same = and_(about.c.billable_id == ledger.c.refers_to, about.c.org_id == ledger.c.org_id)
    query = (
        select(ledger.c.billable_id, ledger.c.kind, ledger.c.refers_to)
        .outerjoin(about, same)
        .where(ledger.c.refers_to.is_not(None), about.c.seq.is_(None))
    )
    for billable_id, kind, refers_to in conn.execute(query):
        yield Finding("references", billable_id, f"is a {kind} about {refers_to}, which is not in the ledger")
    given = (
        select(ledger.c.refers_to, func.sum(ledger.c.amount).label("given"))
        .where(ledger.c.kind.in_(("refund", "shortfall")))
        .group_by(ledger.c.refers_to)
        .subquery()
    )
    paid = select(ledger.c.billable_id, ledger.c.amount, given.c.given).join(
        given, given.c.refers_to == ledger.c.billable_id
    )
    for billable_id, amount, back in conn.execute(paid):
        if abs(back) > abs(amount) or (amount and back * amount > 0):
            detail = f"{usd(int(back))} USD are given back of {usd(amount)} USD"
            yield Finding("references", billable_id, detail)
    uses = select(promo_uses.c.code, func.count().label("n")).group_by(promo_uses.c.code).subquery()
    codes = select(promo_codes.c.code, promo_codes.c.uses, func.coalesce(uses.c.n, 0)).outerjoin(
        uses, uses.c.code == promo_codes.c.code
    )
    for code, said, there in conn.execute(codes):
        if said != there:
            yield Finding("references", code, f"counts {said} uses, but {there} organizations used it")
    row_of = literal("promo:") + promo_uses.c.code + ":" + promo_uses.c.org_id
    lost = (
        select(promo_uses.c.code, promo_uses.c.org_id)
        .outerjoin(ledger, ledger.c.billable_id == row_of)
        .where(ledger.c.seq.is_(None))
    )
    for code, org_id in conn.execute(lost):
        yield Finding("references", code, f"was used by {org_id}, which has no ledger row of it")


CHECKS: Final[dict[str, Check]] = {
    "calls": calls,
    "answers": answers,
    "traces": traces,
    "numbers": numbers,
    "guards": guards,
    "sums": sums,
    "caps": caps,
    "usage": usage,
    "references": references,
}
