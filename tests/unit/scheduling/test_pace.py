"""A target's limit: grows by one a round, falls at once and once, stays in its bounds, honours Retry-After."""

from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.pace import LONGEST_PAUSE, Bounds, Pace, answered, failed, started, throttled

BOUNDS = Bounds(start=8.0, floor=2.0, ceiling=32.0)


def steady(pace: Pace, times: int, *, running: int = 32, seconds: float = 1.0, at: float = 100.0) -> Pace:
    """After so many good answers of a hundred tokens."""
    for _ in range(times):
        pace = answered(pace, at, began=at - seconds, running=running, tokens=100)
    return pace


def test_limit_doubles_each_round_until_it_first_falls() -> None:
    """A new target's limit is found quickly: eight good answers take it from 8 to 16."""
    assert steady(started(BOUNDS), 8).permits == 16
    assert steady(started(BOUNDS), 1000).limit == 32.0


def test_limit_grows_by_one_a_round_after_it_fell() -> None:
    """Additive increase: about as many answers as the limit for one more permit."""
    pace = throttled(started(BOUNDS), 50.0, began=49.0)
    assert pace.permits == 5
    assert steady(pace, 6).permits == 6


def test_limit_is_soon_back_after_an_outage() -> None:
    """What a target bore before it failed it is given again within three rounds, not one permit a round."""
    pace = steady(throttled(started(Bounds(start=40.0)), 1.0, began=0.0), 10)
    for second in range(20):
        pace = failed(pace, 110.0 + 31 * second, began=110.0 + 31 * second)
    assert pace.permits == 1
    assert steady(pace, 30, at=1000.0).permits >= 28


def test_limit_stays_when_it_is_not_used() -> None:
    """What was not tried tells nothing."""
    assert steady(started(BOUNDS), 50, running=3).limit == 8.0


def test_limit_falls_once_for_calls_that_were_under_way_together() -> None:
    """Thirty refusals of one moment are one decrease; a call that began later counts anew."""
    pace = started(Bounds(start=30.0))
    for _ in range(30):
        pace = throttled(pace, 10.0, began=9.0)
    assert pace.permits == 21
    assert throttled(pace, 12.0, began=11.0).permits == 14


def test_retry_after_closes_the_target_for_as_long() -> None:
    """The longest that was told counts, and at most an hour."""
    pace = throttled(started(BOUNDS), 10.0, began=9.0, retry_after=30.0)
    pace = throttled(pace, 11.0, began=9.0, retry_after=5.0)
    assert not pace.open(39.9)
    assert pace.open(40.0)
    assert throttled(pace, 11.0, began=9.0, retry_after=1e9).paused_until == 11.0 + LONGEST_PAUSE


def test_failures_in_a_row_let_the_target_rest() -> None:
    """From the third on for 1, 2, 4 seconds, at most 30; one good answer ends the row."""
    pace, now, rests = started(BOUNDS), 0.0, []
    for _ in range(10):
        now = max(now + 1.0, pace.paused_until)
        pace = failed(pace, now, began=now)
        rests.append(pace.paused_until - now if pace.paused_until > now else 0.0)
    assert rests == [0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert pace.limit == 2.0
    assert answered(pace, now, began=now, running=1, tokens=1).failures == 0


def test_item_that_fails_again_adds_nothing_to_the_rest() -> None:
    """It may be to blame itself: alone it lets the target never rest, beside others for no longer than before it came again."""
    pace = started(BOUNDS)
    for _ in range(10):
        pace = failed(pace, 1.0, began=1.0, item="resp_bad")
    assert (pace.failures, pace.open(1.0), pace.limit) == (1, True, 2.0)
    for each in ("resp_b", "resp_c", "resp_d"):
        pace = failed(pace, 100.0, began=100.0, item=each)
    assert (pace.failures, pace.paused_until) == (3, 101.0)
    pace = failed(pace, 200.0, began=200.0, item="resp_bad")
    assert (pace.failures, pace.paused_until) == (3, 201.0)
    pace = answered(pace, 300.0, began=300.0, running=1, tokens=1)
    assert failed(pace, 301.0, began=301.0, item="resp_bad").failures == 1


def test_limit_falls_when_answers_become_twice_as_slow() -> None:
    """A queue inside the target is seen before it refuses anything."""
    pace = steady(started(BOUNDS), 300)
    assert steady(pace, 100, seconds=3.0, at=200.0).limit < pace.limit
    assert steady(pace, 100, seconds=1.5, at=200.0).limit == pace.limit


@given(st.lists(st.tuples(st.sampled_from(["good", "429", "5xx"]), st.floats(0.01, 60.0)), max_size=60))
def test_limit_stays_in_its_bounds_whatever_happens(endings: list[tuple[str, float]]) -> None:
    """Floor and ceiling hold after any history, and time never runs backwards in a pause."""
    pace, now = started(BOUNDS), 0.0
    for ending, seconds in endings:
        began, now = now, now + seconds
        if ending == "good":
            pace = answered(pace, now, began=began, running=pace.permits, tokens=50)
        elif ending == "429":
            pace = throttled(pace, now, began=began, retry_after=seconds)
        else:
            pace = failed(pace, now, began=began)
        assert BOUNDS.floor <= pace.limit <= BOUNDS.ceiling
        assert pace.paused_until <= now + 60.0
