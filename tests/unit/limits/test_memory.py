"""The limiter of one process: plans, leases, settlements, snapshots and what it remembers."""

import pytest

from ingot.clock import ManualClock
from ingot.limits.limiter import Claim, Refused, Reservation
from ingot.limits.memory import MemoryLimiter


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()


@pytest.fixture
def limiter(clock: ManualClock) -> MemoryLimiter:
    """An empty limiter."""
    return MemoryLimiter(clock)


def admitted(limiter: MemoryLimiter, claim: Claim, times: int) -> int:
    """How many of so many requests pass."""
    return sum(isinstance(limiter.admit((claim,)), Reservation) for _ in range(times))


def test_five_a_minute_serve_five_at_once(limiter: MemoryLimiter, clock: ManualClock) -> None:
    """L02: the sixth is refused for 12 seconds; a minute after the burst five more have passed."""
    plan = Claim("org", 5, None, None, 0)
    assert admitted(limiter, plan, 6) == 5
    refused = limiter.admit((plan,))
    assert isinstance(refused, Refused)
    assert refused.wait == 12_000_000
    passed = 0
    for _ in range(60):
        clock.advance(1.0)
        passed += admitted(limiter, plan, 1)
    assert passed == 5


def test_keys_do_not_multiply_when_the_organization_is_the_partition(limiter: MemoryLimiter) -> None:
    """L01: three keys of one organization share its limit, each below its own cap."""
    org = Claim("org", 60, None, None, 0)
    keys = [Claim(f"key_{number}", 30, None, None, 0) for number in range(3)]
    outcomes = [limiter.admit((org, key)) for _ in range(5) for key in keys]
    assert sum(isinstance(outcome, Reservation) for outcome in outcomes) == 10


def test_a_refusal_charges_nothing_when_one_claim_fails(limiter: MemoryLimiter) -> None:
    """L08: neither requests nor tokens nor places, of neither partition."""
    org, key = Claim("org", 60, 6000, 5, 500), Claim("key", None, 600, None, 500)
    assert isinstance(limiter.admit((org, key)), Reservation)
    before = limiter.snapshot()
    for _ in range(3):
        assert isinstance(limiter.admit((org, key)), Refused)
    assert limiter.snapshot() == before


async def test_places_are_free_again_when_settled_or_given_back(
    limiter: MemoryLimiter, clock: ManualClock
) -> None:
    """A place is held for as long as the request runs, hours included, and is given back once, however it ends."""
    claim = Claim("org", None, None, 2, 0)
    first, second = await limiter.reserve((claim,)), await limiter.reserve((claim,))
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    clock.advance(36_000.0)
    assert admitted(limiter, claim, 3) == 0
    for _ in range(2):
        await limiter.settle(first, 0)
        await limiter.give_back(first)
    assert admitted(limiter, claim, 3) == 1
    for _ in range(2):
        await limiter.give_back(second)
        await limiter.settle(second, 0)
    assert admitted(limiter, claim, 3) == 1


def test_a_partition_stays_while_something_runs_in_it(limiter: MemoryLimiter, clock: ManualClock) -> None:
    """Others come, time passes, snapshots are taken: what runs is counted until it ends, and then nothing is left."""
    claim = Claim("long", 60, 6000, 1, 10)
    running = limiter.admit((claim,))
    assert isinstance(running, Reservation)
    for number in range(1_000):
        clock.advance(1.0)
        limiter.admit((Claim(f"org_{number}", 60, None, None, 0),))
        limiter.snapshot()
    assert admitted(limiter, claim, 1) == 0
    limiter.finish(running, 10)
    assert admitted(limiter, claim, 2) == 1


def test_nothing_is_left_when_everything_was_given_back(limiter: MemoryLimiter, clock: ManualClock) -> None:
    """Requests, tokens and places of both claims, as if nobody had asked."""
    claims = (Claim("org", 60, 6000, 5, 500), Claim("key", 30, 1200, None, 100))
    for _ in range(1_000):
        outcome = limiter.admit(claims)
        assert isinstance(outcome, Reservation)
        limiter.undo(outcome)
    assert limiter.snapshot() == {}
    outcome = limiter.admit(claims)
    clock.advance(0.5)
    other = limiter.admit(claims)
    assert isinstance(outcome, Reservation)
    assert isinstance(other, Reservation)
    limiter.undo(outcome)
    limiter.undo(other)
    assert limiter.snapshot() == {}
    assert len(limiter) == 0


