"""One job from its lease to the end of its last item, whatever comes between.

    lease --> its items, each on its own course --all over--> ended         nothing is left: the job went with its last item
                                                         '--> given back    with what is left, each item with the tries it has cost
                                                         '--> dropped       somebody else has it

stopped because    CANCELLED   each item is ended as that
                   ENDING      the process ends: the job goes back at once
                   TAKEN       its lease was lost

The unit of a retry is the item (`course`): it is tried again beside the others of its job, and goes back once they are done.
What a crash costs: the job is as it was leased, so that an item forgets the failed tries of that lease; `store.suspects` says
what becomes of one that was there each time. Knows no place and no pause.
"""

import asyncio
from collections.abc import Mapping
from enum import Enum, auto

from ingot.scheduling.choice import Own
from ingot.services.accounting import CANCELLED, EXPIRED, Unrun, settle_rates
from ingot.services.work import Verdict
from ingot.signals.signal import ENDS
from ingot.store.faults import StoreError
from ingot.store.heads import head_of
from ingot.store.queue import Leased, Rest
from ingot.store.schema import micros
from ingot.worker.course import BUSY_SECONDS, Bench, Course, Stage, Together


class Why(Enum):
    """Why a job is stopped from outside."""

    CANCELLED = auto()
    ENDING = auto()
    TAKEN = auto()


class Running:
    """A job that this process has."""

    def __init__(self, job: Leased, bench: Bench) -> None:
        self.job = job
        self.since = asyncio.get_running_loop().time()
        """When it was leased, by the loop's clock."""
        self.task: asyncio.Task[None] | None = None
        self._bench = bench
        self._together = Together(job.hi - job.lo + 1)
        self._courses: list[Course] | None = None
        self._why: Why | None = None
        self._end: Unrun | None = None
        self._aside = 0.0

    @property
    def active(self) -> int:
        """Items that have a place, or wait for one."""
        return self._together.active

    @property
    def waiting(self) -> int:
        """Items that wait for a place."""
        if self._courses is None:
            return self._together.active
        return sum(each.stage is Stage.WAITS for each in self._courses)

    @property
    def own(self) -> Own:
        """What waits of it for a place, as it stands beside the work in the queue."""
        return Own(self.job.org_id, self.job.weight, head_of(self.job, items=self.waiting))

    # ---- from outside

    def stop(self, why: Why) -> None:
        """Stops what runs of it; again is no error."""
        if self._why is not None or self.task is None:
            return
        self._why = why
        if self._courses is None:
            self.task.cancel()
            return
        for each in self._courses:
            if why is Why.CANCELLED:
                each.cancel()
            else:
                each.drop()

    def wind_up(self, end: Unrun = CANCELLED) -> None:
        """Begins no item any more: those that do not run end so."""
        if self._end is None:
            self._end = end
            for each in self._courses or ():
                each.wind_up(end)

    def step_aside(self, rest: float) -> None:
        """Lets other work of its target go first: what does not run goes back, for so many seconds at least. Where nothing of
        it was tried, it is itself that other work.
        """
        courses = self._courses or ()
        if (
            self._why is None
            and self._end is None
            and not self._aside
            and any(each.tried for each in courses)
        ):
            self._aside = rest
            for each in courses:
                each.step_aside()

    def end_late(self, now: int) -> None:
        """Ends what does not run although the time of its batch is over; `now` in microseconds."""
        if self.job.in_batch and self.job.on_miss == "fail" and now > self.job.due_at:
            self.wind_up(EXPIRED)

    # ---- its way

    async def run(self) -> None:
        """Works on it until it has ended, was given back or was lost; raises nothing but a fault of ours."""
        job, runtime = self.job, self._bench.runtime
        try:
            courses = await self._open()
        except asyncio.CancelledError:
            if self._why is None:
                raise
            await self._give_back({})  # one that was to be ended is, by whoever takes it next
            return
        except StoreError as error:
            runtime.log.warning("work cannot be looked at", job=job.id, reason=error.message)
            later = Rest(pause=micros(BUSY_SECONDS + self._bench.rng.random()))
            await self._give_back(dict.fromkeys(range(job.lo, job.hi + 1), later))
            return
        async with asyncio.TaskGroup() as group:
            for each in courses:
                each.task = group.create_task(each.run())
        if any(each.verdict is Verdict.LOST for each in courses):
            runtime.measures.jobs["fenced"] += 1
        elif left := {
            each.item.seq: each.rest(self._aside) for each in courses if each.verdict is not Verdict.ENDED
        }:
            await self._give_back(left)
        else:
            await settle_rates(runtime, job, tokens=sum(each.tokens for each in courses))
            runtime.jobs.signal.send(ENDS)

    async def _open(self) -> list[Course]:
        """Looks at its items, and who they are for."""
        job, jobs = self.job, self._bench.runtime.jobs
        items = await jobs.items(job)
        grant = await jobs.grant_of(job)
        self._together = Together(len(items))
        courses = [
            Course(job, item, grant=grant, bench=self._bench, together=self._together) for item in items
        ]
        if job.cancel_at is not None:
            self.wind_up()
        for each in courses:
            if self._end is not None:
                each.wind_up(self._end)
        self._courses = courses
        return courses

    async def _give_back(self, rests: Mapping[int, Rest]) -> None:
        if self._why is not Why.TAKEN:
            await self._bench.runtime.jobs.give_back(self.job, rests)
