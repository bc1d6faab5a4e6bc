"""Retries of failed calls: full jitter from one second to a minute, never before Retry-After (Q10)."""

from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.backoff import LONGEST_RETRY_AFTER, again, pause


@given(st.integers(1, 50), st.floats(0.0, 1.0))
def test_q10_pauses_double_up_to_a_minute(tries: int, part: float) -> None:
    """Any part of the pause may be drawn, and none is longer than a minute."""
    assert 0.0 <= pause(tries, part) <= min(2.0 ** (tries - 1), 60.0)
    assert pause(tries, 1.0) == min(2.0 ** (tries - 1), 60.0)


@given(st.integers(1, 50), st.floats(0.0, 1.0), st.floats(-5.0, 1e6))
def test_q10_retry_after_is_honoured(tries: int, part: float, told: float) -> None:
    """Nobody comes before it, and who was told the same does not come in one moment."""
    wait = pause(tries, part, retry_after=told)
    assert wait >= min(max(told, 0.0), LONGEST_RETRY_AFTER)
    assert wait - min(max(told, 0.0), LONGEST_RETRY_AFTER) <= 60.0


def test_q10_tries_end_when_both_tries_and_time_are_used_up() -> None:
    """Three tries, and more while the item can still be in time."""
    assert again(2, at=500.0, due=300.0, service=10.0)
    assert again(9, at=100.0, due=300.0, service=10.0)
    assert not again(3, at=295.0, due=300.0, service=10.0)
