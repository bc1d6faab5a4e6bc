"""How many calls a target bears at once, learned from how it answers: additive increase, multiplicative decrease.

    answered well, all permits in use    limit + 1/limit         one more after about `limit` answers
                                         limit + 1               up to where it last fell: twice as many after as many
    429, 503                             limit * 0.7             and nothing before Retry-After has passed
    5xx, reset, time-out                 limit * 0.85            from the third in a row on nothing for 1, 2, 4 .. 30 s; the
                                                                 same item again counts for the limit alone
    answers twice as slow as usual       limit * 0.9             a queue builds up inside the target

A decrease counts once for all calls that were already under way: they tell of the same moment. The limit stays
between floor and ceiling, so a target that recovers is found by the calls that it still gets. Refuses to know
calls, retries and time: moments are parameters.
"""

import math
from typing import Final

from msgspec import Struct, structs

THROTTLED: Final = 0.7
FAILED: Final = 0.85
SLOW: Final = 0.9
SLOW_FROM: Final = 2.0
"""An answer is slow from this many times the usual seconds per token."""
LONGEST_PAUSE: Final = 3600.0
PATIENCE: Final = 3
LONGEST_REST: Final = 30.0
"""After so many failures in a row a target rests; each further one doubles the rest."""
COUNTED: Final = 16
"""Items in a row of failures that are known again: by then the rest is at its longest."""
USED_FROM: Final = 0.5
"""The limit grows only while this part of it is in use: a limit that was not tried tells nothing. Not more of it, for
a share is left free for asap.
"""
NEVER: Final = float("-inf")
RECENT: Final = 0.05
LASTING: Final = 0.002
"""How much of the last answer goes into what is seen now, and into what is usual: some 20 and some 500 answers."""


class Bounds(Struct, frozen=True):
    """Where a target's limit starts and between what it stays."""

    start: float = 8.0
    floor: float = 1.0
    ceiling: float = 256.0


class Pace(Struct, frozen=True):
    """What is known of a target. Up to `known` the limit grows fast: so much was borne before. A call that began
    before `decreased` was under way when the limit last fell. What is seen and what is usual are seconds and tokens
    apart, for the sum of many answers tells more than their speeds.
    """

    limit: float
    bounds: Bounds
    known: float = math.inf
    paused_until: float = 0.0
    decreased: float = NEVER
    failures: int = 0
    failing: tuple[str, ...] = ()
    """The items whose failures were counted since the last good answer."""
    seen: tuple[float, float] = (0.0, 0.0)
    usual: tuple[float, float] = (0.0, 0.0)

    @property
    def permits(self) -> int:
        """Whole calls that may run at once."""
        return int(self.limit)

    def open(self, now: float) -> bool:
        """Whether the target may be asked: its Retry-After has passed."""
        return now >= self.paused_until


def started(bounds: Bounds) -> Pace:
    """Of a target that was never asked."""
    return Pace(min(max(bounds.start, bounds.floor), bounds.ceiling), bounds)


def answered(pace: Pace, now: float, *, began: float, running: int, tokens: int) -> Pace:
    """After a good answer of so many written tokens, while `running` calls were under way with it."""
    piece = (now - began, float(max(tokens, 1)))
    seen = _moved(pace.seen, piece, RECENT)
    usual = _moved(pace.usual, piece, LASTING)
    limit, known, decreased = pace.limit, pace.known, pace.decreased
    if seen[0] * usual[1] > SLOW_FROM * usual[0] * seen[1]:
        if began >= decreased:
            limit, decreased = _fallen(pace, SLOW), now
            known = limit
    elif running >= USED_FROM * pace.permits:
        limit = min(limit + (1.0 if limit < pace.known else 1.0 / limit), pace.bounds.ceiling)
    return structs.replace(
        pace, limit=limit, known=known, decreased=decreased, failures=0, failing=(), seen=seen, usual=usual
    )


def throttled(pace: Pace, now: float, *, began: float, retry_after: float | None = None) -> Pace:
    """After a refusal for too many calls; `retry_after` in seconds, at most an hour of it is honoured."""
    pause = 0.0 if retry_after is None else min(max(retry_after, 0.0), LONGEST_PAUSE)
    fallen = _decreased(pace, now, began, THROTTLED)
    return structs.replace(fallen, known=fallen.limit, paused_until=max(pace.paused_until, now + pause))


def failed(pace: Pace, now: float, *, began: float, item: str = "") -> Pace:
    """After a call for `item` that the target failed; those that began before it rested tell nothing new.

    What it bore before it will bear again, so it is back to that within a few rounds. An item that failed in this row already
    may be to blame itself: it adds nothing to the rest.
    """
    if began < pace.paused_until:
        return pace
    fresh = not item or item not in pace.failing
    failures = pace.failures + fresh
    failing = (*pace.failing, item) if fresh and item and len(pace.failing) < COUNTED else pace.failing
    until = pace.paused_until
    if failures >= PATIENCE:
        until = now + min(2.0 ** (failures - PATIENCE), LONGEST_REST)
    known = pace.limit if math.isinf(pace.known) else max(pace.known, pace.limit)
    fallen = _decreased(pace, now, began, FAILED)
    return structs.replace(fallen, known=known, failures=failures, failing=failing, paused_until=until)


def _decreased(pace: Pace, now: float, began: float, part: float) -> Pace:
    if began < pace.decreased:
        return pace
    return structs.replace(pace, limit=_fallen(pace, part), decreased=now)


def _fallen(pace: Pace, part: float) -> float:
    return max(pace.limit * part, pace.bounds.floor)


def _moved(sums: tuple[float, float], piece: tuple[float, float], part: float) -> tuple[float, float]:
    """Sums of seconds and tokens that forget."""
    return sums[0] * (1.0 - part) + piece[0], sums[1] * (1.0 - part) + piece[1]
