"""Which items get the free permits of a target: the seam between the worker, which has SQL, and the rules.

    worker                                                       here
    permits first (Q03): lane of the target --------------> capacity.room      how many, of which kind
    SQL 1  service by due moment, every few seconds ------> backlog.horizon    what is critical
    SQL 2  lift_at <= now, and due <= horizon:              .
           the first `rows` by due                          .  union, by organization
    SQL 3  the `organizations` with the smallest counter    .--> Queue(counter, weight, heads by target)
           that wait, and of each the first `rows` by target         |
    own    jobs it holds whose next item needs a permit     .        v
    claim  UPDATE .. WHERE id IN (..) AND state = queued <-- choose -> grants: job, items, new counter
           what another worker took in between is missing from what comes back, and its charge is not written

A single item's target is its due moment. The jobs of a batch have theirs spread up to the finish that was quoted (see
`quotes.targets`), so that a batch moves on beside its organization's other work instead of waiting for its last hour.

Every query reads the head of an index, so a claim costs O(permits), whether 100 items wait or 100,000, and whether
of 10 organizations or 1,000. Needed are indexes on (state, lift_at), (state, due), (organization, state, target), and a
row for each organization with its counter. A permit is one item's call: a job of 64 items is leased as a whole, and
its items get permits one by one, so that fairness is as fine as an item: where some wait, they compete with the queue
for the next few permits, with their charge taken back.

    lifted or critical --> by due moment, whoever owns it: promises come first
    all other work     --> organization with the smallest counter --> its job with the first target

Decides the order; refuses to know SQL, leases, clocks and what a job is about.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from ingot.scheduling.backlog import NONE
from ingot.scheduling.capacity import Room
from ingot.scheduling.fairness import charged

NEAR: Final = 1.25
"""A job with a warm prefix may go before its organization's first one, if its target is about as soon."""
MOST_ROWS: Final = 16
SPARE: Final = 7


class Head(Struct, frozen=True):
    """A job near the head of its organization's queue: `items` need a permit, the next is estimated at `estimate`.
    `target` orders it within its organization, None as `due` would; `due` is the promise, `lift_at` when it is at
    stake.
    """

    job: str
    due: float
    lift_at: float
    estimate: int
    items: int = 1
    prefix: str = ""
    target: float | None = None

    @property
    def order(self) -> float:
        """Its place in its organization's queue."""
        return self.due if self.target is None else self.target


class Queue(Struct, frozen=True):
    """An organization that waits: its counter and weight, its first jobs by target, and the prefix that the
    target last worked on for it.
    """

    organization: str
    counter: int
    weight: int
    heads: Sequence[Head]
    warm: str = ""


class Own(Struct, frozen=True):
    """Items of a leased job that wait for a permit, charged already: what waits in the queue may stand before them."""

    organization: str
    weight: int
    head: Head


class Grant(Struct, frozen=True):
    """Permits for items of a job; each of them charges its organization's counter with `estimate`."""

    job: str
    organization: str
    items: int
    estimate: int
    lifted: bool


class Look(Struct, frozen=True):
    """How much a worker reads to choose exactly: rows of critical work, organizations, and rows of each."""

    organizations: int
    rows: int


def look(room: Room) -> Look:
    """How far the queries go for so many permits; a few more organizations, for those in front may have large items, or
    be claimed away meanwhile.
    """
    return Look(organizations=room.ordinary + SPARE if room.ordinary else 0, rows=min(room.lifted, MOST_ROWS))


class _Open:
    """A queue while permits are given out: the only thing here that changes."""

    __slots__ = ("counter", "heads", "left", "organization", "warm", "weight")

    def __init__(self, queue: Queue) -> None:
        self.organization = queue.organization
        self.counter = queue.counter
        self.weight = queue.weight
        self.warm = queue.warm
        self.heads = list(queue.heads)
        self.left = [head.items for head in queue.heads]

    def take(self, place: int) -> Head:
        """Gives a permit to the next item of a head."""
        head = self.heads[place]
        self.counter = charged(self.counter, head.estimate, weight=self.weight)
        self.warm = head.prefix
        self.left[place] -= 1
        if not self.left[place]:
            del self.heads[place], self.left[place]
        return head

    def middle(self, now: float) -> int:
        """The counter when half of its next item is done: where the item stands on the counters' line."""
        return charged(self.counter, self.heads[self.next(now)].estimate // 2, weight=self.weight)

    def next(self, now: float) -> int:
        """The place of the head to go on with: the first, or one that begins as the last one did and is due soon."""
        first = self.heads[0]
        if self.warm and first.prefix != self.warm:
            near = now + NEAR * (first.order - now)
            for place, head in enumerate(self.heads):
                if head.prefix == self.warm and head.order <= near:
                    return place
        return 0


def choose(
    queues: Iterable[Queue], room: Room, now: float, *, horizon: float = NONE, most: int | None = None
) -> list[Grant]:
    """The items that get a permit, in the order of their start; at most `most`."""
    waiting = [_Open(queue) for queue in queues if queue.heads]
    permits = room.lifted if most is None else min(room.lifted, most)
    grants = _Grants()
    _lift(waiting, permits, now, horizon=horizon, grants=grants)
    ordinary = min(room.ordinary, permits) - grants.items
    heap = [(each.middle(now), each.organization, each) for each in waiting if each.heads]
    heapq.heapify(heap)
    while ordinary > 0 and heap:
        _, name, queue = heap[0]
        grants.add(name, queue.take(queue.next(now)), lifted=False)
        ordinary -= 1
        if queue.heads:
            heapq.heapreplace(heap, (queue.middle(now), name, queue))
        else:
            heapq.heappop(heap)
    return grants.listed()


def _lift(waiting: list[_Open], permits: int, now: float, *, horizon: float, grants: "_Grants") -> None:
    """Gives permits to work whose promise is at stake, earliest due first, then smallest counter."""
    urgent = [
        (head.due, queue.counter, queue.organization, head.job, queue)
        for queue in waiting
        for head in queue.heads
        if head.lift_at <= now or head.due <= horizon
    ]
    heapq.heapify(urgent)
    while urgent and grants.items < permits:
        due, counter, name, job, queue = heapq.heappop(urgent)
        if counter != queue.counter:  # served since: others that are due at the same moment may have less
            heapq.heappush(urgent, (due, queue.counter, name, job, queue))
            continue
        place = next(place for place, head in enumerate(queue.heads) if head.job == job)
        more = queue.left[place] > 1
        grants.add(name, queue.take(place), lifted=True)
        if more:
            heapq.heappush(urgent, (due, queue.counter, name, job, queue))


class _Grants:
    """Grants by job, in order."""

    __slots__ = ("_found", "items")

    def __init__(self) -> None:
        self.items = 0
        self._found: dict[tuple[str, bool], tuple[str, int, int]] = {}

    def add(self, organization: str, head: Head, *, lifted: bool) -> None:
        """One more item of a job."""
        self.items += 1
        _, items, _ = self._found.get((head.job, lifted), ("", 0, 0))
        self._found[head.job, lifted] = (organization, items + 1, head.estimate)

    def listed(self) -> list[Grant]:
        """All of them."""
        return [
            Grant(job, organization, items, estimate, lifted)
            for (job, lifted), (organization, items, estimate) in self._found.items()
        ]
