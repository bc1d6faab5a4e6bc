"""Top-ups, refunds, corrections, promo codes and subscriptions on both databases."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from databases import Place, open_store
from ingot.errors import Conflict, InvalidRequest, NotFound
from ingot.services.ledger import Ledger
from ingot.services.promos import Promos
from ingot.services.receipts import Receipt
from ingot.services.subscriptions import Subscriptions, Ticked, period_after
from ingot.store import schema as store
from ingot.store.ledger import Span
from ingot.store.organizations import delete_organization
from ingot.store.schema import MICROSECOND, audit, organizations, plans
from treasury import Treasury, walk

DAY = 86_400


@pytest.fixture
async def treasury(backend: Place) -> AsyncIterator[Treasury]:
    """An empty database of each kind; whatever a test did to it adds up."""
    async with open_store(backend) as db:
        yield Treasury(db)
        assert (await Ledger(db).verify()).findings == []


async def _actions(treasury: Treasury) -> list[str]:
    return await treasury.db.read(
        lambda conn: list(conn.execute(select(audit.c.action).order_by(audit.c.seq)).scalars())
    )


async def test_top_up_when_told_twice(treasury: Treasury) -> None:
    """A payment counts once, however often and however concurrently it is told; another one under its name is refused."""
    org = await treasury.organization("org_a")
    other = await treasury.organization("org_b")
    tries = [treasury.credits.top_up(org, 500, actor="cli", reference="pay-1") for _ in range(5)]
    told = await asyncio.gather(*tries)
    assert sorted(each.repeated for each in told) == [False, True, True, True, True]
    assert await treasury.figures(org) == (500, 0)
    for wrong in (
        treasury.credits.top_up(org, 501, actor="cli", reference="pay-1"),
        treasury.credits.top_up(other, 500, actor="cli", reference="pay-1"),
    ):
        with pytest.raises(Conflict, match="topup:pay-1 is in the ledger already"):
            await wrong
    assert await _actions(treasury) == ["credits.topup"]


async def test_top_up_when_two_organizations_race_for_a_reference(treasury: Treasury) -> None:
    """One payment is one organization's: the other one is told."""
    orgs = [await treasury.organization(f"org_{name}") for name in "abcd"]
    tries = [treasury.credits.top_up(org, 500, actor="cli", reference="pay-1") for org in orgs]
    told = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, Receipt) for each in told) == 1
    assert sum(isinstance(each, Conflict) for each in told) == 3


@pytest.mark.parametrize("amount", [0, -1, 10**18 + 1])
async def test_top_up_when_the_amount_is_none(treasury: Treasury, amount: int) -> None:
    """Nothing, less than nothing, and what nobody pays are refused; so is an organization that is not there."""
    org = await treasury.organization("org_a")
    with pytest.raises(InvalidRequest):
        await treasury.credits.top_up(org, amount, actor="cli")
    with pytest.raises(NotFound):
        await treasury.credits.top_up("org_x", 5, actor="cli")


async def test_add_when_a_balance_would_not_fit(treasury: Treasury) -> None:
    """Whatever gives credit is refused before it is written where the balance would leave 9 million USD, also at once."""
    org, owing = await treasury.organization("org_a"), await treasury.organization("org_b", prepaid=False)
    for number in range(8):
        await treasury.credits.top_up(org, 10**18, actor="cli", reference=f"pay-{number}")
    tries = [treasury.credits.top_up(org, 10**18 - 5, actor="cli") for _ in range(4)]
    told = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, Receipt) for each in told) == 1
    assert sum(isinstance(each, Conflict) for each in told) == 3
    promos = Promos(treasury.db, clock=treasury.clock)
    await promos.create(6, actor="cli", code="PROMO", most_uses=1)
    await _plan(treasury, credits=10)
    subscriptions = Subscriptions(treasury.db, clock=treasury.clock)
    for refused in (
        treasury.credits.correct(org, 6, actor="cli", note="a slip"),
        promos.redeem(org, "PROMO", actor="cli"),
        subscriptions.start(org, "gold", actor="cli"),
    ):
        with pytest.raises(Conflict, match=r"One lies between -9000000 and 9000000 USD"):
            await refused
    again = await treasury.credits.top_up(org, 10**18, actor="cli", reference="pay-0")
    assert again.repeated
    await treasury.credits.correct(org, 5, actor="cli", note="to the brim")
    assert await treasury.figures(org) == (9 * 10**18, 0)
    assert await _plan_of(treasury, org) == "plan_free"
    assert (await promos.list())[0].uses == 0
    for _ in range(9):
        await treasury.credits.correct(owing, -(10**18), actor="cli", note="owed")
    with pytest.raises(Conflict, match=r"would be -9000000\.000000000001 USD"):
        await treasury.credits.correct(owing, -1, actor="cli", note="owed")
    await treasury.credits.correct(owing, 10**18, actor="cli", note="paid")


