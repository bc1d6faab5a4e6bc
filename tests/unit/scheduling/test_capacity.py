"""Permits for asap and for queued work: both keep their shares, and no permit is given twice (Q11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.capacity import Lane, Room, Shares, admits_asap, own_room, owned, reserved, room

LANES = st.builds(
    Lane,
    st.integers(0, 200),
    st.integers(0, 60),
    st.integers(0, 200),
    st.integers(0, 10),
    st.booleans(),
)


@given(LANES)
def test_q11_rooms_lie_within_what_is_free(lane: Lane) -> None:
    """Lifted work may use at least as much as other work, and nobody more than there is."""
    found = room(lane)
    assert 0 <= found.ordinary <= found.lifted <= max(lane.permits - lane.asap - lane.queued, 0)


def test_q11_a_share_is_kept_for_asap() -> None:
    """Of 64 permits 13 stay free of queued work, 6 of them even of lifted work; what asap uses of them counts."""
    assert room(Lane(64)) == Room(51, 58)
    assert room(Lane(64, asap=10)) == Room(51, 54)
    assert room(Lane(64, asap=20, queued=40)) == Room(4, 4)
    assert room(Lane(64, queued=51)) == Room(0, 7)
    assert room(Lane(8, asap=2, queued=7)) == Room(0, 0)


def test_q11_queued_work_owns_a_share_while_it_waits() -> None:
    """Asap takes everything but a fifth; the fifth too when nothing waits, or while queued work holds it already."""
    assert admits_asap(Lane(10, asap=7))
    assert not admits_asap(Lane(10, asap=8))
    assert admits_asap(Lane(10, asap=8, waiting=False))
    assert admits_asap(Lane(10, asap=7, queued=2))
    assert not admits_asap(Lane(10, asap=8, queued=2))


def test_q11_of_a_single_permit_the_share_is_one_of_time() -> None:
    """After four asap calls in a row a queued one has the permit, if one waits."""
    turns = [admits_asap(Lane(1, asap_in_a_row=count)) for count in range(6)]
    assert turns == [True, True, True, True, False, False]
    assert admits_asap(Lane(1, asap_in_a_row=9, waiting=False))
    assert room(Lane(1)) == Room(1, 1)


@pytest.mark.parametrize(("permits", "kept"), [(1, 0), (2, 0), (3, 1), (5, 1), (10, 2), (64, 13)])
def test_q11_shares_are_whole_permits(permits: int, kept: int) -> None:
    """To the nearest."""
    assert owned(permits, 0.2) == kept


def test_q11_no_share_for_queued_work_when_the_operator_says_so() -> None:
    """A share of nothing lets asap take everything."""
    assert admits_asap(Lane(2, asap=1), Shares(queued=0.0))


@given(LANES)
def test_q11_queued_work_has_its_own_share_whatever_asap_took(lane: Lane) -> None:
    """A fifth of the permits, to the nearest, and never less than `room` gives."""
    found, least = own_room(lane), room(lane)
    assert found.ordinary >= max(least.ordinary, owned(lane.permits, 0.2) - lane.queued)
    assert found.lifted >= max(least.lifted, found.ordinary if found.ordinary > least.ordinary else 0)


def test_q11_what_is_left_of_the_share_is_kept_from_asap_while_work_waits() -> None:
    """Of ten permits two, less what queued work has of them; of a single one all of it, a fifth of the time."""
    assert [reserved(Lane(10, queued=count), 0.0) for count in range(4)] == [2, 1, 0, 0]
    assert reserved(Lane(10, waiting=False), 0.0) == 0
    assert reserved(Lane(10), 0.0, Shares(queued=0.0)) == 0
    turns = [reserved(Lane(1), float(second)) for second in range(20)]
    assert sum(turns) == 4
    assert reserved(Lane(1, queued=1), 0.0) == 0
