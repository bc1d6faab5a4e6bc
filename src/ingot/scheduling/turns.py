"""Turn times in classes: few enough to add up for good, fine enough to tell a median from.

    seconds --place--> class 0, 1, 2 ...      eight to each doubling, from a millisecond on: off by 4.5 % at most
    counts by class --quantile--> seconds     the middle of the class that holds it

Counts of several processes and hours add up, where times would have to be kept. Refuses to know windows.
"""

import math
from collections.abc import Mapping
from typing import Final

LEAST: Final = 0.001
STEPS: Final = 8
"""Classes of a doubling."""


def place(seconds: float) -> int:
    """The class of a turn time."""
    return max(math.floor(STEPS * math.log2(max(seconds, LEAST) / LEAST)), 0)


def seconds(place: int) -> float:
    """The middle of a class, as its ratios see it."""
    return LEAST * math.pow(2.0, (place + 0.5) / STEPS)


def quantile(counts: Mapping[int, int], part: float) -> float | None:
    """The time within which this part of all turns ended; None where none is counted."""
    wanted = part * sum(counts.values())
    seen = 0
    for each in sorted(counts):
        seen += counts[each]
        if seen and seen >= wanted:
            return seconds(each)
    return None
