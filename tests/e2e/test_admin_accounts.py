"""Accounts over HTTP: how people come in, what mails carry, and what is told to those who only guess."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from adminhouse import PASSWORD, PROXY, Browser, House, open_house
from ingot.services.accounts.letters import HOUR, RESET_SECONDS, VERIFY_SECONDS
from ingot.services.accounts.people import (
    ACCOUNT_TRIES,
    ADDRESS_TRIES,
    LOGIN_SECONDS,
    LOGIN_TRIES,
    MAIL_TRIES,
)
from ingot.services.failures import FAILURES_PER_MINUTE
from ingot.store.schema import audit, metadata

ADA = "ada@example.org"
AUTH = "/admin/v1/auth"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An admin API where anybody may sign up."""
    async with open_house(tmp_path) as opened:
        yield opened


async def test_account_lives_when_its_link_is_followed(house: House) -> None:
    """Sign up, get a mail, verify with link and password, log out, log in: C-30 from end to end."""
    ada = house.visitor()
    status, _, _ = await ada.call(
        "POST", f"{AUTH}/signup", {"email": " Ada@Example.org ", "password": PASSWORD}
    )
    assert status == 202
    (letter,) = await house.mail()
    assert letter.to == ADA
    assert "https://ai.example.org/verify#token=" in letter.text
    token = letter.text.partition("#token=")[2][:64]
    status, headers, user = await ada.call("POST", f"{AUTH}/verify", {"token": token, "password": PASSWORD})
    assert (status, user["email"], user["verified"]) == (200, ADA, True)
    assert headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
    assert headers["set-cookie"].startswith("__Host-sid=")
    assert (await ada.call("GET", "/admin/v1/me"))[2]["user"]["email"] == ADA
    assert (await ada.call("POST", f"{AUTH}/logout"))[0] == 200
    assert ada.cookie is None
    assert (await ada.call("GET", "/admin/v1/me"))[0] == 401
    assert (await ada.login(ADA))[0] == 200
    assert (await ada.call("GET", "/admin/v1/me"))[0] == 200


async def test_sign_up_is_refused_when_it_is_closed(tmp_path: Path) -> None:
    """The text says who can let somebody in."""
    async with open_house(tmp_path, signup=False) as house:
        body = {"email": ADA, "password": PASSWORD}
        status, _, answer = await house.visitor().call("POST", f"{AUTH}/signup", body)
        assert (status, answer["error"]["code"]) == (403, "signup_closed")
        assert "invite" in answer["error"]["message"]
        assert "ingot users create" in answer["error"]["message"]
        assert await house.mail() == []


async def test_known_and_unknown_addresses_look_the_same_when_guessed(house: House) -> None:
    """Status, bytes and commits of sign-up, login, reset and verification do not tell whether there is an account."""
    await house.person(ADA)
    await house.person("eve@example.org", verified=False)
    seen = []
    for email in (ADA, "eve@example.org", "nobody@example.org"):
        told = []
        for path, body in (
            ("signup", {"email": email, "password": PASSWORD}),
            ("login", {"email": email, "password": "not the password"}),
            ("reset-request", {"email": email}),
            ("verification", {"email": email}),
        ):
            before = house.db.tally.commits
            status, headers, answer = await house.visitor().call("POST", f"{AUTH}/{path}", body)
            del headers["x-request-id"]
            told.append((path, status, headers, answer, house.db.tally.commits - before))
        seen.append(told)
    assert seen[0] == seen[1] == seen[2]
    mails = [(letter.to, letter.subject) for letter in await house.mail()]
    assert (ADA, "You have an account already") in mails
    assert ("nobody@example.org", "Verify your mail address") in mails


