"""An item of a job as the inference that it asks for: the second door to `services.inference`, for those who hold a lease.

    Leased, Item --prepare--> Inference, at the price that was frozen --run--> ENDED    its result is written
                                                                     '-------> AGAIN    it failed: another try, and this one counts
                                                                     '-------> LATER    no target had a place: another try
                                                                     '-------> UNKEPT   its result could not be written
                                                                     '-------> LOST     somebody else has it

A failed try is judged by `scheduling.backoff`: three tries, or more while there is time until it is due. What an item ends
with is written by a commit that its lease guards. Knows no loop and no other item.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

import msgspec

from ingot.dialects.dialect import Dialect
from ingot.errors import ApiError, NotFound, Overloaded, PlatformError, RateLimited, UpstreamError
from ingot.pricing import Price, parse_frozen
from ingot.scheduling.backoff import again
from ingot.scheduling.fairness import service
from ingot.services.accounting import CANCELLED, EXPIRED, Unrun, account, claim_of, unrun
from ingot.services.asking import Asked, before, for_target, seen, stamped
from ingot.services.door import Door, Inference, Outcome
from ingot.services.endings import NEVER_RAN, ending_of
from ingot.services.grants import Grant
from ingot.services.inference import run
from ingot.services.keys import Principal
from ingot.services.pacing import Called, Ending
from ingot.services.purse import Hold
from ingot.services.recording import Fenced
from ingot.services.runtime import Runtime
from ingot.store import deposits
from ingot.store.faults import StoreError
from ingot.store.queue import Item, Leased
from ingot.store.schema import MICROSECOND, micros
from ingot.store.settle import Settlement
from ingot.store.suspects import MOST_LAPSES

Dialects = Mapping[tuple[str, str], Dialect]
"""Each dialect as a preset dresses it, by preset and surface; its `decode` takes what the preset has let through already."""

OK = 200
TOLD_LATER = frozenset({408, 409, 425, 429})
"""Statuses of a client's fault that another try may not meet."""


class Verdict(Enum):
    """What becomes of an item after a try."""

    ENDED = auto()
    AGAIN = auto()
    LATER = auto()
    UNKEPT = auto()
    LOST = auto()


@dataclass(slots=True)
class Attempt:
    """One try of one item, after so many that failed; `outcome` says afterwards what was used."""

    runtime: Runtime
    job: Leased
    item: Item
    grant: Grant
    tries: int = 0
    spent: int = 0
    """Service of the tries that failed under this lease; once this one has failed, with its own."""
    outcome: Outcome = field(default_factory=Outcome)
    inference: Inference | None = None
    estimates: tuple[int, int] = (0, 0)
    """Tokens read and written, as they were estimated when it was put in, by what is known now."""
    wait: float | None = None
    """Seconds that a target wants to be left alone."""
    fault: ApiError | None = None
    """Why the try failed, where a target was asked."""

    async def run(self, dialects: Dialects, door: Door) -> Verdict:
        """Runs the item and writes what it ends with; where this is cancelled `end_cancelled` may follow."""
        runtime, job = self.runtime, self.job
        dialect = dialects.get((job.preset, job.surface))
        if dialect is None:
            missing = NotFound(
                f"This server offers no {job.surface} under the preset '{job.preset}' any more."
            )
            return await self._fail(missing, None)
        if self.late and self.job.in_batch:
            return await self.end_unrun(EXPIRED)
        refused = self._objection()
        if refused is not None:
            return await self._fail(refused, dialect)
        try:
            self.inference, self.estimates = await prepare(
                runtime, dialect, job, self.item, grant=self.grant, spent=self.spent
            )
        except ApiError as error:
            return await self._fail(error, dialect)
        try:
            await run(runtime, self.inference, door, self.outcome)
        except Fenced:
            return Verdict.LOST
        except ApiError as error:
            return await self._judged(error)
        except StoreError:
            return Verdict.UNKEPT
        except Exception as error:  # whatever it is: it is logged, and a try like any other
            runtime.log.error("work failed", job=job.id, response=self.item.id, exc_info=error)
            return await self._judged(PlatformError("The request could not be worked on."))
        return Verdict.ENDED

    async def end_unrun(self, end: Unrun) -> Verdict:
        """Writes that it ended without having run."""
        return await end_unrun(self.runtime, self.job, self.item, grant=self.grant, end=end, spent=self.spent)

    async def end_cancelled(self) -> Verdict:
        """Writes that it was cancelled; what had come until then is billed, but of a batch, which pays for answers alone."""
        if self.inference is None or self.job.in_batch:
            return await self.end_unrun(CANCELLED)
        self.outcome.departed = True
        return await _write(self.runtime, account(self.runtime, self.inference, self.outcome))

    def called(self, *, running: int, before: int) -> Called | None:
        """What the try tells of the target that was asked, which had `running` calls at its end and `before` when it began; None
        where it tells nothing of it.
        """
        outcome, inference = self.outcome, self.inference
        if inference is None or not outcome.attempts or outcome.departed:
            return None
        ending = _ending_for(outcome, self.fault)
        if ending is None:
            return None
        usage = outcome.usage
        guess, most = self.estimates
        return Called(
            model=self.job.model,
            ending=ending,
            began=self.runtime.clock.now() - outcome.seconds,
            seconds=outcome.seconds,
            read=0 if usage is None else usage.input,
            written=0 if usage is None else usage.output,
            guess=guess,
            most=most,
            retry_after=self.wait,
            running=running,
            beside=(before + running) / 2.0,
            item=self.item.id,
        )

    def _objection(self) -> ApiError | None:
        """Why it is not to be run at all."""
        if self.job.lapses >= MOST_LAPSES:
            return PlatformError(
                "The request was begun several times, and each time the process that worked on it ended.",
                code="worker_crashed",
            )
        if self.late:
            return Overloaded(
                f"The request could not be answered within its completion window, '{self.job.window}'.",
                code="window_missed",
            )
        return None

    @property
    def late(self) -> bool:
        """Whether its time is over, in a window whose work ends with it."""
        return self.job.on_miss == "fail" and self._now() > self.job.due_at

    async def _judged(self, error: ApiError) -> Verdict:
        outcome = self.outcome
        self.fault = error
        if error.code == "storage_unavailable":
            return Verdict.UNKEPT
        final = outcome.refused or (error.status < PlatformError.status and error.status not in TOLD_LATER)
        if not final:
            self.wait = error.retry_after
            if ending_of(outcome) is NEVER_RAN:
                return Verdict.LATER
        self.spent += self._cost()
        now, due = self._now() / MICROSECOND, self.job.due_at / MICROSECOND
        if not final and again(self.tries + 1, at=now, due=due, service=0.0):
            return Verdict.AGAIN
        if self.inference is None:
            raise AssertionError("what was run was prepared")
        outcome.recorded = True
        claim = claim_of(self.job, self.item, spent=max(self.spent - _told(outcome), 0))
        ended = msgspec.structs.replace(self.inference, claim=claim)
        # A target that was never asked leaves a failure all the same: somebody waits for the record.
        return await _write(self.runtime, account(self.runtime, ended, outcome))

    def _cost(self) -> int:
        """The service that others might have had of its place."""
        outcome = self.outcome
        if not outcome.attempts:
            return 0
        return self.runtime.desk.pacing.cost(outcome.target, outcome.seconds)

    async def _fail(self, error: ApiError, dialect: Dialect | None) -> Verdict:
        body = None if dialect is None else dialect.encode_error(error, self.item.request_id)[1]
        return await self.end_unrun(Unrun("failed", error.status, code=error.code, answer=body))

    def _now(self) -> int:
        return micros(self.runtime.clock.now())


