"""The stretches of time that usage is asked for, in whole hours since the epoch, UTC.

    24h        the running hour and the 23 before it              hour by hour
    7d, 30d    today and the 6 or 29 days before it               day by day
    period     since the subscription's, else the month's begin   day by day
    day        one date, whole                                    hour by hour

The grain of usage is the hour: a period that began within one has that hour whole. Decides what is meant and what
is refused; reads no clock and no store.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from ingot.errors import InvalidRequest
from ingot.rawjson import clip
from ingot.store.schema import seconds

SUMMARY_RANGES = ("24h", "7d", "30d", "period")
RANGES = (*SUMMARY_RANGES, "day")
DEFAULT_RANGE = "30d"

HOUR_SECONDS = 3600

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Span:
    """Hours from `since` up to `until`, shown in buckets of `width` hours."""

    name: str
    since: int
    until: int
    width: int

    @property
    def hours(self) -> int:
        """How many there are; one at least."""
        return self.until - self.since

    @property
    def prior(self) -> "Span":
        """The equally long stretch right before."""
        return Span(self.name, self.since - self.hours, self.since, self.width)

    def buckets(self) -> Iterator[int]:
        """The numbers of its buckets, as the store counts them."""
        yield from range(self.since // self.width, (self.until - 1) // self.width + 1)


def check_range(name: str, allowed: tuple[str, ...]) -> str:
    """The name itself where it is one of them; raises InvalidRequest."""
    if name not in allowed:
        raise InvalidRequest(
            f"'range' is '{clip(name)}'; it must be {', '.join(allowed[:-1])} or {allowed[-1]}.",
            param="range",
        )
    return name


def check_date(name: str, day: str | None) -> date | None:
    """The date that belongs to the range `day`, and to no other; raises InvalidRequest."""
    if name != "day":
        if day is not None:
            raise InvalidRequest(
                "'date' goes with range=day alone; leave it out, or ask for a day.", param="date"
            )
        return None
    if day is not None and _DATE.fullmatch(day):
        try:
            return date.fromisoformat(day)
        except ValueError:
            pass
    raise InvalidRequest(
        "'date' must name the day that range=day is about, as in date=2026-01-31.",
        param="date",
        code="missing_required_parameter" if day is None else None,
    )


def span_of(name: str, day: date | None, *, now: float, period_start: int | None) -> Span:
    """The stretch that a checked range names at `now` (seconds); `period_start` is a stored instant."""
    running = int(now) // HOUR_SECONDS
    if day is not None:
        since = (day - date(1970, 1, 1)).days * 24
        return Span(name, since, since + 24, 1)
    if name == "24h":
        return Span(name, running - 23, running + 1, 1)
    if name == "period":
        start = seconds(period_start) if period_start is not None else _month(now)
        return Span(name, min(start // HOUR_SECONDS, running), running + 1, 24)
    days = {"7d": 7, "30d": 30}[name]
    return Span(name, (running // 24 - days + 1) * 24, running + 1, 24)


def _month(now: float) -> int:
    today = datetime.fromtimestamp(now, UTC)
    return int(datetime(today.year, today.month, 1, tzinfo=UTC).timestamp())
