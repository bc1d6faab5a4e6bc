"""What batches need beside the work on their requests: their files read and written, what is late or cancelled ended, what is
over let go.

    file    one batch after the other, as `services.batches.filing` does it
    tend    each second: requests end whose time is over, or whose batch was cancelled by a process that stopped
            each minute: batches that nobody saw are removed, and results that are not to be kept any more

Any number of processes do this; each step is a write that finds nothing left to do the second time.
"""

import asyncio
from functools import partial
from typing import Final

from ingot.errors import ApiError
from ingot.services.batches.ending import end_waiting
from ingot.services.batches.filing import Filing
from ingot.services.batches.staging import clear, discard
from ingot.services.runtime import Runtime
from ingot.signals.signal import BATCHES
from ingot.store import batch_ends
from ingot.store import batches as store
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.schema import MICROSECOND, micros

LOOK_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 60.0
STAGED_SECONDS: Final = 3600.0
"""How long a batch may take to be written down, until its process is taken for dead."""
RESULT_DAYS: Final = 30
UNREAD: Final = (
    '[{"code":"batch_expired","message":"The file could not be read before the batch was due. Make the batch again.",'
    '"param":"input_file_id","line":null}]'
)


class Keeper:
    """Tends the batches; belongs to one event loop."""

    def __init__(self, filing: Filing, db: Database) -> None:
        self.filing = filing
        self._db = db

    @property
    def runtime(self) -> Runtime:
        """The parts of the process."""
        return self.filing.runtime

    async def run(self) -> None:
        """Until cancelled; a fault of the store or of the disk is waited out."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._file())
            group.create_task(self._tend())

    async def _file(self) -> None:
        signal = self.runtime.jobs.signal
        while True:
            mark = signal.mark(BATCHES)
            try:
                while await self.filing.turn():
                    pass
            except (StoreError, ApiError) as error:
                self.runtime.log.warning("a batch's file waits", reason=error.message)
            except Exception as error:  # one batch takes no other with it
                self.runtime.log.error("a batch's file could not be worked on", exc_info=error)
            await signal.wait(BATCHES, mark, LOOK_SECONDS)

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        swept = loop.time() - SWEEP_SECONDS
        while True:
            try:
                await self.end_late()
                if loop.time() - swept >= SWEEP_SECONDS:
                    swept = loop.time()
                    await self.sweep()
            except StoreError as error:
                self.runtime.log.warning("batches are not tended", reason=error.message)
            except Exception as error:  # one batch takes no other with it
                self.runtime.log.error("batches could not be tended", exc_info=error)
            await asyncio.sleep(LOOK_SECONDS)

    async def end_late(self) -> None:
        """Ends what waits although its time is over, or its batch was cancelled."""
        node = self.runtime.jobs.owner
        now = micros(self.runtime.clock.now())
        for batch_id, org_id in await self._db.read(partial(batch_ends.overdue, now=now)):
            await end_waiting(self._db, batch_id, org_id, how="expired", at=now, node=node)
        for batch in await self._db.read(partial(batch_ends.unread, now=now)):
            fail = partial(store.fail, batch=batch, errors=UNREAD, at=now)
            await self._db.write(fail, locks=(batch.org_id,))
        for batch_id, org_id in await self._db.read(batch_ends.to_be_ended):
            await end_waiting(self._db, batch_id, org_id, how="cancelled", at=now)

    async def sweep(self) -> None:
        """Removes what nobody will ask for again."""
        now = micros(self.runtime.clock.now())
        staged = now - round(STAGED_SECONDS * MICROSECOND)
        for batch_id in await self._db.read(partial(store.abandoned, before=staged)):
            await discard(self._db, batch_id)
        ended = now - RESULT_DAYS * 86_400 * MICROSECOND
        for batch_id in await self._db.read(partial(store.outdated, before=ended)):
            await self._db.write(partial(store.archive, batch_id=batch_id, at=now))
            await clear(self._db, batch_id)
        for batch_id in await self._db.read(store.ownerless):
            await clear(self._db, batch_id)
            await self._db.write(partial(store.forget, batch_id=batch_id))
