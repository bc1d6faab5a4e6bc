"""Organizations over HTTP: settings, members, invitations, the audit log, and how one ends."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from adminhouse import PASSWORD, Browser, House, open_house
from ingot.services.accounts.letters import INVITATION_SECONDS
from ingot.services.accounts.organizations import REMEMBERED_SECONDS
from ingot.services.subscriptions import Subscriptions
from ingot.store import members
from ingot.store.erasure import deleted_organizations
from ingot.store.schema import DEFAULT_ORG, audit, idempotency, response_metadata, responses

ADA, BOB = "ada@example.org", "bob@example.org"
ORGANIZATIONS = "/admin/v1/organizations"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An admin API where nobody may sign up without an invitation."""
    async with open_house(tmp_path, signup=False) as opened:
        yield opened


async def audited(browser: Browser, org: str) -> list[dict[str, Any]]:
    """The organization's audit log, the oldest first."""
    status, _, page = await browser.call("GET", f"{ORGANIZATIONS}/{org}/audit")
    assert status == 200
    return [{name: each[name] for name in ("actor", "action", "detail")} for each in reversed(page["data"])]


async def test_organization_is_owned_when_created(house: House) -> None:
    """Its creator owns it, it begins on the configured plan, and every change is in its log."""
    ada = await house.person(ADA)
    status, _, made = await ada.call("POST", ORGANIZATIONS, {"name": " Engines "})
    assert (status, made["name"], made["plan"], made["prepaid"]) == (201, "Engines", "free", True)
    org = made["id"]
    assert (await ada.call("GET", "/admin/v1/me"))[2]["organizations"] == [
        {"id": org, "name": "Engines", "role": "owner"}
    ]
    change = {"name": "Looms", "keep_content": False, "retention_days": 7}
    assert (await ada.call("PATCH", f"{ORGANIZATIONS}/{org}", change))[2]["retention_days"] == 7
    _, _, back = await ada.call("PATCH", f"{ORGANIZATIONS}/{org}", {"retention_days": None})
    assert (back["name"], back["keep_content"], back["retention_days"]) == ("Looms", False, None)
    assert (await ada.call("PATCH", f"{ORGANIZATIONS}/{org}", {"retention_days": 0}))[0] == 400
    assert (await ada.call("PATCH", f"{ORGANIZATIONS}/{org}", {"plan": "pro"}))[0] == 403
    assert ada.user
    assert await audited(ada, org) == [
        {
            "actor": ada.user.id,
            "action": "organization.create",
            "detail": {"name": "Engines", "plan": "free"},
        },
        {"actor": ada.user.id, "action": "organization.update", "detail": change},
        {"actor": ada.user.id, "action": "organization.update", "detail": {"retention_days": None}},
    ]


async def test_second_organization_is_refused_until_the_first_is_forgotten(house: House) -> None:
    """One for each person on the first plan, so that its limits cannot be multiplied; two at once are one."""
    ada = await house.person(ADA)
    twin = Browser(house, cookie=ada.cookie)
    both = await asyncio.gather(
        *(each.call("POST", ORGANIZATIONS, {"name": "Engines"}) for each in (ada, twin))
    )
    made = [answer for status, _, answer in both if status == 201]
    assert len(made) == 1
    await ada.login(ADA)
    status, _, answer = await ada.call("POST", ORGANIZATIONS, {"name": "Looms"})
    assert (status, answer["error"]["code"]) == (409, "organization_exists")
    assert (await ada.call("DELETE", f"{ORGANIZATIONS}/{made[0]['id']}"))[0] == 200
    assert (await ada.call("POST", ORGANIZATIONS, {"name": "Looms"}))[0] == 409
    house.clock.advance(REMEMBERED_SECONDS + 1)
    await ada.login(ADA)
    assert (await ada.call("POST", ORGANIZATIONS, {"name": "Looms"}))[0] == 201


