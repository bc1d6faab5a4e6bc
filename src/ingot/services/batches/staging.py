"""Requests of a batch on their way into the store: written a few at a time where nobody sees them, then made to wait at once.

    put, put, ... --a write for some hundred lines--> lines and items, of a batch that is not there yet
    reveal --one write--> money reserved, all jobs wait, the batch is seen
    discard --a few at a time--> nothing was

So that no other write waits long for a batch of a hundred thousand, and that a crash at any moment leaves all of it or
nothing. Belongs to one event loop.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from ingot.errors import InvalidRequest
from ingot.ids import ordered_id
from ingot.presets import Preset
from ingot.pricing import frozen, usd
from ingot.services.batches.intake import Chunk
from ingot.services.batches.promising import Parts, promised
from ingot.services.grants import Grant
from ingot.services.jobs import Lost, Rows
from ingot.services.runtime import Runtime
from ingot.services.webhooks.orders import order_of
from ingot.store import batches as store
from ingot.store.batches import BatchRow, NewLine, Revealed
from ingot.store.database import Database
from ingot.store.orders import Hook
from ingot.store.queue import Job, NewItem
from ingot.store.schema import micros

LINES: Final = 512
"""Of one write: some milliseconds."""
LINE_BYTES: Final = 4 * 1024 * 1024
GONE_LINES: Final = 1000
MOST_COST: Final = 2**62
"""1e-12 USD of a batch: what is reserved for it is kept in 64 bits."""


class Stage:
    """The requests of one batch that nobody sees yet."""

    def __init__(
        self,
        runtime: Runtime,
        db: Database,
        batch: BatchRow,
        *,
        grant: Grant,
        surface: str,
        preset: Preset,
    ) -> None:
        """`preset` is the one that the batch was made under."""
        self.batch = batch
        self.most = 0
        """The most that all requests could cost together, in 1e-12 USD."""
        self._runtime = runtime
        self._db = db
        self._grant = grant
        self._surface = surface
        self._preset = preset
        self._jobs: list[Job] = []
        self._models: set[str] = set()
        self._parts = Parts()
        self._tokens = 0
        self._seq = 0
        self._lines: list[NewLine] = []
        self._bytes = 0
        self._writing: asyncio.Future[bool] | None = None

    async def put(self, chunks: Iterable[Chunk]) -> None:
        """Adds the requests of jobs; raises StoreError, and Lost where the batch was ended or is another's."""
        for chunk in chunks:
            self._add(chunk)
            if len(self._lines) >= LINES or self._bytes >= LINE_BYTES:
                await self._write()

    async def close(self) -> Rows:
        """All that was put in, once it is written and there is room for it; raises RateLimited, StoreError, Lost."""
        await self._write()
        await self._written()
        found = Revealed(
            total=self._seq,
            tokens=self._tokens,
            due_at=max(job.due_at for job in self._jobs),
            model=next(iter(self._models)) if len(self._models) == 1 else None,
        )
        work = await promised(self._runtime, self.batch, self._jobs, parts=self._parts, grant=self._grant)
        return Rows(found, work, self.most)

    async def stop(self) -> None:
        """Waits for what is being written, whatever becomes of it."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _written(self) -> None:
        before, self._writing = self._writing, None
        if before is not None and not await before:
            raise Lost

    async def _write(self) -> None:
        lines, self._lines, self._bytes = self._lines, [], 0
        await self._written()
        if lines:
            # The next requests are judged while these are written.
            self._writing = self._db.queue(partial(store.add_lines, batch=self.batch, lines=lines))

    def _add(self, chunk: Chunk) -> None:
        runtime, members = self._runtime, chunk.members
        now = self.batch.created_at / 1_000_000
        for place, each in enumerate(members):
            response_id = ordered_id("resp", now)
            item = NewItem(response_id, f"req_{response_id[5:]}", each.body, each.headers, each.most)
            hook = None if each.wish is None else self._ordered(each.wish, response_id)
            self._lines.append(NewLine(self._seq + place, each.custom_id, item, hook))
            self._bytes += len(each.body)
        read = sum(each.read for each in members)
        written = sum(each.written for each in members)
        self.most += sum(each.most for each in members)
        if self.most > MOST_COST:
            raise InvalidRequest(
                f"The batch could cost more than {usd(MOST_COST)} USD, which no balance holds. Lower the bounds of its answers, "
                "such as 'max_tokens', or send it in parts.",
                param="requests",
            )
        self._tokens += read + written
        self._models.add(chunk.model)
        self._parts.add(chunk)
        count = len(members)
        sizes = -(-read // count), -(-written // count)
        estimate = runtime.desk.pacing.expected(chunk.model, *sizes)
        runs = runtime.desk.lasts(runtime.catalog, chunk.model, estimate)
        prefixes = {each.prefix for each in members}
        window = runtime.catalog.windows[chunk.window]
        deployment = runtime.catalog.resolve(chunk.model)
        self._jobs.append(
            Job(
                id=f"job_{self.batch.id.partition('_')[2]}-{self._seq:07}",  # in the order of its lines
                batch_id=self.batch.id,
                lo=self._seq,
                hi=self._seq + len(members) - 1,
                org_id=self.batch.org_id,
                key_id=self.batch.key_id,
                surface=self._surface,
                preset=self.batch.preset,
                model=chunk.model,
                window=window.name,
                on_miss=window.missed(batch=True),
                streamed=0,
                price=frozen(deployment.price, window=window.name, factor=self._grant.price_factor),
                prepaid=int(self._grant.prepaid),
                holds="[]",
                limits=None,
                weight=self._grant.weight,
                estimate=estimate,
                created_at=self.batch.created_at,
                due_at=micros(window.due(now, batch=True)),
                lift_at=micros(window.lift_at(now, service=runs, batch=True)),
                prefix=prefixes.pop() if len(prefixes) == 1 else "",
            )
        )
        self._seq += len(members)

    def _ordered(self, wish: Mapping[str, Any], response_id: str) -> Hook | None:
        """Whom to call when a request is done."""
        return order_of(
            self._preset,
            {"metadata": wish},
            surface=self._surface,
            org_id=self.batch.org_id,
            response_id=response_id,
            reach=self._runtime.config.webhooks,
            digest=self._runtime.keys.digest,
        )


async def discard(db: Database, batch_id: str) -> None:
    """Removes a batch that nobody has seen, and what was staged of it; nothing of one that was made to wait after all."""
    taken = await db.write(partial(store.disown, batch_id=batch_id))
    if taken is not None:
        await clear_staged(db, taken)
        await db.write(partial(store.discard, batch_id=batch_id))


async def clear_staged(db: Database, batch: BatchRow) -> None:
    """Removes what was staged of a batch, a few lines at a time; nothing where it has begun, or is another's."""
    gone = partial(store.drop_staged, batch=batch, most=GONE_LINES)
    while await db.write(gone):
        pass  # other writes come between two of these


async def clear(db: Database, batch_id: str) -> None:
    """Removes the lines of a batch that has ended, a few at a time."""
    gone = partial(store.drop_lines, batch_id=batch_id, most=GONE_LINES)
    while await db.write(gone):
        pass
