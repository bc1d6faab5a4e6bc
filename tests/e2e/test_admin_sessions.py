"""Sessions and the guards of a call: cookies, where a change may come from, what a body may be."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adminhouse import PASSWORD, URL, House, open_house
from ingot.errors import InvalidRequest
from ingot.services.accounts.permissions import ANYONE
from ingot.services.accounts.sessions import ABSOLUTE_SECONDS, IDLE_SECONDS
from ingot.web.admin.routes import AdminRoute, Answer, Call

ADA = "ada@example.org"
ME = "/admin/v1/me"
PASSWORDS = "/admin/v1/auth/password"


async def failing(call: Call) -> Answer:
    """A handler with a fault of its own."""
    raise RuntimeError(f"the secret of {call.address}")


async def answering(_: Call) -> Answer:
    """A handler that somebody added."""
    return Answer({"added": True})


EXTRA = (
    AdminRoute("GET", "/admin/v1/extra", answering, ANYONE, "An added route"),
    AdminRoute("GET", "/admin/v1/failing", failing, ANYONE, "A broken route"),
)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An admin API with two more routes."""
    async with open_house(tmp_path, extra=EXTRA) as opened:
        yield opened


async def test_session_ends_when_idle_or_old(house: House) -> None:
    """12 hours without a call end it; so do 7 days, however busy it was."""
    idle, busy = await house.person(ADA), await house.person("bob@example.org")
    for _ in range(ABSOLUTE_SECONDS // (IDLE_SECONDS - 1)):
        house.clock.advance(IDLE_SECONDS - 1)
        assert (await busy.call("GET", ME))[0] == 200
    assert (await idle.call("GET", ME))[0] == 401
    house.clock.advance(IDLE_SECONDS - 1)
    assert (await busy.call("GET", ME))[0] == 401


async def test_password_change_ends_the_others_when_it_is_made(house: House) -> None:
    """The session that made it goes on under a new token, every other one is over, and a mail tells of it."""
    ada, elsewhere = await house.person(ADA), house.visitor()
    await elsewhere.login(ADA)
    before = ada.cookie
    body = {"current": PASSWORD, "new": "another good password"}
    assert (await ada.call("POST", PASSWORDS, {**body, "current": "a wrong guess"}))[2]["error"][
        "code"
    ] == "wrong_password"
    assert (await ada.call("POST", PASSWORDS, body))[0] == 200
    assert ada.cookie != before
    assert (await ada.call("GET", ME))[0] == 200
    assert (await elsewhere.call("GET", ME))[0] == 401
    stale = house.visitor()
    stale.cookie = before
    assert (await stale.call("GET", ME))[0] == 401
    assert [letter.subject for letter in await house.mail()] == ["Your password was changed"]


async def test_token_is_new_when_somebody_logs_in_or_gains_a_right(house: House) -> None:
    """A token from before a login or a new role is worth nothing after it."""
    ada = await house.person(ADA)
    before = ada.cookie
    await ada.login(ADA)
    stale = house.visitor()
    stale.cookie = before
    assert (await stale.call("GET", ME))[0] == 401
    between = ada.cookie
    assert (await ada.call("POST", "/admin/v1/organizations", {"name": "Engines"}))[0] == 201
    stale.cookie = between
    assert (await stale.call("GET", ME))[0] == 401
    assert (await ada.call("GET", ME))[0] == 200


async def test_sessions_end_when_an_owner_changes_a_role(house: House) -> None:
    """Whose role changed logs in again, and so under a new token."""
    org = await house.organization()
    owner, bob = await house.member(ADA, org), await house.member("bob@example.org", org, role="viewer")
    assert bob.user
    path = f"/admin/v1/organizations/{org}/members/{bob.user.id}"
    assert (await owner.call("PATCH", path, {"role": "admin"}))[0] == 200
    assert (await bob.call("GET", ME))[0] == 401
    assert (await owner.call("GET", ME))[0] == 200


@pytest.mark.parametrize(
    ("url", "cookie"),
    [
        (
            "https://ai.example.org",
            "__Host-sid={token}; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax; Secure",
        ),
        ("http://127.0.0.1:5150", "sid={token}; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax"),
    ],
)
async def test_cookie_is_for_https_unless_on_this_machine(tmp_path: Path, url: str, cookie: str) -> None:
    """The `__Host-` name with Secure everywhere; a plain one on loopback, so that development works."""
    async with open_house(tmp_path, url=url) as house:
        await house.person(ADA)
        browser = house.visitor()
        _, headers, _ = await browser.login(ADA)
        assert headers["set-cookie"] == cookie.format(token=browser.cookie)
        _, headers, _ = await browser.call("POST", "/admin/v1/auth/logout")
        assert "Max-Age=0" in headers["set-cookie"]


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": URL}, 200),
        ({}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "https://evil.example"}, 403),
        ({"origin": "https://ai.example.org.evil.example"}, 403),
        ({"origin": "http://ai.example.org"}, 403),
        ({"origin": "https://ai.example.org:8443"}, 403),
        ({"origin": "null"}, 403),
    ],
    ids=str,
)
async def test_change_is_refused_when_another_site_sends_it(
    house: House, page: dict[str, str], status: int
) -> None:
    """Sec-Fetch-Site of our own pages, else our Origin; to look is free."""
    ada = await house.person(ADA)
    ada.page = page
    assert (await ada.call("GET", ME))[0] == 200
    got, headers, answer = await ada.call("POST", "/admin/v1/auth/logout")
    assert got == status
    assert not [name for name in headers if name.startswith("access-control")]
    if status == 403:
        assert answer["error"]["code"] == "foreign_origin"
        ada.page = {"sec-fetch-site": "none"}
        assert (await ada.call("GET", ME))[0] == 200


