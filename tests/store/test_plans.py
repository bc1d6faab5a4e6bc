"""Plans as data, on both databases: what ships, what can be made of them, and what is refused."""

from collections.abc import AsyncIterator
from functools import partial

import pytest

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.errors import Conflict, InvalidRequest, NotFound
from ingot.presets import load
from ingot.services.plans import PlanFields, Plans, parse_factor
from ingot.store.audit import list_audit
from ingot.store.database import Database
from keyhouse import add_org

CLOCK = ManualClock()


@pytest.fixture
async def db(backend: Place) -> AsyncIterator[Database]:
    """An empty database."""
    async with open_store(backend, clock=CLOCK) as opened:
        yield opened


@pytest.fixture
def plans(db: Database) -> Plans:
    """Its plans."""
    return Plans(db, clock=CLOCK)


async def test_c31_free_and_pro_are_there_from_the_start(plans: Plans) -> None:
    """Free is 5 requests a minute and 3 keys; Pro has more of each, and goes first when capacity is short."""
    free, operator, pro = await plans.list()
    assert (free.name, free.rpm, free.keys) == ("free", 5, 3)
    assert (operator.name, operator.rpm, operator.tpm, operator.keys) == ("operator", None, None, None)
    assert pro.name == "pro"
    for higher, lower in ((pro.rpm, free.rpm), (pro.tpm, free.tpm), (pro.concurrency, free.concurrency)):
        assert (higher or 0) > (lower or 0)
    assert (pro.keys or 0) > 3
    assert pro.weight > free.weight
    assert {plan.price_factor for plan in (free, operator, pro)} == {"1"}


async def test_plan_is_as_wanted_when_created_and_edited(plans: Plans) -> None:
    """What is left out is without a limit, or stays; None takes a limit away; amounts are exact."""
    made = await plans.create(
        "team-1", PlanFields(rpm=100, keys=7, monthly_price=19_990_000_000_001), actor="cli"
    )
    assert (made.rpm, made.tpm, made.keys, made.models, made.weight) == (100, None, 7, None, 1)
    assert (made.price_factor, made.monthly_credits, made.monthly_price) == ("1", "0", "19.990000000001")
    wanted = PlanFields(rpm=None, models=("b", "a", "b"), price_factor=850_000, monthly_credits=5 * 10**12)
    edited = await plans.edit("team-1", wanted, actor="cli")
    assert (edited.rpm, edited.keys, edited.models) == (None, 7, ["a", "b"])
    assert (edited.price_factor, edited.monthly_credits) == ("0.85", "5")
    assert await plans.get(made.id) == await plans.get("team-1") == edited
    assert (await plans.edit("team-1", PlanFields(models=None), actor="cli")).models is None


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        (PlanFields(rpm=0), "rpm"),
        (PlanFields(tpm=2**63), "tpm"),
        (PlanFields(concurrency=-1), "concurrency"),
        (PlanFields(keys=-1), "keys"),
        (PlanFields(models=()), "models"),
        (PlanFields(models=("",)), "models"),
        (PlanFields(price_factor=-1), "price_factor"),
        (PlanFields(weight=0), "weight"),
        (PlanFields(monthly_credits=-1), "monthly_credits"),
        (PlanFields(monthly_price=2**63), "monthly_price"),
    ],
)
async def test_value_is_refused_when_no_plan_can_have_it(
    plans: Plans, wanted: PlanFields, param: str
) -> None:
    """The field is named, on creation as on a change, and nothing is kept."""
    for ask in (plans.create("team", wanted, actor="cli"), plans.edit("free", wanted, actor="cli")):
        with pytest.raises(InvalidRequest) as caught:
            await ask
        assert caught.value.param == param
    assert len(await plans.list()) == 3


@pytest.mark.parametrize("name", ["", "Team", "1st", "with space", "x" * 64, "ümlaut"])
async def test_name_is_refused_when_it_cannot_be_typed(plans: Plans, name: str) -> None:
    """Names stand in commands and URLs."""
    with pytest.raises(InvalidRequest, match="lower-case"):
        await plans.create(name, PlanFields(), actor="cli")