async def test_show_when_more_went_through_than_64_bits_hold(treasury: Treasury) -> None:
    """What came in over the years is told exactly, and the books can be checked."""
    org = await treasury.organization("org_a")
    for number in range(11):
        await treasury.credits.top_up(org, 10**18, actor="cli", reference=f"pay-{number}")
        await treasury.credits.correct(org, 1 - 10**18, actor="cli", note="spent")
    account = await treasury.credits.show(org)
    assert account.sums == {"topup": 11 * 10**18, "correction": 11 - 11 * 10**18}
    assert account.standing.balance == 11


async def test_refund_when_in_parts(treasury: Treasury) -> None:
    """All refunds of a call together never exceed what it cost, also if two race for the rest."""
    org = await treasury.organization("org_a", amount=1_000)
    call = treasury.call(100, org_id=org)
    await treasury.settle(call)
    first = await treasury.credits.refund(call.id, 30, actor="cli", reference="r1")
    assert (first.entry.amount, first.standing.balance) == (30, 930)
    again = await treasury.credits.refund(call.id, 30, actor="cli", reference="r1")
    assert again.repeated
    with pytest.raises(Conflict, match=r"at most 0\.00000000007 USD"):
        await treasury.credits.refund(call.id, 71, actor="cli")
    tries = [treasury.credits.refund(call.id, 50, actor="cli") for _ in range(3)]
    told = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, Receipt) for each in told) == 1
    assert (await treasury.credits.refund(call.id, actor="cli")).entry.amount == 20
    with pytest.raises(Conflict):
        await treasury.credits.refund(call.id, actor="cli")
    assert await treasury.figures(org) == (1_000, 0)


async def test_refund_when_the_operator_bore_a_part(treasury: Treasury) -> None:
    """What was never paid is not refunded."""
    org = await treasury.organization("org_a", amount=60)
    purse = treasury.purse("p")
    hold = await purse.reserve(org, 60)
    call = treasury.call(100, hold=hold)
    (lost,) = await treasury.settle(call)
    purse.release(hold, 100)
    assert lost.amount == 40
    with pytest.raises(Conflict, match=r"Of 0\.00000000006 USD"):
        await treasury.credits.refund(call.id, 61, actor="cli")
    assert (await treasury.credits.refund(call.id, actor="cli")).entry.amount == 60
    assert await treasury.figures(org) == (60, 0)


async def test_refund_when_a_top_up_is_paid_back(treasury: Treasury) -> None:
    """Money that is paid back leaves the balance, as far as it is there."""
    org = await treasury.organization("org_a")
    paid = await treasury.credits.top_up(org, 100, actor="cli", reference="pay")
    await treasury.settle(treasury.call(30, org_id=org))
    with pytest.raises(Conflict, match="does not go below zero"):
        await treasury.credits.refund(paid.entry.billable_id, actor="cli")
    back = await treasury.credits.refund(paid.entry.billable_id, 70, actor="cli")
    assert (back.entry.amount, back.standing.balance) == (-70, 0)
    with pytest.raises(Conflict, match="is a refund"):
        await treasury.credits.refund(back.entry.billable_id, actor="cli")
    with pytest.raises(NotFound, match="no ledger row"):
        await treasury.credits.refund("resp_x", actor="cli")


async def test_correct_when_money_is_reserved(treasury: Treasury) -> None:
    """A correction is a row of its own with its reason; it takes nothing that running calls have reserved."""
    org = await treasury.organization("org_a", amount=100)
    purse = treasury.purse("p", alone=True)
    hold = await purse.reserve(org, 70)
    with pytest.raises(Conflict, match=r"0\.00000000003 USD that are neither reserved"):
        await treasury.credits.correct(org, -31, actor="cli", note="too much")
    made = await treasury.credits.correct(org, -30, actor="cli", note="too much")
    assert (made.entry.kind, made.entry.note, made.standing.balance) == ("correction", "too much", 70)
    await treasury.spend(purse, hold, amount=70)
    assert await treasury.figures(org) == (0, 0)
    with pytest.raises(InvalidRequest, match="reason"):
        await treasury.credits.correct(org, 1, actor="cli", note=" ")
    with pytest.raises(NotFound):
        await treasury.credits.correct(org, 1, actor="cli", note="x", refers_to="resp_x")


async def test_show_when_asked(treasury: Treasury) -> None:
    """An organization's figures, what they come from and its last rows."""
    org = await treasury.organization("org_a", amount=100)
    await treasury.settle(treasury.call(30, org_id=org))
    account = await treasury.credits.show(org)
    assert (account.standing.balance, account.standing.available) == (70, 70)
    assert account.sums == {"topup": 100, "inference": -30}
    assert [each.kind for each in account.last] == ["inference", "topup"]