async def test_link_is_dead_when_used_over_or_meant_for_something_else(house: House) -> None:
    """Single use, bound to its purpose, 24 h or 30 min; what a mail scanner does with GET uses nothing up."""
    ada = house.visitor()
    await ada.call("POST", f"{AUTH}/signup", {"email": ADA, "password": PASSWORD})
    verify = await house.token()
    assert (await ada.call("GET", f"{AUTH}/verify"))[0] == 405
    wrong = {"token": verify, "password": "another good password"}
    assert (await ada.call("POST", f"{AUTH}/reset", wrong))[2]["error"]["code"] == "invalid_link"
    house.clock.advance(VERIFY_SECONDS - 1)
    right = {"token": verify, "password": PASSWORD}
    assert (await ada.call("POST", f"{AUTH}/verify", right))[0] == 200
    assert (await house.visitor().call("POST", f"{AUTH}/verify", right))[2]["error"]["code"] == "invalid_link"

    await ada.call("POST", f"{AUTH}/reset-request", {"email": ADA})
    reset = await house.token()
    assert (await ada.call("POST", f"{AUTH}/verify", {"token": reset, "password": PASSWORD}))[0] == 400
    house.clock.advance(RESET_SECONDS)
    late = {"token": reset, "password": "another good password"}
    assert (await ada.call("POST", f"{AUTH}/reset", late))[2]["error"]["code"] == "invalid_link"


async def test_link_is_dead_when_the_time_is_over(house: House) -> None:
    """A verification after 24 hours is refused; another mail is a request away."""
    ada = house.visitor()
    await ada.call("POST", f"{AUTH}/signup", {"email": ADA, "password": PASSWORD})
    late = {"token": await house.token(), "password": PASSWORD}
    house.clock.advance(VERIFY_SECONDS)
    assert (await ada.call("POST", f"{AUTH}/verify", late))[0] == 400
    await ada.call("POST", f"{AUTH}/verification", {"email": ADA})
    fresh = {"token": await house.token(), "password": PASSWORD}
    assert (await ada.call("POST", f"{AUTH}/verify", fresh))[0] == 200


@pytest.mark.parametrize(("path", "verified"), [("verification", False), ("reset-request", True)])
async def test_mails_stop_when_three_were_sent_within_the_hour(
    house: House, path: str, *, verified: bool
) -> None:
    """The fourth request is answered like the others and sends nothing, until the hour is over."""
    await house.person(ADA, verified=verified)
    for _ in range(5):
        assert (await house.visitor().call("POST", f"{AUTH}/{path}", {"email": ADA}))[0] == 202
    assert len(await house.mail()) == 3
    house.clock.advance(HOUR + 1)
    await house.visitor().call("POST", f"{AUTH}/{path}", {"email": ADA})
    assert len(await house.mail()) == 1


async def test_account_cannot_be_prepared_for_somebody_else(house: House) -> None:
    """Who signs up with another's address gains nothing when its owner follows a link."""
    mallory, ada = house.visitor(), house.visitor()
    await mallory.call("POST", f"{AUTH}/signup", {"email": ADA, "password": "mallory's password"})
    await house.mail()
    await mallory.login(ADA, "mallory's password")  # an unverified session
    await ada.call("POST", f"{AUTH}/signup", {"email": ADA, "password": PASSWORD})
    token = await house.token()
    assert (await mallory.call("GET", "/admin/v1/me"))[0] == 401
    guess = {"token": token, "password": "mallory's password"}
    assert (await mallory.call("POST", f"{AUTH}/verify", guess))[0] == 401
    assert (await ada.call("POST", f"{AUTH}/verify", {"token": token, "password": PASSWORD}))[0] == 200
    assert (await house.visitor().login(ADA, "mallory's password"))[0] == 401


async def test_reset_sets_the_password_and_ends_every_session(house: House) -> None:
    """The link proves the mailbox; the old password and all who were logged in are out."""
    ada, elsewhere = await house.person(ADA), house.visitor()
    await elsewhere.login(ADA)
    await house.visitor().call("POST", f"{AUTH}/reset-request", {"email": ADA})
    body = {"token": await house.token(), "password": "another good password"}
    assert (await house.visitor().call("POST", f"{AUTH}/reset", body))[0] == 200
    assert [letter.subject for letter in await house.mail()] == ["Your password was changed"]
    assert (await ada.call("GET", "/admin/v1/me"))[0] == 401
    assert (await elsewhere.call("GET", "/admin/v1/me"))[0] == 401
    assert (await house.visitor().login(ADA))[0] == 401
    assert (await house.visitor().login(ADA, "another good password"))[0] == 200
    assert (await house.visitor().call("POST", f"{AUTH}/reset", body))[0] == 400


