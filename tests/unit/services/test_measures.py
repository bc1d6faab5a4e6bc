"""Counting: every observation lands in exactly one bucket, every series is made once."""

from hypothesis import given
from hypothesis import strategies as st

from ingot.services.measures import GAPS, SECONDS, Histogram, Measures


@given(st.lists(st.floats(0, 1000)))
def test_every_value_is_counted_once_when_observed(values: list[float]) -> None:
    """The counts sum up to the observations, the total to their sum."""
    histogram = Histogram(SECONDS)
    for value in values:
        histogram.observe(value)
    assert sum(histogram.counts) == len(values)
    assert histogram.total == sum(values)


def test_bound_belongs_to_its_bucket_when_hit_exactly() -> None:
    """Upper bounds are inclusive, as Prometheus has it; beyond the last there is one more bucket."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]


def test_bounds_ascend_when_read() -> None:
    """A bisection needs them so."""
    for bounds in (SECONDS, GAPS):
        assert list(bounds) == sorted(set(bounds))


def test_series_is_the_same_when_asked_for_again() -> None:
    """By surface and deployment."""
    measures = Measures()
    first = measures.of("/v1/chat/completions", "mock")
    assert measures.of("/v1/chat/completions", "mock") is first
    assert measures.of("/v1/embeddings", "mock") is not first
    assert measures.of("/v1/chat/completions", "other") is not first
