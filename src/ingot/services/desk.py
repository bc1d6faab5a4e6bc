"""The desk of one process: what was measured becomes Supply and Ahead, and `quotes.admit` decides.

    what waits, summed (1 s)  --.
    what was let in here since -+--> Ahead ---.
    bookings of the organization'              +--> quotes.admit --> Quote: let in, and counted
    what targets give (pacing) -----> Supply --'               '--> Refusal: counted, and booked

Where nobody measured the targets yet, `guess.admit` decides in its place. Work that is due at once has no deadline to fit: it
is bounded by how much of its kind waits. Knows no client and no error; `services.quoting` has both.
"""

import asyncio
import contextlib
import math
from functools import partial
from typing import Final

from msgspec import Struct, structs
from sqlalchemy import Connection

from ingot.catalog import Catalog
from ingot.clock import Clock
from ingot.scheduling import quotes
from ingot.scheduling.backlog import NONE, horizon
from ingot.scheduling.bookings import Booking, claim
from ingot.scheduling.guess import Guess, admit
from ingot.scheduling.quotes import Quote, Refusal, Supply, Work
from ingot.scheduling.windows import Window
from ingot.services.ahead import Added, Lane, Loads
from ingot.services.bookings import Bookings
from ingot.services.pacing import LIVING, MARGIN, Pacing, lane_of
from ingot.store import backlog, promises, windows
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.schema import micros

FRESH: Final = 1.0
"""Seconds for which sums are good, at least."""
PART: Final = 20.0
"""So many times as long as it took to read them: a long queue is read more seldom."""
HEARD: Final = 5.0
"""Seconds after which it is looked again what other nodes tell."""
TOLD: Final = 15.0
TOLD_ALONE: Final = 60.0
"""Seconds after which others are told; where there are none, it is for the next start alone."""
AT_FIRST: Final = Guess()
MOST_ASAP: Final = 200
LONGEST_ASAP: Final = 10.0
"""What is due at once waits in no longer line, and no longer than so many seconds (Q11)."""


class Load(Struct, frozen=True, kw_only=True):
    """Work that somebody asks for: `read` and `written` are tokens a piece, `written` the most that may come;
    `largest` those of its largest piece, where they differ. `key` tells it again when it comes back.
    """

    org_id: str
    model: str
    window: str
    weight: int = 1
    items: int = 1
    read: int
    written: int
    largest: tuple[int, int] | None = None
    batch: bool = False
    key: str = ""


class Decided(Struct, frozen=True):
    """What was decided; `guessed`: on no measured figures, so that no more than so many requests are let in at first."""

    told: Quote | Refusal
    guessed: int | None = None

    @property
    def measured(self) -> bool:
        """Whether it was decided on what the targets are known to do."""
        return self.guessed is None


