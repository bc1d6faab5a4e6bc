"""The breaker opens after failures in a row, admits one probe, and obeys a cool-down."""

import itertools

from ingot.upstream.breaker import Breaker

ITEMS = (f"resp_{number}" for number in itertools.count())
"""Queued requests, each another one."""


def _opened() -> Breaker:
    breaker = Breaker(failures=3, open_seconds=10)
    for _ in range(3):
        breaker.fail(100.0)
    return breaker


def test_breaker_stays_closed_when_failures_are_not_in_a_row() -> None:
    """A success in between starts the count anew."""
    breaker = Breaker(failures=2, open_seconds=10)
    breaker.fail(1.0)
    breaker.succeed()
    breaker.fail(2.0)
    assert breaker.wait(2.0) == 0
    assert breaker.state(2.0) == "closed"


def test_breaker_opens_when_failures_reach_the_threshold() -> None:
    """The remaining time is told, so that a client can be told."""
    breaker = _opened()
    assert breaker.wait(104.0) == 6
    assert breaker.state(104.0) == "open"


def test_one_probe_is_admitted_when_half_open() -> None:
    """A second request waits for the probe's result."""
    breaker = _opened()
    assert breaker.wait(110.0) == 0
    breaker.begin(110.0)
    assert breaker.wait(110.0) > 0
    breaker.succeed()
    assert breaker.wait(110.0) == 0
    assert breaker.state(110.0) == "closed"


def test_breaker_opens_again_when_the_probe_fails() -> None:
    """The open time starts anew."""
    breaker = _opened()
    breaker.begin(110.0)
    breaker.fail(111.0)
    assert breaker.wait(112.0) == 9


def test_probe_is_free_again_when_its_client_left() -> None:
    """A client that leaves does not block the next probe."""
    breaker = _opened()
    breaker.begin(110.0)
    breaker.abandon()
    assert breaker.wait(110.0) == 0


def test_cool_down_is_obeyed_when_the_target_asked_for_it() -> None:
    """Retry-After holds even while the breaker is closed, and a shorter one does not shorten it."""
    breaker = Breaker()
    breaker.cool(50.0)
    breaker.cool(20.0)
    assert breaker.wait(30.0) == 20
    assert breaker.wait(50.0) == 0


def test_breaker_opens_at_once_when_tripped() -> None:
    """A failed health check needs no further proof."""
    breaker = Breaker(failures=5, open_seconds=10)
    breaker.trip(0.0)
    assert breaker.state(1.0) == "open"


def test_queued_work_stops_at_half_when_it_fails_alone() -> None:
    """Others are asked still, however often it fails; it comes back as a probe of its own."""
    breaker = Breaker(failures=5, open_seconds=10)
    for _ in range(2):
        breaker.fail(100.0, item=next(ITEMS))
    assert breaker.wait(100.0, queued=True) == 0
    for _ in range(20):
        breaker.fail(100.0, item=next(ITEMS))
    assert (breaker.wait(104.0), breaker.wait(104.0, queued=True)) == (0, 6)
    assert breaker.state(104.0) == "closed"
    breaker.begin(110.0, queued=True)
    assert (breaker.wait(110.0), breaker.wait(110.0, queued=True)) == (0, 10)
    breaker.succeed()
    assert breaker.wait(110.0, queued=True) == 0
    assert breaker.calm


def test_first_failure_of_who_waits_opens_when_queued_work_failed_before() -> None:
    """A dead target is shut for all at once."""
    breaker = Breaker(failures=5, open_seconds=10)
    for _ in range(4):
        breaker.fail(100.0, item=next(ITEMS))
    breaker.fail(101.0)
    assert (breaker.wait(101.0), breaker.wait(101.0, queued=True)) == (10, 10)
    breaker.begin(110.0, queued=True)
    breaker.fail(112.0, item=next(ITEMS))
    assert breaker.wait(112.0) == 10


def test_breaker_of_one_failure_is_not_opened_by_queued_work() -> None:
    """It stops queued work at the first failure, and others at their first."""
    breaker = Breaker(failures=1, open_seconds=10)
    breaker.fail(100.0, item=next(ITEMS))
    assert (breaker.wait(100.0), breaker.wait(100.0, queued=True)) == (0, 10)
    breaker.fail(100.0)
    assert breaker.wait(100.0) == 10


def test_cool_down_is_queued_work_s_own_when_it_was_told() -> None:
    """What a client that waits is told holds off all; what queued work is told holds off that alone."""
    breaker = Breaker()
    breaker.cool(50.0, queued=True)
    assert (breaker.wait(30.0), breaker.wait(30.0, queued=True)) == (0, 20)
    breaker.cool(40.0)
    assert (breaker.wait(30.0), breaker.wait(30.0, queued=True)) == (10, 20)
    breaker.succeed()
    assert not breaker.calm
    assert breaker.wait(50.0) == 0
    assert breaker.calm


def test_probe_that_never_ends_shuts_nothing_for_longer_than_the_target_is_left_alone() -> None:
    """One that hangs, or whose end nobody tells: the next goes after the same time, and so on."""
    breaker = _opened()
    breaker.begin(110.0)
    assert breaker.wait(111.0) == 9
    assert breaker.wait(120.0) == 0
    breaker.begin(120.0)
    assert breaker.wait(121.0) == 9


def test_probe_of_queued_work_keeps_no_client_waiting() -> None:
    """Its own turn comes after both."""
    breaker = _opened()
    breaker.begin(110.0, queued=True)
    assert breaker.wait(111.0, queued=True) == 9
    assert breaker.wait(111.0) == 0
    breaker.begin(111.0)
    assert breaker.wait(112.0) == 9
    assert breaker.wait(120.5, queued=True) > 0
    breaker.succeed()
    assert breaker.wait(112.0) == breaker.wait(112.0, queued=True) == 0


def test_queued_item_that_always_fails_counts_once_in_a_row() -> None:
    """It shuts its target for nobody; once others have shut it, each probe that it takes keeps it shut."""
    breaker = Breaker(failures=5, open_seconds=10)
    for _ in range(20):
        breaker.fail(100.0, item="resp_bad")
    assert (breaker.shut, breaker.wait(100.0, queued=True)) == (False, 0)
    breaker.succeed()
    assert breaker.calm
    for each in ("resp_bad", "resp_b", "resp_bad", "resp_c"):
        breaker.fail(100.0, item=each)
    assert breaker.shut
    breaker.begin(110.0, queued=True)
    assert breaker.probing(110.0)
    breaker.fail(111.0, item="resp_bad")
    assert (breaker.wait(111.0, queued=True), breaker.probing(111.0)) == (10, False)
