"""The purse and its leases on both databases: what is reserved, charged, given back, lost and made up for."""

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import select

from databases import Place, open_store
from ingot.errors import Conflict, QuotaExceeded
from ingot.pricing import usd
from ingot.services.budgets import Budgets
from ingot.services.credits import Credits
from ingot.services.ledger import Ledger
from ingot.services.purse import Hold, Prepaid, Purse
from ingot.store.budgets import matching
from ingot.store.holds import void_others
from ingot.store.ledger import Span
from ingot.store.schema import holds
from treasury import Treasury, expire, walk


@pytest.fixture
async def treasury(backend: Place) -> AsyncIterator[Treasury]:
    """An empty database of each kind."""
    async with open_store(backend) as db:
        yield Treasury(db)


async def _many(purse: Purse, org_id: str, *, amount: int, count: int) -> list[Hold]:
    """The reservations, of so many at once, that succeed."""
    tries = [purse.reserve(org_id, amount) for _ in range(count)]
    told = await asyncio.gather(*tries, return_exceptions=True)
    refused = [each for each in told if isinstance(each, BaseException)]
    assert all(isinstance(each, QuotaExceeded) for each in refused), refused
    return [each for each in told if isinstance(each, Hold)]


async def test_reserve_when_many_race_for_little(treasury: Treasury) -> None:
    """Of 200 calls at once in four processes those run that the balance covers, and what they leave is usable again."""
    org = await treasury.organization("org_a", amount=1_000)
    purses = [treasury.purse(f"p{number}") for number in range(4)]
    found = await asyncio.gather(*(_many(purse, org, amount=100, count=50) for purse in purses))
    assert sum(map(len, found)) == 10
    assert await treasury.figures(org) == (1_000, 1_000)
    for purse, mine in zip(purses, found, strict=True):
        for hold in mine:
            await treasury.spend(purse, hold, amount=30)
        await purse.close()
    assert await treasury.figures(org) == (700, 0)
    assert len(await _many(treasury.purse("late"), org, amount=100, count=50)) == 7


async def test_reserve_when_there_is_plenty(treasury: Treasury) -> None:
    """A busy organization writes now and then, not for each call."""
    org = await treasury.organization("org_a", amount=10**12)
    purse = treasury.purse("p")
    before = treasury.db.tally.writes
    for _ in range(500):
        purse.release(await purse.reserve(org, 1_000))
    assert treasury.db.tally.writes - before < 10
    await purse.close()
    assert await treasury.figures(org) == (10**12, 0)


async def test_reserve_when_the_rest_is_split(treasury: Treasury) -> None:
    """What a lease has left is joined with what the balance has left."""
    org = await treasury.organization("org_a", amount=150)
    purse = treasury.purse("p", alone=True)
    await treasury.spend(purse, await purse.reserve(org, 100), amount=20)
    assert await treasury.figures(org) == (130, 80)
    hold = await purse.reserve(org, 130)
    assert await treasury.figures(org) == (130, 130)
    assert await treasury.spend(purse, hold, amount=130) == []
    assert await treasury.figures(org) == (0, 0)


async def test_reserve_when_the_balance_is_zero(treasury: Treasury) -> None:
    """The refusal carries the code, the status of the preset, and what is missing; a free call is not refused."""
    org = await treasury.organization("org_a")
    purse = Purse(treasury.db, "p", clock=treasury.clock, log=treasury.log, alone=False, status=403)
    with pytest.raises(QuotaExceeded, match=r"up to 0\.000000000005 USD, and 0 USD are left") as told:
        await purse.reserve(org, 5)
    assert (told.value.status, told.value.code) == (403, "insufficient_quota")
    assert (await purse.reserve(org, 0)).amount == 0
    assert purse.refusals == {"balance": 1}


async def test_refusal_when_money_is_set_aside_and_nothing_runs(treasury: Treasury) -> None:
    """It says how much that is, and does not claim that requests run."""
    org = await treasury.organization("org_a", amount=10**9)
    purse = treasury.purse("p")
    for hold in await _many(purse, org, amount=1_000, count=5):
        assert await treasury.spend(purse, hold, amount=0) == []
    balance, held = await treasury.figures(org)
    assert held > 0
    left, aside = (f"{usd(each)} USD" for each in (balance - held, held))
    words = re.escape(f"{left} are left ({aside} more are set aside for requests that run or may come).")
    with pytest.raises(QuotaExceeded, match=words):
        await treasury.purse("q").reserve(org, 10**9 + 1)


async def test_reserve_when_nobody_prepays(treasury: Treasury) -> None:
    """Who is not prepaid reserves nothing and may owe."""
    org = await treasury.organization("org_a", prepaid=False)
    hold = await treasury.purse("p").reserve(org, 500, payer=Prepaid(prepaid=False))
    assert await treasury.settle(treasury.call(70, hold=hold)) == []
    assert await treasury.figures(org) == (-70, 0)


