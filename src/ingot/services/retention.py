"""Lets go of content whose time is over, a little at a time: expired answers, those to retries, and all of deleted
organizations. Conversations of others have no end.

A turn takes batch after batch, each a write of its own with a pause behind it, so that answers never queue behind
it for long. Reads do not wait for it: what has expired is out of sight at once. At its end goes what the database still
has beside itself of rows that are gone, whoever deleted them. Any number of processes may run it.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.logs import Log
from ingot.store import erasure, idempotency, marks, promises, windows
from ingot.store import responses as store
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.schema import micros

BATCH = 500
TURN_SECONDS = 60.0
SCRUBS = 5
"""Tries of a turn; a read that has begun before may take a while."""
SCRUB_SECONDS = 1.0
PAUSE_SECONDS = 0.05


class Retention:
    """The sweeper of one process."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        log: Log,
        batch: int = BATCH,
        pause: float = PAUSE_SECONDS,
        between: float = SCRUB_SECONDS,
    ) -> None:
        self._db = db
        self._clock = clock
        self._log = log
        self._batch = batch
        self._pause = pause
        self._between = between

    async def run(self) -> None:
        """Turn after turn, until cancelled; a fault of the store ends a turn and not the loop."""
        while True:
            try:
                await self.turn()
            except StoreError as error:
                self._log.warning("retention failed, it is tried again", reason=error.message)
            await asyncio.sleep(TURN_SECONDS)

    async def turn(self) -> int:
        """Lets go of all that is due now; how many responses."""
        now = micros(self._clock.now())
        gone = await self._drain(partial(store.sweep, now=now, most=self._batch))
        await self._drain(partial(idempotency.sweep, now=now, most=self._batch))
        await self._drain(partial(windows.sweep, now=now))
        await self._drain(partial(promises.sweep, now=now))
        await self._drain(partial(marks.sweep, now=now, most=self._batch))
        for org_id in await self._db.read(erasure.deleted_organizations):
            gone += await self._drain(partial(erasure.erase_organization, org_id=org_id, most=self._batch))
        if gone:
            self._log.info("content was let go", responses=gone)
        await self._scrub()
        return gone

    async def _scrub(self) -> None:
        for _ in range(SCRUBS):
            if await self._db.scrub():
                return
            await asyncio.sleep(self._between)
        self._log.warning("deleted content is still in the log of the database", tried=SCRUBS)

    async def _drain(self, take: Callable[[Connection], int]) -> int:
        gone = 0
        while taken := await self._db.write(take):
            gone += taken
            await asyncio.sleep(self._pause)
        return gone
