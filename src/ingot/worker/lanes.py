"""The lanes of a worker: how many items of the queue each target bears now, and who of those that were leased begins next.

    claim      as many jobs as there is room for           permits come before claims
    enter      an item waits until its target has a place   lifted ones may use more of them; see `line`
    beside     and a few more, where some wait already      so that these keep nobody out who comes first by fairness
    park       a failed one pauses, without a place         a lane bears so many of those
    reserve    what is left of the queue's own share is kept from asap while queued work waits
    hold       of a target that gets nothing but probes the next one is for an item that was never tried, if one waits

A model's lane is its first target; models that share it share its places. How many there are is learned (`services.pacing`).
Decides numbers from what runs now; refuses to know jobs and leases.
"""

import asyncio
import contextlib
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from ingot.catalog import Catalog
from ingot.clock import Clock
from ingot.scheduling.capacity import Lane, Room, own_room, reserved
from ingot.scheduling.pace import PATIENCE, Pace
from ingot.services.pacing import NOWHERE, Pacing, lane_of
from ingot.upstream.link import Link
from ingot.worker.line import Line, Turn

FULL: Final = Room(0, 0)
AHEAD: Final = 4
"""Of its places a lane leases one in so many beside those that wait, before they are free."""
LATE: Final = 2.0
"""Seconds within which an item is back that was told when to come again: it is looked for once a second."""
MOST_PARKED: Final = 256
"""Failed items of a lane that wait here for another try. A target that fails everything makes a process hold no more."""


def lanes(catalog: Catalog, models: Iterable[str]) -> dict[str, list[str]]:
    """The models that have work waiting, by lane."""
    found: dict[str, list[str]] = defaultdict(list)
    for model in models:
        found[lane_of(catalog, model)].append(model)
    return found


class Places:
    """The places of one lane; of one without a target nobody waits for any."""

    def __init__(
        self, link: Link | None, pacing: Pacing, *, clock: Clock, look: Callable[[], None] = lambda: None
    ) -> None:
        """`look` is called when the queue may have work for the line."""
        self.running = 0
        """Items that have a place."""
        self.wanted = False
        """Whether work waits in the queue."""
        self.parked = 0
        """Items that pause after a failed try."""
        self.most: float = math.inf
        """Places of the process that one lane may have: with a target that hangs it takes all of these."""
        self.link = link
        self._pacing = pacing
        self._clock = clock
        self._look = look
        self._line = Line()
        self._expected = 0.0

    def room(self, *, held: int, free: int) -> Room:
        """For how many more items jobs may be leased, of the `free` places of the process; `held` are leased already."""
        if self.link is None:
            return Room(free, free)
        found, free = self._room(held), int(min(free, max(self.most - held, 0)))
        return Room(min(found.ordinary, free), min(found.lifted, free))

    @property
    def crowded(self) -> bool:
        """Whether items that were leased wait for a place."""
        return self.link is not None and bool(self._line)

    def beside(self, *, jobs: int) -> int:
        """For how many more items jobs may be leased where those of so many `jobs` wait already."""
        if self.link is None or not self._line or not self._open(self._clock.now()):
            return 0
        places = max(self.running, 1)
        return max(min(-(-places // AHEAD), places + 1 - jobs), 0)

    def bearable(self, wanted: int) -> int:
        """How many of so many items the target can have at once, at its best."""
        if self.link is None:
            return wanted
        return int(min(wanted, max(self._pace.permits, self.running), self.most))

    @contextlib.asynccontextmanager
    async def enter(self, turn: Turn) -> AsyncIterator[None]:
        """A place for an item, from when there is one."""
        mine = self._line.add(turn)
        self.wake()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._leave()
            raise
        try:
            yield
        finally:
            self._leave()

    def park(self) -> bool:
        """Whether one more may pause here; if so it is counted until `unpark`."""
        fits = self.parked < MOST_PARKED
        self.parked += fits
        return fits

    def unpark(self) -> None:
        """Its pause is over."""
        self.parked -= 1

    def wake(self) -> None:
        """Lets in whom there is a place for by now."""
        before = self._line.organizations
        while self._line and self._fits(lifted=True):
            first = self._line.next(ordinary=self._fits(lifted=False))
            if first is None:
                break
            self.running += 1
            first.set_result(None)
        self.reserve()
        if 0 < self._line.organizations < before:
            self._look()  # somebody has no more here: the next of theirs may stand before what is left

    def reserve(self) -> None:
        """Keeps from asap what is left of the queue's own share."""
        if self.link is not None:
            now = self._clock.now()
            self.link.reserved = reserved(self._lane(self.running), now) if self._open(now) else 0

    def close(self) -> None:
        """Keeps nothing any more."""
        self.wanted = False
        if self.link is not None:
            self.link.reserved = 0

    @property
    def rests(self) -> float:
        """For how many seconds the target is left alone because it failed whatever it was asked; 0 where it is not."""
        if self.link is None or self._pace.failures < PATIENCE:
            return 0.0
        return max(self._pace.paused_until - self._clock.now(), 0.0)

    @property
    def doubted(self) -> bool:
        """Whether the target failed so often that it is asked little: what failed before may be to blame itself."""
        return self.link is not None and (self.link.breaker.shut or self._pace.failures >= PATIENCE)

    @property
    def probing(self) -> bool:
        """Whether its target may be found to be well at any moment."""
        return self.link is not None and self.link.breaker.probing(self._clock.monotonic())

    def expect(self, seconds: float) -> None:
        """An item that was never tried comes again after so many seconds; it counts where it found its target shut."""
        if self.link is not None and self.link.breaker.shut:
            self._expected = max(self._expected, self._clock.monotonic() + seconds + LATE)

    def hold(self) -> float:
        """For how many seconds an item that failed before leaves the next probe to those that are expected: it may itself be to
        blame, and would keep the target shut.
        """
        return max(self._expected - self._clock.monotonic(), 0.0)

    @property
    def others(self) -> int:
        """Calls of the target that are none of the queue's."""
        return 0 if self.link is None else max(self.link.in_flight - self.running, 0)

    @property
    def calls(self) -> int:
        """Calls of the target, with those that have a place and are about to be."""
        return self.running + self.others

    def _leave(self) -> None:
        self.running -= 1
        self.wake()

    def _fits(self, *, lifted: bool) -> bool:
        if self.link is None:
            return True
        if self.running >= self.most:
            return False
        found = self._room(self.running)
        return (found.lifted if lifted else found.ordinary) > 0

    def _room(self, held: int) -> Room:
        return own_room(self._lane(held)) if self._open(self._clock.now()) else FULL

    def _lane(self, held: int) -> Lane:
        waiting = self.wanted or bool(self._line)
        return Lane(self._pace.permits, asap=self.others, queued=held, waiting=waiting)

    def _open(self, now: float) -> bool:
        return self.link is None or self._pace.open(now)

    @property
    def _pace(self) -> Pace:
        if self.link is None:
            raise AssertionError("a lane without a target has no pace")
        return self._pacing.pace(self.link.target)


__all__ = ["NOWHERE", "Places", "lane_of", "lanes"]
