"""One item while its job is leased here: its tries one after the other, and the pauses between them.

    WAITS --a place of its target, a permit of the process--> RUNS --> OVER   written, or goes back with the job
      ^                                                        | failed
      '-------------- its pause is over --- PAUSES <-----------'

In a pause it holds no place and no permit. It pauses here only beside items of its job that wait or run; once none does,
what is left goes back to the queue, with the tries it has cost, and any node may have it. A lane bears only so many that
pause (`Places`); any more go back as well.

ended from outside    wind_up   begins no more: one that waits or pauses ends at once, one that runs after its try
                      cancel    so does one that runs
                      drop      nothing is written: it goes back, or is somebody else's already

Decides when an item is tried; refuses to know leases and what a try is.
"""

import asyncio
import random
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ingot.scheduling.backoff import LONGEST_RETRY_AFTER, pause
from ingot.services.accounting import CANCELLED, Unrun, claim_of
from ingot.services.grants import Grant
from ingot.services.runtime import Runtime
from ingot.services.work import Attempt, Dialects, Verdict, end_unrun
from ingot.store.faults import StoreError
from ingot.store.queue import Item, Leased, Rest
from ingot.store.schema import micros, seconds
from ingot.worker.door import QuietDoor, StreamDoor
from ingot.worker.lanes import Places
from ingot.worker.line import Turn

OK: Final = 200
BUSY_SECONDS: Final = 1.0
"""How long work waits that no target had a place for, or whose answer could not be written."""


class Stage(Enum):
    """Where an item stands."""

    WAITS = auto()
    RUNS = auto()
    PAUSES = auto()
    ENDS = auto()
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Bench:
    """What a process works on items of one lane with: `permits` are its own places, `places` those of the target."""

    runtime: Runtime
    dialects: Dialects
    permits: asyncio.Semaphore
    places: Places
    rng: random.Random


class Together:
    """The items of a job under one lease: how many wait or run, so that none pauses here alone."""

    def __init__(self, count: int) -> None:
        self.active = count
        self._still = asyncio.Event()

    def begin(self) -> None:
        """One more waits for its place."""
        self.active += 1

    def end(self) -> None:
        """One less."""
        self.active -= 1
        if self.active <= 0:
            self.still()

    def still(self) -> None:
        """Nobody pauses here any more."""
        self._still.set()

    async def pause(self, rest: float) -> bool:
        """Whether others were still at work after so many seconds; False as soon as none is."""
        try:
            async with asyncio.timeout(rest):
                await self._still.wait()
        except TimeoutError:
            return True
        return False


