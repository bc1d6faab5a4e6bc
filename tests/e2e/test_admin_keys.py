"""Keys and plans over the admin API: who may make which, what is shown, and what is refused."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from adminhouse import Browser, House, open_house
from ingot.errors import Unauthenticated
from ingot.services.keys import STALE_SECONDS
from ingot.services.plans import Plans
from ingot.store import members
from ingot.store.schema import DEFAULT_ORG, users
from ingot.store.schema import plans as plans_table
from ingot.web import admin
from ingot.web.admin import keys, plans
from ingot.web.intake import LOOPBACK_HOSTS, Hosts


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An admin API with the routes of keys and plans."""
    async with open_house(tmp_path) as opened:
        rows = (*keys.routes(opened.ring.desk), *plans.routes(Plans(opened.db, clock=opened.clock)))
        built = admin.build(
            opened.accounts, rows, changes=opened.changes, hosts=Hosts(LOOPBACK_HOSTS), log=opened.log
        )
        opened.api._places = built._places
        yield opened


def _keys(org: str, *rest: str) -> str:
    return "/".join((f"/admin/v1/organizations/{org}/keys", *rest))


async def _created(caller: Browser, org: str, **body: object) -> dict[str, Any]:
    status, _, answer = await caller.call("POST", _keys(org), {"name": "app"} | body)
    assert status == 201, answer
    return {**answer["info"], "key": answer["key"]}


async def test_key_lives_when_a_member_makes_it(house: House) -> None:
    """Made, used, listed, rolled by an administrator, revoked; the text is in the first answer alone."""
    org = await house.organization()
    member = await house.member("ada@example.org", org, role="member")
    owner = await house.member("owner@example.org", org)
    assert member.user
    limits = {"models": ["small"], "rpm": 3, "tpm": 900, "cap": "12.50", "expires_at": 1_900_000_000}
    made = await _created(member, org, **limits)
    assert (made["user"], made["organization"], made["cap"]) == (member.user.id, org, "12.5")
    assert (made["models"], made["expires_at"], made["scope"]) == (["small"], 1_900_000_000, "inference")
    principal = await house.ring.authenticate(str(made["key"]).encode())
    assert (principal.org_id, principal.grant.key_rpm) == (org, 3)
    _, _, listed = await member.call("GET", _keys(org))
    assert [each["id"] for each in listed["data"]] == [made["id"]]
    assert made["key"] not in str(listed)
    which = _keys(org, str(made["id"]))
    status, _, rolled = await owner.call("POST", f"{which}/roll", {})
    assert (status, rolled["info"]["name"], rolled["info"]["cap"]) == (201, "app", "12.5")
    assert (await owner.call("POST", _keys(org, rolled["info"]["kid"], "roll"), {}))[0] == 409
    status, _, again = await owner.call("POST", _keys(org, rolled["info"]["kid"], "roll"), {"force": True})
    assert status == 201
    status, _, ended = await owner.call("DELETE", _keys(org, again["info"]["id"]))
    assert (status, ended["revoked_at"]) == (200, 1_800_000_000)
    house.clock.advance(STALE_SECONDS)
    for text in (made["key"], rolled["key"], again["key"]):
        with pytest.raises(Unauthenticated):
            await house.ring.authenticate(str(text).encode())


async def test_member_rolls_and_ends_own_keys_alone(house: House) -> None:
    """Their own they need nobody for; those of others and of nobody take an administrator, an admin key too."""
    org = await house.organization()
    await house.execute(update(plans_table).values(keys=None))
    owner = await house.member("owner@example.org", org)
    ada = await house.member("ada@example.org", org, role="admin")
    assert ada.user
    own, admins = await _created(ada, org), await _created(ada, org, scope="admin")
    others = [await _created(owner, org), await _created(owner, org, user=None)]
    member = f"/admin/v1/organizations/{org}/members/{ada.user.id}"
    assert (await owner.call("PATCH", member, {"role": "member"}))[0] == 200
    begin, whose = house.accounts.sessions.begin, ada.user.id
    ada.cookie = await house.db.write(lambda conn: begin(conn, whose))
    for each in others:
        which = _keys(org, str(each["id"]))
        for status, _, told in (await ada.call("POST", f"{which}/roll", {}), await ada.call("DELETE", which)):
            assert status == 403
            assert "This key is not yours" in told["error"]["message"]
    assert (await ada.call("POST", _keys(org, str(admins["id"]), "roll"), {}))[0] == 403
    assert (await ada.call("DELETE", _keys(org, str(admins["id"]))))[0] == 200
    status, _, rolled = await ada.call("POST", _keys(org, str(own["id"]), "roll"), {})
    assert (status, rolled["info"]["user"]) == (201, ada.user.id)
    status, _, ended = await ada.call("DELETE", _keys(org, str(rolled["info"]["id"])))
    assert (status, ended["revoked_at"]) == (200, 1_800_000_000)