async def test_charge_when_it_exceeds_what_was_reserved(treasury: Treasury) -> None:
    """What is beyond the operator bears, by a row, however much the balance has: the client pays what was reserved."""
    org = await treasury.organization("org_a", amount=1_000)
    purse = treasury.purse("p")
    calls = []
    for reserved, cost, left in ((40, 60, 960), (40, 40, 920), (40, 10**15, 880), (880, 881, 0)):
        hold = await purse.reserve(org, reserved)
        calls.append(treasury.call(cost, hold=hold))
        await treasury.settle(calls[-1])
        purse.release(hold, cost)
        await purse.tick()
        assert (await treasury.figures(org))[0] == left
    rows = await treasury.db.read(lambda conn: list(walk(conn, Span(org_id=org, kind="shortfall"))))
    dear = [(20, calls[0].id), (10**15 - 40, calls[2].id), (1, calls[3].id)]
    assert [(row.amount, row.refers_to) for row in rows] == dear
    assert (await Ledger(treasury.db).verify()).findings == []


async def test_charge_when_nothing_was_reserved(treasury: Treasury) -> None:
    """A prepaid call without a reservation is paid from what is free, and one that is paid later in full."""
    org = await treasury.organization("org_a", amount=100)
    late = await treasury.organization("org_b", prepaid=False)
    await Budgets(treasury.db, clock=treasury.clock).set(late, 1_000, period="total", actor="cli")
    call = treasury.call(70, hold=Hold(org, 0, True))
    assert await treasury.settle(call) == []
    assert await treasury.figures(org) == (30, 0)
    (lost,) = await treasury.settle(treasury.call(70, hold=Hold(org, 0, True)))
    assert (lost.amount, await treasury.figures(org)) == (40, (0, 0))
    found = await treasury.db.read(partial(matching, org_id=late, key_ids={"key_a"}))
    (budget,) = found["key_a"]
    purse = treasury.purse("p")
    owed = await purse.reserve(late, 40, payer=Prepaid(prepaid=False, budgets=(budget,)))
    assert await treasury.spend(purse, owed, amount=60) == []
    assert await treasury.figures(late) == (-60, 0)


async def test_charge_when_others_have_reserved_the_rest(treasury: Treasury) -> None:
    """A call that costs too much takes nothing of what is reserved for others."""
    org = await treasury.organization("org_a", amount=100)
    one, other = treasury.purse("one"), treasury.purse("other")
    dear, fair = await one.reserve(org, 40), await other.reserve(org, 50)
    (lost,) = await treasury.spend(one, dear, amount=90)
    assert lost.amount == 50
    assert await treasury.figures(org) == (60, 50)
    assert await treasury.spend(other, fair, amount=50) == []
    assert await treasury.figures(org) == (10, 0)


async def test_charge_when_a_group_is_settled(treasury: Treasury) -> None:
    """Calls of several organizations, prepaid and not, are charged together, each in its own balance."""
    rich = await treasury.organization("org_rich", amount=1_000)
    poor = await treasury.organization("org_poor", amount=10)
    post = await treasury.organization("org_post", prepaid=False)
    purse = treasury.purse("p")
    some = [await purse.reserve(rich, 100), await purse.reserve(rich, 100), await purse.reserve(poor, 10)]
    calls = [treasury.call(cost, hold=hold) for cost, hold in zip((30, 0, 15), some, strict=True)]
    lost = await treasury.settle(*calls, treasury.call(7, org_id=post), treasury.call(8, org_id=post))
    assert [(each.org_id, each.amount) for each in lost] == [(poor, 5)]
    for hold, cost in zip(some, (30, 0, 15), strict=True):
        purse.release(hold, cost)
        purse.release(hold, cost)  # again is no error
    await purse.close()
    assert [await treasury.figures(org) for org in (rich, poor, post)] == [(970, 0), (0, 0), (-15, 0)]


async def test_lease_when_its_process_died(treasury: Treasury) -> None:
    """What a dead process held is collected by who needs it once its time is over; a late charge is still exact."""
    org = await treasury.organization("org_a", amount=100)
    dead = treasury.purse("dead")
    lost_hold = await dead.reserve(org, 80)
    purse = treasury.purse("p")
    assert len(await _many(purse, org, amount=60, count=1)) == 0
    await treasury.db.write(partial(expire, owner="dead"))
    hold = await purse.reserve(org, 60)
    assert await treasury.figures(org) == (100, 60)
    # It was not dead after all, and commits what it did: 40 are free, the other 20 are nobody's.
    (lost,) = await treasury.spend(dead, lost_hold, amount=60)
    assert lost.amount == 20
    assert await treasury.figures(org) == (60, 60)
    assert await treasury.spend(purse, hold, amount=60) == []
    assert await treasury.figures(org) == (0, 0)