# ---- promo codes


async def test_redeem_when_many_race_for_the_last_use(treasury: Treasury) -> None:
    """A code brings its amount as often as it may, and once an organization."""
    promos = Promos(treasury.db, clock=treasury.clock)
    orgs = [await treasury.organization(f"org_{number}") for number in range(6)]
    made = await promos.create(50, actor="cli", code="welcome", most_uses=2)
    assert made.code == "WELCOME"
    told = await asyncio.gather(
        *(promos.redeem(org, "Welcome ", actor="user") for org in orgs), return_exceptions=True
    )
    got = [each for each in told if isinstance(each, Receipt)]
    assert len(got) == 2
    assert {str(each) for each in told if not isinstance(each, Receipt)} == {
        "The promo code WELCOME was used as often as it may be."
    }
    balances = [await treasury.figures(org) for org in orgs]
    assert sorted(balances) == [(0, 0)] * 4 + [(50, 0)] * 2
    assert [each.uses for each in await promos.list()] == [2]


async def test_redeem_when_one_organization_tries_again(treasury: Treasury) -> None:
    """The second time is refused, also at the same moment, and uses nothing up."""
    promos = Promos(treasury.db, clock=treasury.clock)
    org = await treasury.organization("org_a")
    await promos.create(50, actor="cli", code="ONE", most_uses=10)
    told = await asyncio.gather(
        *(promos.redeem(org, "ONE", actor="user") for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, Receipt) for each in told) == 1
    assert all(isinstance(each, Receipt | Conflict) for each in told)
    assert await treasury.figures(org) == (50, 0)
    assert [each.uses for each in await promos.list()] == [1]


async def test_redeem_when_the_code_is_over(treasury: Treasury) -> None:
    """An expired, an ended and an unknown code say what they are."""
    promos = Promos(treasury.db, clock=treasury.clock)
    org = await treasury.organization("org_a")
    await promos.create(5, actor="cli", code="SHORT", expires=treasury.clock.now() + DAY)
    await promos.create(5, actor="cli", code="ENDED")
    await promos.end("ended", actor="cli")
    await promos.end("ended", actor="cli")
    treasury.advance(DAY)
    for code, kind, told in (
        ("SHORT", Conflict, "expired on"),
        ("ENDED", Conflict, "was ended"),
        ("NEVER", NotFound, "no promo code"),
    ):
        with pytest.raises(kind, match=told):
            await promos.redeem(org, code, actor="user")
    with pytest.raises(Conflict, match="never used again"):
        await promos.create(5, actor="cli", code="short")
    with pytest.raises(InvalidRequest):
        await promos.create(5, actor="cli", code="no spaces")
    assert await _actions(treasury) == ["promo.create", "promo.create", "promo.end"]


# ---- subscriptions


async def _plan(treasury: Treasury, *, credits: int) -> None:  # noqa: A002  # what the plan calls them
    row = {"id": "plan_gold", "name": "gold", "monthly_credits": credits, "created_at": treasury.now}
    await treasury.execute(insert(plans).values(row))


async def _plan_of(treasury: Treasury, org: str) -> str:
    query = select(organizations.c.plan_id).where(organizations.c.id == org)
    return await treasury.db.read(lambda conn: str(conn.execute(query).scalar_one()))


async def test_subscription_when_months_go_by(treasury: Treasury) -> None:
    """Each period brings its credits once, whoever and however often renews, and also after a long pause."""
    treasury.clock.at = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    await _plan(treasury, credits=10)
    org = await treasury.organization("org_a")
    subscriptions = Subscriptions(treasury.db, clock=treasury.clock)
    begun = await subscriptions.start(org, "gold", actor="cli")
    assert await treasury.figures(org) == (10, 0)
    assert await _plan_of(treasury, org) == "plan_gold"
    with pytest.raises(Conflict, match="has the subscription"):
        await subscriptions.start(org, "gold", actor="cli")
    await asyncio.gather(*(subscriptions.tick(log=treasury.log) for _ in range(4)))
    assert await treasury.figures(org) == (10, 0)
    treasury.clock.at = datetime(2026, 4, 30, 12, tzinfo=UTC).timestamp()
    await asyncio.gather(*(subscriptions.tick(log=treasury.log) for _ in range(4)))
    assert await treasury.figures(org) == (40, 0)
    rows = await treasury.db.read(lambda conn: list(walk(conn, Span(org_id=org))))
    assert [row.billable_id.partition(":")[2] for row in rows] == [
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
    ]
    assert {row.billable_id.partition(":")[0] for row in rows} == {begun.id}


