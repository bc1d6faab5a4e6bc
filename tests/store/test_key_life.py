"""What becomes of keys: rolled, revoked, owned; and what a lookup learns with them, on both databases."""

import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, select, update

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.errors import Conflict, Forbidden, InvalidRequest, NotFound
from ingot.pricing import UNITS_PER_USD
from ingot.services.grants import Grant
from ingot.services.key_changes import OVERLAP_SECONDS
from ingot.services.key_desk import IssuedKey, KeyDesk, KeyOrder
from ingot.services.keys import STALE_SECONDS, KeyRing, Principal
from ingot.services.plans import PlanFields, Plans
from ingot.signing import checksum
from ingot.store import keys as store
from ingot.store.audit import list_audit
from ingot.store.budgets import Budget, open_budget
from ingot.store.schema import DEFAULT_ORG, members, organizations, users
from keyhouse import House, Lines, add_org, add_user, furnished, refusal, run, token

ORG = "org_acme"
OTHER = "org_other"


@pytest.fixture
async def house(backend: Place) -> AsyncIterator[House]:
    """A database with two organizations on the pro plan."""
    clock = ManualClock()
    async with open_store(backend, clock=clock) as db, furnished(db, backend.data, clock=clock) as opened:
        await add_org(db, ORG, plan="pro")
        await add_org(db, OTHER, plan="pro")
        yield opened


async def _issue(house: House, order: KeyOrder | str, *, org_id: str = ORG) -> IssuedKey:
    wanted = KeyOrder(order) if isinstance(order, str) else order
    return await house.ring.desk.issue(org_id, wanted, actor="cli")


async def _who(house: House, key: IssuedKey) -> Principal:
    return await house.ring.authenticate(token(key))


async def _set(house: House, table: Any, which: str, *, values: dict[str, Any]) -> None:
    await run(house.db, update(table).where(table.c.id == which).values(values))


# ---- rolled


async def test_s05_old_key_is_valid_for_a_day_when_rolled(house: House) -> None:
    """The successor has the same name and rights; the old key ends 24 h after, and says so."""
    old = await _issue(house, KeyOrder("app", models=("a", "b"), rpm=5, tpm=500, scope="admin"))
    new = await house.ring.desk.roll(ORG, "app", actor="cli")
    assert new.info.id != old.info.id
    assert new.secret != old.secret
    kept = ("name", "org_id", "user_id", "scope", "models", "rpm", "tpm", "expires_at", "cap")
    assert [getattr(new.info, name) for name in kept] == [getattr(old.info, name) for name in kept]
    first, second = await _who(house, old), await _who(house, new)
    assert first.grant == second.grant
    before = await house.ring.desk.get(ORG, old.info.id)
    assert before.replaced_by == new.info.id
    assert before.expires_at == int(house.clock.now()) + OVERLAP_SECONDS
    house.clock.advance(OVERLAP_SECONDS - 1)
    assert (await _who(house, old)).key_id == old.info.id
    house.clock.advance(1)
    assert "expired" in await refusal(house.ring, token(old))
    assert (await _who(house, new)).key_id == new.info.id


async def test_overlap_is_not_longer_than_the_key_when_it_expires_soon(house: House) -> None:
    """A roll never gives an expiring key more time."""
    ends = house.clock.now() + 600
    old = await _issue(house, KeyOrder("app", expires=ends))
    new = await house.ring.desk.roll(ORG, "app", actor="cli")
    assert (await house.ring.desk.get(ORG, old.info.id)).expires_at == new.info.expires_at == int(ends)


async def test_second_roll_is_refused_when_the_day_is_not_over(house: House) -> None:
    """The text says until when; force ends the oldest key at once, also where it is cached."""
    first = await _issue(house, "app")
    second = await house.ring.desk.roll(ORG, "app", actor="cli")
    with pytest.raises(Conflict, match="valid until 1970-01-13"):
        await house.ring.desk.roll(ORG, "app", actor="cli")
    with pytest.raises(Conflict, match="was rolled already"):
        await house.ring.desk.roll(ORG, first.info.kid, actor="cli")
    await _who(house, first)
    third = await house.ring.desk.roll(ORG, "app", actor="cli", force=True)
    assert "was revoked" in await refusal(house.ring, token(first))
    assert [(await _who(house, key)).name for key in (second, third)] == ["app", "app"]
    house.clock.advance(OVERLAP_SECONDS)
    await house.ring.desk.roll(ORG, "app", actor="cli")


