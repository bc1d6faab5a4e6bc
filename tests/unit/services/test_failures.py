"""Failed authentications: how many are free, who is held back, and who is not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingot.clock import ManualClock
from ingot.errors import RateLimited, Unauthenticated
from ingot.services.failures import FAILURES_PER_MINUTE, FailureLimiter
from ingot.services.keys import STALE_SECONDS
from keyhouse import House, issue, open_house, refusal, revoke, token

ADDRESS = "192.0.2.7"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An empty database with its ring."""
    async with open_house(tmp_path) as opened:
        yield opened


def _fail(limiter: FailureLimiter, times: int, *, address: str = ADDRESS, kid: str | None = None) -> None:
    for _ in range(times):
        limiter.check(address, kid)
        limiter.failed(address, kid)


def _held_back(limiter: FailureLimiter, address: str = ADDRESS, kid: str | None = None) -> float | None:
    try:
        limiter.check(address, kid)
    except RateLimited as error:
        return error.retry_after
    return None


def test_l03_address_is_held_back_when_it_failed_thirty_times() -> None:
    """A minute's worth at once, then one every two seconds; after a quiet minute all of them again."""
    clock = ManualClock()
    limiter = FailureLimiter(clock)
    _fail(limiter, FAILURES_PER_MINUTE)
    assert _held_back(limiter) == 2.0
    assert _held_back(limiter, "192.0.2.8") is None
    clock.advance(1.5)
    assert _held_back(limiter) == 0.5
    clock.advance(0.5)
    _fail(limiter, 1)
    assert _held_back(limiter) == 2.0
    clock.advance(60)
    _fail(limiter, FAILURES_PER_MINUTE)
    assert _held_back(limiter) is not None


def test_l03_kid_is_guarded_when_many_addresses_guess_at_it() -> None:
    """Who failed lately is held back; an address that never failed is let through, or anybody could lock a key out."""
    limiter = FailureLimiter(ManualClock())
    for n in range(FAILURES_PER_MINUTE):
        _fail(limiter, 1, address=f"192.0.2.{n}", kid="kid0000001")
    assert _held_back(limiter, "192.0.2.3", "kid0000001") == 2.0
    assert _held_back(limiter, "192.0.2.3", "kid0000002") is None
    assert _held_back(limiter, "198.51.100.1", "kid0000001") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("unix:/run/a.sock", "unix:/run/b.sock", False),
        ("", "", True),
    ],
)
def test_addresses_are_one_when_one_customer_has_them_all(one: str, other: str, same: bool) -> None:  # noqa: FBT001  # a parameter of the case
    """An IPv6 customer has 2^64 addresses: the network counts."""
    limiter = FailureLimiter(ManualClock())
    _fail(limiter, FAILURES_PER_MINUTE, address=one)
    assert (_held_back(limiter, other) is not None) is same


def test_memory_is_bounded_when_addresses_are_many() -> None:
    """Who failed longest ago is forgotten first."""
    limiter = FailureLimiter(ManualClock(), entries=3)
    _fail(limiter, FAILURES_PER_MINUTE)
    for n in range(2):
        _fail(limiter, 1, address=f"198.51.100.{n}", kid=f"kid{n}")
    limiter.failed(ADDRESS, None)
    _fail(limiter, 1, address="198.51.100.9", kid="kid9")
    assert _held_back(limiter) is not None
    assert [len(limiter._addresses), len(limiter._kids)] == [3, 3]


async def test_l03_database_is_not_asked_when_an_address_failed_too_often(house: House) -> None:
    """Unknown and mistyped keys count alike, also those whose refusal is remembered."""
    good = token(await issue(house.ring, "app"))
    for n in range(FAILURES_PER_MINUTE):
        bad = (b"unknown-key-%d" % n, b"unknown-key-0", good[:-1] + b"!")[n % 3]
        with pytest.raises(Unauthenticated):
            await house.ring.authenticate(bad, address=ADDRESS)
    reads = house.db.tally.reads
    for bad in (b"another-unknown-key", good[:-1] + b"?"):
        with pytest.raises(RateLimited, match="try again in 2 seconds"):
            await house.ring.authenticate(bad, address=ADDRESS)
    assert house.db.tally.reads == reads
    assert (await house.ring.authenticate(good, address="198.51.100.1")).name == "app"


async def test_key_in_use_is_not_held_back_when_others_behind_its_address_fail(house: House) -> None:
    """A proxy or an office is one address: who was good when last looked up goes on, until that key ends."""
    key = token(await issue(house.ring, "app"))
    await house.ring.authenticate(key, address=ADDRESS)
    for _ in range(3):
        house.clock.advance(STALE_SECONDS)
        while _held_back(house.ring.failures) is None:
            house.ring.failures.failed(ADDRESS, None)
        assert house.ring.authenticate_cached(key) is None
        assert (await house.ring.authenticate(key, address=ADDRESS)).name == "app"
    await revoke(house.ring, "app")
    with pytest.raises(RateLimited):
        await house.ring.authenticate(key, address=ADDRESS)
    assert "was revoked" in await refusal(house.ring, key)
