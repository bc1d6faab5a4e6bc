"""The queue of one database, as one process sees it: puts work in, looks how it stands, leases it, ends it.

    put         one commit: rates were charged before, money, item, job and the answer of its retry key
    cancel      waiting: ended here, at once; running: asked for, and its worker ends it within a moment
    claim ...   what workers call; each of their writes carries the job's epoch

Statements are those of `store.queue`; this adds clocks, hints and what a client is told. Knows no wire format.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from msgspec.structs import replace
from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock
from ingot.errors import RateLimited
from ingot.pricing import parse_frozen
from ingot.scheduling import choice
from ingot.scheduling.backlog import NONE
from ingot.scheduling.capacity import Room
from ingot.scheduling.choice import Own
from ingot.services.grants import Grant
from ingot.services.keeping import Keep, keep_nothing
from ingot.services.purse import Payer, Purse
from ingot.signals.signal import ENDS, EVENTS, WORK, Signal
from ingot.store import batches, deposits, events, idempotency, queue, waiting
from ingot.store.batches import BatchRow, Revealed
from ingot.store.database import Database
from ingot.store.deposits import Deposit, Short
from ingot.store.events import Event
from ingot.store.heads import Claimer
from ingot.store.idempotency import Lead
from ingot.store.orders import Hook, insert_order
from ingot.store.organizations import organization
from ingot.store.queue import Choose, Claim, Item, Job, Leased, NewItem, Rest
from ingot.store.schema import micros
from ingot.store.waiting import Record

LEASE_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 10.0
"""How long a cancellation waits for the worker that has the work."""
LOOK_SECONDS: Final = 0.25
NOTHING_WARM: Final[Mapping[str, str]] = {}
AS_IT_CAME: Final[Mapping[int, Rest]] = {}


class Lost(Exception):
    """Another process took the idempotency key over: nothing was put in."""


@dataclass(frozen=True, slots=True)
class Order:
    """Work to be put in: its job, whose money and leases are filled in here, its items, who pays the most it could cost."""

    job: Job
    items: Sequence[NewItem]
    payer: Payer
    most: int
    lead: Lead | None = None
    status: int = 202
    """What the retry key is answered with."""
    hook: Hook | None = None
    """Whom to call when its one item is done."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch whose requests are all written down: what is known of it, its jobs, the most that they could cost."""

    found: Revealed
    work: Sequence[Job]
    most: int


