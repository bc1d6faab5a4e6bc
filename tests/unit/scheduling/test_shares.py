"""Fluid weighted fair queuing: exact where it can be reckoned by hand, and never contradicting itself."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.shares import Neighbour, merged, time_for

NEIGHBOURS = st.lists(
    st.builds(Neighbour, st.integers(1, 8).map(float), st.floats(0, 1e5), st.floats(0, 100.0)), max_size=8
)


def test_time_alone_is_work_over_rate() -> None:
    """Nobody else: the whole capacity."""
    assert time_for(500.0, [], weight=1.0, rate=10.0) == pytest.approx(50.0)
    assert time_for(0.0, [], weight=1.0, rate=10.0) == 0.0
    assert math.isinf(time_for(1.0, [], weight=1.0, rate=0.0))


def test_time_beside_one_that_waits_long() -> None:
    """Half the capacity beside an equal, a quarter beside one of three times the weight."""
    assert time_for(100.0, [Neighbour(1.0, 1e9)], weight=1.0, rate=10.0) == pytest.approx(20.0)
    assert time_for(100.0, [Neighbour(3.0, 1e9)], weight=1.0, rate=10.0) == pytest.approx(40.0)


def test_time_beside_one_with_little_work() -> None:
    """What the other has is served first or beside, and then the capacity is ours: (100 + 20) / 10."""
    assert time_for(100.0, [Neighbour(1.0, 20.0)], weight=1.0, rate=10.0) == pytest.approx(12.0)


def test_time_beside_one_that_keeps_coming() -> None:
    """Two a second of ten go to it: 100 / 8; more than its half never does."""
    assert time_for(100.0, [Neighbour(1.0, 0.0, 2.0)], weight=1.0, rate=10.0) == pytest.approx(12.5)
    assert time_for(100.0, [Neighbour(1.0, 0.0, 99.0)], weight=1.0, rate=10.0) == pytest.approx(20.0)


def test_time_when_own_traffic_goes_before() -> None:
    """Five a second of its own leave five; as much as its share leaves nothing."""
    assert time_for(100.0, [], weight=1.0, rate=10.0, own=5.0) == pytest.approx(20.0)
    assert math.isinf(time_for(100.0, [], weight=1.0, rate=10.0, own=10.0))
    assert math.isinf(time_for(1.0, [Neighbour(1.0, 0.0, 9.0)], weight=1.0, rate=10.0, own=5.0))


@given(NEIGHBOURS, st.floats(1.0, 1e5), st.floats(1.0, 4.0), st.floats(0.0, 3.0))
def test_time_solves_its_equation(others: list[Neighbour], work: float, weight: float, own: float) -> None:
    """At the moment found the capacity until then is used up by ours and the others' parts."""
    t = time_for(work, others, weight=weight, rate=50.0, own=own)
    if math.isinf(t):
        return
    mine = work + own * t
    used = mine + sum(min(mine * each.weight / weight, each.waiting + each.arriving * t) for each in others)
    assert used == pytest.approx(50.0 * t, rel=1e-6)


@given(NEIGHBOURS, st.floats(1.0, 1e4))
def test_time_lies_between_alone_and_all_waiting(others: list[Neighbour], work: float) -> None:
    """Others can only slow it, and by no more than their weights."""
    t = time_for(work, others, weight=1.0, rate=50.0)
    parts = 1.0 + sum(each.weight for each in others)
    assert work / 50.0 * (1 - 1e-9) <= t <= work * parts / 50.0 * (1 + 1e-9)


@given(
    st.lists(st.builds(Neighbour, st.just(1.0), st.floats(0, 100), st.just(0.0)), min_size=40, max_size=80)
)
def test_merged_neighbours_keep_their_sums(others: list[Neighbour]) -> None:
    """At most 32 remain, with all the weight and work."""
    found = merged(others)
    assert len(found) == 32
    assert sum(each.weight for each in found) == pytest.approx(sum(each.weight for each in others))
    assert sum(each.waiting for each in found) == pytest.approx(sum(each.waiting for each in others))
