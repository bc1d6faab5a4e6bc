"""How often something may be tried: a sliding window for each name, counted in this process.

    take(name)      counts a try, or says after how many seconds the next is free
    forgive(name)   forgets the tries: the right password came

Bounded: of too many names the ones that were quiet for longest go. Decides numbers, not what a name stands for.
"""

from collections import OrderedDict, deque

from ingot.clock import Clock

NAMES = 10_000


class Attempts:
    """At most `most` tries in any `seconds` for each name."""

    def __init__(self, clock: Clock, *, most: int, seconds: float, names: int = NAMES) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._names = names
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, name: str) -> float | None:
        """Counts a try and returns None, or the seconds until one is free; a refused try is not counted."""
        now = self._clock.monotonic()
        tries = self._tries.setdefault(name, deque())
        self._tries.move_to_end(name)
        while tries and tries[0] <= now - self._seconds:
            tries.popleft()
        if len(tries) >= self._most:
            return tries[0] + self._seconds - now
        tries.append(now)
        while len(self._tries) > self._names:
            self._tries.popitem(last=False)
        return None

    def forgive(self, name: str) -> None:
        """Forgets what was counted for a name."""
        self._tries.pop(name, None)