class Course:
    """An item of a job that this process has; `grant` None: its organization is gone, so it can only be ended."""

    def __init__(
        self, job: Leased, item: Item, *, grant: Grant | None, bench: Bench, together: Together
    ) -> None:
        self.item = item
        self.stage = Stage.WAITS
        self.verdict: Verdict | None = None
        """What came of the last try; None where there was none, or it was dropped."""
        self.tokens = 0
        """Of its answer."""
        self.task: asyncio.Task[None] | None = None
        self._job = job
        self._grant = grant
        self._bench = bench
        self._together = together
        self._active = True
        self._tries = 0
        self._spent = 0
        self._until = 0.0
        self._end: Unrun | None = None
        self._cancelled = False

    # ---- from outside

    def wind_up(self, end: Unrun) -> None:
        """Begins no try any more."""
        if self._end is None:
            self._end = end
            if self.stage in (Stage.WAITS, Stage.PAUSES):
                self._interrupt()

    def cancel(self) -> None:
        """Ends it as cancelled, whatever it does."""
        if self.stage is not Stage.ENDS:
            self._end, self._cancelled = CANCELLED, True
            self._interrupt()

    def drop(self) -> None:
        """Stops without a word."""
        self._end, self._cancelled = None, False
        self._interrupt()

    @property
    def tried(self) -> bool:
        """Whether its target was asked, under this lease or before."""
        return self.stage is not Stage.WAITS or self._tries > 0 or self._job.tries > 0

    def step_aside(self) -> None:
        """Goes back where it does not run."""
        if self.stage in (Stage.WAITS, Stage.PAUSES):
            self.drop()

    def rest(self, least: float = 0.0) -> Rest:
        """How it goes back, for `least` seconds at least."""
        left = max(self._until - asyncio.get_running_loop().time(), least, 0.0)
        return Rest(self._tries, micros(left), self._spent)

    def _interrupt(self) -> None:
        if self.task is not None:
            self.task.cancel()

    # ---- its way

    async def run(self) -> None:
        """Goes on until it has ended, or cannot be gone on with here."""
        try:
            if self._end is None and self._grant is not None:
                await self._try_all(self._grant)
            else:
                await self._end_unrun(self._end or CANCELLED)
        except asyncio.CancelledError:
            if self._end is None or self.stage is Stage.ENDS:
                raise
            _clear()
            await self._end_unrun(self._end)
        finally:
            self._leave(Stage.OVER)

    async def _try_all(self, grant: Grant) -> None:
        runtime, job = self._bench.runtime, self._job
        while True:
            tries = job.tries + self._tries
            attempt = Attempt(runtime, job, self.item, grant, tries=tries, spent=self._spent)
            try:
                self.verdict = await self._try(attempt)
            except StoreError as error:
                runtime.log.warning("work cannot be noted", response=self.item.id, reason=error.message)
                self.verdict = Verdict.UNKEPT
            runtime.measures.jobs[self.verdict.name.lower()] += 1
            self._spent, usage = attempt.spent, attempt.outcome.usage
            if self.verdict is Verdict.ENDED and usage is not None:
                self.tokens = usage.input + usage.output
            if self.verdict in (Verdict.ENDED, Verdict.LOST):
                return
            rest = self._rest_of(attempt)
            self._until = asyncio.get_running_loop().time() + rest
            if self.verdict is Verdict.UNKEPT:
                return  # it may have been written all the same: the queue knows
            if self._end is not None:
                await self._end_unrun(self._end)
                return
            if not await self._pause(rest):
                return

    async def _try(self, attempt: Attempt) -> Verdict:
        bench = self._bench
        job = self._job
        lifted = seconds(job.lift_at) <= bench.runtime.clock.now()
        turn = Turn(job.org_id, job.weight, job.estimate, job.target_at, lifted)
        async with bench.places.enter(turn), bench.permits:
            if attempt.tries and not attempt.late and (held := bench.places.hold()):
                attempt.wait = held
                return Verdict.LATER
            self.stage = Stage.RUNS
            door, told = await self._door(), True
            before = bench.places.calls
            try:
                verdict = await attempt.run(bench.dialects, QuietDoor() if door is None else door)
            except asyncio.CancelledError:
                if not self._cancelled:
                    raise
                _clear()
                self.stage = Stage.ENDS
                told = False  # whoever reads along learns it from the record
                verdict = await attempt.end_cancelled()
            if door is not None:
                await door.close(ended=told and verdict is Verdict.ENDED and attempt.outcome.status == OK)
            self._learn(attempt, before)
        return verdict

    async def _pause(self, rest: float) -> bool:
        """Whether another try may begin here, once the pause is over."""
        places = self._bench.places
        if not places.park():
            return False
        try:
            self._leave(Stage.PAUSES)
            if not await self._together.pause(rest):
                return False
        finally:
            places.unpark()
        if self._bench.runtime.recorder.failing_since is not None:
            return False  # its answer could not be written
        self._together.begin()
        self._active, self.stage = True, Stage.WAITS
        return True

    async def _end_unrun(self, end: Unrun) -> None:
        self.stage = Stage.ENDS
        runtime = self._bench.runtime
        self.verdict = await end_unrun(
            runtime, self._job, self.item, grant=self._grant, end=end, spent=self._spent
        )

    def _leave(self, stage: Stage) -> None:
        """Works on nothing from here on."""
        if self.verdict is Verdict.LOST:
            self._together.still()
        if self._active:
            self._together.end()
        self._active, self.stage = False, stage

    def _rest_of(self, attempt: Attempt) -> float:
        """Seconds until another try, after one that failed."""
        part = self._bench.rng.random()
        if self.verdict is Verdict.AGAIN:
            self._tries += 1
            return pause(self._job.tries + self._tries, part, retry_after=attempt.wait)
        places, later = self._bench.places, self.verdict is Verdict.LATER
        wait = 0.0 if later and places.probing else attempt.wait or 0.0
        rest = min(max(wait, BUSY_SECONDS), LONGEST_RETRY_AFTER) + part
        if later and not attempt.tries:
            places.expect(rest)
        return rest

    def _learn(self, attempt: Attempt, before: int) -> None:
        """What the try tells of its target, which had so many calls `before`."""
        places, runtime = self._bench.places, self._bench.runtime
        called = attempt.called(running=places.calls, before=before)
        link = runtime.fleet.links.get(attempt.outcome.target)
        if called is not None and link is not None:
            runtime.desk.pacing.learn(link.target, called, runtime.clock.now())

    async def _door(self) -> StreamDoor | None:
        """Where its events go, if it has any."""
        job, runtime = self._job, self._bench.runtime
        if not job.streamed:
            return None
        # The events of responses say their number themselves.
        numbered = job.surface == "responses"
        claim = claim_of(job, self.item)
        door = StreamDoor(runtime.jobs, claim, self.item.id, log=runtime.log, renumber=numbered)
        await door.open()
        return door


def _clear() -> None:
    """The cancellation was meant for the call to the target, which has ended; what follows may wait again."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
