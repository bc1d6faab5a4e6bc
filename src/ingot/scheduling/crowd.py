"""How much longer a call takes beside others: seconds of a piece of service, as a line over the calls that a target has at once.

    seconds for a service = alone + beside * calls        least squares over the answers, older ones the less

A machine that works on all of its calls at once takes longer for each of them; a service with room to spare does not. So what was
measured while little ran tells what it will be once every place is taken, and the other way round. Decides one ratio; refuses to
know clocks, and which calls they were.
"""

import math
from typing import Final

from msgspec import Struct

STIFF: Final = 2.0
"""A slope is believed by half when its answers times the spread of their calls come to so many squares of the mean."""

Line = tuple[float, float]
"""Seconds for a service, and how many more with each call that runs."""
FLAT: Final[Line] = (1.0, 0.0)


class Crowd(Struct, frozen=True):
    """Sums over answers as they count at the moment `at`: how many, their service, their seconds, and moments of the calls that
    ran beside each, weighted by service and by seconds.
    """

    count: float = 0.0
    service: float = 0.0
    calls: float = 0.0
    squares: float = 0.0
    seconds: float = 0.0
    product: float = 0.0
    at: float = 0.0

    def line(self) -> Line:
        """What the answers lie about; FLAT where nothing is known."""
        if self.service <= 0.0:
            return FLAT
        mean, calls = self.seconds / self.service, self.calls / self.service
        spread = max(self.squares / self.service - calls * calls, 0.0)
        together = self.product / self.service - mean * calls
        slope = self.count * together / (self.count * spread + STIFF * calls * calls)
        slope = min(max(slope, 0.0), mean / calls)
        return mean - slope * calls, slope


def told(
    crowd: Crowd, *, service: float, seconds: float, calls: float, now: float, half_life: float
) -> Crowd:
    """With one more answer, beside which so many calls ran, itself included."""
    if service <= 0.0 or seconds <= 0.0:
        return crowd
    kept = math.pow(0.5, max(now - crowd.at, 0.0) / half_life)
    calls = max(calls, 1.0)
    return Crowd(
        count=crowd.count * kept + 1.0,
        service=crowd.service * kept + service,
        calls=crowd.calls * kept + service * calls,
        squares=crowd.squares * kept + service * calls * calls,
        seconds=crowd.seconds * kept + seconds,
        product=crowd.product * kept + seconds * calls,
        at=max(now, crowd.at),
    )


def faster(line: Line, *, measured: float, calls: float) -> float:
    """By what a speed that was measured beside `measured` calls is multiplied to be that beside `calls`."""
    alone, beside = line
    return (alone + beside * max(measured, 1.0)) / (alone + beside * max(calls, 1.0))