async def test_operator_creates_for_others_and_sets_plans(house: House) -> None:
    """With a plan, an owner, and payment afterwards; a plan that is not there is named with those that are."""
    ada, operator = await house.person(ADA), await house.person("root@example.org", operator=True)
    body = {"name": "Engines", "plan": "pro", "owner": ADA, "prepaid": False}
    status, _, made = await operator.call("POST", ORGANIZATIONS, body)
    assert (status, made["plan"], made["prepaid"]) == (201, "pro", False)
    await ada.login(ADA)
    assert [each["role"] for each in (await ada.call("GET", "/admin/v1/me"))[2]["organizations"]] == ["owner"]
    status, _, answer = await operator.call("PATCH", f"{ORGANIZATIONS}/{made['id']}", {"plan": "gold"})
    assert (status, answer["error"]["param"]) == (400, "plan")
    assert "free, operator, pro" in answer["error"]["message"]
    assert (await operator.call("PATCH", f"{ORGANIZATIONS}/{made['id']}", {"plan": "free"}))[2][
        "plan"
    ] == "free"
    assert (await audited(ada, made["id"]))[-1]["detail"] == {"from": "pro", "to": "free"}
    assert len((await operator.call("GET", ORGANIZATIONS))[2]["data"]) == 2
    status, _, _ = await operator.call("POST", ORGANIZATIONS, {"name": "x", "owner": "nobody@example.org"})
    assert status == 400


async def store_content(house: House, org: str, count: int) -> None:
    """Stored responses and a retry of an organization."""
    rows = [
        {
            "id": f"{org}-{number}", "public_id": f"chatcmpl-{number}", "org_id": org, "key_id": "key_1",
            "surface": "/v1/chat/completions", "model": "m", "target": "t", "status": 200, "state": "completed",
            "fidelity": "verbatim", "window": "asap", "created_at": 1, "finished_at": 2, "request": b"a prompt",
            "answer": b"an answer", "metadata": '{"a": "b"}', "expires_at": 9,
        }
        for number in range(count)
    ]  # fmt: skip
    tags = [{"org_id": org, "name": "a", "value": "b", "response_id": row["id"]} for row in rows]
    retry = {
        "org_id": org, "key_id": "key_1", "key": "k", "fingerprint": b"f", "path": "/v1/x", "response_id": rows[0]["id"],
        "state": "done", "owner": "o", "lease_until": 1, "created_at": 1, "answer": b"an answer",
    }  # fmt: skip
    for table, values in ((responses, rows), (response_metadata, tags), (idempotency, [retry])):
        await house.execute(insert(table), values)


async def test_keys_stop_and_content_goes_when_an_organization_is_deleted(house: House) -> None:
    """Keys are revoked, retries void, prompts and answers deleted; rows that say what was spent stay. Others' stay whole."""
    org, other = await house.organization(), await house.organization("Elsewhere")
    owner, key = await house.member(ADA, org), await house.key(org)
    invited = await owner.call("POST", f"{ORGANIZATIONS}/{org}/invitations", {"email": BOB})
    assert invited[0] == 201
    for each in (org, other):
        await store_content(house, each, 1200)
    assert (await key.call("GET", f"{ORGANIZATIONS}/{org}"))[0] == 200
    assert (await owner.call("DELETE", f"{ORGANIZATIONS}/{org}"))[2] == {"id": org, "deleted": True}
    assert (await owner.call("GET", f"{ORGANIZATIONS}/{org}"))[0] == 404
    assert (await owner.call("GET", "/admin/v1/me"))[2]["organizations"] == []
    house.clock.advance(5)
    assert (await key.call("GET", f"{ORGANIZATIONS}/{org}"))[0] == 401
    await house.accounts.organizations.close()
    kept = select(
        responses.c.org_id,
        responses.c.request,
        responses.c.answer,
        responses.c.metadata,
        responses.c.expires_at,
    )
    assert sorted(await house.rows(kept.distinct())) == sorted(
        [(org, None, None, None, None), (other, b"a prompt", b"an answer", '{"a": "b"}', 9)]
    )
    for table in (response_metadata, idempotency):
        assert await house.rows(select(table.c.org_id).distinct()) == [(other,)]
    assert await house.mail() == []  # the invitation that was about to leave is void
    operator = await house.person("root@example.org", operator=True)
    assert (await operator.call("DELETE", f"{ORGANIZATIONS}/{org}"))[0] == 404
    assert (await operator.call("DELETE", f"{ORGANIZATIONS}/{DEFAULT_ORG}"))[0] == 409