async def test_roll_is_refused_when_the_key_has_ended_or_is_the_bootstrap_key(house: House) -> None:
    """Each text says what to do instead."""
    await _issue(house, KeyOrder("app", expires=house.clock.now() + 1))
    house.clock.advance(1)
    with pytest.raises(Conflict, match="has ended"):
        await house.ring.desk.roll(ORG, "app", actor="cli")
    await house.ring.ensure_first_key("a-key-for-automation")
    with pytest.raises(Conflict, match="INGOT_BOOTSTRAP_KEY"):
        await house.ring.desk.roll(DEFAULT_ORG, "bootstrap", actor="cli")


async def test_replaced_key_ends_when_its_successor_is_revoked(house: House) -> None:
    """They are one place: who ends the key ends all of it, at once in this process."""
    old = await _issue(house, "app")
    new = await house.ring.desk.roll(ORG, "app", actor="cli")
    for key in (old, new):
        await _who(house, key)
    assert (await house.ring.desk.revoke(ORG, "app", actor="cli")).id == new.info.id
    for key in (old, new):
        assert house.ring.authenticate_cached(token(key)) is None
        assert "was revoked" in await refusal(house.ring, token(key))


async def test_both_keys_spend_from_one_cap_when_rolled(house: House) -> None:
    """A roll gives no new money: the budget goes over to the successor, and the old key spends from it too."""
    old = await _issue(house, KeyOrder("app", cap=12 * UNITS_PER_USD + 1))
    assert old.info.cap == "12.000000000001"
    house.clock.advance(1)
    new = await house.ring.desk.roll(ORG, "app", actor="cli")
    assert new.info.cap == old.info.cap
    budgets = [(await _who(house, key)).grant.budgets for key in (old, new)]
    assert budgets[0] == budgets[1]
    (budget,) = budgets[0]
    assert budget == Budget(budget.id, new.info.id, "total", 12 * UNITS_PER_USD + 1)
    assert [info.cap for info in await house.ring.desk.list(ORG)] == [None, old.info.cap]


# ---- whose they are


async def test_s08_key_is_not_found_when_it_is_of_another_organization(house: House) -> None:
    """An id of somebody else's key reads, letter for letter, like one that does not exist."""
    foreign = (await _issue(house, "theirs", org_id=OTHER)).info
    desk = house.ring.desk
    for which in (foreign.id, foreign.kid, foreign.name):
        for ask in (desk.get, _revoking(desk), _rolling(desk)):
            with pytest.raises(NotFound) as caught:
                await ask(ORG, which)
            with pytest.raises(NotFound) as other:
                await ask(ORG, "key_nobody")
            assert other.value.message == caught.value.message
    assert [info.name for info in await desk.list(ORG)] == []
    assert (await desk.find("theirs")).org_id == OTHER
    assert (await desk.list_all())[0].revoked_at is None


def _revoking(desk: KeyDesk) -> Any:
    return lambda org_id, which: desk.revoke(org_id, which, actor="cli")


def _rolling(desk: KeyDesk) -> Any:
    return lambda org_id, which: desk.roll(org_id, which, actor="cli")


async def test_s09_key_is_refused_when_the_user_is_not_verified(house: House) -> None:
    """Who has not shown that the address is theirs gets no key; a stranger to the organization neither."""
    await add_user(house.db, "user_new", org_id=ORG, verified=False)
    await add_user(house.db, "user_known", org_id=ORG)
    await add_user(house.db, "user_else", org_id=OTHER)
    with pytest.raises(Forbidden, match="not verified yet") as caught:
        await _issue(house, KeyOrder("app", user_id="user_new"))
    assert caught.value.code == "email_unverified"
    for nobody in ("user_else", "user_nobody"):
        with pytest.raises(NotFound, match="no member"):
            await _issue(house, KeyOrder("app", user_id=nobody))
    assert await house.ring.desk.list(ORG) == []
    key = await _issue(house, KeyOrder("app", user_id="User_Known@example.org"))
    assert key.info.user_id == "user_known"
    assert (await _who(house, key)).org_id == ORG
    await _set(house, users, "user_known", values={"disabled_at": 1})
    house.clock.advance(STALE_SECONDS)
    assert "is disabled" in await refusal(house.ring, token(key))
    with pytest.raises(Forbidden, match="disabled"):
        await _issue(house, KeyOrder("app", user_id="user_known"))


