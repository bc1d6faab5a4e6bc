"""Every route of the admin API with every kind of caller, against tests/admin_policy.toml.

Made from the route table: a route that the policy does not name fails, whoever added it. A module that adds routes to
the server adds them to `EXTRA`, and what its paths and bodies name to `ids`. From the same table: what changes something
happens once for each idempotency key, and is undone where its answer cannot be kept.
"""

import json
import re
import tomllib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from adminhouse import Browser, House, open_house
from ingot.services.accounts import Accounts
from ingot.services.accounts.permissions import PERMISSIONS, ROLES
from ingot.services.key_desk import KeyOrder
from ingot.services.money import open_money
from ingot.services.plans import PlanFields, Plans
from ingot.services.webhooks.desk import WebhookDesk
from ingot.store import sessions
from ingot.store.accounts import set_verified
from ingot.store.deliveries import note_failure
from ingot.store.schema import DEFAULT_ORG, audit, users
from ingot.web import admin
from ingot.web.admin import keys, money, plans, webhooks
from ingot.web.admin.describe import describe
from ingot.web.admin.routes import AdminRoute
from ingot.web.intake import LOOPBACK_HOSTS, Hosts

POLICY = tomllib.loads((Path(__file__).parent.parent / "admin_policy.toml").read_text(encoding="utf-8"))
CALLERS = tuple(POLICY.pop("callers").split())
ROUTES = sorted(POLICY)

EXTRA: tuple[Callable[[Accounts], tuple[AdminRoute, ...]], ...] = ()
"""What other modules add to the table."""

_TURN = iter(range(1_000_000))


@dataclass(slots=True)
class Stage:
    """An organization with a member to act on, an open invitation, and an address that nobody has."""

    house: House
    org: str
    ids: dict[str, str]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An admin API with all routes."""
    async with open_house(tmp_path) as opened:
        rows = (
            *keys.routes(opened.ring.desk),
            *plans.routes(Plans(opened.db, clock=opened.clock)),
            *money.routes(open_money(opened.db, clock=opened.clock)),
            *webhooks.routes(WebhookDesk(opened.db, digest=opened.ring.digest, clock=opened.clock)),
        )
        built = admin.build(
            opened.accounts, rows, changes=opened.changes, hosts=Hosts(LOOPBACK_HOSTS), log=opened.log
        )
        opened.api._places, opened.api.routes = built._places, built.routes
        yield opened


async def build_stage(house: House) -> Stage:
    """A stage that no other cell has touched."""
    turn = next(_TURN)
    org = await house.organization()
    target = await house.member(f"target{turn}@example.org", org, role="member")
    inviter = await house.member(f"inviter{turn}@example.org", org, role="admin")
    invited = {"email": f"invited{turn}@example.org"}
    _, _, invitation = await inviter.call("POST", f"/admin/v1/organizations/{org}/invitations", invited)
    assert target.user
    key = await house.ring.desk.issue(org, KeyOrder("app"), actor="cli")
    plan = await Plans(house.db, clock=house.clock).create(f"plan-{turn}", PlanFields(), actor="cli")
    till = open_money(house.db, clock=house.clock)
    budget = await till.budgets.set(org, 10**12, period="total", actor="cli")
    promo = await till.promos.create(10**12, actor="cli")
    paid = await till.credits.top_up(org, 10**12, actor="cli")
    ids = {
        "budget": budget.id,
        "code": promo.code,
        "entry": paid.entry.billable_id,
        "key": key.info.id,
        "plan": plan.id,
        "name": f"new-{turn}",
        "org": org,
        "user": target.user.id,
        "invitation": invitation["id"],
        "email": f"new{turn}@example.org",
    }
    return Stage(house, org, ids)


async def build_caller(stage: Stage, kind: str) -> Browser:
    """Somebody of this kind."""
    house, org = stage.house, stage.org
    email = f"caller{next(_TURN)}@example.org"
    match kind:
        case "owner" | "admin" | "member" | "viewer":
            return await house.member(email, org, role=kind)
        case "other":
            return await house.member(email, await house.organization("Elsewhere"))
        case "nobody":
            return house.visitor()
        case "revoked":
            browser = await house.member(email, org)
            assert browser.user
            await house.db.write(partial(sessions.end_sessions, user_id=browser.user.id))
            return browser
        case "unverified":
            return await house.member(email, org, verified=False)
        case "operator":
            return await house.person(email, operator=True)
        case "foreign_key":
            return await house.key(await house.organization("Elsewhere"))
        case "operator_key":
            return await house.key(DEFAULT_ORG)
        case "inference_key":
            return await house.key(org, scope="inference")
        case _:
            return await house.key(org, revoked=kind == "revoked_key")


def filled(template: str, ids: dict[str, str]) -> str:
    """A path or body with its ids in their places; braces of JSON stay."""
    return re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], template)


async def test_every_route_has_its_policy(house: House) -> None:
    """The table and the policy name the same routes, and every action is somebody's to do."""
    table = {row.name for row in house.api.routes}
    assert table == set(ROUTES)
    for row in house.api.routes:
        assert row.description
        assert not row.description.endswith(".")
    assert all(allowed and allowed <= set(ROLES) for allowed in PERMISSIONS.values())