async def test_s1_05_fourth_key_is_refused(house: House) -> None:
    """The free plan has 3; the answer says what to do."""
    org = await house.organization()
    owner = await house.member("owner@example.org", org)
    for _ in range(3):
        await _created(owner, org)
    status, _, answer = await owner.call("POST", _keys(org), {"name": "four"})
    assert (status, answer["error"]["code"]) == (403, "key_limit_reached")
    assert "Revoke one" in answer["error"]["message"]


async def test_member_makes_no_key_for_others_or_for_the_admin_api(house: House) -> None:
    """An administrator does; of the operator's organization only an operator makes an admin key, or rolls one."""
    org = await house.organization()
    owner = await house.member("owner@example.org", org)
    member = await house.member("ada@example.org", org, role="member")
    assert owner.user
    assert member.user
    refused: list[dict[str, Any]] = [{"user": owner.user.id}, {"user": None}, {"scope": "admin"}]
    for body in refused:
        assert (await member.call("POST", _keys(org), {"name": "app"} | body))[0] == 403
    assert (await _created(owner, org, user="ada@example.org"))["user"] == member.user.id
    assert (await _created(owner, org, user=None, scope="admin"))["user"] is None
    assert (await owner.call("POST", _keys(org), {"name": "x", "user": "user_nobody"}))[0] == 404

    clerk = await house.member("clerk@example.org", DEFAULT_ORG, role="owner")
    root = await house.person("root@example.org", operator=True)
    operators = await _created(root, DEFAULT_ORG, scope="admin")
    which = _keys(DEFAULT_ORG, str(operators["id"]))
    assert (await clerk.call("POST", _keys(DEFAULT_ORG), {"name": "x", "scope": "admin"}))[0] == 403
    assert (await clerk.call("POST", f"{which}/roll", {}))[0] == 403
    assert (await root.call("POST", f"{which}/roll", {}))[0] == 201


async def test_admin_key_has_at_most_the_rights_of_its_person(house: House) -> None:
    """A lost role is lost at the next call with a key, and so is a membership; a key of nobody stays what it is."""
    org = await house.organization()
    await house.execute(update(plans_table).values(keys=None))
    owner = await house.member("owner@example.org", org)
    ada = await house.member("ada@example.org", org, role="admin")
    assert ada.user
    made = await _created(ada, org, scope="admin")
    nobody = await _created(owner, org, scope="admin", user=None)
    program = Browser(house, key=str(made["key"]))
    child = await _created(program, org, scope="admin")
    assert (made["user"], child["user"], nobody["user"]) == (ada.user.id, ada.user.id, None)
    assert (await _created(program, org))["user"] is None
    programs = [program, Browser(house, key=str(child["key"]))]
    member = f"/admin/v1/organizations/{org}/members/{ada.user.id}"
    for role, statuses in (("member", (200, 403)), ("viewer", (403, 403)), ("owner", (200, 200))):
        assert (await owner.call("PATCH", member, {"role": role}))[0] == 200
        for each in programs:
            calls = (
                await each.call("GET", _keys(org)),
                await each.call("PATCH", _keys(org)[:-5], {"name": "E"}),
            )
            assert tuple(status for status, *_ in calls) == statuses
            assert (await each.call("DELETE", _keys(org)[:-5]))[0] == 403
    assert (await owner.call("PATCH", member, {"role": "member"}))[0] == 200
    assert (await program.call("POST", _keys(org), {"name": "x", "scope": "admin"}))[0] == 403
    assert (await program.call("POST", _keys(org), {"name": "x", "user": None}))[0] == 403
    assert (await owner.call("DELETE", member))[0] == 200
    assert [(await each.call("GET", _keys(org)))[0] for each in programs] == [401, 401]
    assert (await Browser(house, key=str(nobody["key"])).call("GET", _keys(org)))[0] == 200


async def test_operators_key_is_one_only_while_its_person_is(house: House) -> None:
    """It records who made it, as do the keys that it makes; who is no operator any more, or disabled, has none."""
    root = await house.person("root@example.org", operator=True)
    assert root.user
    made = await _created(root, DEFAULT_ORG, scope="admin")
    program = Browser(house, key=str(made["key"]))
    child = await _created(program, DEFAULT_ORG, scope="admin")
    assert (made["user"], child["user"]) == (root.user.id, root.user.id)
    programs = [program, Browser(house, key=str(child["key"]))]
    by_hand = await house.key(DEFAULT_ORG)
    path = "/admin/v1/plans"
    assert [(await each.call("GET", path))[0] for each in programs] == [200, 200]
    whose = update(users).where(users.c.id == root.user.id)
    await house.execute(whose.values(operator=0))
    assert [(await each.call("GET", path))[0] for each in programs] == [401, 401]
    clerk = partial(members.insert_member, org_id=DEFAULT_ORG, user_id=root.user.id, role="owner", at=1)
    await house.db.write(clerk)
    assert [(await each.call("GET", path))[0] for each in programs] == [403, 403]
    await house.execute(whose.values(operator=1))
    assert [(await each.call("GET", path))[0] for each in programs] == [200, 200]
    await house.execute(whose.values(disabled_at=1))
    assert [(await each.call("GET", path))[0] for each in programs] == [401, 401]
    assert (await by_hand.call("GET", path))[0] == 200