async def test_plan_is_refused_when_taken_unknown_or_archived(plans: Plans, db: Database) -> None:
    """Each text says how to go on; who is on an archived plan stays there."""
    await add_org(db, "org_acme")
    with pytest.raises(Conflict, match="already"):
        await plans.create("free", PlanFields(), actor="cli")
    for ask in (
        plans.get("gold"),
        plans.edit("gold", PlanFields(), actor="cli"),
        plans.archive("gold", actor="cli"),
        plans.assign("org_acme", "gold", actor="cli"),
    ):
        with pytest.raises(NotFound, match="list of plans"):
            await ask
    with pytest.raises(NotFound, match="no organization"):
        await plans.assign("org_nobody", "pro", actor="cli")
    archived = await plans.archive("pro", actor="cli")
    assert archived == await plans.archive("pro", actor="cli")
    with pytest.raises(Conflict, match="archived"):
        await plans.assign("org_acme", "pro", actor="cli")
    await plans.archive("free", actor="cli")
    assert (await plans.assign("org_acme", "free", actor="cli")).name == "free"


async def test_s21_every_change_is_in_the_audit_log(plans: Plans, db: Database) -> None:
    """What is now and what was before; a change that changes nothing is none."""
    await add_org(db, "org_acme")
    await plans.edit("free", PlanFields(rpm=5), actor="cli")
    await plans.edit("free", PlanFields(rpm=6, monthly_credits=1), actor="user_1")
    await plans.archive("free", actor="user_1")
    await plans.assign("org_acme", "pro", actor="user_1")
    await plans.assign("org_acme", "pro", actor="user_1")
    assign, archive, edit = await db.read(lambda conn: list_audit(conn, None, before=None, limit=10))
    assert (edit.action, edit.subject, edit.actor) == ("plan.edit", "plan_free", "user_1")
    assert edit.detail == {
        "rpm": 6,
        "rpm_before": 5,
        "monthly_credits": "0.000000000001",
        "monthly_credits_before": "0",
    }
    assert (archive.action, archive.org_id) == ("plan.archive", None)
    assert (assign.action, assign.org_id) == ("plan.assign", "org_acme")
    assert assign.detail == {"from": "free", "to": "pro"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [("1", 10**6), ("0.8", 800_000), ("1.000001", 1_000_001), ("0", 0), ("2.50", 2_500_000)],
)
def test_factor_is_exact_when_read(text: str, parts: int) -> None:
    """As people write it."""
    assert parse_factor(text) == parts


@pytest.mark.parametrize("text", ["", "-1", "1.", ".5", "1e3", "0.0000001", "nan", "12345"])
def test_factor_is_refused_when_not_exact(text: str) -> None:
    """No number is rounded silently."""
    with pytest.raises(ValueError, match="not a factor"):
        parse_factor(text)


async def test_plans_are_the_presets_when_nobody_has_changed_them(db: Database, plans: Plans) -> None:
    """Aurora's Free has 5 requests a minute and 3 keys, its Pro what its file says; once, and with an audit row."""
    assert await plans.adopt(load("open").plans) == ()
    assert await plans.adopt(load("aurora").plans) == ("pro",)
    free, _, pro = await plans.list()
    assert (free.rpm, free.keys, free.tpm, free.concurrency) == (5, 3, 40_000, 4)
    assert (pro.rpm, pro.keys, pro.tpm, pro.concurrency, pro.weight) == (60, 3, 400_000, 16, 4)
    assert await plans.adopt(load("aurora").plans) == ()
    (row,) = await db.read(partial(list_audit, org_id=None, before=None, limit=9))
    assert (row.actor, row.action, row.subject) == ("server", "plan.edit", "plan_pro")
    assert (row.detail["rpm"], row.detail["rpm_before"]) == (60, 600)


async def test_plan_stays_when_somebody_has_changed_it(plans: Plans) -> None:
    """Whatever was changed; a plan that was archived counts as changed."""
    await plans.edit("pro", PlanFields(weight=5), actor="cli")
    assert await plans.adopt(load("aurora").plans) == ()
    assert (await plans.get("pro")).rpm == 600
    await plans.edit("pro", PlanFields(weight=4), actor="cli")
    await plans.archive("pro", actor="cli")
    assert await plans.adopt(load("aurora").plans) == ()