@pytest.mark.parametrize("route", ROUTES)
async def test_route_answers_as_the_policy_says_when_called_by_anyone(house: House, route: str) -> None:
    """Each kind of caller gets its status, every refusal in the one envelope."""
    policy = POLICY[route]
    method, path = route.split(" ")
    wanted = dict(zip(CALLERS, map(int, policy["expect"].split()), strict=True))
    got = {}
    for number, kind in enumerate(CALLERS):
        house.peer = f"198.51.100.{number + 1}"  # so that no cell uses up another's tries
        stage = await build_stage(house)
        caller = await build_caller(stage, kind)
        body = json.loads(filled(policy["body"], stage.ids)) if "body" in policy else None
        status, _, answer = await caller.call(method, filled(path, stage.ids), body)
        got[kind] = status
        if status >= 400:
            assert set(answer["error"]) == {"message", "type", "param", "code"}, answer
    assert got == wanted


@pytest.mark.parametrize("route", [route for route in ROUTES if "{org}" in route])
async def test_foreign_and_missing_ids_look_the_same_when_asked_for(house: House, route: str) -> None:
    """Byte for byte: an organization of somebody else and one that never was; likewise what is inside of it."""
    method, path = route.split(" ")
    stage, foreign = await build_stage(house), await build_stage(house)
    owner = await build_caller(stage, "owner")
    body = POLICY[route].get("body")

    async def refused(ids: dict[str, str]) -> tuple[int, Any]:
        sent = json.loads(filled(body, stage.ids)) if body else None
        status, _, answer = await owner.call(method, filled(path, ids), sent)
        return status, answer

    missing = stage.ids | {"org": "org_000000000000000000000000"}
    assert await refused(stage.ids | {"org": foreign.org}) == await refused(missing)
    assert (await refused(missing))[0] == 404
    for name in ("user", "invitation", "key", "budget"):
        if f"{{{name}}}" in path:
            nowhere = await refused(stage.ids | {name: "x_000000000000000000000000"})
            assert await refused(stage.ids | {name: foreign.ids[name]}) == nowhere
            assert nowhere[0] == 404


async def test_rights_follow_at_once_when_they_are_lost(house: House) -> None:
    """A disabled account and a lost membership end what an open session may do with its next call."""
    stage = await build_stage(house)
    owner, member = await build_caller(stage, "owner"), await build_caller(stage, "member")
    path = f"/admin/v1/organizations/{stage.org}"
    assert member.user
    assert (await member.call("GET", path))[0] == 200
    assert (await owner.call("DELETE", f"{path}/members/{member.user.id}"))[0] == 200
    assert (await member.call("GET", path))[0] == 404
    change = users.update().where(users.c.id == member.user.id).values(disabled_at=1)
    await house.execute(change)
    assert (await member.call("GET", "/admin/v1/me"))[0] == 401


