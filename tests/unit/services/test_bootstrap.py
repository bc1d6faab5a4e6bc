"""The bootstrap key: one value at each start, and what becomes of the ones before it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingot.errors import Conflict, InvalidRequest
from ingot.services.keys import STALE_SECONDS
from ingot.signing import checksum
from keyhouse import House, issue, open_house, refusal, revoke, token

_BOOTSTRAP = "a-key-for-automation"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An empty database with its ring."""
    async with open_house(tmp_path) as opened:
        yield opened


async def test_bootstrap_key_is_in_force_when_started_again(house: House) -> None:
    """The same value at each start is one key, and no first key is made beside it."""
    for _ in range(3):
        assert await house.ring.ensure_first_key(_BOOTSTRAP) is None
    assert (await house.ring.authenticate(_BOOTSTRAP.encode())).name == "bootstrap"
    (info,) = await house.ring.desk.list_all()
    assert (info.name, info.source, info.last4) == ("bootstrap", "bootstrap", "tion")
    assert await house.ring.ensure_first_key(None) is None


async def test_bootstrap_key_works_at_once_when_it_was_refused_before(house: House) -> None:
    """A refusal from before the key existed does not linger."""
    await refusal(house.ring, _BOOTSTRAP.encode())
    await house.ring.ensure_first_key(_BOOTSTRAP)
    assert (await house.ring.authenticate(_BOOTSTRAP.encode())).name == "bootstrap"


async def test_old_bootstrap_key_ends_when_the_value_changes(house: House) -> None:
    """The key keeps its id and its history, the old value is unknown, and the way back is open."""
    ids = set()
    values = [_BOOTSTRAP, "another-bootstrap-key", _BOOTSTRAP]
    for value in values:
        await house.ring.ensure_first_key(value)
        ids.add((await house.ring.authenticate(value.encode())).key_id)
        house.clock.advance(STALE_SECONDS)
    assert len(ids) == 1
    assert (await refusal(house.ring, values[1].encode())).startswith("Unknown")


async def test_bootstrap_key_may_have_the_form_of_ours(house: House) -> None:
    """A key that this or another Ingot made is fine; one that is in use already stays what it is."""
    key = await issue(house.ring, "app")
    await house.ring.ensure_first_key(_BOOTSTRAP)
    await house.ring.ensure_first_key(key.secret)
    assert (await house.ring.authenticate(token(key))).name == "app"
    assert "was revoked" in await refusal(house.ring, _BOOTSTRAP.encode())
    body = f"ik_live_{'k' * 10}_{'s' * 32}"
    await house.ring.ensure_first_key(f"{body}_{checksum(body.encode())}")
    live = {info.name for info in await house.ring.desk.list_all() if info.revoked_at is None}
    assert live == {"app", "bootstrap"}


async def test_bootstrap_key_is_refused_when_it_shares_a_kid(house: House) -> None:
    """One kid is one key."""
    key = await issue(house.ring, "app")
    body = f"ik_live_{key.info.kid}_{'s' * 32}"
    with pytest.raises(Conflict, match="kid of another key"):
        await house.ring.ensure_first_key(f"{body}_{checksum(body.encode())}")


async def test_start_is_refused_when_the_bootstrap_key_was_revoked(house: House) -> None:
    """A leaked key that was ended does not come back with the next start; a new value does the job."""
    await house.ring.ensure_first_key(_BOOTSTRAP)
    await revoke(house.ring, "bootstrap")
    with pytest.raises(Conflict, match=r"was revoked on .* choose a new value"):
        await house.ring.ensure_first_key(_BOOTSTRAP)
    await house.ring.ensure_first_key("another-bootstrap-key")
    assert (await house.ring.authenticate(b"another-bootstrap-key")).name == "bootstrap"
    assert "was revoked" in await refusal(house.ring, _BOOTSTRAP.encode())


@pytest.mark.parametrize(
    "value", ["short", "fifteen-chars-x", "with a space inside", "key-with-ümlaut-inside", "x" * 16 + "\n"]
)
async def test_bootstrap_key_is_refused_when_not_visible_ascii(house: House, value: str) -> None:
    """What a header cannot carry, or what can be guessed, is no key."""
    with pytest.raises(InvalidRequest, match="16 or more visible ASCII"):
        await house.ring.ensure_first_key(value)


async def test_bootstrap_key_is_refused_when_mistyped(house: House) -> None:
    """A key of ours with a wrong checksum was copied badly: better said at the start than at each request."""
    key = await issue(house.ring, "app")
    with pytest.raises(InvalidRequest, match="checksum"):
        await house.ring.ensure_first_key(key.secret[:-1] + ("0" if key.secret[-1] != "0" else "1"))
