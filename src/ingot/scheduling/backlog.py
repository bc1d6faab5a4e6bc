"""Work that waits, as service by the moment it is due: enough to see whether all of it can still be in time.

    service due until d
      ^                          . capacity * (d - now)
      |                      .  +------   a step at each due moment: what is due by then
      |                  .  +---|
      |      +-------.------+   a step above the line: that work is critical, earliest due first from here on
      |  +---|   .
      +--|---.--------------------> d

The store sums waiting work by due moment, in a few dozen steps however many jobs there are. For one target this test
is exact: while every step lies below the line, serving by due moment keeps every promise, and until a step comes
near the line the order is free for fairness. Refuses to know organizations and jobs.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

CRITICAL: Final = 0.9
"""A step this near the line is critical: what is left over covers what the estimates do not know."""
NONE: Final = float("-inf")


class Backlog(Struct, frozen=True):
    """Due moments in order, and the service due by each of them."""

    dues: tuple[float, ...] = ()
    until: tuple[float, ...] = ()

    @property
    def total(self) -> float:
        """All service that waits."""
        return self.until[-1] if self.until else 0.0

    def by(self, due: float) -> float:
        """Service due by then."""
        place = bisect_right(self.dues, due)
        return self.until[place - 1] if place else 0.0


EMPTY: Final = Backlog()


def backlog(steps: Iterable[tuple[float, float]]) -> Backlog:
    """Of pairs of due moment and service, in any order."""
    dues: list[float] = []
    until: list[float] = []
    sum_ = 0.0
    for due, service in sorted(steps):
        sum_ += service
        if dues and dues[-1] == due:
            until[-1] = sum_
        else:
            dues.append(due)
            until.append(sum_)
    return Backlog(tuple(dues), tuple(until))


def horizon(waiting: Backlog, now: float, *, rate: float, fill: float = CRITICAL) -> float:
    """The last due moment until which work is critical: it goes before all else, earliest due first; NONE of none.

    `rate` is the service a second that the targets give to queued work.
    """
    for due, service in zip(reversed(waiting.dues), reversed(waiting.until), strict=True):
        if service > 0.0 and service >= fill * rate * (due - now):
            return due
    return NONE


def excess(waiting: Backlog, service: float, *, due: float, now: float, rate: float, fill: float) -> float:
    """By how much the worst step at or after `due` passes `fill` of the line with so much more work due then."""
    worst = waiting.by(due) + service - fill * rate * (due - now)
    first = bisect_right(waiting.dues, due)
    for step, until in zip(waiting.dues[first:], waiting.until[first:], strict=True):
        worst = max(worst, until + service - fill * rate * (step - now))
    return worst
