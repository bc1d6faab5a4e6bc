"""Averages that forget: right where nothing changes, with the spread of what was seen."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.rates import Arrivals, Average, arrived, flowed, seen

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


@given(VALUES)
def test_average_when_no_time_passes_is_the_ordinary_one(values: list[float]) -> None:
    """Mean and variance are those of the values, and each of them is a sample."""
    average = Average()
    for value in values:
        average = seen(average, value, now=5.0, half_life=10.0)
    assert average.mean == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert average.variance == pytest.approx(statistics.pvariance(values), rel=1e-6, abs=1e-3)
    assert average.samples == pytest.approx(len(values))


def test_average_forgets_half_in_a_half_life() -> None:
    """A value that is one half-life old weighs half of a new one."""
    average = seen(Average(), 0.0, now=0.0, half_life=60.0)
    assert seen(average, 3.0, now=60.0, half_life=60.0).mean == pytest.approx(2.0)


def test_average_of_one_sample_is_not_sure() -> None:
    """Nobody knows the error of a single sample; two agreeing ones have none."""
    one = seen(Average(), 7.0, now=0.0, half_life=60.0)
    assert math.isinf(one.error)
    assert seen(one, 7.0, now=0.0, half_life=60.0).error == 0.0
    assert (one.or_else(1.0), Average().or_else(1.0)) == (7.0, 1.0)


def test_flow_weighs_each_piece_by_its_length() -> None:
    """100 tokens in 1 second and 900 in 9 are 100 a second, as 1000 in 10 are; no time is no sample."""
    flow = flowed(Average(), 100.0, seconds=1.0, now=0.0, half_life=60.0)
    flow = flowed(flow, 0.0, seconds=9.0, now=0.0, half_life=60.0)
    assert flow.mean == pytest.approx(10.0)
    assert flowed(flow, 5.0, seconds=0.0, now=0.0, half_life=60.0) == flow


def test_arrivals_come_to_their_rate() -> None:
    """Ten a second is ten a second, after a while as after long; later it fades."""
    arrivals = Arrivals()
    for step in range(3000):
        arrivals = arrived(arrivals, 1.0, now=step / 10, half_life=60.0)
    assert arrivals.rate(300.0, half_life=60.0) == pytest.approx(10.0, rel=0.02)
    assert arrivals.rate(360.0, half_life=60.0) == pytest.approx(5.0, rel=0.05)


def test_arrivals_of_the_first_moment_are_no_rate() -> None:
    """A hundred at once are counted over half the memory, not over nothing."""
    assert Arrivals().rate(0.0, half_life=60.0) == 0.0
    assert arrived(Arrivals(), 100.0, now=0.0, half_life=60.0).rate(0.0, half_life=60.0) < 5.0
