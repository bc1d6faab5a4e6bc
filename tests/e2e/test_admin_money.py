"""Money over the admin API: an operator's top-ups, refunds and codes, and what an organization sees and caps."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adminhouse import Browser, House, open_house
from ingot.services.budgets import Budgets
from ingot.services.credits import Credits
from ingot.services.ledger import Ledger
from ingot.services.promos import Promos
from ingot.services.subscriptions import Subscriptions
from ingot.web import admin
from ingot.web.admin import budgets, money
from ingot.web.intake import LOOPBACK_HOSTS, Hosts
from treasury import Treasury


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An admin API with the routes about money."""
    async with open_house(tmp_path) as opened:
        services = money.Money(
            credits=Credits(opened.db, clock=opened.clock),
            promos=Promos(opened.db, clock=opened.clock),
            subscriptions=Subscriptions(opened.db, clock=opened.clock),
            ledger=Ledger(opened.db),
        )
        rows = (*money.routes(services), *budgets.routes(Budgets(opened.db, clock=opened.clock)))
        built = admin.build(opened.accounts, rows, hosts=Hosts(LOOPBACK_HOSTS), log=opened.log)
        opened.api._places = built._places
        yield opened
        assert (await Ledger(opened.db).verify()).findings == []


async def _done(caller: Browser, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
    got, _, answer = await caller.call(method, f"/admin/v1/{path}", body)
    assert got == status, answer
    return answer


async def test_c_50_credit_comes_and_goes(house: House) -> None:
    """Topped up, given a code, spent, refunded, corrected: every step is a row that the organization sees."""
    org = await house.organization()
    owner = await house.member("ada@example.org", org)
    operator = await house.person("root@example.org", operator=True)
    paid = {"organization": org, "amount": "12.50", "reference": "invoice-7"}
    first = await _done(operator, "POST", "top-ups", paid, status=201)
    again = await _done(operator, "POST", "top-ups", paid, status=201)
    assert (first["balance"], first["repeated"], again["balance"], again["repeated"]) == (
        "12.5",
        False,
        "12.5",
        True,
    )
    await _done(operator, "POST", "top-ups", paid | {"amount": "13"}, status=409)

    promo = {"amount": "0.5", "code": "welcome", "most_uses": 1, "expires_at": 1_900_000_000}
    assert (await _done(operator, "POST", "promo-codes", promo, status=201))["code"] == "WELCOME"
    own = f"organizations/{org}"
    redeemed = await _done(owner, "POST", f"{own}/promo", {"code": "Welcome"}, status=201)
    assert redeemed["balance"] == "13"
    await _done(owner, "POST", f"{own}/promo", {"code": "Welcome"}, status=409)

    treasury = Treasury(house.db, house.clock)
    call = treasury.call(3 * 10**12, org_id=org)
    await treasury.settle(call)
    refund = {"id": call.id, "amount": "1", "note": "slow"}
    assert (await _done(operator, "POST", "refunds", refund, status=201))["balance"] == "11"
    await _done(operator, "POST", "refunds", {"id": call.id, "amount": "2.1"}, status=409)
    mend = {"organization": org, "amount": "-11", "note": "counted twice"}
    assert (await _done(operator, "POST", "corrections", mend, status=201))["balance"] == "0"
    await _done(operator, "POST", "corrections", mend, status=409)

    account = await _done(owner, "GET", f"{own}/credits")
    assert account["standing"]["available"] == "0"
    assert account["sums"] == {
        "correction": "-11",
        "inference": "-3",
        "promo": "0.5",
        "refund": "1",
        "topup": "12.5",
    }
    page = await _done(owner, "GET", f"{own}/ledger?limit=2")
    assert [each["kind"] for each in page["data"]] == ["correction", "refund"]
    rest = await _done(owner, "GET", f"{own}/ledger?before={page['data'][-1]['id']}")
    assert [each["kind"] for each in rest["data"]] == ["inference", "promo", "topup"]
    assert rest["data"][0]["price"] == '{"input":1,"output":1}'
    topups = await _done(owner, "GET", f"{own}/ledger?kind=topup&start=1700000000")
    assert len(topups["data"]) == 1


async def test_budget_is_set_by_the_organization(house: House) -> None:
    """Its administrators cap what it spends in a month, change the cap and end it."""
    org = await house.organization()
    chief = await house.member("ada@example.org", org, role="admin")
    own = f"organizations/{org}/budgets"
    made = await _done(chief, "PUT", own, {"cap": "100"})
    changed = await _done(chief, "PUT", own, {"cap": "50", "period": "month"})
    assert (changed["id"], changed["cap"], changed["left"]) == (made["id"], "50", "50")
    await _done(chief, "PUT", own, {"cap": "fifty"}, status=400)
    await _done(chief, "PUT", own, {"cap": "1", "key_id": "key_of_somebody_else"}, status=404)
    assert [each["id"] for each in (await _done(chief, "GET", own))["data"]] == [made["id"]]
    assert (await _done(chief, "DELETE", f"{own}/{made['id']}"))["deleted"]
    await _done(chief, "DELETE", f"{own}/{made['id']}", status=404)


async def test_subscription_is_started_by_an_operator(house: House) -> None:
    """It puts the organization on the plan; the owner may cancel it, and both are in the audit log."""
    org = await house.organization()
    owner = await house.member("ada@example.org", org)
    operator = await house.person("root@example.org", operator=True)
    wanted = {"organization": org, "plan": "pro"}
    begun = await _done(operator, "POST", "subscriptions", wanted, status=201)
    await _done(operator, "POST", "subscriptions", wanted, status=409)
    assert (await _done(owner, "GET", f"organizations/{org}"))["plan"] == "pro"
    ended = await _done(owner, "DELETE", f"organizations/{org}/subscriptions")
    assert (ended["id"], ended["cancelled_at"]) == (begun["id"], 1_800_000_000)
    log = await _done(owner, "GET", f"organizations/{org}/audit")
    assert [each["action"] for each in log["data"]][:2] == ["subscription.cancel", "subscription.start"]
