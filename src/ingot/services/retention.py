"""Lets go of content whose time is over, a little at a time: expired answers, those to retries, and all of deleted
organizations. Conversations of others have no end.

A turn takes batch after batch, each a write of its own with a pause behind it, so that answers never queue behind
it for long. Reads do not wait for it: what has expired is out of sight at once. Any number of processes may run it.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.logs import Log
from ingot.store import conversations, idempotency
from ingot.store import responses as store
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.schema import micros

BATCH = 500
TURN_SECONDS = 60.0
PAUSE_SECONDS = 0.05


class Retention:
    """The sweeper of one process."""

    def __init__(
        self, db: Database, *, clock: Clock, log: Log, batch: int = BATCH, pause: float = PAUSE_SECONDS
    ) -> None:
        self._db = db
        self._clock = clock
        self._log = log
        self._batch = batch
        self._pause = pause

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
        for org_id in await self._db.read(store.deleted_organizations):
            gone += await self._drain(partial(store.erase_organization, org_id=org_id, most=self._batch))
        for org_id in await self._db.read(conversations.organizations_with_conversations):
            await self._drain(partial(conversations.erase_conversations, org_id=org_id, most=self._batch))
        if gone:
            self._log.info("content was let go", responses=gone)
        return gone

    async def _drain(self, take: Callable[[Connection], int]) -> int:
        gone = 0
        while taken := await self._db.write(take):
            gone += taken
            await asyncio.sleep(self._pause)
        return gone
