"""The statements that move an organization's money: what its calls cost, and what makes up for it.

    charge   balance -= what they cost, held -= what was reserved of that; once for a group of calls
             prepaid: what a call cost beyond what was reserved for it comes back by a `shortfall` row, which the operator
             bears; and so does what would leave less than others have reserved

A balance is always the sum of the organization's ledger rows. Decides what a charge does to leases and budgets.
Refuses to know what a call was; the ledger rows of calls themselves are written by who settles them.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from ingot.errors import Conflict
from ingot.pricing import LARGEST, usd
from ingot.store.budgets import matching, period_start
from ingot.store.bulk import run_kept
from ingot.store.holds import Account, Part, draw, lock_balance, unhold
from ingot.store.schema import balances, budget_spend, ledger, organizations

MOST: Final = 9 * LARGEST
"""How far from zero a balance is taken by what is not a call: a sum of 64 bits holds a little more."""


class Charge(Struct, frozen=True, gc=False):
    """What one call cost, and what was reserved for it; `at` and `key_id` are those of its ledger row."""

    billable_id: str
    org_id: str
    key_id: str
    amount: int  # 0 or more
    at: int
    prepaid: bool = False
    reserved: int = 0
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a prepaid call cost beyond what was reserved for it, or beyond the balance."""

    billable_id: str
    org_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class Standing:
    """An organization's money."""

    org_id: str
    name: str
    plan_id: str
    prepaid: bool
    balance: int
    held: int

    @property
    def available(self) -> int:
        """What new calls can reserve."""
        return self.balance - self.held


_CHARGE = (
    update(balances)
    .where(balances.c.org_id == bindparam("org"))
    .values(balance=balances.c.balance - bindparam("less"), held=balances.c.held - bindparam("covered"))
    .returning(balances.c.balance, balances.c.held, balances.c.budgets)
)
_ADD = (
    update(balances)
    .where(balances.c.org_id == bindparam("org"))
    .values(balance=balances.c.balance + bindparam("more"))
)
_SHORTFALL = insert(ledger)
_SPEND = upsert(budget_spend).values(
    budget_id=bindparam("budget"), period_start=bindparam("start"), spent=bindparam("more")
)
_SPEND = _SPEND.on_conflict_do_update(
    index_elements=[budget_spend.c.budget_id, budget_spend.c.period_start],
    set_={"spent": budget_spend.c.spent + _SPEND.excluded.spent},
)


def charge(conn: Connection, charges: Sequence[Charge]) -> list[Shortfall]:
    """Takes what calls cost from balances, leases and budgets; what prepaid ones cost beyond what was theirs to spend.

    Call it once for a group, in the transaction that writes their ledger rows and before whatever reads budgets.
    """
    by_org: dict[str, list[Charge]] = defaultdict(list)
    for each in charges:
        if each.amount:
            by_org[each.org_id].append(each)
    # In one order everywhere, so that two groups never wait for each other.
    return [lost for org_id in sorted(by_org) for lost in _charge(conn, org_id, by_org[org_id])]


def add(conn: Connection, org_id: str, *, amount: int) -> None:
    """Moves a balance, up or down; its ledger row is the caller's. Raises Conflict where it would leave `MOST`."""
    balance, _ = lock_balance(conn, org_id)
    if abs(balance + amount) > max(MOST, abs(balance)):
        raise Conflict(
            f"The balance would be {usd(balance + amount)} USD. One lies between -{usd(MOST)} and {usd(MOST)} USD; choose "
            "a smaller amount.",
            param="amount",
        )
    conn.execute(_ADD, {"org": org_id, "more": amount})


def standing(conn: Connection, org_id: str) -> Standing | None:
    """How an organization stands; None where there is none."""
    query = (
        select(
            organizations.c.name,
            organizations.c.plan_id,
            organizations.c.prepaid,
            func.coalesce(balances.c.balance, 0),
            func.coalesce(balances.c.held, 0),
        )
        .outerjoin(balances, balances.c.org_id == organizations.c.id)
        .where(organizations.c.id == org_id, organizations.c.deleted_at.is_(None))
    )
    found = conn.execute(query).first()
    if found is None:
        return None
    name, plan_id, prepaid, balance, held = found
    return Standing(org_id, name, plan_id, prepaid=bool(prepaid), balance=balance, held=held)


