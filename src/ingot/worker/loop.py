"""The worker of one process: takes jobs while there is room, keeps their leases, and gives back what it cannot end.

    look, woken by a hint or by time --room--> claim --> Running ... ended, given back, lost
    keep, each second: who is to be ended; four times a lease: leases renewed; each 10 s: those of dead processes taken back
    stop: nothing new is taken      close: what still runs is stopped, and given back

Permits come before claims, so that no job is leased which could not begin. Hints only save time: everything also polls.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import Final

from ingot.scheduling.capacity import Room
from ingot.scheduling.choice import Own
from ingot.services.runtime import Runtime
from ingot.services.work import Dialects
from ingot.signals.signal import ENDS, WORK
from ingot.store.faults import StoreError
from ingot.store.schema import MICROSECOND, micros
from ingot.store.suspects import distance
from ingot.worker.course import Bench
from ingot.worker.lanes import NOWHERE, Places, lane_of, lanes
from ingot.worker.running import Running, Why

BUSY_SECONDS: Final = 0.25
IDLE_SECONDS: Final = 1.0
KEEP_SECONDS: Final = 1.0
RECLAIM_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 60.0
"""How long what runs of a batch may go on once it is cancelled: it is paid for."""
KEPT: Final = 4
"""Of the places of a process one in so many is left to other lanes, so that a target that hangs holds up no other's work."""
ASIDE: Final = 2.0
"""For how many rests of its target a job steps aside, so that others are first after one."""
RENEWALS: Final = 4
"""Of a lease, before it is over."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a worker does at once, and how often it looks; seconds."""

    concurrency: int = 64
    busy: float = BUSY_SECONDS
    idle: float = IDLE_SECONDS
    keep: float = KEEP_SECONDS
    reclaim: float = RECLAIM_SECONDS
    grace: float = GRACE_SECONDS