class Jobs:
    """The queue; belongs to one event loop."""

    def __init__(
        self,
        db: Database,
        *,
        purse: Purse,
        signal: Signal,
        clock: Clock,
        lease: float = LEASE_SECONDS,
        new_id: ids.NewId = ids.new_id,
    ) -> None:
        """`lease` is how long a job is a process's, in seconds, unless it renews it."""
        self.owner = new_id("own")
        self.signal = signal
        self.lease = lease
        self._db = db
        self._purse = purse
        self._clock = clock
        self._new_id = new_id

    # ---- for those who ask

    async def put(self, order: Order) -> None:
        """Returns once it is durable; raises QuotaExceeded, Lost, StoreError, after which nothing was put in."""
        job = order.job
        accounts = self._purse.accounts(job.org_id, order.payer) if order.most > 0 else []
        leases = tuple(self._new_id("hold") for _ in accounts)
        wanted = Deposit(tuple(accounts), leases, order.most, self._now())

        def write(conn: Connection) -> None:
            lead = order.lead
            if lead is not None and not idempotency.finish(
                conn,
                lead,
                status=order.status,
                content_type="application/json",
                answer=b"",
                now=job.created_at,
            ):
                raise Lost
            parts = deposits.deposit(conn, wanted)
            reserved = order.most // len(order.items) if parts else 0
            new = [replace(each, reserved=reserved) for each in order.items]
            queue.enqueue(conn, replace(job, holds=deposits.encode(parts)), new)
            if order.hook is not None:
                insert_order(conn, job.org_id, order.items[0].id, hook=order.hook, at=job.created_at)

        try:
            await self._db.write(write, locks=(job.org_id,))
        except Short as short:
            raise self._purse.refusal(short.account, order.most, short.taken) from short
        self.signal.send(WORK)

    async def reveal(
        self,
        batch: BatchRow,
        rows: Rows,
        *,
        payer: Payer,
        most_tokens: int,
        keep: Keep[BatchRow] = keep_nothing,
    ) -> BatchRow:
        """Makes a batch be seen and its jobs wait, once that is durable; raises QuotaExceeded, RateLimited, Lost, StoreError,
        after which it is not.
        """
        now = self._now()
        accounts = self._purse.accounts(batch.org_id, payer) if rows.most > 0 else []
        leases = tuple(self._new_id("hold") for _ in accounts)
        wanted = Deposit(tuple(accounts), leases, rows.most, now)

        def write(conn: Connection) -> BatchRow:
            queued = batches.queued_tokens(conn, batch.org_id)
            if queued + rows.found.tokens > most_tokens:
                raise _too_much(queued, rows.found.tokens, most_tokens)
            holds = deposits.encode(deposits.deposit(conn, wanted))
            work = [replace(job, holds=holds) for job in rows.work]
            shown = batches.reveal(conn, batch, rows.found, work=work, at=now)
            if shown is None:
                raise Lost
            keep(conn, shown)
            return shown

        try:
            shown = await self._db.write(write, locks=(batch.org_id,))
        except Short as short:
            raise self._purse.refusal(short.account, rows.most, short.taken) from short
        self.signal.send(WORK)
        return shown

    async def find(self, org_id: str, which: str) -> Record | None:
        """How a response in the background stands; None where there is no such one."""
        return await self._db.read(partial(waiting.find, org_id=org_id, which=which))

    async def take_to_end(self, which: str) -> Leased | None:
        """Asks for the end of a response; it is the caller's to end where it still waited."""
        now = self._now()

        def write(conn: Connection) -> Leased | None:
            if not queue.ask_cancel(conn, which, at=now):
                return None
            return queue.take_queued(conn, which, owner=self.owner, now=now)

        taken = await self._db.write(write)
        self.signal.send(ENDS)
        return taken

    async def until_ended(self, which: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Returns when it has ended, or after so many seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (left := deadline - loop.time()) > 0:
            mark = self.signal.mark(ENDS)
            if not await self._db.read(partial(waiting.is_waiting, which=which)):
                return
            await self.signal.wait(ENDS, mark, min(LOOK_SECONDS, left))

    async def forget(self, org_id: str, record: Record) -> None:
        """Removes what is kept of one that has ended."""
        await self._db.write(partial(waiting.forget, org_id=org_id, record=record), locks=(org_id,))

    async def waiting(self) -> dict[str, int]:
        """How many jobs wait and run, in all processes."""
        return await self._db.read(queue.waiting)

    async def grant_of(self, job: Leased) -> Grant | None:
        """What counts for an organization's work that waited: its own rules on content; None where it was deleted."""
        found = await self._db.read(partial(organization, org_id=job.org_id))
        if found is None:
            return None
        frozen = parse_frozen(job.price)
        return Grant(
            price_factor=frozen.factor,
            weight=job.weight,
            prepaid=bool(job.prepaid),
            keep_content=found.keep_content,
            retention_days=found.retention_days,
        )

    # ---- what streams say

    async def begin_events(self, claim: Claim, which: str) -> int:
        """The number of the first event of a run."""
        return await self._db.write(partial(events.begin, claim=claim, response_id=which))

    async def append_events(self, claim: Claim, which: str, said: Sequence[Event]) -> bool:
        """Writes down what a stream said; False where the lease is not held any more."""
        added = await self._db.write(partial(events.append, claim=claim, response_id=which, events=said))
        self.signal.send(EVENTS)
        return added

    async def close_events(self, which: str, said: Sequence[Event]) -> None:
        """Writes down the last events, once the result is written."""
        await self._db.write(partial(events.close, response_id=which, events=said))
        self.signal.send(EVENTS)

    async def events(self, which: str, *, after: int) -> list[Event]:
        """What a stream said behind a number."""
        return await self._db.read(partial(events.page, response_id=which, after=after))

    async def event_epoch(self, which: str, seq: int) -> int | None:
        """The run that an event is of."""
        return await self._db.read(partial(events.epoch_at, response_id=which, seq=seq))

    async def first_event(self, which: str) -> int | None:
        """The number of the first event that is there."""
        return await self._db.read(partial(events.first, response_id=which))

    # ---- for those who work

    async def start(self) -> None:
        """Ends the leases of processes that cannot be alive."""

        def void(conn: Connection) -> None:
            queue.void_leases(conn, self.owner)
            batches.void_leases(conn, self.owner)

        await self._db.write(void)

    async def models(self) -> list[str]:
        """The models for which work waits that may begin."""
        return await self._db.read(partial(queue.models_waiting, now=self._now()))

    async def claim(
        self,
        room: Room,
        *,
        models: Collection[str],
        horizon: float = NONE,
        warm: Mapping[str, str] = NOTHING_WARM,
        suspects: bool = True,
        untried: bool = False,
        own: Collection[Own] = (),
    ) -> list[Leased]:
        """Leases the jobs that come next of these models, as many as there is room for. What is due by the `horizon` goes
        before all else; `warm` says by organization how the prompts began that the targets worked on last; `suspects`
        whether one may be among them that is suspected of killing its workers; `untried` that what failed before comes only
        where nothing else is ready; `own` what was leased and waits for the same room.
        """
        now = self._clock.now()
        claimer = Claimer(
            self.owner,
            micros(now),
            models,
            lease=micros(self.lease),
            horizon=None if horizon == NONE else micros(horizon),
            warm=warm,
            suspects=suspects,
            untried=untried,
            own=own,
        )
        choose: Choose = partial(choice.choose, room=room, now=now, horizon=horizon)
        return await self._db.write(
            partial(queue.claim, claimer=claimer, look=choice.look(room), choose=choose)
        )

    async def items(self, job: Leased) -> list[Item]:
        """The items of a job that have no result yet."""
        return await self._db.read(partial(queue.items_of, job=job))

    async def renew(self, job_ids: Collection[str]) -> set[tuple[str, int]]:
        """Prolongs the leases of these jobs; those that this process still has, with their epochs."""
        own = partial(
            queue.renew, owner=self.owner, job_ids=job_ids, now=self._now(), lease=micros(self.lease)
        )
        return await self._db.write(own)

    async def reclaim(self, held: Collection[str] = ()) -> int:
        """Puts back what processes that died had; how many jobs. `held` are those that this one works on."""
        taken = await self._db.write(partial(queue.reclaim, now=self._now(), held=held))
        if taken:
            self.signal.send(WORK)
        return taken

    async def cancelled(self) -> dict[str, int]:
        """Of the jobs that this process has, those that somebody wants ended, and since when in microseconds."""
        return await self._db.read(partial(queue.cancelled, owner=self.owner))

    async def give_back(self, job: Leased, rests: Mapping[int, Rest] = AS_IT_CAME) -> bool:
        """Puts a job back, each item with what its lease has cost it; False where the lease was lost."""
        back = partial(
            queue.give_back,
            job_id=job.id,
            epoch=job.epoch,
            owner=self.owner,
            now=self._now(),
            rests=rests,
        )
        given = await self._db.write(back)
        self.signal.send(WORK)
        return given

    def _now(self) -> int:
        return micros(self._clock.now())


def _too_much(queued: int, more: int, most: int) -> RateLimited:
    hopeless = more > most
    wait = "Send fewer requests." if hopeless else "Send it again when some of that is done."
    return RateLimited(
        f"The requests that wait in batches of your organization are estimated at {queued:,} tokens, this batch at {more:,}, "
        f"and {most:,} is the most. {wait}",
        code="queued_tokens_exceeded",
        retry_after=None if hopeless else 60.0,
        headers=(("x-should-retry", "false"),) if hopeless else None,
    )
