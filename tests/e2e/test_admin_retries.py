"""Retries of the admin API through a real port: who gets which answer, and what lies in the database's file.

That every route keeps its answer in the commit of its change is in `test_admin_matrix`, the service itself in
`tests/store/test_changes.py`, and a server that is killed in `tests/chaos/test_admin_killed.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from adminhouse import Browser, House, Reply, open_house
from ingot.services.keys import STALE_SECONDS
from ingot.services.money import open_money
from ingot.store import sessions
from ingot.store.database import Database
from ingot.store.schema import DEFAULT_ORG, api_keys, idempotency, invitations, ledger
from ingot.store.schema import organizations as organizations_table
from ingot.web import admin
from ingot.web.admin import keys, money
from ingot.web.intake import LOOPBACK_HOSTS, Hosts

KEY = "retry-7f1c2a9e-clear-text"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An admin API with the routes of keys and money."""
    async with open_house(tmp_path) as opened:
        rows = (*keys.routes(opened.ring.desk), *money.routes(open_money(opened.db, clock=opened.clock)))
        built = admin.build(
            opened.accounts, rows, changes=opened.changes, hosts=Hosts(LOOPBACK_HOSTS), log=opened.log
        )
        opened.api._places = built._places
        yield opened


async def post(caller: Browser, path: str, body: Any, *, key: str = KEY) -> Reply:
    """A change with an idempotency key."""
    return await caller.call("POST", f"/admin/v1{path}", body, headers={"idempotency-key": key})


def is_replay(reply: Reply) -> bool:
    """Whether an answer is marked as one that was given before."""
    return reply[1].get("idempotent-replayed") == "true"


async def count(house: House, table: Any) -> int:
    """How many rows a table has."""
    ((number,),) = await house.rows(select(func.count()).select_from(table))
    return int(number)


async def test_secret_comes_again_when_the_creation_of_a_key_does(house: House) -> None:
    """The retry is as useful as the first answer: the same key, with its text. One key is made."""
    org = await house.organization()
    program = await house.key(org)
    first = await post(program, f"/organizations/{org}/keys", {"name": "app"})
    again = await post(program, f"/organizations/{org}/keys", {"scope": "inference", "name": "app"})
    assert (first[0], is_replay(first), again[0], is_replay(again)) == (201, False, 201, True)
    assert again[2] == first[2]
    assert (await house.ring.authenticate(again[2]["key"].encode())).key_id == first[2]["info"]["id"]
    assert await count(house, api_keys) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/keys", {"name": "other"}),
        ("/keys", {"name": "app", "user": None, "rpm": 5}),
        ("/budgets", {"cap": "5"}),
    ],
)
async def test_other_request_is_refused_when_the_key_is_taken(
    house: House, path: str, body: dict[str, Any]
) -> None:
    """400 in the envelope of the admin API, not to be retried; the error names the key and the header."""
    org = await house.organization()
    program = await house.key(org)
    assert (await post(program, f"/organizations/{org}/keys", {"name": "app"}))[0] == 201
    status, headers, answer = await program.call(
        "PUT" if path == "/budgets" else "POST",
        f"/admin/v1/organizations/{org}{path}",
        body,
        headers={"idempotency-key": KEY},
    )
    error = answer["error"]
    assert (status, error["type"], error["code"]) == (400, "idempotency_error", "idempotency_key_reused")
    assert (error["param"], headers["x-should-retry"]) == ("Idempotency-Key", "false")
    assert KEY in error["message"]


async def test_one_is_made_when_twenty_ask_at_once(house: House) -> None:
    """Twenty connections, one top-up: one row of the ledger, and all are told the same."""
    org = await house.organization()
    root = await house.key(DEFAULT_ORG)
    body = {"organization": org, "amount": "5"}
    replies = await asyncio.gather(*(post(root, "/credits/topups", body) for _ in range(20)))
    assert {reply[0] for reply in replies} == {201}
    assert sum(map(is_replay, replies)) == 19
    assert len({reply[2]["entry"]["id"] for reply in replies}) == 1
    assert await count(house, ledger) == 1


async def test_key_is_another_one_when_another_person_or_organization_is_meant(house: House) -> None:
    """Nobody reads an answer by guessing a key: it belongs to who called, and to the organization in the path."""
    org, other = await house.organization(), await house.organization("Elsewhere")
    callers = [await house.member(f"{name}@example.org", org) for name in ("ada", "bob")]
    root = await house.key(DEFAULT_ORG)
    replies = [await post(caller, f"/organizations/{org}/keys", {"name": "app"}) for caller in callers]
    replies += [await post(root, f"/organizations/{each}/keys", {"name": "app"}) for each in (org, other)]
    assert not any(map(is_replay, replies))
    assert len({reply[2]["info"]["id"] for reply in replies}) == 4


async def test_key_stays_free_when_the_request_was_refused(house: House) -> None:
    """Whether before the change or by it: the mended request may have the key."""
    org = await house.organization()
    root = await house.key(DEFAULT_ORG)
    assert (await post(root, "/credits/topups", {"organization": org, "amount": "a lot"}))[0] == 400
    assert (await post(root, "/credits/topups", {"organization": "org_none", "amount": "5"}))[0] == 404
    reply = await post(root, "/credits/topups", {"organization": org, "amount": "5"})
    assert (reply[0], is_replay(reply)) == (201, False)


