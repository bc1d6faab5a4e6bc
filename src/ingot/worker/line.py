"""The items of a lane that were leased and wait for a place: which of them begins next.

    lifted       before all others, earliest target first
    all others   of the organization with the smallest counter: its item with the first target

A job is leased as a whole. Were its items to begin in the order in which they came, they would have every place until the
last of them has begun, and whoever came a moment later would stand behind all of them. The counters are those of
`scheduling.fairness`, kept here while anybody waits. Refuses to know how many places there are.
"""

import asyncio
import heapq
import itertools
from dataclasses import dataclass

from ingot.scheduling.fairness import charged, floor, lifted

Place = asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Turn:
    """An item that wants a place: whose it is, its estimate, and its place in its organization's queue."""

    org_id: str
    weight: int
    estimate: int
    target: int = 0
    lifted: bool = False


class Line:
    """Those that wait."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._counters: dict[str, int] = {}
        self._first: list[tuple[int, int, Turn, Place]] = []
        self._own: dict[str, list[tuple[int, int, Turn, Place]]] = {}

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        self._tidy()
        return bool(self._first or self._own)

    @property
    def organizations(self) -> int:
        """How many have an item here that is not lifted."""
        self._tidy()
        return len(self._own)

    def add(self, turn: Turn) -> Place:
        """One more item; what it gets is done once it has its place."""
        mine: Place = asyncio.get_running_loop().create_future()
        entry = (turn.target, next(self._numbers), turn, mine)
        if turn.lifted:
            heapq.heappush(self._first, entry)
            return mine
        if turn.org_id not in self._own:
            least = floor(self._counters[each] for each in self._own)
            self._counters[turn.org_id] = lifted(self._counters.get(turn.org_id), least)
        heapq.heappush(self._own.setdefault(turn.org_id, []), entry)
        return mine

    def next(self, *, ordinary: bool) -> Place | None:
        """Takes out the next one; `ordinary` says whether one that is not lifted may be it."""
        self._tidy()
        if self._first:
            return heapq.heappop(self._first)[-1]
        if not (ordinary and self._own):
            return None
        org_id = min(self._own, key=self._middle)
        own = self._own[org_id]
        _, _, turn, mine = heapq.heappop(own)
        self._counters[org_id] = charged(self._counters[org_id], turn.estimate, weight=turn.weight)
        if not own:
            del self._own[org_id]
        return mine

    def _middle(self, org_id: str) -> tuple[int, int]:
        """The counter when half of its next item is done; of equals whoever came last, as those do whose items come one by one."""
        _, number, turn, _ = self._own[org_id][0]
        return charged(self._counters[org_id], turn.estimate // 2, weight=turn.weight), -number

    def _tidy(self) -> None:
        """Forgets whoever waits no more."""
        for heap in (self._first, *self._own.values()):
            while heap and heap[0][-1].done():
                heapq.heappop(heap)
        for org_id in [org_id for org_id, own in self._own.items() if not own]:
            del self._own[org_id]
        if not self._own:
            self._counters.clear()
