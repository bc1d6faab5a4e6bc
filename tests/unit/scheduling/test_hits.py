"""Promises kept, by window, over the last day: what is told is what was, and nothing where nothing ended."""

from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.hits import HOUR, NOTHING, Outcome, added, noted, rate

OUTCOMES = st.lists(st.tuples(st.sampled_from(["met", "missed", "refused"]), st.integers(0, 60)), max_size=60)


def test_share_when_nothing_ended() -> None:
    """No figure rather than a made-up one; a refusal is no promise."""
    assert rate(NOTHING, 0.0).share is None
    assert rate(noted(NOTHING, "refused", 0.0), 0.0).share is None


def test_rate_forgets_after_a_day() -> None:
    """Hours drop off one by one."""
    hits = noted(noted(NOTHING, "missed", 0.0), "met", 5 * HOUR, times=3)
    assert rate(hits, 23.9 * HOUR).share == 0.75
    assert rate(hits, 24.0 * HOUR).share == 1.0
    assert rate(hits, 29.0 * HOUR).share is None


@given(OUTCOMES)
def test_counts_of_processes_add_up(rows: list[tuple[Outcome, int]]) -> None:
    """Two processes that share the outcomes tell the same as one that had them all."""
    rows = sorted(rows, key=lambda row: row[1])
    whole, parts = NOTHING, [NOTHING, NOTHING]
    for place, (outcome, hours) in enumerate(rows):
        whole = noted(whole, outcome, hours * HOUR)
        parts[place % 2] = noted(parts[place % 2], outcome, hours * HOUR)
    now = max((hours for _, hours in rows), default=0) * HOUR
    assert rate(added(parts), now) == rate(whole, now)
    assert len(whole.hours) <= 24
    recent = [outcome for outcome, hours in rows if hours * HOUR > now - 24 * HOUR]
    assert (rate(whole, now).met, rate(whole, now).missed) == (recent.count("met"), recent.count("missed"))