async def test_i14_old_body_is_out_of_reach_when_the_credential_is_over(house: House) -> None:
    """A revoked key and an ended session get 401; a lost role 404; a deleted organization 404."""
    org = await house.organization()
    program, person = await house.key(org), await house.member("ada@example.org", org)
    owner = await house.member("owner@example.org", org)
    path = f"/organizations/{org}/keys"
    for caller in (program, person):
        assert (await post(caller, path, {"name": "app"}))[0] == 201
    gone = api_keys.update().where(api_keys.c.name == "a program").values(revoked_at=1)
    await house.execute(gone)
    house.clock.advance(STALE_SECONDS)
    assert (await post(program, path, {"name": "app"}))[0] == 401
    assert person.user
    await owner.call("DELETE", f"/admin/v1/organizations/{org}/members/{person.user.id}")
    assert (await post(person, path, {"name": "app"}))[0] == 404
    await house.db.write(partial(sessions.end_sessions, user_id=person.user.id))
    status, _, answer = await post(person, path, {"name": "app"})
    assert (status, "key" in answer) == (401, False)
    await owner.call("DELETE", f"/admin/v1/organizations/{org}")
    assert await count(house, idempotency) == 0


async def test_session_is_not_given_twice_when_an_answer_brought_one(house: House) -> None:
    """To own something renews the session: with the old cookie the retry is a 401; signed in again, it is replayed."""
    person = await house.person("ada@example.org")
    old = Browser(house, cookie=person.cookie, user=person.user)
    first = await post(person, "/organizations", {"name": "Engines"})
    assert (first[0], "set-cookie" in first[1]) == (201, True)
    assert (await post(old, "/organizations", {"name": "Engines"}))[0] == 401
    await old.login("ada@example.org")
    again = await post(old, "/organizations", {"name": "Engines"})
    assert (again[0], again[2], is_replay(again)) == (201, first[2], True)
    assert "set-cookie" not in again[1]
    mine = organizations_table.select().where(organizations_table.c.name == "Engines")
    assert len(await house.rows(mine)) == 1


async def test_mail_goes_once_when_an_invitation_is_sent_again(house: House) -> None:
    """One row, one letter; without the key the second would have taken the place of the first."""
    org = await house.organization()
    owner = await house.member("owner@example.org", org)
    body = {"email": "bob@example.org"}
    replies = [await post(owner, f"/organizations/{org}/invitations", body) for _ in range(2)]
    assert replies[0][2] == replies[1][2]
    assert (await count(house, invitations), len(await house.mail())) == (1, 1)


@pytest.mark.parametrize("path", ["/auth/login", "/auth/signup"])
async def test_header_means_nothing_when_a_password_is_asked_for(house: House, path: str) -> None:
    """To come in is never a replay: each login opens a session of its own, and no row is written."""
    await house.person("ada@example.org")
    body = {"email": "ada@example.org", "password": "correct horse battery"}
    visitors = [house.visitor(), house.visitor()]
    replies = [await post(visitor, path, body) for visitor in visitors]
    assert all(reply[0] in {200, 202} and not is_replay(reply) for reply in replies)
    if path == "/auth/login":
        assert visitors[0].cookie != visitors[1].cookie
    assert await count(house, idempotency) == 0


@pytest.mark.parametrize("bad", ["two words", "k" * 256, '"'])
async def test_key_is_refused_by_name_when_it_is_none(house: House, bad: str) -> None:
    """As on the inference surfaces: 400 that names the header, and nothing was done."""
    org = await house.organization()
    program = await house.key(org)
    status, _, answer = await post(program, f"/organizations/{org}/keys", {"name": "app"}, key=bad)
    assert (status, answer["error"]["param"]) == (400, "Idempotency-Key")
    assert await count(house, api_keys) == 1


async def test_request_is_refused_when_it_carries_two_keys(house: House) -> None:
    """Two headers that differ are a 400 which names the header; the same key twice is one."""
    org = await house.organization()
    program = await house.key(org)
    path = f"/admin/v1/organizations/{org}/keys"
    for second, status in (("another", 400), (KEY, 201)):
        # The helper writes fields as lines: a line end in one makes a second header.
        twice = {"idempotency-key": f"{KEY}\r\nidempotency-key: {second}"}
        reply = await program.call("POST", path, {"name": "app"}, headers=twice)
        assert reply[0] == status
        if status == 400:
            assert reply[2]["error"]["param"] == "Idempotency-Key"
            assert "came 2 times" in reply[2]["error"]["message"]


def read_files(data: Path, db: Database) -> bytes:
    """All bytes of the database, its log included."""
    assert db.tally.writes
    return b"".join(path.read_bytes() for path in sorted(data.iterdir()) if path.name.startswith("ingot.db"))


async def test_no_secret_is_in_the_file_when_answers_are_kept(house: House, tmp_path: Path) -> None:
    """Of a key's text, an invitation's and a session's token, and the idempotency key itself, the file has nothing."""
    org = await house.organization()
    owner = await house.member("owner@example.org", org)
    made = await post(owner, f"/organizations/{org}/keys", {"name": "app"}, key=f"{KEY}-1")
    rolled = await post(owner, f"/organizations/{org}/keys/{made[2]['info']['id']}/roll", {}, key=f"{KEY}-2")
    await post(owner, f"/organizations/{org}/invitations", {"email": "bob@example.org"}, key=f"{KEY}-3")
    token = await house.token()
    bob = await house.person("bob@example.org")
    old = bob.cookie
    assert (await post(bob, "/invitations/accept", {"token": token}, key=f"{KEY}-4"))[0] == 200
    assert bob.cookie not in {None, old}
    stored = read_files(tmp_path, house.db)
    assert made[2]["info"]["id"].encode() in stored  # the scan would see what is there
    for secret in (made[2]["key"], rolled[2]["key"], token, bob.cookie, old, owner.cookie, KEY):
        assert secret
        assert secret.encode() not in stored
        assert secret.split("_")[-2 if "_" in secret else 0].encode() not in stored
    assert (await post(owner, f"/organizations/{org}/keys", {"name": "app"}, key=f"{KEY}-1"))[2] == made[2]
