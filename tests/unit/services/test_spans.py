"""The stretches of time behind the names of ranges: pure, on hours since the epoch."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.errors import InvalidRequest
from ingot.services.spans import RANGES, SUMMARY_RANGES, Span, check_date, check_range, span_of
from ingot.store.schema import micros


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = _at("2026-03-10T15:30:00")
"""A Tuesday in a month whose past one has 28 days."""


@pytest.mark.parametrize(
    ("name", "since", "until", "buckets"),
    [
        ("24h", "2026-03-09T16:00", "2026-03-10T16:00", 24),
        ("7d", "2026-03-04T00:00", "2026-03-10T16:00", 7),
        ("30d", "2026-02-09T00:00", "2026-03-10T16:00", 30),
        ("period", "2026-03-01T00:00", "2026-03-10T16:00", 10),
    ],
)
def test_range_ends_with_the_running_hour_when_named(name: str, since: str, until: str, buckets: int) -> None:
    """Hours for a day, days for more, in UTC."""
    span = span_of(name, None, now=NOW, period_start=None)
    assert (span.since * 3600, span.until * 3600) == (_at(since), _at(until))
    assert len(list(span.buckets())) == buckets
    assert (span.prior.until, span.prior.hours) == (span.since, span.hours)


def test_period_begins_with_the_subscription_when_there_is_one() -> None:
    """The hour that it began in belongs to it."""
    start = micros(_at("2026-02-27T10:20:00"))
    span = span_of("period", None, now=NOW, period_start=start)
    assert span.since * 3600 == _at("2026-02-27T10:00")
    assert len(list(span.buckets())) == 12
    ahead = span_of("period", None, now=NOW, period_start=micros(NOW + 9_999_999))
    assert ahead.hours == 1


def test_day_is_whole_when_named() -> None:
    """Also one that is not over, or has not begun."""
    span = span_of("day", date(2026, 3, 10), now=NOW, period_start=None)
    assert (span.since * 3600, span.hours, span.width) == (_at("2026-03-10T00:00"), 24, 1)


def test_unknown_names_are_refused_when_given() -> None:
    """The message says what there is."""
    with pytest.raises(InvalidRequest, match="24h, 7d, 30d or period") as caught:
        check_range("day", SUMMARY_RANGES)
    assert caught.value.param == "range"
    assert check_range("day", RANGES) == "day"


@pytest.mark.parametrize("day", ["2026-02-30", "2026-3-1", "26-03-01", "", "2026-03-01T00:00", "٢٠٢٦-03-01"])
def test_date_is_refused_when_it_is_none(day: str) -> None:
    """Four digits, two, two, and a day that there was."""
    with pytest.raises(InvalidRequest) as caught:
        check_date("day", day)
    assert caught.value.param == "date"


def test_date_goes_with_a_day_alone_when_given() -> None:
    """Neither is left without the other."""
    assert check_date("day", "2024-02-29") == date(2024, 2, 29)
    assert check_date("7d", None) is None
    for name, day in (("7d", "2024-02-29"), ("day", None)):
        with pytest.raises(InvalidRequest):
            check_date(name, day)


@given(st.integers(0, 4_000_000_000), st.sampled_from(SUMMARY_RANGES))
def test_buckets_cover_the_span_when_counted(now: int, name: str) -> None:
    """Every hour is in one, none begins after the end, and now is in the last."""
    span: Span = span_of(name, None, now=now, period_start=None)
    buckets = list(span.buckets())
    assert buckets == list(range(buckets[0], buckets[-1] + 1))
    assert buckets[0] * span.width <= span.since < (buckets[0] + 1) * span.width
    assert buckets[-1] == now // 3600 // span.width
    assert span.since * 3600 <= now < span.until * 3600
