"""The statements about leases: what processes have reserved of balances and budgets before they spend it.

    balances.held       = the sum of `holds` of an organization without a budget
    budget_spend.held   = the sum of `holds` of that budget and period

A lease is taken by a guarded update, so that `held` never exceeds what is there: balance, or cap less spent. It is
void once its time is over, by the clock of the database; whoever needs the money then collects it. Everything about
an organization's money locks its row of `balances` first, so that two transactions never wait for each other.
Knows no request.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from ingot.store.bulk import run_kept
from ingot.store.instants import shared_now
from ingot.store.schema import balances, budget_spend, budgets, holds

SPARE: Final = 64
"""A lease is larger than its calls only where so many more of them would still be covered."""
SHARE: Final = 8
"""The part of what is left that one lease may take in advance: an eighth."""

_CHUNK: Final = 500

QUEUE: Final = "queue"
"""The owner of what work that waits has reserved: no process, so that it outlives them all."""


class Account(Struct, frozen=True, gc=False):
    """What money is reserved of: an organization's balance, or one period of one of its budgets.

    It and Part are keys of dictionaries for each call: a Struct is hashed and compared in C.
    """

    org_id: str
    budget_id: str | None = None
    period_start: int = 0


class Part(Struct, frozen=True, gc=False):
    """What covers a call in one account: a lease by its id."""

    account: Account
    lease: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What a process wants of an account, for calls that wait and for those that will come."""

    account: Account
    owner: str
    lease: str  # the one that it has, or ""
    fresh: str  # the id of the next one, should that be gone
    needs: tuple[int, ...]
    carried: int  # what the lease has beside the calls that run
    extra: int  # to be taken in advance, if there is plenty
    scale: int  # what a call needs
    micros: int  # how long the lease lasts
    now: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of it: which needs are covered, and what was added to the lease for them and in advance."""

    lease: str  # "" where there is none
    granted: tuple[bool, ...]
    carried: int  # 0 where the lease was gone
    amount: int
    left: int  # not reserved by anyone
    total: int  # the balance, or what the budget has left before reservations
    unlimited: bool = False  # the budget was ended


@dataclass(frozen=True, slots=True)
class Return:
    """What a process gives back of a lease; None: all of it, and the lease with it."""

    account: Account
    lease: str
    amount: int | None


_LOCK = select(balances.c.balance, balances.c.held).where(balances.c.org_id == bindparam("org"))
_LOCK = _LOCK.with_for_update()
_FIRST = upsert(balances).on_conflict_do_nothing()
_EXTEND = update(holds).where(holds.c.id == bindparam("lease")).values(until=bindparam("t"))
_GROW = (
    update(holds).where(holds.c.id == bindparam("lease")).values(amount=holds.c.amount + bindparam("more"))
)
_SHRINK = (
    update(holds)
    .where(holds.c.id == bindparam("lease"), holds.c.amount >= bindparam("less"))
    .values(amount=holds.c.amount - bindparam("less"))
)
_DROP = delete(holds).where(holds.c.id == bindparam("lease")).returning(holds.c.amount)
_HOLD = (
    update(balances)
    .where(balances.c.org_id == bindparam("org"), balances.c.balance - balances.c.held >= bindparam("more"))
    .values(held=balances.c.held + bindparam("more"))
)
_UNHOLD = (
    update(balances)
    .where(balances.c.org_id == bindparam("org"))
    .values(held=balances.c.held - bindparam("less"))
)
_PERIOD = and_(
    budget_spend.c.budget_id == bindparam("budget"), budget_spend.c.period_start == bindparam("start")
)
_BUDGET_HOLD = (
    update(budget_spend)
    .where(_PERIOD, budget_spend.c.spent + budget_spend.c.held + bindparam("more") <= bindparam("cap"))
    .values(held=budget_spend.c.held + bindparam("more"))
)
_BUDGET_UNHOLD = update(budget_spend).where(_PERIOD).values(held=budget_spend.c.held - bindparam("less"))


def lock_balance(conn: Connection, org_id: str) -> tuple[int, int]:
    """Balance and what is held of it; nobody else moves this organization's money before the transaction ends."""
    found = conn.execute(_LOCK, {"org": org_id}).first()
    if found is None:
        conn.execute(_FIRST, {"org_id": org_id})
        found = conn.execute(_LOCK, {"org": org_id}).one()
    return int(found[0]), int(found[1])