class Worker:
    """Runs queued work; belongs to one event loop. `runtime` is replaced whole on a reload."""

    def __init__(self, runtime: Runtime, dialects: Dialects, *, pace: Pace = Pace()) -> None:
        self.runtime = runtime
        self._dialects = dialects
        self._pace = pace
        self._permits = asyncio.Semaphore(pace.concurrency)
        self._running: dict[str, Running] = {}
        self._places: dict[str, Places] = {}
        self._warm: dict[tuple[str, str], str] = {}
        self._look = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Works until `close`; a fault of the store is waited out."""
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(each) for each in (self._take(), self._keep(), self._hear())]
            await loops[0]
            for each in loops[1:]:
                each.cancel()

    def stop(self) -> None:
        """Takes nothing new from here on."""
        self._stopping = True
        for each in self._places.values():
            each.close()
        self._look.set()

    async def close(self) -> None:
        """Stops what runs, gives it back, and returns when that is done."""
        self.stop()
        running = list(self._running.values())
        for each in running:
            each.stop(Why.ENDING)
        await asyncio.gather(*(each.task for each in running if each.task), return_exceptions=True)

    async def idle(self) -> None:
        """Returns when nothing runs here; call it after `stop`."""
        while self._running:
            await asyncio.wait([each.task for each in self._running.values() if each.task is not None])

    # ---- taking

    async def _take(self) -> None:
        rng = self.runtime.rng
        while not self._stopping:
            self._look.clear()
            try:
                await self._fill()
            except StoreError as error:
                self.runtime.log.warning("the queue cannot be looked at", reason=error.message)
            seconds = self._pace.busy if self._running else self._pace.idle
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds * rng.uniform(0.9, 1.1)):
                    await self._look.wait()

    async def _fill(self) -> None:
        """Takes what there is room for, lane by lane."""
        runtime = self.runtime
        crowded = any(each.crowded for each in self._places.values())
        if (self._free() <= 0 and not crowded) or not runtime.recorder.may_try():
            return
        models = await runtime.jobs.models()
        by_lane = lanes(runtime.catalog, models)
        for name, places in self._places.items():
            places.wanted = name in by_lane
            places.wake()
            own = self._of(name)
            if (name in by_lane or len(own) > 1) and (rest := places.rests):
                # What failed may be to blame itself: others are tried when the rest is over, before it comes back.
                for each in own:
                    each.step_aside(ASIDE * rest)
        if by_lane:
            await runtime.desk.refresh(runtime.catalog)
        most = self._most_of_one()
        for name, waiting in by_lane.items():
            places = self._places_of(name)
            places.most = most
            room, held = self._room(name, places)
            if room.lifted <= 0 or self._stopping:
                continue
            warm = {org_id: prefix for (lane, org_id), prefix in self._warm.items() if lane == name}
            found = await runtime.jobs.claim(
                room,
                models=waiting,
                horizon=runtime.desk.horizon(name),
                warm=warm,
                suspects=self._distant(),
                untried=places.doubted,
                own=held,
            )
            bench = Bench(runtime, self._dialects, self._permits, places, runtime.rng)
            for job in found:
                if job.prefix:
                    self._warm[name, job.org_id] = job.prefix
                self._begin(Running(job, bench))

    def _distant(self) -> bool:
        """Whether one that is suspected of killing its workers may begin: the last ones began long enough ago."""
        now = asyncio.get_running_loop().time()
        return all(now - each.since >= distance(each.job.lapses) for each in self._running.values())

    def _room(self, name: str, places: Places) -> tuple[Room, list[Own]]:
        """For how many more items jobs of a lane may be leased, and what competes with them for it."""
        room = places.room(held=self._held(name), free=self._free())
        if room.ordinary > 0 or not places.crowded:
            return room, []
        own = [each.own for each in self._of(name) if each.waiting]
        more = places.beside(jobs=len(own))
        return Room(more, max(more, room.lifted)), own

    def _most_of_one(self) -> int:
        """How many places of the process one lane may have: all but a quarter, where there are others."""
        several = len(self._lanes()) > 1
        return max(self._pace.concurrency - several * -(-self._pace.concurrency // KEPT), 1)

    def _begin(self, running: Running) -> None:
        self.runtime.measures.jobs["leased"] += 1
        self._running[running.job.id] = running
        running.task = asyncio.get_running_loop().create_task(self._follow(running))
        if self._stopping:
            running.stop(Why.ENDING)

    async def _follow(self, running: Running) -> None:
        try:
            await running.run()
        except StoreError as error:
            # Its lease lapses, and somebody takes it back.
            self.runtime.log.warning("work was not given back", job=running.job.id, reason=error.message)
        except Exception as error:  # one job takes no other with it
            self.runtime.log.error("a job broke off", job=running.job.id, exc_info=error)
        finally:
            if self._running.get(running.job.id) is running:
                del self._running[running.job.id]
            self._look.set()

    def _free(self) -> int:
        """Places of the process that nobody has: what waits for its target, which bears few, takes none from others."""
        held: Counter[str] = Counter()
        for each in self._running.values():
            held[lane_of(self.runtime.catalog, each.job.model)] += each.active
        taken = sum(min(count, self._places_of(lane).bearable(count)) for lane, count in held.items())
        return self._pace.concurrency - taken

    def _held(self, lane: str) -> int:
        """Items of a lane that are leased, and run or wait for a place."""
        return sum(each.active for each in self._of(lane))

    def _of(self, lane: str) -> list[Running]:
        """The jobs of a lane."""
        catalog = self.runtime.catalog
        return [each for each in self._running.values() if lane_of(catalog, each.job.model) == lane]

    def _lanes(self) -> set[str]:
        """All lanes that there are."""
        catalog = self.runtime.catalog
        return {lane_of(catalog, model) for model in catalog.deployments}

    def _places_of(self, lane: str) -> Places:
        link = None if lane == NOWHERE else self.runtime.fleet.links.get(lane)
        known = self._places.get(lane)
        if known is None or known.link is not link:
            known = self._places[lane] = Places(
                link, self.runtime.desk.pacing, clock=self.runtime.clock, look=self._look.set
            )
            known.wanted = True
        return known

    def _measure(self) -> None:
        """Notes how many places queued work has at each target."""
        runtime = self.runtime
        now = runtime.clock.now()
        for name in self._lanes():
            link = runtime.fleet.links.get(name)
            if link is not None:
                asap = self._places_of(name).others
                runtime.desk.pacing.look(link.target, now, asap=asap, most=self._pace.concurrency)
        for places in self._places.values():
            places.wake()

    # ---- keeping

    async def _hear(self) -> None:
        signal = self.runtime.jobs.signal
        while True:
            mark = signal.mark(WORK)
            await signal.wait(WORK, mark, IDLE_SECONDS * 60)
            self._look.set()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        signal = self.runtime.jobs.signal
        renewed, reclaimed = loop.time(), 0.0
        while True:
            mark = signal.mark(ENDS)
            try:
                if loop.time() - reclaimed >= min(self._pace.reclaim, self.runtime.jobs.lease / RENEWALS):
                    reclaimed = loop.time()
                    await self.runtime.jobs.reclaim(self._running.keys())
                if self._running:
                    await self._end_cancelled()
                for running in list(self._running.values()):
                    running.end_late(micros(self.runtime.clock.now()))
                self._measure()
                await self.runtime.desk.share()
                if self._running and loop.time() - renewed >= self.runtime.jobs.lease / RENEWALS:
                    renewed = loop.time()
                    await self._renew()
            except StoreError as error:
                self.runtime.log.warning("leases of work are not kept", reason=error.message)
            await signal.wait(ENDS, mark, self._pace.keep)

    async def _end_cancelled(self) -> None:
        now = micros(self.runtime.clock.now())
        for job_id, since in (await self.runtime.jobs.cancelled()).items():
            running = self._running.get(job_id)
            if running is None:
                continue
            if running.job.in_batch and now - since < self._pace.grace * MICROSECOND:
                running.wind_up()
            else:
                running.stop(Why.CANCELLED)

    async def _renew(self) -> None:
        mine = dict(self._running)
        kept = await self.runtime.jobs.renew(list(mine))
        for job_id, running in mine.items():
            if (job_id, running.job.epoch) not in kept:
                running.stop(Why.TAKEN)
