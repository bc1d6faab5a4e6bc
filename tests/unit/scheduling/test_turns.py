"""Turn times in classes: each falls into the class that is told for it, and quantiles are true to the width of a class."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.turns import LEAST, STEPS, place, quantile, seconds

TIMES = st.floats(LEAST, 30 * 86_400.0)


@given(TIMES)
def test_middle_of_the_class_is_near_when_told(time: float) -> None:
    """Off by half a class at most."""
    assert abs(math.log2(seconds(place(time)) / time)) <= 0.5 / STEPS + 1e-9


@given(TIMES, TIMES)
def test_classes_are_in_the_order_of_times(one: float, other: float) -> None:
    """A longer time is in no earlier class."""
    assert (place(min(one, other))) <= place(max(one, other))


@given(st.lists(TIMES, min_size=1, max_size=50), st.sampled_from([0.5, 0.95]))
def test_quantile_is_that_of_the_times(times: list[float], part: float) -> None:
    """To the width of a class."""
    counts: dict[int, int] = {}
    for each in times:
        counts[place(each)] = counts.get(place(each), 0) + 1
    true = sorted(times)[math.ceil(part * len(times) - 1e-9) - 1]
    found = quantile(counts, part)
    assert found is not None
    assert abs(math.log2(found / true)) <= 0.5 / STEPS + 1e-9


def test_nothing_is_told_when_nothing_ended() -> None:
    """No figure rather than a made-up one; a time of nothing is in the first class."""
    assert quantile({}, 0.5) is None
    assert place(0.0) == 0