async def test_deletion_is_finished_when_it_was_cut_short(house: House) -> None:
    """Content that a stopped process left behind goes with the next start."""
    org = await house.organization()
    owner = await house.member(ADA, org)
    await owner.call("DELETE", f"{ORGANIZATIONS}/{org}")
    await house.accounts.organizations.close()
    await store_content(house, org, 3)  # as if none of it had gone
    assert await house.db.read(deleted_organizations) == [org]
    running = asyncio.create_task(house.accounts.run())
    async with asyncio.timeout(20):
        while await house.db.read(deleted_organizations):  # noqa: ASYNC110  # what the task does sets no event
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_last_owner_stays_whatever_is_tried(house: House) -> None:
    """Neither demotion, removal nor leaving ends the last owner; two who demote each other at once leave one."""
    org = await house.organization()
    ada, bob = await house.member(ADA, org), await house.member(BOB, org)
    assert ada.user
    assert bob.user
    path = f"{ORGANIZATIONS}/{org}"
    roles = await asyncio.gather(
        ada.call("PATCH", f"{path}/members/{bob.user.id}", {"role": "viewer"}),
        bob.call("PATCH", f"{path}/members/{ada.user.id}", {"role": "viewer"}),
    )
    assert sorted(status for status, _, _ in roles) in ([200, 401], [200, 403], [200, 409])
    winner, own = (ada, ada.user.id) if roles[0][0] == 200 else (bob, bob.user.id)
    for method, at, body in (
        ("PATCH", f"/members/{own}", {"role": "admin"}),
        ("DELETE", f"/members/{own}", None),
        ("POST", "/leave", None),
    ):
        status, _, answer = await winner.call(method, path + at, body)
        assert (status, answer["error"]["code"]) == (409, "last_owner")


async def test_admin_cannot_make_or_unmake_owners(house: House) -> None:
    """What an admin may give stops below owner, for members and for invitations; the same for an admin key."""
    org = await house.organization()
    owner, admin = await house.member(ADA, org), await house.member(BOB, org, role="admin")
    member = await house.member("eve@example.org", org, role="member")
    assert owner.user
    assert member.user
    path = f"{ORGANIZATIONS}/{org}"
    for caller in (admin, await house.key(org)):
        assert (await caller.call("PATCH", f"{path}/members/{owner.user.id}", {"role": "viewer"}))[0] == 403
        assert (await caller.call("DELETE", f"{path}/members/{owner.user.id}"))[0] == 403
        assert (await caller.call("PATCH", f"{path}/members/{member.user.id}", {"role": "owner"}))[0] == 403
        invitation = {"email": "new@example.org", "role": "owner"}
        assert (await caller.call("POST", f"{path}/invitations", invitation))[0] == 403
    assert (await admin.call("PATCH", f"{path}/members/{member.user.id}", {"role": "admin"}))[0] == 200
    assert (await owner.call("PATCH", f"{path}/members/{member.user.id}", {"role": "owner"}))[0] == 200


