"""How often promises were kept: for each window, over the last day, in hours that drop off one by one.

Decides the figure that `GET /v1/windows` tells; refuses to say one where nothing ended yet. Counts of several
processes add up, for they are sums.
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct, structs

HOUR: Final = 3600.0
HOURS: Final = 24

Outcome = Literal["met", "missed", "refused"]


class Hour(Struct, frozen=True):
    """Outcomes of one hour since the epoch."""

    hour: int
    met: int = 0
    missed: int = 0
    refused: int = 0


class Hits(Struct, frozen=True):
    """The hours of a window that had an outcome, oldest first."""

    hours: tuple[Hour, ...] = ()


class HitRate(Struct, frozen=True):
    """Sums over the last day; `share` of what ended was in time, None where nothing ended."""

    met: int
    missed: int
    refused: int

    @property
    def share(self) -> float | None:
        """Part of what ended that was in time."""
        ended = self.met + self.missed
        return self.met / ended if ended else None


NOTHING: Final = Hits()


def noted(hits: Hits, outcome: Outcome, now: float, *, times: int = 1) -> Hits:
    """With one more outcome; hours that are over a day old are gone."""
    hour = int(now // HOUR)
    kept = [each for each in hits.hours if hour - HOURS < each.hour]
    place = next((place for place, each in enumerate(kept) if each.hour == hour), None)
    if place is None:
        kept.append(_with(Hour(hour), outcome, times))
    else:
        kept[place] = _with(kept[place], outcome, times)
    return Hits(tuple(kept))


def added(parts: Iterable[Hits]) -> Hits:
    """The outcomes of several processes as one."""
    hours: dict[int, Hour] = {}
    for each in (hour for part in parts for hour in part.hours):
        known = hours.get(each.hour, Hour(each.hour))
        hours[each.hour] = Hour(
            each.hour, known.met + each.met, known.missed + each.missed, known.refused + each.refused
        )
    return Hits(tuple(hours[hour] for hour in sorted(hours)))


def rate(hits: Hits, now: float) -> HitRate:
    """The figures of the last day."""
    hour = int(now // HOUR)
    counted = [each for each in hits.hours if hour - HOURS < each.hour <= hour]
    return HitRate(
        met=sum(each.met for each in counted),
        missed=sum(each.missed for each in counted),
        refused=sum(each.refused for each in counted),
    )


def _with(hour: Hour, outcome: Outcome, times: int) -> Hour:
    if outcome == "met":
        return structs.replace(hour, met=hour.met + times)
    if outcome == "missed":
        return structs.replace(hour, missed=hour.missed + times)
    return structs.replace(hour, refused=hour.refused + times)