async def end_unrun(
    runtime: Runtime, job: Leased, item: Item, *, grant: Grant | None, end: Unrun, spent: int = 0
) -> Verdict:
    """Writes that an item ended without having run; `grant` None keeps nothing of it."""
    return await _write(runtime, unrun(runtime, job, item, grant=grant, end=end, spent=spent))


async def _write(runtime: Runtime, settlement: Settlement) -> Verdict:
    try:
        await runtime.recorder.record(settlement)
    except Fenced:
        return Verdict.LOST
    except StoreError:
        return Verdict.UNKEPT
    return Verdict.ENDED


def _ending_for(outcome: Outcome, fault: ApiError | None) -> Ending | None:
    """How a call ended for its target: None where the client's request was at fault, or we were."""
    if outcome.status == OK and outcome.error is None:
        return "done"
    if outcome.refused:
        return None
    if isinstance(fault, RateLimited):
        return "throttled"
    return "failed" if fault is None or isinstance(fault, UpstreamError) else None


def _told(outcome: Outcome) -> int:
    """The service of what a target said was used: it is counted by itself."""
    return 0 if outcome.usage is None else service(outcome.usage.input, outcome.usage.output)


async def prepare(
    runtime: Runtime, dialect: Dialect, job: Leased, item: Item, *, grant: Grant, spent: int = 0
) -> tuple[Inference, tuple[int, int]]:
    """The inference of an item, and its estimates; raises ApiError where its model is gone, or what it goes on from."""
    # What was agreed when it was put in counts, whatever the model costs by now.
    deployment = replace(runtime.catalog.resolve(job.model), price=Price(parse_frozen(job.price).rates))
    call = dialect.decode(item.request)
    if item.headers is not None:
        headers = msgspec.json.decode(item.headers, type=dict[str, str])
        call = msgspec.structs.replace(call, headers=tuple(headers.items()))
    who = Principal(job.key_id, "", "", job.org_id, "inference", grant)
    path = f"/v1{dialect.surface}"
    asked = Asked(item.request_id, path, dialect, call, deployment, who, window=job.window, background=True)
    call = await before(runtime, dialect, call, who)
    if job.in_batch:
        call = await seen(runtime, asked, call)  # of others it was seen when they were taken
    # By all that the client sent, as at the door: a target gets less.
    estimates = runtime.gate.estimates_of(call, deployment)
    call = for_target(runtime, dialect, call, window=job.window)
    # Its money is in leases of the queue: there is nothing for the purse to release.
    hold = Hold(job.org_id, item.reserved, bool(job.prepaid), deposits.decode(job.holds), released=True)
    inference = Inference(
        item.request_id,
        path,
        dialect,
        stamped(runtime, call, asked, response_id=item.id),
        deployment,
        who,
        response_id=item.id,
        created_at=job.created_at,
        window=job.window,
        hold=hold,
        claim=claim_of(job, item, spent=spent),
        begun_at=micros(runtime.clock.now()),
        on_miss=job.on_miss,  # type: ignore[arg-type]  # a window's, as it was then
        asked=asked.call.body,
    )
    return inference, estimates
