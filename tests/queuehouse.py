"""A queue on a real database: work put in, leased by workers of several processes, and settled as a server settles it."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import func, select, update

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.pricing import Price, Tokens, frozen, rates
from ingot.scheduling.capacity import Room
from ingot.services.accounting import claim_of
from ingot.services.idempotency import Retries
from ingot.services.jobs import Jobs, Order
from ingot.services.ledger import Ledger
from ingot.services.purse import Prepaid, Purse
from ingot.services.recording import Fenced, Recorder
from ingot.signals.signal import LocalSignal
from ingot.store.database import Database
from ingot.store.idempotency import Lead
from ingot.store.queue import Item, Job, Leased, NewItem
from ingot.store.schema import balances, items, jobs, ledger, micros, response_waits, responses
from ingot.store.settle import Settlement
from treasury import Lines, Treasury

PRICE = Price(rates(1, 1))
MODEL = "m"

_numbers = itertools.count(1)


@dataclass(slots=True)
class QueueHouse:
    """A database with its recorder, and the queue as one more process sees it."""

    db: Database
    clock: ManualClock
    treasury: Treasury
    purse: Purse
    recorder: Recorder
    log: Lines = field(default_factory=Lines)

    def process(self) -> Jobs:
        """The queue, as another process has it."""
        return Jobs(self.db, purse=self.purse, signal=LocalSignal(), clock=self.clock)

    def job(self, org_id: str = "org_a", *, count: int = 1, **fields: Any) -> tuple[Job, list[NewItem]]:
        """A job and its items; `count` of them."""
        number = next(_numbers)
        now = micros(self.clock.now())
        batch = f"resp_{number:06}"
        values: dict[str, Any] = {
            "id": f"job_{number:06}",
            "batch_id": batch,
            "lo": 0,
            "hi": count - 1,
            "org_id": org_id,
            "key_id": "key_a",
            "surface": "chat",
            "preset": "open",
            "model": MODEL,
            "window": "standard",
            "on_miss": "escalate",
            "streamed": 0,
            "price": frozen(PRICE, window="standard"),
            "prepaid": 1,
            "holds": "[]",
            "limits": None,
            "weight": 1,
            "estimate": 10,
            "created_at": now,
            "due_at": now + 300_000_000,
            "lift_at": now + 270_000_000,
        }
        ids = [batch if count == 1 else f"{batch}_{place}" for place in range(count)]
        return Job(**values | fields), [NewItem(each, "req_1", b'{"model":"m"}') for each in ids]

    async def put(
        self, org_id: str = "org_a", *, count: int = 1, most: int = 0, lead: Lead | None = None, **fields: Any
    ) -> Job:
        """Puts work in, and reserves `most` for it."""
        job, new = self.job(org_id, count=count, **fields)
        await self.process().put(Order(job, new, Prepaid(), most, lead))
        return job

    async def settle(self, job: Leased, item: Item, *, tokens: int = 5, **fields: Any) -> bool:
        """Writes an answer to an item; False where the lease was lost."""
        now = micros(self.clock.now())
        settlement = Settlement(
            id=item.id,
            public_id=item.id,
            org_id=job.org_id,
            key_id=job.key_id,
            surface=job.surface,
            model=job.model,
            target="up",
            status=200,
            state="completed",
            window=job.window,
            fidelity="verbatim",
            created_at=job.created_at,
            finished_at=now,
            request_id=item.request_id,
            input_tokens=tokens,
            amount=PRICE.cost(Tokens(input=tokens), window="standard"),
            price=job.price,
            prepaid=bool(job.prepaid),
            reserved=item.reserved,
            parts=self.parts(job),
            claim=claim_of(job, item),
            achieved="asap",
            queued_us=now - job.created_at,
        )
        try:
            await self.recorder.record(msgspec.structs.replace(settlement, **fields))
        except Fenced:
            return False
        return True

    def parts(self, job: Leased) -> Any:
        """The leases that a job's money is in."""
        from_job: Any = msgspec.json.decode(job.holds)
        return msgspec.convert(from_job, Settlement.__annotations__["parts"])

    async def lapse(self, job_id: str | None = None) -> None:
        """The lease of a job, or of all, is over."""
        over = update(jobs).where(jobs.c.state == "running").values(lease_until=0)
        await self.db.write(
            lambda conn: conn.execute(over if job_id is None else over.where(jobs.c.id == job_id))
        )

    async def rows(self, column: Any, *where: Any) -> list[Any]:
        """The values of a column."""
        query = select(column).where(*where)
        return await self.db.read(lambda conn: list(conn.execute(query).scalars()))

    async def billed(self, response_id: str) -> int:
        """How many ledger rows there are for a response."""
        query = select(func.count()).where(ledger.c.billable_id == response_id)
        return await self.db.read(lambda conn: int(conn.execute(query).scalar_one()))

    async def held(self, org_id: str = "org_a") -> int:
        """What is reserved of a balance."""
        return int((await self.rows(balances.c.held, balances.c.org_id == org_id))[0])

    async def left(self) -> tuple[int, int, int, int]:
        """How many jobs, items, stored responses and notes of waits there are."""
        found = [
            len(await self.rows(each))
            for each in (jobs.c.id, items.c.id, responses.c.id, response_waits.c.org_id)
        ]
        return found[0], found[1], found[2], found[3]

    async def sound(self) -> bool:
        """Whether everything that can be derived again agrees."""
        return not (await Ledger(self.db).verify()).findings


async def take(queue: Jobs, room: int = 1) -> list[Leased]:
    """What a worker leases with so much room."""
    return await queue.claim(Room(room, room), models=[MODEL])


@asynccontextmanager
async def open_queue(place: Place, *, credit: int = 1_000_000) -> AsyncIterator[QueueHouse]:
    """An empty queue, and two organizations with credit."""
    clock = ManualClock()
    log = Lines()
    async with open_store(place, clock=clock) as db:
        treasury = Treasury(db, clock)
        for org_id in ("org_a", "org_b"):
            await treasury.organization(org_id, amount=credit)
        purse = Purse(db, "proc_1", clock=clock, log=log, alone=not place.postgres)
        retries = Retries(db, clock=clock, log=log)
        recorder = Recorder(db, purse=purse, retries=retries, log=log)
        yield QueueHouse(db, clock, treasury, purse, recorder, log)
        await recorder.close()
        await purse.close()
