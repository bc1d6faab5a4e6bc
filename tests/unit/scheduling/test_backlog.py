"""What waits by due moment: the critical horizon, and whether more fits (Q12)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.backlog import NONE, backlog, excess, horizon

STEPS = st.lists(st.tuples(st.integers(1, 500).map(float), st.integers(0, 500).map(float)), max_size=12)


def test_by_sums_what_is_due() -> None:
    """Steps come in any order, and those of one moment are one."""
    waiting = backlog([(20.0, 5.0), (10.0, 1.0), (20.0, 4.0)])
    assert [waiting.by(due) for due in (9.0, 10.0, 19.9, 20.0, 99.0)] == [0.0, 1.0, 1.0, 10.0, 10.0]
    assert waiting.total == 10.0


def test_horizon_when_work_just_fits() -> None:
    """At 10 a second 90 due in 10 seconds are critical, 80 are not; what is late is always."""
    assert horizon(backlog([(10.0, 80.0)]), 0.0, rate=10.0) == NONE
    assert horizon(backlog([(10.0, 90.0)]), 0.0, rate=10.0) == 10.0
    assert horizon(backlog([(10.0, 1.0), (99.0, 1.0)]), 11.0, rate=10.0) == 10.0


@given(STEPS, st.floats(0.5, 50.0))
def test_beyond_the_horizon_fairness_costs_no_promise(steps: list[tuple[float, float]], rate: float) -> None:
    """After it every step lies below nine tenths of the line; up to it the last one does not."""
    waiting = backlog(steps)
    far = horizon(waiting, 0.0, rate=rate)
    assert all(waiting.by(due) < 0.9 * rate * due for due in waiting.dues if due > far and waiting.by(due))
    assert far == NONE or waiting.by(far) >= 0.9 * rate * far


@given(STEPS, st.integers(1, 500), st.integers(1, 100))
def test_excess_is_what_edf_would_miss(steps: list[tuple[float, float]], service: int, due: int) -> None:
    """Nothing in excess means: served by due moment at that rate, the new work and all that is due later are in time."""
    over = excess(backlog(steps), float(service), due=float(due), now=0.0, rate=10.0, fill=1.0)
    line = sorted([*steps, (float(due), float(service))])
    done, late = 0.0, -1e9
    for moment, amount in line:
        done += amount
        if moment >= due:
            late = max(late, done - 10.0 * moment)
    assert over == pytest.approx(late)