async def test_invited_stranger_joins_with_a_new_account_while_sign_up_is_closed(house: House) -> None:
    """The token proves the address: the account is verified and a member at once; the token is then dead."""
    org = await house.organization()
    ada = await house.member(ADA, org)
    path = f"{ORGANIZATIONS}/{org}/invitations"
    _, _, made = await ada.call("POST", path, {"email": " Bob@Example.org", "role": "viewer"})
    assert (made["email"], made["role"]) == (BOB, "viewer")
    (letter,) = await house.mail()
    assert (letter.to, letter.subject) == (BOB, "Invitation to Analytical Engines")
    assert f"{ADA} invites you" in letter.text
    token = letter.text.partition("#token=")[2][:64]
    bob = house.visitor()
    body = {"token": token, "email": BOB, "password": PASSWORD}
    stolen = {**body, "email": "eve@example.org"}
    assert (await bob.call("POST", "/admin/v1/invitations/signup", stolen))[0] == 400
    status, _, user = await bob.call("POST", "/admin/v1/invitations/signup", body)
    assert (status, user["email"], user["verified"]) == (201, BOB, True)
    assert (await bob.call("GET", f"{ORGANIZATIONS}/{org}"))[0] == 200
    assert (await ada.call("GET", path))[2]["data"] == []
    assert (await bob.call("POST", "/admin/v1/invitations/signup", body))[2]["error"][
        "code"
    ] == "invalid_link"
    assert [each["action"] for each in await audited(ada, org)] == ["invitation.create", "member.join"]


async def test_invited_person_joins_with_the_account_they_have(house: House) -> None:
    """Only the account with the invited address may use the token; sign-up with it points to the login."""
    org = await house.organization()
    ada, bob, eve = (
        await house.member(ADA, org),
        await house.person(BOB),
        await house.person("eve@example.org"),
    )
    await ada.call("POST", f"{ORGANIZATIONS}/{org}/invitations", {"email": BOB, "role": "admin"})
    token = await house.token()
    accept = "/admin/v1/invitations/accept"
    assert (await eve.call("POST", accept, {"token": token}))[2]["error"]["code"] == "invitation_for_another"
    body = {"token": token, "email": BOB, "password": "another good password"}
    status, _, answer = await house.visitor().call("POST", "/admin/v1/invitations/signup", body)
    assert (status, answer["error"]["code"]) == (409, "account_exists")
    before = bob.cookie
    assert (await bob.call("POST", accept, {"token": token}))[2]["role"] == "admin"
    assert bob.cookie != before
    assert (await bob.call("GET", f"{ORGANIZATIONS}/{org}/members"))[0] == 200
    again = {"email": BOB}
    status, _, answer = await ada.call("POST", f"{ORGANIZATIONS}/{org}/invitations", again)
    assert (status, answer["error"]["code"]) == (409, "member_exists")


async def test_invitation_is_dead_when_taken_back_replaced_or_old(house: House) -> None:
    """The newest counts for seven days; the fourth in an hour to one address is refused."""
    org = await house.organization()
    ada, bob = await house.member(ADA, org), await house.person(BOB)
    path, accept = f"{ORGANIZATIONS}/{org}/invitations", "/admin/v1/invitations/accept"
    tokens = []
    for _ in range(3):
        _, _, made = await ada.call("POST", path, {"email": BOB})
        tokens.append(await house.token())
    assert (await ada.call("POST", path, {"email": BOB}))[0] == 429
    assert (await bob.call("POST", accept, {"token": tokens[0]}))[0] == 400
    assert [each["id"] for each in (await ada.call("GET", path))[2]["data"]] == [made["id"]]
    assert (await ada.call("DELETE", f"{path}/{made['id']}"))[0] == 200
    assert (await ada.call("DELETE", f"{path}/{made['id']}"))[0] == 404
    assert (await bob.call("POST", accept, {"token": tokens[2]}))[0] == 400
    house.clock.advance(3601)
    await ada.call("POST", path, {"email": BOB})
    late = await house.token()
    house.clock.advance(INVITATION_SECONDS)
    await bob.login(BOB)
    assert (await bob.call("POST", accept, {"token": late}))[0] == 400


