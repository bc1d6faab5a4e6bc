"""Budgets on both databases: what counts, what is refused, and that concurrent calls never slip through."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, update

from databases import Place, open_store
from ingot.errors import InvalidRequest, NotFound, QuotaExceeded
from ingot.services.budgets import Budgets
from ingot.services.ledger import Ledger
from ingot.services.purse import Hold, Prepaid, Purse
from ingot.store.budgets import Budget, BudgetRow, period_start
from ingot.store.schema import api_keys, peppers
from ingot.store.schema import budgets as schema_budgets
from treasury import Treasury

DAY = 86_400


@pytest.fixture
async def treasury(backend: Place) -> AsyncIterator[Treasury]:
    """An empty database of each kind, in the middle of a month; whatever a test did to it adds up."""
    async with open_store(backend) as db:
        treasury = Treasury(db)
        treasury.clock.at = datetime(2026, 3, 15, 12, tzinfo=UTC).timestamp()
        yield treasury
        assert (await Ledger(db).verify()).findings == []


@pytest.fixture
def budgets(treasury: Treasury) -> Budgets:
    return Budgets(treasury.db, clock=treasury.clock)


def _payer(*rows: BudgetRow, prepaid: bool = False) -> Prepaid:
    return Prepaid(prepaid, tuple(Budget(row.id, row.key_id, row.period, row.cap) for row in rows))


async def _key(treasury: Treasury, key_id: str, *, org_id: str, replaced_by: str | None = None) -> None:
    row = {
        "id": key_id,
        "kid": key_id,
        "digest": b"",
        "pepper": 1,
        "last4": "",
        "name": key_id,
        "source": "issued",
        "created_at": 1,
        "org_id": org_id,
        "replaced_by": replaced_by,
    }
    pepper = {"version": 1, "fingerprint": b"", "created_at": 1}
    if key_id == "key_a":
        await treasury.execute(insert(peppers).values(pepper))
    await treasury.execute(insert(api_keys).values(row))


async def _spend(treasury: Treasury, purse: Purse, payer: Prepaid, *, amount: int, org: str) -> None:
    """A call of the key `key_a` that costs all that was reserved for it."""
    hold = await purse.reserve(org, amount, payer=payer)
    await treasury.spend(purse, hold, amount=amount)


async def test_reserve_when_many_race_for_a_budget(treasury: Treasury, budgets: Budgets) -> None:
    """Of 100 calls at once in two processes those run that the cap covers, though nobody has to prepay."""
    org = await treasury.organization("org_a", prepaid=False)
    payer = _payer(await budgets.set(org, 1_000, period="month", actor="cli"))
    purses = [treasury.purse("one"), treasury.purse("other")]
    tries = [purse.reserve(org, 100, payer=payer) for purse in purses for _ in range(50)]
    told = await asyncio.gather(*tries, return_exceptions=True)
    holds = [each for each in told if isinstance(each, Hold)]
    assert len(holds) == 10
    assert all(isinstance(each, Hold | QuotaExceeded) for each in told)
    (row,) = await budgets.list(org)
    assert (row.spent, row.held) == (0, 1_000)
    for place, hold in enumerate(told):
        if isinstance(hold, Hold):
            await treasury.spend(purses[place // 50], hold, amount=30)
    for purse in purses:
        await purse.close()
    (row,) = await budgets.list(org)
    assert (row.spent, row.held) == (300, 0)
    assert await treasury.figures(org) == (-300, 0)


async def test_reserve_when_a_budget_is_used_up(treasury: Treasury, budgets: Budgets) -> None:
    """The refusal says that it is a budget, and gives back what was reserved of the balance."""
    org = await treasury.organization("org_a", amount=1_000)
    payer = _payer(await budgets.set(org, 100, period="total", actor="cli"), prepaid=True)
    purse = treasury.purse("p", alone=True)
    await _spend(treasury, purse, payer, amount=60, org=org)
    with pytest.raises(QuotaExceeded, match=r"A budget .* 0\.00000000004 USD are left"):
        await purse.reserve(org, 50, payer=payer)
    await purse.close()
    assert await treasury.figures(org) == (940, 0)


async def test_budget_when_the_month_ends(treasury: Treasury, budgets: Budgets) -> None:
    """A month's cap begins anew with the next one; a call belongs to the month in which it ended."""
    org = await treasury.organization("org_a", prepaid=False)
    payer = _payer(await budgets.set(org, 100, period="month", actor="cli"))
    purse = treasury.purse("p")
    await _spend(treasury, purse, payer, amount=80, org=org)
    running = await purse.reserve(org, 20, payer=payer)
    with pytest.raises(QuotaExceeded):
        await purse.reserve(org, 1, payer=payer)
    treasury.advance(20 * DAY)
    await _spend(treasury, purse, payer, amount=70, org=org)
    await treasury.spend(purse, running, amount=20)
    await purse.close()
    (row,) = await budgets.list(org)
    assert (row.spent, row.held) == (90, 0)


