"""The virtual token counter: charges cancel out, idling saves nothing up, weights divide (Q13)."""

from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.fairness import charged, floor, lifted, service, settled, virtual

COUNTERS = st.integers(0, 10**12)
AMOUNTS = st.integers(0, 10**7)
WEIGHTS = st.integers(1, 1000)


def test_q13_a_written_token_counts_twice() -> None:
    """Input 1, output 2."""
    assert service(100, 50) == 200


@given(COUNTERS, AMOUNTS, AMOUNTS, WEIGHTS)
def test_q13_settling_leaves_the_real_service(counter: int, estimate: int, real: int, weight: int) -> None:
    """Whatever the estimate was, the counter has moved by what the item really took."""
    after = settled(charged(counter, estimate, weight=weight), estimate, real=real, weight=weight)
    assert after == counter + virtual(real, weight)


@given(COUNTERS, AMOUNTS, WEIGHTS)
def test_q13_a_cancelled_item_gives_its_estimate_back(counter: int, estimate: int, weight: int) -> None:
    """Work that never ran costs its organization nothing."""
    assert settled(charged(counter, estimate, weight=weight), estimate, real=0, weight=weight) == counter


@given(AMOUNTS, WEIGHTS)
def test_q13_weight_divides(amount: int, weight: int) -> None:
    """An organization of four times the weight is charged a quarter, to a thousandth of a token."""
    assert abs(virtual(amount, weight) * weight - virtual(amount, 1)) < weight
    assert virtual(-amount, weight) == -virtual(amount, weight)


@given(st.lists(COUNTERS, min_size=1), st.one_of(st.none(), COUNTERS))
def test_q13_who_begins_to_wait_is_lifted_to_the_smallest(waiting: list[int], own: int | None) -> None:
    """Nobody comes back with a claim that was saved up, and nobody is pushed behind those that wait."""
    counter = lifted(own, floor(waiting))
    assert counter >= min(waiting)
    assert counter == max(own or 0, min(waiting))


def test_q13_when_nobody_waits_the_last_one_sets_the_floor() -> None:
    """Service while permits were free is held against nobody: counters follow each other."""
    assert lifted(10, floor([], last=5000)) == 5000
    assert lifted(None, floor([], last=70)) == 70
    assert lifted(9000, floor([], last=70)) == 9000
