"""Calls beside others: what was measured of few tells what many will take, and noise tells nothing."""

import random

import pytest

from ingot.scheduling.crowd import FLAT, Crowd, faster, told


def after(*seen: tuple[float, float], times: int = 50, crowd: Crowd | None = None, now: float = 0.0) -> Crowd:
    """After answers of 100 service: the calls that ran, and the seconds."""
    found = crowd or Crowd()
    for _ in range(times):
        for calls, seconds in seen:
            found = told(found, service=100.0, seconds=seconds, calls=calls, now=now, half_life=3600.0)
    return found


def test_nothing_is_turned_before_anything_was_answered() -> None:
    """A target that nobody asked is as fast beside others as alone."""
    assert Crowd().line() == FLAT
    assert faster(Crowd().line(), measured=1.0, calls=9.0) == 1.0


@pytest.mark.parametrize(("alone", "beside"), [(0.2, 0.3), (0.0, 0.5), (0.5, 0.0)])
def test_line_is_found_when_calls_ran_alone_and_beside_others(alone: float, beside: float) -> None:
    """Of a machine that shares itself, of one that does nothing else, and of a service that has room."""
    crowd = after(*((calls, alone + beside * calls) for calls in (1.0, 3.0, 6.0)))
    expected = (alone + beside * 1.0) / (alone + beside * 6.0)
    assert faster(crowd.line(), measured=1.0, calls=6.0) == pytest.approx(expected, rel=0.1)


def test_nothing_is_turned_where_it_was_measured() -> None:
    """However the line lies: at as many calls as were seen a speed is what it was."""
    crowd = after((6.0, 2.0))
    assert faster(crowd.line(), measured=6.0, calls=6.0) == 1.0


def test_noise_is_no_line_when_all_ran_beside_about_as_many() -> None:
    """Answers of uneven speed beside five or six others say nothing of one alone."""
    rng = random.Random(7)  # noqa: S311  # a seeded draw
    for _ in range(50):
        seen = [(rng.uniform(5.5, 6.0), rng.lognormvariate(0.0, 0.3)) for _ in range(60)]
        assert faster(after(*seen, times=1).line(), measured=6.0, calls=1.0) < 1.6


def test_answers_that_were_faster_beside_others_slow_nothing_down() -> None:
    """A cache that has warmed up is no crowd."""
    crowd = after((1.0, 3.0), (6.0, 1.0))
    assert faster(crowd.line(), measured=1.0, calls=6.0) == 1.0


def test_older_answers_count_less() -> None:
    """A machine that was replaced by a larger one is known again after a while."""
    crowd = after((1.0, 0.5), (6.0, 3.0))
    crowd = after((1.0, 0.5), (6.0, 0.5), crowd=crowd, now=10 * 3600.0)
    assert faster(crowd.line(), measured=1.0, calls=6.0) > 0.95


def test_what_says_nothing_is_passed_over() -> None:
    """An answer of no length, or of nothing."""
    assert told(Crowd(), service=0.0, seconds=1.0, calls=2.0, now=0.0, half_life=1.0) == Crowd()
    assert told(Crowd(), service=1.0, seconds=0.0, calls=2.0, now=0.0, half_life=1.0) == Crowd()