class Desk:
    """Measures, promises, books; belongs to one event loop."""

    def __init__(
        self,
        db: Database,
        pacing: Pacing,
        *,
        clock: Clock,
        node: str,
        alone: bool,
        guess: Guess = AT_FIRST,
    ) -> None:
        """`node` names this start of the process; `alone`: no other works on this database; `guess` counts until measured."""
        self.pacing = pacing
        self._guess = guess
        self._db = db
        self._clock = clock
        self._node = node
        self._alone = alone
        self._loads = Loads()
        self._read = self._heard = self._shared = -math.inf
        self._good = FRESH
        self._reading: asyncio.Task[None] | None = None
        self._bookings = Bookings(db, clock=clock)
        self._booked: set[str] = set()

    async def start(self) -> None:
        """Takes what is known from before; where no other process can be alive, none of them counts as working."""
        if self._alone:
            await self._db.write(promises.bury)
        await self._hear()

    async def close(self) -> None:
        """Tells for the last time, and that this process gives nothing any more; a store that fails is left as it is."""
        with contextlib.suppress(StoreError):
            await self._share()
            await self._db.write(partial(promises.bury, node=self._node))

    # ---- what is asked

    async def decide(self, catalog: Catalog, load: Load, *, first: bool = True) -> Decided:
        """Lets work in or refuses it, and remembers which."""
        window, lane = catalog.windows[load.window], lane_of(catalog, load.model)
        await self.refresh(catalog)
        now = self._clock.now()
        booking = await self._booking(load)
        decided, work = await self._weigh(catalog, load, now, booking)
        claimed = booking is not None
        if first and not claimed:
            self._loads.arrive(lane, load.org_id, work.service, seconds=work.seconds, now=now)
        if isinstance(decided.told, Refusal):
            await self._refuse(load, decided.told, now, before=booking)
            return decided
        if booking is not None:
            await self._db.write(partial(promises.unbook, org_id=load.org_id, work=load.key))
            self._bookings.remove(load.org_id, load.model, booking)
        due = window.due(now, batch=load.batch)
        target = (decided.told.start + decided.told.finish) / 2.0 if load.batch else due
        added = Added(now, load.org_id, load.weight, due, target, work.service, load.items)
        self._loads.add(lane, added)
        return decided

    async def quote(self, catalog: Catalog, load: Load) -> Decided:
        """What would be decided now; nothing is remembered."""
        await self.refresh(catalog)
        now = self._clock.now()
        decided, _ = await self._weigh(catalog, load, now, await self._booking(load))
        return decided

    def calls(self, lane: str) -> int:
        """How many items of a lane wait or run, as of the last look."""
        return self._loads.lane(lane).calls

    def lasts(self, catalog: Catalog, model: str, service: float) -> float:
        """Seconds for which an item of this service is predicted to run, at most."""
        return MARGIN * service / self.pacing.each(lane_of(catalog, model), self._clock.now())

    def horizon(self, lane: str) -> float:
        """The last due moment until which all work of a lane is critical."""
        now = self._clock.now()
        supply = self.pacing.supply(lane, now)
        if supply is None:
            return NONE
        return horizon(self._loads.lane(lane).everyone, now, rate=supply.rate)

    # ---- what is measured

    async def refresh(self, catalog: Catalog) -> None:
        """Returns when the sums are fresh; raises StoreError."""
        now = self._clock.monotonic()
        if now - self._read < self._good:
            return
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._renew(catalog))
            self._reading.add_done_callback(self._renewed)
        await asyncio.shield(self._reading)

    async def share(self) -> None:
        """Tells other nodes, and the next start, what was measured here, from time to time; raises StoreError."""
        now = self._clock.monotonic()
        if now - self._shared >= (TOLD_ALONE if self._alone else TOLD):
            self._shared = now
            await self._share()

    async def _share(self) -> None:
        now = self._clock.now()
        told = self.pacing.told(self._loads.tell(now))
        await self._db.write(partial(promises.tell, node=self._node, told=told, now=micros(now)))

    async def _renew(self, catalog: Catalog) -> None:
        began, moment = self._clock.monotonic(), self._clock.now()
        now = micros(moment)

        def read(conn: Connection) -> tuple[list[backlog.Waits], list[backlog.Runs], set[str]]:
            waits, runs = backlog.read(conn)
            return waits, runs, promises.organizations(conn, now=now)

        waits, runs, self._booked = await self._db.read(read)
        self._loads.renew(
            waits,
            runs,
            lane_of=partial(lane_of, catalog),
            places=partial(self._places, at=moment),
            began=moment,
        )
        self._loads.forget(moment)
        self._read = self._clock.monotonic()
        self._good = max(FRESH, PART * (self._read - began))
        if self._alone:
            return
        if self._read - self._heard >= HEARD:
            await self._hear()
        await self.share()

    def _places(self, lane: str, at: float) -> float:
        """How many items of a lane can run at once, as far as anybody knows."""
        supply = self.pacing.supply(lane, at)
        return math.inf if supply is None else max(supply.permits, 1.0)

    def _renewed(self, task: "asyncio.Task[None]") -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # whoever waits for it has it

    async def _hear(self) -> None:
        self._heard = self._clock.monotonic()
        found = [each for each in await self._db.read(promises.heard) if each.node != self._node]
        self.pacing.hear((each.at, each.told) for each in found)
        now = self._clock.now()
        self._loads.hear([told.arriving for at, told in self.pacing.others if now - at <= LIVING])

    # ---- how it is decided

    async def _weigh(
        self, catalog: Catalog, load: Load, now: float, booking: Booking | None
    ) -> tuple[Decided, Work]:
        window, lane = catalog.windows[load.window], lane_of(catalog, load.model)
        work = self._work(window, load)
        supply = self.pacing.supply(lane, now, calls=self._loads.lane(lane).calls + load.items)
        if supply is None:
            return self._guessed(catalog, load, work, now), work
        if not window.queued:
            return Decided(_at_once(work, self._loads.lane(lane), supply, now)), work
        claimed = None if booking is None else claim((booking,), load.key, now)
        batch = min((each.batch_seconds for each in catalog.windows.values() if each.batchable), default=None)
        ahead = self._loads.ahead(
            lane,
            load.org_id,
            await self._booked_of(catalog, load, lane, booking),
            seconds=work.seconds,
            now=now,
            steady=batch if load.batch else None,
            claimed=claimed,
        )
        return Decided(quotes.admit(work, ahead, supply, now, claimed=claimed)), work

    def _guessed(self, catalog: Catalog, load: Load, work: Work, now: float) -> Decided:
        """What is decided of a model whose target nobody measured."""
        lane = lane_of(catalog, load.model)
        target = catalog.targets.get(lane)
        guess = self._guess
        if target is not None and target.capacity is not None:
            guess = structs.replace(guess, places=min(guess.places, target.capacity))
        most = guess.most(work.seconds) if work.window.queued else MOST_ASAP
        waiting = self._loads.lane(lane).items_by(now + work.seconds)
        return Decided(admit(work, waiting, guess, most=most, now=now), most)

    def _work(self, window: Window, load: Load) -> Work:
        piece = self.pacing.expected(load.model, load.read, load.written)
        largest = piece if load.largest is None else self.pacing.expected(load.model, *load.largest)
        return Work(
            window=window,
            service=float(piece * load.items),
            weight=load.weight,
            items=load.items,
            largest=float(max(piece, largest)),
            deviation=self.pacing.deviation(load.model),
            batch=load.batch,
            key=load.key,
        )

    async def _booking(self, load: Load) -> Booking | None:
        if not load.key or load.org_id not in self._booked:
            return None
        return await self._bookings.own(load.org_id, load.model, load.key)

    async def _booked_of(self, catalog: Catalog, load: Load, lane: str, own: Booking | None) -> list[Booking]:
        """What is booked of a lane beside this work."""
        if load.org_id not in self._booked:
            return []
        found = [
            each for model, each in await self._bookings.of(load.org_id) if lane_of(catalog, model) == lane
        ]
        if own is not None:
            found.append(structs.replace(own, key="", service=-own.service, at=math.floor(own.at)))
        return found

    async def _refuse(self, load: Load, refusal: Refusal, now: float, *, before: Booking | None) -> None:
        """Counts a refusal, and keeps a place for the work, instead of the one that it had `before`."""
        booking = refusal.booking if load.key else None
        if booking is not None and before is None and not await self._bookings.has_room(load.org_id):
            booking = None

        def write(conn: Connection) -> None:
            windows.refuse(
                conn,
                load.window,
                load.model,
                batch=load.batch,
                items=load.items,
                now=micros(now),
                node=self._node,
            )
            if booking is not None:
                promises.book(conn, load.org_id, load.model, booking)

        await self._db.write(write, locks=(load.org_id,))
        if booking is None:
            return
        if before is not None:
            self._bookings.remove(load.org_id, load.model, before)
        self._bookings.add(load.org_id, load.model, booking)
        self._booked.add(load.org_id)


def _at_once(work: Work, lane: Lane, supply: Supply, now: float) -> Quote | Refusal:
    """Work that is due at once waits behind what is overdue alone."""
    if supply.permits <= 0.0:
        return Refusal("capacity", max(math.ceil(supply.opens - now), 1.0))
    wait = max(lane.everyone.by(now) / supply.rate, supply.opens - now, 0.0)
    if lane.items_by(now) + work.items > MOST_ASAP or wait > LONGEST_ASAP:
        return Refusal("capacity", float(max(math.ceil(wait - LONGEST_ASAP / 2.0), 1)))
    start = now + wait
    finish = start + work.largest / supply.each
    return Quote(start, finish, start, finish + work.largest / supply.each, now, 1.0 if wait <= 1.0 else 0.5)