def locked_standing(conn: Connection, org_id: str) -> Standing | None:
    """The same, and nobody else moves this organization's money before the transaction ends."""
    query = select(organizations.c.id).where(organizations.c.id == org_id)
    if conn.execute(query).first() is None:
        return None
    lock_balance(conn, org_id)
    return standing(conn, org_id)


def _charge(conn: Connection, org_id: str, group: Sequence[Charge]) -> list[Shortfall]:
    covered = _covered(group, budget=False)
    values = {"org": org_id, "less": sum(each.amount for each in group), "covered": sum(covered.values())}
    found, _ = run_kept(conn, _CHARGE, values)
    if not found:
        lock_balance(conn, org_id)
        found, _ = run_kept(conn, _CHARGE, values)
    ((balance, held, budgets),) = found
    # A lease that is gone, as its time was over, gave back its money when it was collected: nothing is held for it.
    gone = {part for part, amount in covered.items() if not draw(conn, part.lease, amount=amount)}
    lost = sum(covered[part] for part in gone)
    unhold(conn, Account(org_id), amount=-lost)
    shortfalls = _make_up(conn, org_id, group, gone=gone, missing=held + lost - balance)
    if budgets or any(part.account.budget_id for each in group for part in each.parts):
        _spend(conn, org_id, group)
    return shortfalls


def _covered(group: Sequence[Charge], *, budget: bool) -> dict[Part, int]:
    """What the charges take from each lease: the reserved part of their amounts."""
    covered: dict[str, int] = defaultdict(int)
    parts: dict[str, Part] = {}
    for each in group:
        for part in each.parts:
            if (part.account.budget_id is not None) == budget and part.lease:
                covered[part.lease] += min(each.amount, each.reserved)
                parts[part.lease] = part
    return {parts[lease]: amount for lease, amount in covered.items() if amount}


def _make_up(
    conn: Connection, org_id: str, group: Sequence[Charge], *, gone: set[Part], missing: int
) -> list[Shortfall]:
    """Writes a row for what a prepaid call took beyond what was reserved for it, however much the balance has; and for
    what took of others' reservations, as its lease was gone or nothing was reserved, so that none is ever uncovered.
    """
    made: list[Shortfall] = []
    beyond = sum([_excess(each) for each in group])
    missing -= beyond
    if not beyond and missing <= 0:
        return made  # as in nearly every group
    for each in group:
        if not each.prepaid:
            continue
        amount = excess = _excess(each)
        if missing > 0:
            covers = any(part.account.budget_id is None and part not in gone for part in each.parts)
            uncovered = each.amount - excess - min(each.amount, each.reserved if covers else 0)
            more = min(uncovered, missing)
            missing -= more
            amount += more
        if amount <= 0:
            continue
        row = {
            "billable_id": f"shortfall:{each.billable_id}",
            "org_id": org_id,
            "key_id": each.key_id,
            "kind": "shortfall",
            "amount": amount,
            "at": each.at,
            "refers_to": each.billable_id,
        }
        conn.execute(_SHORTFALL, row)
        made.append(Shortfall(each.billable_id, org_id, amount))
    if made:
        conn.execute(_ADD, {"org": org_id, "more": sum(each.amount for each in made)})
    return made


def _excess(each: Charge) -> int:
    """What a prepaid call cost beyond what was reserved for it; where nothing was, its organization pays."""
    return max(0, each.amount - each.reserved) if each.prepaid and each.reserved else 0


def _spend(conn: Connection, org_id: str, group: Sequence[Charge]) -> None:
    """Counts the calls in every budget that they fall under, whether they knew of it or not."""
    for part, amount in _covered(group, budget=True).items():
        if draw(conn, part.lease, amount=amount):
            unhold(conn, part.account, amount=amount)
    spent: dict[tuple[str, int], int] = defaultdict(int)
    found = matching(conn, org_id, key_ids={each.key_id for each in group})
    for each in group:
        for budget in found[each.key_id]:
            spent[budget.id, period_start(budget.period, each.at)] += each.amount
    for (budget_id, start), amount in sorted(spent.items()):
        conn.execute(_SPEND, {"budget": budget_id, "start": start, "more": amount})