async def test_key_is_refused_within_five_seconds_when_its_user_is_no_member_any_more(house: House) -> None:
    """Who was removed from an organization takes no key along."""
    await add_user(house.db, "user_known", org_id=ORG)
    key = await _issue(house, KeyOrder("app", user_id="user_known"))
    assert (await _who(house, key)).name == "app"
    await run(house.db, delete(members).where(members.c.user_id == "user_known"))
    house.clock.advance(STALE_SECONDS)
    assert "no member" in await refusal(house.ring, token(key))


async def test_i14_key_is_refused_within_five_seconds_when_its_organization_is_deleted(house: House) -> None:
    """Nothing is made or changed there any more either."""
    key = await _issue(house, "app")
    await _who(house, key)
    await _set(house, organizations, ORG, values={"deleted_at": 1})
    assert house.ring.authenticate_cached(token(key)) is not None
    house.clock.advance(STALE_SECONDS)
    assert house.ring.authenticate_cached(token(key)) is None
    assert "was deleted" in await refusal(house.ring, token(key))
    with pytest.raises(NotFound, match="no organization"):
        await _issue(house, "more")


@pytest.mark.parametrize(
    ("order", "param"),
    [
        (KeyOrder("app", rpm=0), "rpm"),
        (KeyOrder("app", tpm=-1), "tpm"),
        (KeyOrder("app", cap=0), "cap"),
        (KeyOrder("app", cap=2**63), "cap"),
        (KeyOrder("app", models=()), "models"),
        (KeyOrder("app", models=("",)), "models"),
        (KeyOrder("app", models=("x" * 201,)), "models"),
    ],
)
async def test_order_is_refused_when_no_key_can_be_so(house: House, order: KeyOrder, param: str) -> None:
    """The field is named."""
    with pytest.raises(InvalidRequest) as caught:
        await _issue(house, order)
    assert caught.value.param == param


# ---- what a lookup learns


async def test_grant_holds_all_limits_when_a_key_is_found(house: House) -> None:
    """The key, its organization, its plan and the budgets in force, in one query."""
    plans = Plans(house.db, clock=house.clock)
    fields = PlanFields(rpm=60, concurrency=2, models=("a", "b", "c"), price_factor=800_000, weight=3)
    await plans.create("team", fields, actor="cli")
    await plans.assign(ORG, "team", actor="cli")
    terms = {"prepaid": 1, "keep_content": 0, "retention_days": 7}
    await _set(house, organizations, ORG, values=terms)
    key = await _issue(house, KeyOrder("app", models=("c", "b"), rpm=10, tpm=1000, cap=5))
    of_org, of_stranger = Budget("bud_z", None, "month", 99), Budget("bud_s", "key_stranger", "total", 1)

    def add(conn: Connection) -> None:
        for budget in (of_org, of_stranger):
            open_budget(conn, ORG, budget=budget, at=1)

    await house.db.write(add)
    statements: list[str] = []

    def find(conn: Connection) -> store.KeyFound | None:
        event.listen(conn, "before_cursor_execute", lambda _, __, sql, *___: statements.append(sql))
        return store.find_key(conn, key.info.kid)

    assert await house.db.read(find) is not None
    assert len(statements) == 1
    principal = await _who(house, key)
    assert (principal.org_id, principal.scope) == (ORG, "inference")
    own = next(each for each in principal.grant.budgets if each.key_id is not None)
    assert replace(principal.grant, budgets=()) == Grant(
        plan="team",
        rpm=60,
        concurrency=2,
        key_rpm=10,
        key_tpm=1000,
        models=frozenset({"b", "c"}),
        price_factor=800_000,
        weight=3,
        prepaid=True,
        keep_content=False,
        retention_days=7,
    )
    assert {each.id for each in principal.grant.budgets} == {own.id, of_org.id}
    assert own == Budget(own.id, key.info.id, "total", 5)


async def test_grant_follows_within_five_seconds_when_the_plan_changes(house: House) -> None:
    """Another plan, and another number in the same plan: both count for running clients."""
    plans = Plans(house.db, clock=house.clock)
    key = await _issue(house, "app")
    assert (await _who(house, key)).grant.rpm == 600
    await plans.assign(ORG, "free", actor="cli")
    house.clock.advance(STALE_SECONDS)
    assert (await _who(house, key)).grant.rpm == 5
    await plans.edit("free", PlanFields(rpm=6), actor="cli")
    house.clock.advance(STALE_SECONDS)
    assert (await _who(house, key)).grant.rpm == 6


