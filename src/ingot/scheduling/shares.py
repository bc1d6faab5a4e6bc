"""What an organization gets of a target's capacity, and when: the fluid form of weighted fair queuing.

While an organization waits all the time, every other one gets at most its weight's part beside it, and no more than
it has: what waits already, and what arrives until then. So the time until `work` of it is done is the smallest t with

    rate * t = work + own * t + sum over the others of min((work + own * t) * weight / mine, waiting + arriving * t)

where `own` is what it sends itself that is due earlier. The right side is concave in t, so Newton's method from the
right finds the only crossing in a few steps. Decides durations; refuses to know deadlines, clocks and jobs.
"""

import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final

from msgspec import Struct

MOST_NEIGHBOURS: Final = 32
STEPS: Final = 32


class Neighbour(Struct, frozen=True):
    """Another organization: its weight, the service that waits for it, and what arrives a second."""

    weight: float
    waiting: float
    arriving: float = 0.0


def merged(neighbours: Iterable[Neighbour], most: int = MOST_NEIGHBOURS) -> tuple[Neighbour, ...]:
    """At most so many: the ones with the least work for their weight become one, which is nearly what they are."""
    found = sorted(neighbours, key=attrgetter("weight"))
    if len(found) <= most:
        return tuple(found)
    found.sort(key=lambda each: (each.waiting + each.arriving) / each.weight, reverse=True)
    kept, rest = found[: most - 1], found[most - 1 :]
    return (
        *kept,
        Neighbour(
            math.fsum(each.weight for each in rest),
            math.fsum(each.waiting for each in rest),
            math.fsum(each.arriving for each in rest),
        ),
    )


def time_for(
    work: float, neighbours: Sequence[Neighbour], *, weight: float, rate: float, own: float = 0.0
) -> float:
    """Seconds until so much service is done at `rate` a second; infinite where it never is."""
    if work <= 0.0:
        return 0.0
    if rate <= 0.0:
        return math.inf
    # On the far right each neighbour is bound by its part or by its arrivals, whichever grows slower.
    steepest = own
    if own:
        steepest += math.fsum(min(own * each.weight / weight, each.arriving) for each in neighbours)
    if steepest >= rate:
        return math.inf
    parts = 1.0 + math.fsum(each.weight for each in neighbours) / weight
    most = (work * parts + math.fsum(each.waiting for each in neighbours)) / (rate - steepest)
    t = min(most, work * parts / (rate - own * parts)) if rate > own * parts else most
    for _ in range(STEPS):
        mine = work + own * t
        needed, slope = mine, own
        for each in neighbours:
            part = mine * each.weight / weight
            has = each.waiting + each.arriving * t
            if part <= has:
                needed += part
                slope += own * each.weight / weight
            else:
                needed += has
                slope += each.arriving
        gap = needed - rate * t
        if gap >= -1e-9 * needed or slope >= rate:
            break
        t = max(t + gap / (rate - slope), 0.0)
    return t
