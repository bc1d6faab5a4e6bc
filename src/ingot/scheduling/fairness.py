"""Fairness between organizations: the virtual token counter (VTC, OSDI 2024), weighted by plan.

    counter of an organization = service it got / its weight; the smallest is served next, reckoned
                                 to the middle of its next item: a large item waits until it is due

    job leased      counter += estimate / weight
    job ended       counter += (real - estimate) / weight     a failed try: what its place gives in that time when it answers;
                                                              one that never ran: nothing
    begins to wait  counter  = max(counter, smallest counter of those that wait, without the estimates of what they run)
                               nobody waits: the counter of the last one that did

The lift in the last lines keeps an idle organization from saving up a claim, so nothing needs to decay: a counter
that the floor has passed is forgotten without a trace. And while permits are free, so that nobody waits for long,
counters follow each other: service that cost nobody anything is held against nobody. Who runs but does not wait sets
no floor. Two organizations that wait all the time differ by two items at most, and by what runs with an estimate
that was wrong. Counters are whole numbers, for service must add up over processes. Refuses to know who waits.
"""

from collections.abc import Iterable
from typing import Final

INPUT: Final = 1
OUTPUT: Final = 2
"""Service of a token: writing one takes about twice what reading one does."""

SCALE: Final = 1_000
"""A counter's parts of one token: weights up to a thousand divide without losing it."""


def service(input_tokens: int, output_tokens: int) -> int:
    """The service of a call, in tokens of input."""
    return INPUT * input_tokens + OUTPUT * output_tokens


def virtual(service: int, weight: int) -> int:
    """By how much a counter moves; what was charged and is given back cancels out exactly."""
    scaled = abs(service) * SCALE // max(weight, 1)
    return scaled if service >= 0 else -scaled


def charged(counter: int, estimate: int, *, weight: int) -> int:
    """The counter after a lease of a job with this estimate."""
    return counter + virtual(estimate, weight)


def settled(counter: int, estimate: int, *, real: int, weight: int) -> int:
    """The counter after such a job ended with its real service; 0 gives all of the estimate back."""
    return counter - virtual(estimate, weight) + virtual(real, weight)


def floor(waiting: Iterable[int], *, last: int = 0) -> int:
    """The smallest counter of those that wait; where nobody does, that of the `last` who did."""
    return min(waiting, default=last)


def lifted(counter: int | None, floor: int) -> int:
    """The counter of an organization that begins to wait; None for one that was never seen."""
    return floor if counter is None else max(counter, floor)