async def test_key_counts_before_the_cookie_when_both_are_sent(house: House) -> None:
    """No origin is asked of a key; a key that may not call the admin API is not helped by a cookie."""
    org = await house.organization()
    path = f"/admin/v1/organizations/{org}"
    key = await house.key(org)
    assert (await key.call("PATCH", path, {"name": "By a program"}))[0] == 200
    owner = await house.member(ADA, org)
    weak = await house.key(org, scope="inference")
    weak.cookie = owner.cookie
    assert (await weak.call("GET", path))[0] == 403


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (
            {"content-type": "text/plain"},
            b'{"email": "a@b.c", "password": "12345678"}',
            415,
            "unsupported_media_type",
        ),
        ({"content-type": "application/x-www-form-urlencoded"}, b"email=a", 415, "unsupported_media_type"),
        ({"content-type": ""}, b"{}", 415, "unsupported_media_type"),
        ({}, b'{"email": ', 400, "invalid_json"),
        ({}, b"[]", 400, "invalid_type"),
        ({}, b"[" * 100_000, 413, "request_too_large"),
        ({}, b'{"email": "a@b.c"}', 400, "missing_required_parameter"),
        ({}, b'{"email": "a@b.c", "password": 12345678}', 400, "invalid_type"),
        ({}, b'{"email": "a@b.c", "password": "12345678", "operator": true}', 400, "unsupported_parameter"),
        ({}, b'{"email": "a@b.c", "email": "d@e.f", "password": "12345678"}', 400, "invalid_value"),
        ({}, b'{"email": "no address", "password": "12345678"}', 400, "invalid_value"),
        ({}, b'{"email": "a@b.c\\r\\nBcc: d@e.f", "password": "12345678"}', 400, "invalid_value"),
    ],
)
async def test_body_is_refused_when_it_is_not_what_the_route_takes(
    house: House, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    """JSON alone, with the fields of the route and no others; nothing is sent anywhere."""
    got, _, answer = await house.visitor().call("POST", "/admin/v1/auth/signup", body, headers=headers)
    assert (got, answer["error"]["code"]) == (status, code)
    assert await house.mail() == []


async def test_path_is_refused_when_nothing_answers_there(house: House) -> None:
    """404 and 405 are told as everywhere, and a foreign host is not answered."""
    visitor = house.visitor()
    assert (await visitor.call("GET", "/admin/v1/nothing"))[2]["error"]["code"] == "unknown_url"
    status, headers, _ = await visitor.call("DELETE", ME)
    assert (status, headers["allow"]) == (405, "GET")
    assert (await visitor.call("GET", ME, headers={"host": "evil.example"}))[0] == 421
    assert (await visitor.call("GET", f"{ME}?all=1"))[0] == 401
    ada = await house.person(ADA)
    assert (await ada.call("GET", f"{ME}?all=1"))[2]["error"]["param"] == "all"


async def test_answers_are_not_kept_by_anybody(house: House) -> None:
    """No cache keeps an answer, and the request's id is in it."""
    _, headers, _ = await house.visitor().call("GET", ME, headers={"x-request-id": "mine-1"})
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"] == "mine-1"


async def test_fault_is_logged_and_not_told_when_a_handler_breaks(house: House) -> None:
    """The client gets the request's id, the log the cause."""
    status, headers, answer = await house.visitor().call("GET", "/admin/v1/failing")
    assert status == 500
    assert headers["x-request-id"] in answer["error"]["message"]
    assert "secret" not in str(answer)
    assert house.log.said[-1][0] == "admin request failed"


async def test_answer_is_503_when_the_database_is_gone(house: House) -> None:
    """A fault of the store is no fault of the request."""
    ada = await house.person(ADA)
    await house.db.close()
    status, headers, _ = await ada.call("GET", ME)
    assert (status, headers["retry-after"]) == (503, "5")


async def test_added_routes_are_served_and_described(house: House) -> None:
    """Whoever adds rows gets the guards and the description with them; ids stay out of the log's paths."""
    assert (await house.visitor().call("GET", "/admin/v1/extra"))[2] == {"added": True}
    _, _, document = await house.visitor().call("GET", "/admin/v1/openapi.json")
    described = {f"{method.upper()} {path}" for path, rows in document["paths"].items() for method in rows}
    assert described == {row.name for row in house.api.routes}
    member = document["paths"]["/admin/v1/organizations/{org}/members/{user}"]["patch"]
    assert [each["name"] for each in member["parameters"]] == ["org", "user"]
    assert member["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("RoleChange")
    audit = document["paths"]["/admin/v1/audit"]["get"]
    assert [(each["name"], each["required"]) for each in audit["parameters"]] == [
        ("before", False),
        ("limit", False),
    ]
    assert house.api.name_path("/admin/v1/organizations/org_1/members/u") == (
        "/admin/v1/organizations/{org}/members/{user}"
    )
    assert house.api.name_path("/admin/v1/x") is None


@pytest.mark.parametrize(
    ("path", "action"),
    [
        ("/v1/elsewhere", ANYONE),
        ("/admin/v1/organizations/{org}/x", "nobody.described"),
        ("/admin/v1/x", "organization.read"),
        (ME, ANYONE),
    ],
)
async def test_table_is_refused_when_it_contradicts_itself(tmp_path: Path, path: str, action: str) -> None:
    """A start with a route that nothing guards, or that is there twice, fails."""
    with pytest.raises(ValueError, match=r"is not below|does not have|in its path|in the table twice"):
        async with open_house(tmp_path, extra=(AdminRoute("GET", path, answering, action, "A route"),)):
            raise InvalidRequest("not reached")


async def test_head_is_answered_like_get_without_a_body(house: House) -> None:
    """What a GET would say, without its body; the connection stays usable."""
    ada = await house.person(ADA)
    head = f"HEAD {ME} HTTP/1.1\r\nhost: 127.0.0.1\r\ncookie: {house.cookie_name}={ada.cookie}\r\ncontent-length: 0\r\n\r\n"
    reader, writer = await asyncio.open_connection(house.origin.host, house.origin.port)
    for _ in range(2):
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"content-length: " in answer
    writer.close()
    await writer.wait_closed()