async def test_lease_when_it_was_collected(treasury: Treasury) -> None:
    """A process whose lease is gone notices at its next renewal and spends none of it any more."""
    org = await treasury.organization("org_a", amount=100)
    purse = treasury.purse("slow", lease_seconds=0.001)
    hold = await purse.reserve(org, 30)
    await treasury.db.write(partial(expire, owner="slow"))
    other = treasury.purse("other")
    whole = await other.reserve(org, 100)
    treasury.advance(1)
    await purse.tick()
    purse.release(hold)
    assert len(await _many(purse, org, amount=30, count=1)) == 0
    other.release(whole)
    await other.close()
    assert len(await _many(purse, org, amount=100, count=1)) == 1


async def test_lease_when_its_time_is_over(treasury: Treasury) -> None:
    """A process that slept through its lease spends nothing of it before the database says that it still may."""
    org = await treasury.organization("org_a", amount=100)
    purse = treasury.purse("slow", alone=True)
    purse.release(await purse.reserve(org, 60))
    assert await treasury.figures(org) == (100, 60)
    treasury.advance(60)
    kept = await purse.reserve(org, 60)  # nobody took it
    purse.release(kept)
    await treasury.db.write(partial(expire, owner="slow"))
    other = treasury.purse("other")
    await other.reserve(org, 100)
    treasury.advance(26)
    assert await _many(purse, org, amount=60, count=1) == []
    assert await treasury.figures(org) == (100, 100)


async def test_lease_when_idle(treasury: Treasury) -> None:
    """Two seconds after the last call nothing is held any more, though nobody asked for it."""
    org = await treasury.organization("org_a", amount=10**9)
    purse = treasury.purse("p")
    held = await purse.reserve(org, 1_000)
    purse.release(await purse.reserve(org, 1_000))
    assert (await treasury.figures(org))[1] >= 2_000
    treasury.advance(2.5)
    await purse.tick()
    assert await treasury.figures(org) == (10**9, 1_000)
    purse.release(held)
    await purse.tick()
    assert await treasury.figures(org) == (10**9, 0)
    assert await treasury.db.read(lambda conn: conn.execute(select(holds.c.id)).all()) == []


async def test_lease_when_the_file_has_one_process(treasury: Treasury) -> None:
    """At the start of the only process all leases of earlier starts are void."""
    org = await treasury.organization("org_a", amount=100)
    await treasury.purse("before").reserve(org, 100)
    assert await treasury.db.write(partial(void_others, owner="now")) == 1
    assert await treasury.figures(org) == (100, 0)
    purse = treasury.purse("now", alone=True)
    await purse.start()
    assert (await purse.reserve(org, 100)).amount == 100
    await purse.close()


async def test_correct_when_a_process_holds_money_in_advance(treasury: Treasury) -> None:
    """What is set aside while nothing runs is given back for it; what a running call reserved is not."""
    org = await treasury.organization("org_a", amount=10**9)
    purse = treasury.purse("p", alone=True)
    credits_ = Credits(treasury.db, clock=treasury.clock, spare=purse.spare)
    for _ in range(3):
        purse.release(await purse.reserve(org, 1_000))
    assert (await treasury.figures(org))[1] > 0
    with pytest.raises(Conflict, match="set aside for those that may come"):
        await treasury.credits.correct(org, -(10**9), actor="cli", note="paid out")
    hold = await purse.reserve(org, 1_000)
    with pytest.raises(Conflict, match="neither reserved by running requests"):
        await credits_.correct(org, -(10**9), actor="cli", note="paid out")
    purse.release(hold)
    await credits_.correct(org, -(10**9), actor="cli", note="paid out")
    assert await treasury.figures(org) == (0, 0)
    await purse.close()


async def test_reserve_when_the_caller_leaves(treasury: Treasury) -> None:
    """Whoever is cancelled while waiting takes no money along."""
    org = await treasury.organization("org_a", amount=1_000)
    purse = treasury.purse("p", alone=True)
    for _ in range(20):
        tasks = [asyncio.create_task(purse.reserve(org, 100)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        for hold in told:
            if isinstance(hold, Hold):
                purse.release(hold)
    assert len(await _many(purse, org, amount=100, count=20)) == 10


async def test_reserve_when_the_database_is_gone(treasury: Treasury) -> None:
    """Without the database nothing new is reserved; what a lease covers still is."""
    org = await treasury.organization("org_a", amount=10**9)
    purse = treasury.purse("p")
    purse.release(await purse.reserve(org, 1_000))
    await treasury.db.close()
    purse.release(await purse.reserve(org, 1_000))
    with pytest.raises(Exception, match="closed"):
        await purse.reserve(org, 10**6)