async def test_s08_key_of_another_organization_is_as_one_that_is_not_there(house: House) -> None:
    """Byte for byte the same answer, whatever is asked of it."""
    org, other = await house.organization(), await house.organization("Elsewhere")
    owner = await house.member("owner@example.org", org)
    stranger = await house.member("stranger@example.org", other)
    foreign = str((await _created(stranger, other))["id"])
    missing = "key_000000000000000000000000"
    for method, rest in (("GET", ()), ("POST", ("roll",)), ("DELETE", ())):
        body: dict[str, Any] | None = {} if method == "POST" else None
        answers = [
            (await owner.call(method, _keys(org, which, *rest), body))[::2] for which in (foreign, missing)
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"cap": "5 EUR"}, "cap"),
        ({"rpm": 0}, "rpm"),
        ({"models": []}, "models"),
        ({"scope": "root"}, "scope"),
        ({"expires_at": 1}, "expires_at"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_body_is_refused_when_no_key_can_be_so(
    house: House, body: dict[str, object], param: str
) -> None:
    """The field is named."""
    org = await house.organization()
    owner = await house.member("owner@example.org", org)
    status, _, answer = await owner.call("POST", _keys(org), {"name": "app"} | body)
    assert (status, answer["error"]["param"]) == (400, param)


async def test_plan_lives_when_an_operator_makes_it(house: House) -> None:
    """Made, changed, put in force, archived; others see their own organization's alone."""
    org = await house.organization()
    owner = await house.member("owner@example.org", org)
    root = await house.person("root@example.org", operator=True)
    path = "/admin/v1/plans"
    body = {"name": "team", "rpm": 60, "keys": 5, "price_factor": "0.9", "monthly_price": "19.99"}
    assert (await owner.call("POST", path, body))[0] == 403
    status, _, made = await root.call("POST", path, body)
    assert (status, made["rpm"], made["tpm"], made["monthly_price"]) == (201, 60, None, "19.99")
    status, _, changed = await root.call("PATCH", f"{path}/team", {"rpm": None, "models": ["a"]})
    assert (status, changed["rpm"], changed["keys"], changed["models"]) == (200, None, 5, ["a"])
    assert (await root.call("PATCH", f"/admin/v1/organizations/{org}", {"plan": "team"}))[0] == 200
    status, _, own = await owner.call("GET", f"/admin/v1/organizations/{org}/plan")
    assert (status, own["name"], own["price_factor"]) == (200, "team", "0.9")
    status, _, archived = await root.call("DELETE", f"{path}/{made['id']}")
    assert (status, archived["archived_at"]) == (200, 1_800_000_000)
    _, _, listed = await root.call("GET", path)
    assert [plan["name"] for plan in listed["data"]] == ["free", "operator", "pro", "team"]
    assert (await root.call("GET", f"{path}/team"))[2] == archived
    for wrong, param in (({"monthly_price": "5 EUR"}, "monthly_price"), ({"weight": 0}, "weight")):
        status, _, answer = await root.call("PATCH", f"{path}/team", wrong)
        assert (status, answer["error"]["param"]) == (400, param)


async def test_key_is_refused_when_it_names_a_model_that_there_is_not(tmp_path: Path) -> None:
    """400 that names the model and the nearest there is, as the catalog stands at that moment."""
    catalog = {"large-model", "small"}
    async with open_house(tmp_path) as house:
        rows = keys.routes(house.ring.desk, models=lambda: catalog)
        built = admin.build(
            house.accounts, rows, changes=house.changes, hosts=Hosts(LOOPBACK_HOSTS), log=house.log
        )
        house.api._places = built._places
        org = await house.organization()
        program = await house.key(org)
        body = {"name": "app", "models": ["small", "lage-model"]}
        status, _, answer = await program.call("POST", _keys(org), body)
        assert (status, answer["error"]["param"]) == (400, "models")
        assert "There is no model `lage-model`; did you mean `large-model`?" in answer["error"]["message"]
        catalog.add("lage-model")
        assert (await program.call("POST", _keys(org), body))[0] == 201