async def test_a_part_is_given_back_as_a_part(limiter: MemoryLimiter) -> None:
    """L09: where two processes share the limits a request costs twice as much, also when it is given back."""
    claim = Claim("org", 60, None, 2, 0)
    first = limiter.admit((claim,), share=2)
    assert isinstance(first, Reservation)
    assert isinstance(limiter.admit((claim,), share=2), Refused)
    limiter.undo(first)
    assert limiter.snapshot() == {}


async def test_real_usage_replaces_the_estimate_when_settled(limiter: MemoryLimiter) -> None:
    """L04: what was not used may be used by others; settling twice changes nothing."""
    large, small = Claim("org", None, 6000, None, 900), Claim("org", None, 6000, None, 400)
    first = await limiter.reserve((large,))
    assert isinstance(first, Reservation)
    assert first.standing.token_remaining == 100
    await limiter.settle(first, 100)
    await limiter.settle(first, 0)
    assert admitted(limiter, small, 5) == 2


async def test_usage_above_the_estimate_is_paid_back_first(
    limiter: MemoryLimiter, clock: ManualClock
) -> None:
    """L04: a debt delays what comes next and heals with time."""
    claim = Claim("org", None, 6000, None, 100)
    first = await limiter.reserve((claim,))
    assert isinstance(first, Reservation)
    await limiter.settle(first, 7000)
    refused = limiter.admit((claim,))
    assert isinstance(refused, Refused)
    assert refused.wait == 61_000_000
    clock.advance(61.0)
    assert admitted(limiter, claim, 2) == 1


def test_partitions_that_are_idle_are_dropped_when_others_come(
    limiter: MemoryLimiter, clock: ManualClock
) -> None:
    """Memory follows what is in use, not what ever was."""
    for number in range(20_000):
        limiter.admit((Claim(f"org_{number}", 60, None, None, 0),))
        clock.advance(0.01)
    assert len(limiter) <= 400


async def test_a_restart_keeps_what_was_used(limiter: MemoryLimiter, clock: ManualClock) -> None:
    """L11: a snapshot restores levels, less what drained meanwhile; what ran has ended."""
    claim = Claim("org", 5, None, 5, 0)
    assert admitted(limiter, claim, 9) == 5
    saved = limiter.snapshot()
    assert all(isinstance(number, int) for levels in saved.values() for number in levels)
    clock.advance(24.0)
    after = MemoryLimiter(clock)
    after.restore(saved)
    assert admitted(after, claim, 9) == 2


def test_a_snapshot_from_the_future_is_as_of_now(limiter: MemoryLimiter, clock: ManualClock) -> None:
    """F16: a wall clock that was set back grants nothing and blocks nothing for longer than a minute."""
    claim = Claim("org", 5, None, None, 0)
    assert admitted(limiter, claim, 9) == 5
    saved = limiter.snapshot()
    clock.advance(-3600.0)
    after = MemoryLimiter(clock)
    after.restore(saved)
    assert admitted(after, claim, 9) == 0
    clock.advance(60.0)
    assert admitted(after, claim, 9) == 5


def test_a_snapshot_holds_nothing_that_is_idle(limiter: MemoryLimiter, clock: ManualClock) -> None:
    """Nothing to save where everything has drained; what nobody asks for again goes as well."""
    admitted(limiter, Claim("org", 60, None, None, 0), 3)
    limiter.restore({"old": (5, 5, int(clock.now() * 1_000_000))})
    assert limiter.snapshot().keys() == {"org", "old"}
    clock.advance(3.0)
    assert limiter.snapshot().keys() == {"old"}
    clock.advance(601.0)
    assert limiter.snapshot() == {}
    assert len(limiter) == 0


def test_a_changed_limit_counts_at_once(limiter: MemoryLimiter) -> None:
    """A plan's new limits apply to the next request, over what is already used."""
    assert admitted(limiter, Claim("org", 60, None, None, 0), 20) == 10
    assert admitted(limiter, Claim("org", 600, None, None, 0), 200) == 90
