"""How often something may be tried: a sliding window for each name, counted in this process.

    take(name)      counts a try, or says after how many seconds the next is free
    forgive(name)   forgets the tries: the right password came

Logins are counted for an account and the place that tries it, so that a stranger's guesses bar the stranger; and, with a
higher bound, for the account over all places, so that many strangers cannot guess on. That one holds nowhere that the account
has logged in from of late: there its owner comes in, whatever the others do.

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

    def undo(self, name: str) -> None:
        """Takes back the last try of a name."""
        tries = self._tries.get(name)
        if tries:
            tries.pop()


class Logins:
    """Tries of passwords, by account and place."""

    def __init__(self, clock: Clock, *, most: int, overall: int, seconds: float, names: int = NAMES) -> None:
        """At most `most` tries in any `seconds` from one place, and `overall` from all together."""
        self._names = names
        self._here = Attempts(clock, most=most, seconds=seconds, names=names)
        self._overall = Attempts(clock, most=overall, seconds=seconds, names=names)
        self._known: OrderedDict[str, None] = OrderedDict()

    def take(self, account: str, place: str) -> float | None:
        """Counts a try and returns None, or the seconds until one is free."""
        pair = _pair(account, place)
        wait = self._here.take(pair)
        return self._overall.take(account) if wait is None and pair not in self._known else wait

    def succeed(self, account: str, place: str) -> None:
        """The right password came from this place: what was counted there is forgotten."""
        pair = _pair(account, place)
        self._here.forgive(pair)
        if pair not in self._known:
            self._overall.undo(account)
        self._known[pair] = None
        self._known.move_to_end(pair)
        while len(self._known) > self._names:
            self._known.popitem(last=False)

    def forgive(self, account: str, place: str) -> None:
        """The account has another password: nobody's guesses count any more."""
        self._here.forgive(_pair(account, place))
        self._overall.forgive(account)


def _pair(account: str, place: str) -> str:
    return f"{account}\n{place}"