async def test_subscription_when_cancelled(treasury: Treasury) -> None:
    """It goes on to the end of its period and then leaves its plan; a new one can be started."""
    await _plan(treasury, credits=10)
    org = await treasury.organization("org_a")
    subscriptions = Subscriptions(treasury.db, clock=treasury.clock, fallback="free")
    with pytest.raises(NotFound):
        await subscriptions.cancel(org, actor="cli")
    await subscriptions.start(org, "plan_gold", actor="cli")
    await subscriptions.cancel(org, actor="cli")
    await subscriptions.cancel(org, actor="cli")
    treasury.advance(20 * DAY)
    await subscriptions.tick(log=treasury.log)
    assert await _plan_of(treasury, org) == "plan_gold"
    treasury.advance(20 * DAY)
    ticked = await asyncio.gather(*(subscriptions.tick(log=treasury.log) for _ in range(3)))
    assert sum(each.ended for each in ticked) == 1
    assert await _plan_of(treasury, org) == "plan_free"
    assert await treasury.figures(org) == (10, 0)
    assert await subscriptions.list(org) == []
    await subscriptions.start(org, "gold", actor="cli")
    assert len(await subscriptions.list(org, ended=True)) == 2
    assert [each for each in await _actions(treasury) if each.startswith("sub")] == [
        "subscription.start",
        "subscription.cancel",
        "subscription.end",
        "subscription.start",
    ]


async def test_subscription_when_the_plan_is_archived(treasury: Treasury) -> None:
    """Nobody new gets on such a plan, or on one that is not there."""
    await _plan(treasury, credits=10)
    org = await treasury.organization("org_a")
    archived = update(plans).where(plans.c.id == "plan_gold").values(archived_at=1)
    await treasury.execute(archived)
    for plan in ("gold", "silver"):
        with pytest.raises(NotFound, match="no plan"):
            await Subscriptions(treasury.db, clock=treasury.clock).start(org, plan, actor="cli")


async def test_subscription_when_its_organization_is_deleted(treasury: Treasury) -> None:
    """It is over with the organization; one that an older version left is ended by the next turn, without credits."""
    await _plan(treasury, credits=10)
    org, left = await treasury.organization("org_a"), await treasury.organization("org_b")
    subscriptions = Subscriptions(treasury.db, clock=treasury.clock)
    for each in (org, left):
        await subscriptions.start(each, "gold", actor="cli")
    await treasury.db.write(partial(delete_organization, org_id=org, at=treasury.now))
    gone = update(organizations).where(organizations.c.id == left).values(deleted_at=treasury.now)
    await treasury.execute(gone)
    assert [each.org_id for each in await subscriptions.list()] == [left]
    treasury.advance(40 * DAY)
    assert await subscriptions.tick(log=treasury.log) == Ticked(ended=1)
    assert await subscriptions.list() == []
    assert [await treasury.figures(each) for each in (org, left)] == [(10, 0), (10, 0)]
    assert treasury.log.said == []


async def test_subscription_when_one_cannot_be_renewed(treasury: Treasury) -> None:
    """Whatever is wrong with one is logged; the others are renewed in the same turn."""
    await _plan(treasury, credits=10)
    orgs = [await treasury.organization(f"org_{name}") for name in "abc"]
    subscriptions = Subscriptions(treasury.db, clock=treasury.clock)
    begun = [await subscriptions.start(org, "gold", actor="cli") for org in orgs]
    bad = min(begun, key=lambda each: each.id)
    beyond = update(store.subscriptions).where(store.subscriptions.c.id == bad.id)
    await treasury.execute(beyond.values(started_at=2**62))  # no calendar has such a day
    treasury.advance(40 * DAY)
    assert await subscriptions.tick(log=treasury.log) == Ticked(renewed=2)
    ((event, fields),) = treasury.log.said
    assert (event, fields["subscription"]) == ("subscription_not_renewed", bad.id)
    amounts = {each.org_id: (await treasury.figures(each.org_id))[0] for each in begun}
    assert amounts == {each.org_id: 10 if each is bad else 20 for each in begun}


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(1, 30))  # noqa: DTZ001  # made UTC below
def test_period_when_any_day(begun: datetime, count: int) -> None:
    """Periods are months on the day of the first, or the month's last, without drift."""
    begun = begun.replace(tzinfo=UTC)
    started_at = round(begun.timestamp() * MICROSECOND)
    start = started_at
    for _ in range(count):
        end = period_after(started_at, start)
        assert 28 * DAY <= (end - start) / MICROSECOND <= 31 * DAY
        start = end
    there = datetime.fromtimestamp(start / MICROSECOND, UTC)
    assert (there.year - begun.year) * 12 + there.month - begun.month == count
    assert there.day == begun.day or (there.day < begun.day and (there.month, there.day) != (12, 31))
