"""One job from its lease to the end of its last item, whatever comes between.

items --permit, try--> ENDED                         the last one takes the job along
                 '---> AGAIN, LATER                  the job goes back with what is left, after a pause
                 '---> LOST                          somebody else has it: nothing more is done

stopped because   CANCELLED   what runs is ended as that; of a batch what has not begun is, and the rest has a minute (wind_up)
                  ENDING      the process ends: the job goes back at once
                  TAKEN       its lease was lost: it is dropped
"""

import asyncio
import random
from enum import Enum, auto
from typing import Final

from ingot.errors import ApiError
from ingot.scheduling.backoff import pause
from ingot.services.accounting import CANCELLED, EXPIRED, Unrun, claim_of, settle_rates, unrun
from ingot.services.grants import Grant
from ingot.services.runtime import Runtime
from ingot.services.work import Attempt, Dialects, Verdict
from ingot.signals.signal import ENDS
from ingot.store.faults import StoreError
from ingot.store.queue import Item, Leased
from ingot.store.schema import seconds
from ingot.worker.door import QuietDoor, StreamDoor
from ingot.worker.lanes import Places

OK: Final = 200
BUSY_SECONDS: Final = 1.0
"""How long work waits that no target had a place for, or whose answer could not be written."""


class Why(Enum):
    """Why a job is stopped from outside."""

    CANCELLED = auto()
    ENDING = auto()
    TAKEN = auto()


class Running:
    """A job that this process has."""

    def __init__(
        self,
        runtime: Runtime,
        dialects: Dialects,
        job: Leased,
        *,
        permits: asyncio.Semaphore,
        places: Places,
        rng: random.Random,
    ) -> None:
        """`permits` are the places of the process, `places` those of its target."""
        self.job = job
        self.left = job.hi - job.lo + 1
        """Items that have not ended."""
        self.task: asyncio.Task[None] | None = None
        self._runtime = runtime
        self._dialects = dialects
        self._permits = permits
        self._places = places
        self._rng = rng
        self._why: Why | None = None
        self._left_as: Unrun | None = None
        self._waiting: set[asyncio.Task[Verdict]] = set()
        self._tokens = 0
        self._wait: float | None = None

    def stop(self, why: Why) -> None:
        """Stops what runs of it; again is no error."""
        if self._why is None and self.task is not None:
            self._why = why
            self.task.cancel()

    def wind_up(self, end: Unrun = CANCELLED) -> None:
        """Begins no item any more: those that wait for a place end so."""
        if self._left_as is None:
            self._left_as = end
            for each in self._waiting:
                each.cancel()

    def end_late(self, now: int) -> None:
        """Ends what waits for a place although the time of its batch is over; `now` in microseconds."""
        if self.job.in_batch and self.job.on_miss == "fail" and now > self.job.due_at:
            self.wind_up(EXPIRED)

    async def run(self) -> None:
        """Works on it until it has ended, was given back or was lost; raises nothing but a fault of ours."""
        job, jobs = self.job, self._runtime.jobs
        try:
            verdicts = await self._items()
        except asyncio.CancelledError:
            if self._why is None:
                raise
            if self._why is not Why.TAKEN:
                # One that was to be ended is, by whoever takes it next.
                await jobs.give_back(job)
            return
        except StoreError as error:
            self._runtime.log.warning("work cannot be looked at", job=job.id, reason=error.message)
            verdicts = {Verdict.LATER}
        if Verdict.LOST in verdicts:
            self._runtime.measures.jobs["fenced"] += 1
        elif verdicts & {Verdict.AGAIN, Verdict.LATER}:
            await self._give_back(tried=Verdict.AGAIN in verdicts)
        else:
            await settle_rates(self._runtime, job, tokens=self._tokens)
            jobs.signal.send(ENDS)

    async def _items(self) -> set[Verdict]:
        jobs = self._runtime.jobs
        items = await jobs.items(self.job)
        grant = await jobs.grant_of(self.job)
        if grant is None or self.job.cancel_at is not None:
            return await self._end(items, grant)
        if len(items) == 1:
            return {await self._item(items[0], grant)}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one_of(item, grant)) for item in items]
            self._waiting.update(tasks)
        return {task.result() for task in tasks}

    async def _one_of(self, item: Item, grant: Grant) -> Verdict:
        """`_item` of a batch: one that waits for a place ends at once where the batch does."""
        try:
            return await self._item(item, grant)
        except asyncio.CancelledError:
            end = self._left_as
            if end is None or self._why is not None or asyncio.current_task() not in self._waiting:
                raise
            _clear()
            self.left -= 1
            return await Attempt(self._runtime, self.job, item, grant).end_unrun(end)

    async def _item(self, item: Item, grant: Grant) -> Verdict:
        lifted = seconds(self.job.lift_at) <= self._runtime.clock.now()
        async with self._places.enter(lifted=lifted), self._permits:
            self._waiting.discard(asyncio.current_task())
            attempt = Attempt(self._runtime, self.job, item, grant)
            door, told = await self._door(item), True
            try:
                verdict = await attempt.run(self._dialects, QuietDoor() if door is None else door)
            except asyncio.CancelledError:
                if self._why is not Why.CANCELLED:
                    raise
                _clear()
                told = False  # whoever reads along learns it from the record
                verdict = await attempt.end_cancelled()
            if door is not None:
                await door.close(ended=told and verdict is Verdict.ENDED and attempt.outcome.status == OK)
            self._learn(attempt)
        self.left -= 1
        usage = attempt.outcome.usage
        if usage is not None and verdict is Verdict.ENDED:
            self._tokens += usage.input + usage.output
        if attempt.wait is not None:
            self._wait = max(self._wait or 0.0, attempt.wait)
        self._runtime.measures.jobs[verdict.name.lower()] += 1
        return verdict

    def _learn(self, attempt: Attempt) -> None:
        """What the try tells of its target."""
        called = attempt.called(running=self._places.running + self._places.others)
        link = self._runtime.fleet.links.get(attempt.outcome.target)
        if called is not None and link is not None:
            now = self._runtime.clock.now()
            self._runtime.desk.pacing.learn(link.target, called, now)

    async def _door(self, item: Item) -> StreamDoor | None:
        """Where its events go, if it has any."""
        if not self.job.streamed:
            return None
        claim, runtime = claim_of(self.job, item), self._runtime
        # The events of responses say their number themselves.
        numbered = self.job.surface == "responses"
        door = StreamDoor(runtime.jobs, claim, item.id, log=runtime.log, renumber=numbered)
        await door.open()
        return door

    async def _end(self, items: list[Item], grant: Grant | None) -> set[Verdict]:
        """Ends all items as cancelled, without a try."""
        ends = [unrun(self._runtime, self.job, item, grant=grant, end=CANCELLED) for item in items]
        try:
            await asyncio.gather(*(self._runtime.recorder.record(each) for each in ends))
        except ApiError:
            return {Verdict.LOST}
        return {Verdict.ENDED}

    async def _give_back(self, *, tried: bool) -> None:
        part = self._rng.random()
        rest = pause(self.job.tries + 1, part, retry_after=self._wait) if tried else BUSY_SECONDS + part
        await self._runtime.jobs.give_back(self.job, seconds=rest, tried=tried)


def _clear() -> None:
    """The cancellation was meant for the call to the target, which has ended; what follows may wait again."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
