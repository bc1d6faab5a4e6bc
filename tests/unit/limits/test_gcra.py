"""Bursts, waits and figures of the arithmetic, by example; `tests/limits` compares it with an exact model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.limits.gcra import (
    CEILING,
    POINTS,
    SECOND,
    Level,
    drained,
    places,
    refusal,
    request_bucket,
    returned,
    settled,
    standing,
    terms,
    token_bucket,
)
from ingot.limits.limiter import Claim

EMPTY = Level(0, 0)


@pytest.mark.parametrize(("limit", "burst"), [(1, 5), (5, 5), (30, 5), (36, 6), (60, 10), (600, 100)])
def test_the_burst_is_a_sixth_and_at_least_five(limit: int, burst: int) -> None:
    """L02: the plan of 5 requests a minute serves 5 at once."""
    assert request_bucket(limit, 1).burst == burst * POINTS


def test_a_large_request_passes_when_nothing_is_used() -> None:
    """L04: what costs more than the burst, and at most the limit, passes into an empty bucket only."""
    claim = Claim("org", None, 6000, None, 6000)
    assert refusal([claim], [EMPTY]) is None
    refused = refusal([claim], [Level(0, 1)])
    assert refused is not None
    assert (refused.limit, refused.wait, refused.beyond) == ("tokens", 1, False)


def test_a_request_beyond_the_limit_never_passes() -> None:
    """More than a minute's tokens in one request: the refusal says that waiting does not help."""
    refused = refusal([Claim("org", 60, 6000, None, 6001)], [EMPTY])
    assert refused is not None
    assert (refused.limit, refused.allowed, refused.beyond) == ("tokens", 6000, True)


def test_a_limit_of_zero_refuses_everything() -> None:
    """An operator may close a plan."""
    for claim in (
        Claim("org", 0, None, None, 1),
        Claim("org", None, 0, None, 1),
        Claim("org", None, None, 0, 1),
    ):
        refused = refusal([claim], [EMPTY])
        assert refused is not None
        assert refused.beyond
        assert refused.wait > 0


def test_no_tokens_pass_when_the_bucket_is_full() -> None:
    """A request without an estimate asks nothing of the tokens."""
    assert refusal([Claim("org", None, 60, None, 0)], [Level(0, CEILING)]) is None


def test_the_longest_wait_is_told_when_several_limits_refuse() -> None:
    """Who comes back when told finds no other limit in the way."""
    org, key = Claim("org", 60, 6000, 1, 100), Claim("key", 6, None, None, 100)
    full = Level(10 * POINTS, 1000 * POINTS, running=1)
    refused = refusal([org, key], [full, Level(5 * POINTS, 0)])
    assert refused is not None
    assert (refused.partition, refused.limit, refused.wait) == ("key", "requests", 10 * SECOND)
    assert refused.retry_after == 10.0


def test_a_running_place_is_asked_for_again_soon() -> None:
    """Nobody knows when an answer ends: a second."""
    claim = Claim("org", None, None, 2, 0)
    assert refusal([claim], [Level(0, 0, running=1)]) is None
    refused = refusal([claim], [Level(0, 0, running=2)])
    assert refused is not None
    assert (refused.limit, refused.wait) == ("concurrency", SECOND)


@pytest.mark.parametrize(
    ("elapsed", "left"), [(0, 7 * POINTS), (SECOND, 7 * POINTS + 6 * SECOND), (10 * SECOND, 8 * POINTS)]
)
def test_what_has_drained_is_not_given_back_again(elapsed: int, left: int) -> None:
    """Of a request at 6 a minute a tenth drains in a second; after ten nothing is left to be given back."""
    assert returned(8 * POINTS, request_bucket(6, 1), elapsed) == left


def test_nothing_is_below_empty_when_a_cost_is_given_back() -> None:
    """No credit beyond the burst."""
    assert returned(POINTS - 1, request_bucket(6, 1), 0) == 0
    assert returned(POINTS, token_bucket(None, 100, 1), 0) == POINTS


def test_the_tightest_figures_stand_in_the_headers() -> None:
    """Of an organization and a key that which leaves less, for requests and for tokens."""
    org, key = Claim("org", 60, 6000, None, 1), Claim("key", 30, 60_000, None, 1)
    told = standing([org, key], [Level(9 * POINTS, 500 * POINTS), Level(POINTS, 0)])
    assert (told.request_limit, told.request_remaining, told.request_reset) == (60, 1, 9 * SECOND)
    assert (told.token_limit, told.token_remaining, told.token_reset) == (6000, 500, 5 * SECOND)


def test_shares_grant_together_what_the_limit_grants() -> None:
    """L09: each of four processes drains a quarter and holds a quarter of the burst."""
    alone, one = request_bucket(240, 1), request_bucket(240, 4)
    assert one.cost == 4 * alone.cost
    assert (one.burst, one.rate) == (alone.burst, alone.rate)
    assert [places(limit, 4) for limit in (8, 3, 0)] == [2, 1, 0]


@given(st.integers(0, CEILING), st.integers(1, CEILING), st.integers(0, CEILING), st.integers(0, CEILING))
def test_time_drains_the_same_in_one_step_or_two(level: int, rate: int, first: int, then: int) -> None:
    """When somebody looks does not matter."""
    assert drained(drained(level, rate, first), rate, then) == drained(level, rate, first + then)


@given(st.integers(0, CEILING), st.integers(-CEILING, CEILING))
def test_a_settlement_keeps_the_level_within_bounds(level: int, change: int) -> None:
    """L04: no credit is stored, whatever is refunded."""
    assert 0 <= settled(level, change) <= CEILING


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_numbers_for_servers_are_exact_in_doubles(rpm: int, tpm: int, tokens: int) -> None:
    """Lua has no other numbers; what passes never lifts a level above what is remembered."""
    numbers = terms(Claim("org", rpm, tpm, None, tokens))
    assert all(abs(number) < 2**53 for number in numbers[1:3] + numbers[4:6])
    assert numbers[1] + numbers[2] <= CEILING
    assert numbers[4] + numbers[5] <= CEILING


def test_a_clock_that_goes_back_drains_nothing() -> None:
    """Nor does it fill anything."""
    assert drained(100, 7, -5) == 100


def test_an_absent_limit_lets_everything_pass() -> None:
    """None is no limit, and keeps no level."""
    assert refusal([Claim("org", None, None, None, 10**9)], [Level(CEILING, CEILING)]) is None
    assert drained(CEILING, token_bucket(None, 5, 1).rate, 1) == 0