@pytest.mark.parametrize("password", ["1234567", "x" * 129, "a\0bcdefgh"])
async def test_password_is_refused_when_too_short_or_too_long(house: House, password: str) -> None:
    """8 to 128 characters, wherever one is chosen."""
    body = {"email": ADA, "password": password}
    status, _, answer = await house.visitor().call("POST", f"{AUTH}/signup", body)
    assert (status, answer["error"]["param"]) == (400, "password")
    ada = await house.person(ADA)
    status, _, answer = await ada.call("POST", f"{AUTH}/password", {"current": PASSWORD, "new": password})
    assert (status, answer["error"]["param"]) == (400, "new")


@pytest.mark.parametrize("email", [ADA, "nobody@example.org"])
async def test_login_waits_when_tried_too_often_for_one_account(house: House, email: str) -> None:
    """The same for an address without an account; the right password waits too, and time heals."""
    await house.person(ADA)
    house.peer = "198.51.100.1"
    for _ in range(LOGIN_TRIES):
        assert (await house.visitor().login(email, "not the password"))[0] == 401
    status, headers, answer = await house.visitor().login(email)
    assert (status, answer["error"]["code"]) == (429, "too_many_tries")
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("900", "900000")
    assert answer["error"]["message"] == "Too many tries. Wait 15 minutes."
    house.clock.advance(LOGIN_SECONDS - 61)
    _, headers, answer = await house.visitor().login(email)
    assert (headers["retry-after"], answer["error"]["message"]) == ("120", "Too many tries. Wait 2 minutes.")
    house.clock.advance(30)
    _, headers, answer = await house.visitor().login(email)
    assert (headers["retry-after"], answer["error"]["message"]) == ("60", "Too many tries. Wait 1 minute.")
    house.clock.advance(60)
    assert (await house.visitor().login(email))[0] == (200 if email == ADA else 401)


async def test_s09_owner_logs_in_when_a_stranger_guesses(house: House) -> None:
    """Wrong guesses bar the place that they come from, and no other."""
    await house.person(ADA)
    house.peer = "198.51.100.1"
    for _ in range(LOGIN_TRIES):
        assert (await house.visitor().login(ADA, "not the password"))[0] == 401
    assert (await house.visitor().login(ADA))[0] == 429
    house.peer = "203.0.113.9"
    assert (await house.visitor().login(ADA))[0] == 200


async def test_s09_account_waits_when_many_places_guess(house: House) -> None:
    """All places together have a higher bound; where the owner has logged in before it does not hold."""
    await house.person(ADA)
    house.peer = "203.0.113.9"
    assert (await house.visitor().login(ADA))[0] == 200
    for number in range(ACCOUNT_TRIES):
        house.peer = f"198.51.100.{number // 5}"
        assert (await house.visitor().login(ADA, "not the password"))[0] == 401
    house.peer = "198.51.100.200"
    assert (await house.visitor().login(ADA))[0] == 429
    house.peer = "203.0.113.9"
    assert (await house.visitor().login(ADA))[0] == 200


async def test_login_waits_when_one_address_tries_many_accounts(house: House) -> None:
    """Who sprays one password over all accounts is stopped by the address it comes from; others are not."""
    await house.person(ADA)
    for number in range(ADDRESS_TRIES):
        assert (await house.visitor().login(f"user{number}@example.org", "letmein123"))[0] == 401
    assert (await house.visitor().login(ADA))[0] == 429
    house.peer = "198.51.100.1"
    assert (await house.visitor().login(ADA))[0] == 200


async def test_login_waits_when_one_network_tries_many_accounts(house: House) -> None:
    """An IPv6 network of 64 bits belongs to one customer, who has as many addresses as anybody could count."""
    for number in range(ADDRESS_TRIES):
        house.peer = f"2001:db8:0:7::{number:x}"
        assert (await house.visitor().login(f"user{number}@example.org", "letmein123"))[0] == 401
    house.peer = "2001:db8:0:7:ffff::1"
    assert (await house.visitor().login(ADA))[0] == 429
    house.peer = "2001:db8:0:8::1"
    assert (await house.visitor().login(ADA))[0] == 401


