"""When a failed call is tried again: full jitter (Q10), never before the target's own Retry-After.

    try 1 fails --> 0..1 s --> try 2 fails --> 0..2 s --> try 3 ... the longest pause doubles up to a minute

Decides moments; refuses to know errors, and draws nothing: the part of the pause is a parameter.
"""

from typing import Final

BASE: Final = 1.0
MOST: Final = 60.0
TRIES: Final = 3
MOST_TRIES: Final = 10
"""However much time there is: some four minutes of pauses. What fails as often fails for good, and each try costs others."""
LONGEST_RETRY_AFTER: Final = 3600.0
LONGEST: Final = LONGEST_RETRY_AFTER + MOST
"""No pause is longer: a moment that is farther ahead was set by a clock that has been put back."""


def pause(tries: int, part: float, *, retry_after: float | None = None) -> float:
    """Seconds to wait after so many failed tries; `part` in 0..1 is drawn by the caller, once for each wait."""
    spread = part * min(BASE * 2.0 ** (max(tries, 1) - 1), MOST)
    if retry_after is None:
        return spread
    # All who were refused at once come back spread over the same pause, not in one burst.
    return min(max(retry_after, 0.0), LONGEST_RETRY_AFTER) + spread


def again(tries: int, *, at: float, due: float, service: float) -> bool:
    """Whether a try that begins then still counts: some are left, or more while there is time until the due moment (Q10)."""
    return tries < TRIES or (tries < MOST_TRIES and at + service <= due)