def take(conn: Connection, ask: Ask) -> Taken:
    """Covers as many of the needs as the account can, in their order, and what may be taken in advance."""
    now = shared_now(conn, ask.now)
    account = ask.account
    balance, held = lock_balance(conn, account.org_id)
    alive = bool(ask.lease) and _changed(conn, _EXTEND, {"lease": ask.lease, "t": now + ask.micros})
    carried = ask.carried if alive else 0
    cap: int | None = None
    total = balance
    if account.budget_id is not None:
        cap = _cap(conn, account.budget_id)
        if cap is None:
            everything = tuple(True for _ in ask.needs)
            return Taken("", everything, carried=0, amount=0, left=0, total=0, unlimited=True)
        spent, held = _period(conn, account)
        total = cap - spent
    left = total - held
    if carried + left < sum(ask.needs):
        left += collect(conn, account, now=now)
    granted, needed = _grant(ask.needs, carried + left)
    amount = max(0, needed - carried)
    left -= amount
    if left // SPARE >= max(ask.scale, 1):
        advance = min(ask.extra, left // SHARE)
        amount, left = amount + advance, left - advance
    lease = _put(conn, ask, alive=alive, amount=amount, until=now + ask.micros, cap=cap)
    return Taken(lease, granted, carried=carried, amount=amount, left=left, total=total)


def extend(conn: Connection, leases: Sequence[str], *, micros: int, now: int) -> set[str]:
    """Lengthens the time of these leases; those that are still there."""
    until = shared_now(conn, now) + micros
    alive: set[str] = set()
    for start in range(0, len(leases), _CHUNK):
        some = holds.c.id.in_(list(leases[start : start + _CHUNK]))
        alive.update(
            conn.execute(update(holds).where(some).values(until=until).returning(holds.c.id)).scalars()
        )
    return alive


def give_back(conn: Connection, returns: Iterable[Return]) -> None:
    """Makes what leases held available again; one that is gone gives nothing."""
    for each in sorted(returns, key=lambda each: (each.account.org_id, each.lease)):
        lock_balance(conn, each.account.org_id)
        if each.amount is None:
            freed = sum(int(row[0]) for row in conn.execute(_DROP, {"lease": each.lease}))
        else:
            freed = each.amount if draw(conn, each.lease, amount=each.amount) else 0
        unhold(conn, each.account, amount=freed)


def draw(conn: Connection, lease: str, *, amount: int) -> bool:
    """Takes an amount out of a lease; False where it has less, or is gone."""
    return run_kept(conn, _SHRINK, {"lease": lease, "less": amount})[1] > 0


def unhold(conn: Connection, account: Account, *, amount: int) -> None:
    """Lowers what is held of an account."""
    if not amount:
        return
    if account.budget_id is None:
        conn.execute(_UNHOLD, {"org": account.org_id, "less": amount})
        return
    values = {"budget": account.budget_id, "start": account.period_start, "less": amount}
    conn.execute(_BUDGET_UNHOLD, values)


def collect(conn: Connection, account: Account, *, now: int) -> int:
    """Ends the leases of this account whose time is over; what they held."""
    dead = delete(holds).where(
        holds.c.org_id == account.org_id,
        holds.c.budget_id.is_(None)
        if account.budget_id is None
        else and_(holds.c.budget_id == account.budget_id, holds.c.period_start == account.period_start),
        holds.c.until < now,
    )
    freed = sum(int(row[0]) for row in conn.execute(dead.returning(holds.c.amount)))
    unhold(conn, account, amount=freed)
    return freed


def void_others(conn: Connection, owner: str) -> int:
    """Ends the leases of every other process; how many there were. For a database that belongs to one process."""
    found = conn.execute(select(holds).where(holds.c.owner.not_in((owner, QUEUE)))).mappings().all()
    give_back(
        conn,
        [
            Return(Account(row["org_id"], row["budget_id"], row["period_start"]), row["id"], None)
            for row in found
        ],
    )
    return len(found)


def _grant(needs: Sequence[int], available: int) -> tuple[tuple[bool, ...], int]:
    """Which needs can be covered, first come first served, and what they need together."""
    granted, needed = [], 0
    for need in needs:
        fits = needed + need <= available
        granted.append(fits)
        needed += need if fits else 0
    return tuple(granted), needed


def _put(conn: Connection, ask: Ask, *, alive: bool, amount: int, until: int, cap: int | None) -> str:
    """Moves an amount from the account into the lease; the id of the lease, "" where there is none."""
    account = ask.account
    if not amount:
        return ask.lease if alive else ""
    if account.budget_id is None:
        done = _changed(conn, _HOLD, {"org": account.org_id, "more": amount})
    else:
        place = {"budget": account.budget_id, "start": account.period_start}
        done = _changed(conn, _BUDGET_HOLD, place | {"more": amount, "cap": cap})
    if not done:  # the row was locked and read: this cannot be
        raise AssertionError(f"{account} has less than it had")
    if alive:
        conn.execute(_GROW, {"lease": ask.lease, "more": amount})
        return ask.lease
    row = {
        "id": ask.fresh,
        "owner": ask.owner,
        "org_id": account.org_id,
        "budget_id": account.budget_id,
        "period_start": account.period_start,
        "amount": amount,
        "until": until,
    }
    conn.execute(insert(holds), row)
    return ask.fresh


def _cap(conn: Connection, budget_id: str) -> int | None:
    query = select(budgets.c.cap).where(budgets.c.id == budget_id, budgets.c.ended_at.is_(None))
    return conn.execute(query).scalar()


def _period(conn: Connection, account: Account) -> tuple[int, int]:
    """What was spent in a period of a budget, and what is held beside it."""
    place = {"budget": account.budget_id, "start": account.period_start}
    query = select(budget_spend.c.spent, budget_spend.c.held).where(_PERIOD)
    found = conn.execute(query, place).first()
    if found is None:
        row = {"budget_id": account.budget_id, "period_start": account.period_start}
        conn.execute(insert(budget_spend), row)
        return 0, 0
    return int(found[0]), int(found[1])


def _changed(conn: Connection, statement: Any, values: dict[str, Any]) -> bool:
    return bool(conn.execute(statement, values).rowcount)