async def test_s04_key_is_refused_within_five_seconds_in_every_process(house: House, backend: Place) -> None:
    """T-S-keys: three nodes, one revokes; the others refuse once 5 s are over, however busy the key is."""
    key = await _issue(house, "app")
    async with open_store(backend) as one, open_store(backend) as two:
        rings = [await KeyRing.open(db, backend.data, log=Lines(), clock=house.clock) for db in (one, two)]
        for ring in rings:
            await ring.authenticate(token(key))
        await house.ring.desk.revoke(ORG, "app", actor="cli")
        for _ in range(10):
            house.clock.advance(STALE_SECONDS / 10)
            rings[0].authenticate_cached(token(key))
            await rings[0].close()  # what the request set off in the background
        for ring in rings:
            assert ring.authenticate_cached(token(key)) is None
            assert "was revoked" in await refusal(ring, token(key))


async def test_s02_same_compare_runs_when_the_kid_is_unknown_and_when_the_secret_is_wrong(
    house: House,
) -> None:
    """T-S-keys: the same built-in functions run over inputs of the same size, so no clock tells the two apart."""
    kid = (await _issue(house, "app")).info.kid
    ran: list[list[str]] = []
    for each in (kid, "Z" * 10):
        body = f"ik_live_{each}_{'s' * 32}"
        presented = f"{body}_{checksum(body.encode())}".encode()
        calls: list[str] = []

        def note(_: FrameType, what: str, called: Any, calls: list[str] = calls) -> None:
            if what == "c_call" and called.__name__ == "compare_digest":
                calls.append(called.__name__)

        sys.setprofile(note)
        try:
            text = await refusal(house.ring, presented)
        finally:
            sys.setprofile(None)
        ran.append([*calls, text])
    assert ran[0] == ran[1]
    assert ran[0][0] == "compare_digest"


# ---- what is noted


async def test_s21_every_change_is_in_the_audit_log(house: House) -> None:
    """Who, what and which key; never a secret."""
    key = await _issue(house, KeyOrder("app", models=("a",), cap=UNITS_PER_USD))
    new = await house.ring.desk.roll(ORG, "app", actor="user_1")
    await house.ring.desk.revoke(ORG, "app", actor="user_2")
    rows = await house.db.read(lambda conn: list_audit(conn, ORG, before=None, limit=10))
    assert [(row.actor, row.action, row.subject) for row in reversed(rows)] == [
        ("cli", "key.create", key.info.id),
        ("user_1", "key.roll", key.info.id),
        ("user_2", "key.revoke", new.info.id),
        ("user_2", "key.revoke", key.info.id),
    ]
    assert rows[-1].detail["cap"] == "1"
    told = json.dumps([row.detail for row in rows])
    assert key.info.kid in told
    for secret in (key.secret, new.secret, key.secret[19:51]):
        assert secret not in told


@pytest.mark.parametrize(
    ("listed", "wanted", "told"),
    [
        (None, ("small", "larg"), "There is no model `larg`; did you mean `large`?"),
        (None, ("other",), "There is no model `other`; known here: hidden, large, small."),
        (("small", "gone"), ("gone",), "There is no model `gone`; known here: small."),
        (("small",), ("smal",), "does not include smal; did you mean `small`?"),
        (("small",), ("hiden",), "does not include hiden. Name models"),
        (("small",), ("hidden",), "does not include hidden. Name models"),
    ],
)
async def test_model_is_named_when_a_key_asks_for_one_that_there_is_not(
    house: House, listed: tuple[str, ...] | None, wanted: tuple[str, ...], told: str
) -> None:
    """With the nearest of those that the plan has: what it leaves out is not told of, whether it is there or not."""
    if listed is not None:
        await Plans(house.db, clock=house.clock).edit("pro", PlanFields(models=listed), actor="cli")
    with pytest.raises(InvalidRequest, match=re.escape(told)) as caught:
        await house.ring.desk.issue(
            ORG, KeyOrder("app", models=wanted), actor="cli", known={"small", "large", "hidden"}
        )
    assert caught.value.param == "models"


async def test_nothing_is_kept_when_a_create_is_refused(house: House) -> None:
    """Neither a key nor a note of one."""
    plans = Plans(house.db, clock=house.clock)
    await plans.edit("pro", PlanFields(models=("a", "b")), actor="cli")
    with pytest.raises(InvalidRequest, match="does not include c, d"):
        await _issue(house, KeyOrder("app", models=("d", "a", "c")))
    rows = await house.db.read(lambda conn: list_audit(conn, ORG, before=None, limit=10))
    assert rows == []
    assert await house.db.read(lambda conn: conn.execute(select(users.c.id)).all()) == []