async def test_operator_needs_a_verified_address_when_acting_on_all(house: House) -> None:
    """An address that is not proved makes nobody an operator."""
    stage = await build_stage(house)
    operator = await house.person("root@example.org", verified=False, operator=True)
    assert operator.user
    assert (await operator.call("GET", "/admin/v1/audit"))[0] == 403
    await house.db.write(partial(set_verified, user_id=operator.user.id, at=1))
    assert (await operator.call("GET", "/admin/v1/audit"))[0] == 200
    assert (await operator.call("GET", f"/admin/v1/organizations/{stage.org}"))[0] == 200


UNKEPT = """
    CREATE TRIGGER unkept BEFORE UPDATE ON idempotency WHEN NEW.state = 'done'
    BEGIN SELECT RAISE(ABORT, 'the server ends here'); END
"""
KEYLESS = {"/admin/v1/invitations/signup"}
"""Rows without an idempotency key, beside all of /admin/v1/auth."""

CHANGES = [
    route
    for route in ROUTES
    if route.startswith(("POST", "PUT")) and "/auth/" not in route and route.split(" ")[1] not in KEYLESS
]


async def build_change(stage: Stage, route: str) -> tuple[Browser, Any]:
    """Somebody who may make this change, and a body that makes it."""
    house, policy = stage.house, POLICY[route]
    body = json.loads(filled(policy["body"], stage.ids)) if "body" in policy else None
    if route.endswith("/invitations/accept"):
        invitee = f"invitee{next(_TURN)}@example.org"
        owner = await build_caller(stage, "owner")
        await house.mail()
        await owner.call("POST", f"/admin/v1/organizations/{stage.org}/invitations", {"email": invitee})
        return await house.person(invitee), {"token": await house.token()}
    if route.endswith("/subscriptions/cancel"):
        money_of = open_money(house.db, clock=house.clock)
        await money_of.subscriptions.start(stage.org, "pro", actor="cli")
        return await build_caller(stage, "owner"), body
    if route.endswith("/webhooks/enable"):
        await house.db.write(partial(note_failure, org_id=stage.org, place="https://example.org:443", at=0))
        return await build_caller(stage, "owner"), body
    expected = dict(zip(CALLERS, map(int, policy["expect"].split()), strict=True))
    kind = next(each for each in ("admin_key", "operator_key", "viewer") if expected[each] < 300)
    return await build_caller(stage, kind), body


async def test_every_change_takes_a_key_when_it_asks_for_no_password(house: House) -> None:
    """The rows that take an idempotency key are all that change something by POST or PUT, but for coming in."""
    assert {row.name for row in house.api.routes if row.keyed} == set(CHANGES)
    described = json.loads(describe(house.api.routes, cookie="sid"))["paths"]
    for row in house.api.routes:
        parameters = described[row.path][row.method.lower()].get("parameters", [])
        assert any(each["in"] == "header" for each in parameters) == row.keyed, row.name


@pytest.mark.parametrize("route", CHANGES)
async def test_change_and_answer_are_one_when_a_key_is_sent(house: House, route: str) -> None:
    """Where the answer cannot be kept nothing has changed; the retry makes the change, and the next gets the same bytes."""
    stage = await build_stage(house)
    caller, body = await build_change(stage, route)
    method, path = route.split(" ")

    async def send() -> tuple[int, bool, Any]:
        status, headers, answer = await caller.call(
            method,
            filled(path, stage.ids),
            body,
            headers={"idempotency-key": f"key of {route}".replace(" ", "-")},
        )
        return status, headers.get("idempotent-replayed") == "true", answer

    async def changed() -> int:
        return len(await house.rows(select(audit.c.seq)))

    before = await changed()
    await house.execute(text(UNKEPT))
    status, _, answer = await send()
    assert (status >= 400, await changed()) == (True, before), answer
    await house.execute(text("DROP TRIGGER unkept"))
    status, replayed, answer = await send()
    assert (status, replayed) == (status_of(house, route), False), answer
    after = await changed()
    assert after > before
    again = await send()
    if route.endswith("/leave"):
        assert again[0] == 404  # who has left is a stranger
    else:
        assert again == (status, True, answer)
    assert await changed() == after


def status_of(house: House, route: str) -> int:
    """The status of a route that does what it is asked."""
    return next(row.status for row in house.api.routes if row.name == route)