async def test_keys_are_not_looked_up_when_one_address_guesses_them(house: House) -> None:
    """As on the inference surfaces, and by the same count."""
    statuses = []
    for number in range(FAILURES_PER_MINUTE + 1):
        guesser = Browser(house, key=f"ik_{number:010d}_{'0' * 32}")
        statuses.append((await guesser.call("GET", "/admin/v1/me"))[0])
    assert statuses == [401] * FAILURES_PER_MINUTE + [429]
    house.peer = "198.51.100.1"
    assert (await Browser(house, key="ik-another-guess").call("GET", "/admin/v1/me"))[0] == 401


async def test_audit_log_has_the_address_when_somebody_comes_in(house: House) -> None:
    """Sign-up, verification, login, a new password and logout, each with where it came from, as the proxy saw it."""
    house.peer = PROXY

    async def call(who: Browser, name: str, body: dict[str, str] | None, number: int) -> int:
        headers = {"x-forwarded-for": f"203.0.113.66, 198.51.100.{number}"}
        return (await who.call("POST", f"{AUTH}/{name}", body, headers=headers))[0]

    ada = house.visitor()
    login = {"email": ADA, "password": PASSWORD}
    assert await call(ada, "signup", login, 1) == 202
    assert await call(ada, "verify", {"token": await house.token(), "password": PASSWORD}, 2) == 200
    assert await call(ada, "login", login, 3) == 200
    assert await call(ada, "password", {"current": PASSWORD, "new": "another good password"}, 4) == 200
    assert await call(ada, "logout", None, 5) == 200
    await house.mail()
    assert await call(ada, "reset-request", {"email": ADA}, 6) == 202
    reset = {"token": await house.token(), "password": PASSWORD}
    assert await call(ada, "reset", reset, 7) == 200
    rows = await house.rows(select(audit.c.action, audit.c.detail).order_by(audit.c.seq))
    assert [(action, json.loads(detail)["address"]) for action, detail in rows] == [
        ("user.signup", "198.51.100.1"),
        ("user.verify", "198.51.100.2"),
        ("session.begin", "198.51.100.3"),
        ("session.password", "198.51.100.4"),
        ("session.end", "198.51.100.5"),
        ("user.reset_asked", "198.51.100.6"),
        ("session.password", "198.51.100.7"),
    ]


async def test_tries_are_counted_by_the_clients_address_when_a_proxy_tells_it(house: House) -> None:
    """What a trusted proxy saw counts; from elsewhere, this machine included, it is whatever the client claims."""
    for peer, expected in ((PROXY, 401), ("127.0.0.1", 429), ("203.0.113.9", 429)):
        house.peer = peer
        for number in range(ADDRESS_TRIES + 1):
            body = {"email": f"user{number}@example.org", "password": "letmein123"}
            headers = {"x-forwarded-for": f"203.0.113.66, 198.51.100.{number}"}
            status, _, _ = await house.visitor().call("POST", f"{AUTH}/login", body, headers=headers)
        assert status == expected


async def test_mails_wait_when_one_address_causes_many(house: House) -> None:
    """Nobody fills other people's mailboxes from one place."""
    for number in range(MAIL_TRIES):
        await house.visitor().call("POST", f"{AUTH}/reset-request", {"email": f"u{number}@example.org"})
    body = {"email": ADA, "password": PASSWORD}
    assert (await house.visitor().call("POST", f"{AUTH}/signup", body))[0] == 429


async def test_secrets_are_nowhere_when_stored(house: House, tmp_path: Path) -> None:
    """Neither the database nor the log holds a password, a session's token or a link's."""
    ada = house.visitor()
    await ada.call("POST", f"{AUTH}/signup", {"email": ADA, "password": PASSWORD})
    link = await house.token()
    await ada.call("POST", f"{AUTH}/verify", {"token": link, "password": PASSWORD})
    org = await house.organization()
    inviter = await house.member("inviter@example.org", org)
    invited = {"email": "bob@example.org"}
    await inviter.call("POST", f"/admin/v1/organizations/{org}/invitations", invited)
    secrets = [PASSWORD, link, await house.token(), str(ada.cookie), str(inviter.cookie)]
    tables = [repr(await house.rows(select(table))).encode() for table in metadata.sorted_tables]
    files = [
        path.read_bytes() for path in tmp_path.iterdir() if path.is_file()
    ]  # what was deleted may still be there
    stored = b"".join([*tables, *files])
    assert b"argon2id" in stored
    assert [secret for secret in secrets if secret.encode() in stored or secret in repr(house.log.said)] == []