async def test_audit_log_pages_back_when_it_is_long(house: House) -> None:
    """Each page begins where the one before ended; only an operator sees what belongs to no organization."""
    org = await house.organization()
    ada = await house.member(ADA, org)
    for number in range(5):
        await ada.call("PATCH", f"{ORGANIZATIONS}/{org}", {"name": f"Engines {number}"})
    seen: list[int] = []
    before: int | None = None
    while True:
        query = "?limit=2" + (f"&before={before}" if before else "")
        _, _, page = await ada.call("GET", f"{ORGANIZATIONS}/{org}/audit{query}")
        seen += [each["id"] for each in page["data"]]
        before = page["next"]
        if before is None:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5
    status, _, answer = await ada.call("GET", f"{ORGANIZATIONS}/{org}/audit?limit=201")
    assert (status, answer["error"]["param"]) == (400, "limit")
    await house.visitor().login(ADA)
    operator = await house.person("root@example.org", operator=True)
    _, _, everything = await operator.call("GET", "/admin/v1/audit")
    assert {"session.begin", "organization.update"} <= {each["action"] for each in everything["data"]}


async def test_member_joins_without_an_invitation_when_the_operator_adds_them(house: House) -> None:
    """What the operator's command does: a member without an invitation, who then logs in again."""
    org = await house.organization()
    bob = await house.person(BOB)
    operator = await house.accounts.gate.by_session(
        str((await house.person("r@example.org", operator=True)).cookie)
    )
    assert operator
    await house.accounts.team.add(org, email=BOB, role="member", caller=operator)
    assert (await bob.call("GET", "/admin/v1/me"))[0] == 401
    await bob.login(BOB)
    assert (await bob.call("GET", f"{ORGANIZATIONS}/{org}"))[0] == 200


async def test_list_when_there_are_many(house: House) -> None:
    """Page by page, the oldest first, none twice and none left out, also where one is deleted in between."""
    root = await house.person("root@example.org", operator=True)
    made = []
    for number in range(7):
        house.clock.advance(1)
        made.append(await house.organization(f"Engines {number}"))
    ada = await house.member(ADA, made[5])
    join = partial(members.insert_member, org_id=made[2], role="viewer", at=1)
    assert ada.user
    await house.db.write(partial(join, user_id=ada.user.id))

    async def page(who: Browser, query: str) -> tuple[list[str], bool]:
        status, _, told = await who.call("GET", f"{ORGANIZATIONS}?{query}")
        assert status == 200, told
        return [each["id"] for each in told["data"]], told["has_more"]

    first, more = await page(root, "limit=3")
    assert (first[-2:], more) == (made[:2], True)  # behind the operator's own
    assert (await root.call("DELETE", f"{ORGANIZATIONS}/{made[1]}"))[0] == 200
    assert await page(root, f"limit=3&after={made[1]}") == (made[2:5], True)
    assert await page(root, f"limit=3&after={made[4]}") == (made[5:], False)
    assert await page(root, "") == ([first[0], made[0], *made[2:]], False)
    assert await page(ada, "limit=1") == ([made[2]], True)
    assert await page(ada, f"limit=1&after={made[2]}") == ([made[5]], False)
    for who, query in (
        (root, "after=org_x"),
        (ada, f"after={made[0]}"),
        (root, "limit=0"),
        (root, "limit=1001"),
    ):
        status, _, told = await who.call("GET", f"{ORGANIZATIONS}?{query}")
        assert (status, told["error"]["param"]) == (400, query.partition("=")[0])


async def test_delete_when_it_has_a_subscription(house: House) -> None:
    """The subscription is over with it, by whoever deleted it, and that is in the log."""
    org = await house.organization()
    ada = await house.member(ADA, org)
    subscriptions = Subscriptions(house.db, clock=house.clock)
    begun = await subscriptions.start(org, "pro", actor="cli")
    assert (await ada.call("DELETE", f"{ORGANIZATIONS}/{org}"))[0] == 200
    assert await subscriptions.list() == []
    assert ada.user
    ended = select(audit.c.actor, audit.c.subject).where(audit.c.action == "subscription.end")
    assert await house.rows(ended) == [(ada.user.id, begun.id)]