async def test_budget_when_set_late(treasury: Treasury, budgets: Budgets) -> None:
    """What was spent in the period before the budget was set counts, what was spent before the period does not."""
    org = await treasury.organization("org_a", prepaid=False)
    await treasury.settle(treasury.call(1_000, org_id=org))
    treasury.advance(31 * DAY)
    await treasury.settle(treasury.call(70, org_id=org), treasury.call(5, org_id=org, key_id="key_b"))
    month = await budgets.set(org, 100, period="month", actor="cli")
    total = await budgets.set(org, 5_000, period="total", actor="cli")
    assert (month.spent, total.spent) == (75, 1_075)
    assert (await budgets.set(org, 200, period="month", actor="cli")).id == month.id
    # A server that has not heard of the budget yet settles a call without a hold: it counts all the same.
    await treasury.settle(treasury.call(20, org_id=org))
    assert sorted(row.spent for row in await budgets.list(org)) == [95, 1_095]


async def test_budget_when_a_key_has_its_own(treasury: Treasury, budgets: Budgets) -> None:
    """A key's budget counts the calls of that key, and of those that it replaced."""
    org = await treasury.organization("org_a", prepaid=False)
    await _key(treasury, "key_a", org_id=org, replaced_by="key_b")
    await _key(treasury, "key_b", org_id=org)
    await _key(treasury, "key_c", org_id=org)
    await treasury.settle(treasury.call(1, org_id=org, key_id="key_a"))
    row = await budgets.set(org, 100, period="total", actor="cli", key_id="key_b")
    assert row.spent == 1
    calls = [treasury.call(10, org_id=org, key_id=name) for name in ("key_a", "key_b", "key_c")]
    await treasury.settle(*calls)
    assert [row.spent for row in await budgets.list(org)] == [21]


async def test_budget_when_ended(treasury: Treasury, budgets: Budgets) -> None:
    """An ended budget refuses nothing, though processes have not heard of its end, and can be set anew."""
    org = await treasury.organization("org_a", prepaid=False)
    row = await budgets.set(org, 10, period="month", actor="cli")
    purse = treasury.purse("p")
    early = await purse.reserve(org, 10, payer=_payer(row))
    await budgets.end(org, row.id, actor="cli")
    late = await purse.reserve(org, 500, payer=_payer(row))
    for hold in (early, late):
        await treasury.spend(purse, hold, amount=hold.amount)
    await purse.close()
    assert await budgets.list(org) == []
    assert [each.id for each in await budgets.list(org, ended=True)] == [row.id]
    again = await budgets.set(org, 1_000, period="month", actor="cli")
    assert (again.id != row.id, again.spent) == (True, 510)
    with pytest.raises(NotFound):
        await budgets.end(org, row.id, actor="cli")


async def test_budget_when_the_cap_is_lowered(treasury: Treasury, budgets: Budgets) -> None:
    """From then on nothing new is reserved beyond it."""
    org = await treasury.organization("org_a", prepaid=False)
    row = await budgets.set(org, 1_000, period="total", actor="cli")
    purse = treasury.purse("p", alone=True)
    await _spend(treasury, purse, _payer(row), amount=400, org=org)
    await budgets.set(org, 300, period="total", actor="cli")
    with pytest.raises(QuotaExceeded, match="0 USD are left"):
        await purse.reserve(org, 1, payer=_payer(row))


async def test_budget_when_it_cannot_be(treasury: Treasury, budgets: Budgets) -> None:
    """A key of another organization, a negative cap and an unknown organization are refused."""
    org = await treasury.organization("org_a")
    other = await treasury.organization("org_b")
    await _key(treasury, "key_a", org_id=other)
    with pytest.raises(NotFound, match="no such key"):
        await budgets.set(org, 1, period="total", actor="cli", key_id="key_a")
    with pytest.raises(InvalidRequest):
        await budgets.set(org, -1, period="total", actor="cli")
    with pytest.raises(NotFound):
        await budgets.set("org_x", 1, period="total", actor="cli")
    row = await budgets.set(other, 1, period="total", actor="cli", key_id="key_a")
    with pytest.raises(NotFound):
        await budgets.end(org, row.id, actor="cli")


async def test_budget_when_a_key_is_rolled(treasury: Treasury, budgets: Budgets) -> None:
    """A budget that moved to the key that took over keeps what was spent."""
    org = await treasury.organization("org_a", prepaid=False)
    await _key(treasury, "key_a", org_id=org)
    await _key(treasury, "key_b", org_id=org)
    row = await budgets.set(org, 100, period="total", actor="cli", key_id="key_a")
    await treasury.settle(treasury.call(10, org_id=org, key_id="key_a"))
    replaced = update(api_keys).where(api_keys.c.id == "key_a").values(replaced_by="key_b")
    moved = update(schema_budgets).where(schema_budgets.c.id == row.id).values(key_id="key_b")
    await treasury.execute(replaced, moved)
    await treasury.settle(
        treasury.call(20, org_id=org, key_id="key_a"), treasury.call(30, org_id=org, key_id="key_b")
    )
    assert [each.spent for each in await budgets.list(org)] == [60]


def test_period_when_any_instant() -> None:
    """A month begins at its first midnight in UTC; a total has one period."""
    at = round(datetime(2026, 3, 15, 12, tzinfo=UTC).timestamp() * 10**6)
    assert period_start("month", at) == round(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 10**6)
    assert period_start("total", at) == 0
