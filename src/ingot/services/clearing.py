"""Lets go of files whose time is over, of uploads that nobody ended, and of bytes that no row knows.

The row goes first, then its bytes; what a crash left between the two is found as a stray after a day. Any number of
processes may run it.
"""

import asyncio
from functools import partial
from typing import Final

from ingot.clock import Clock
from ingot.errors import ApiError
from ingot.logs import Log
from ingot.services.files import on_disk
from ingot.store import files as store
from ingot.store.blobs import Blobs
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.schema import micros

TURN_SECONDS: Final = 60.0
STRAY_TURNS: Final = 60
"""Turns between two looks at the whole directory."""
STRAY_SECONDS: Final = 86_400.0
_CHUNK: Final = 500


class Clearing:
    """The sweeper of one process."""

    def __init__(self, db: Database, blobs: Blobs, *, clock: Clock, log: Log) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._log = log

    async def run(self) -> None:
        """Turn after turn, until cancelled; a fault of the store or of the disk ends a turn and not the loop."""
        turn = 0
        while True:
            try:
                await self.turn(strays=turn % STRAY_TURNS == 0)
            except (StoreError, ApiError) as error:
                self._log.warning("files were not cleared, it is tried again", reason=error.message)
            turn += 1
            await asyncio.sleep(TURN_SECONDS)

    async def turn(self, *, strays: bool) -> int:
        """Lets go of all that is due now; how many files and uploads."""
        now = micros(self._clock.now())
        gone = 0
        while ids := await self._db.write(partial(store.sweep_files, now=now)):
            await on_disk(partial(self._blobs.remove, ids))
            gone += len(ids)
        while True:
            ended, parts = await self._db.write(partial(store.sweep_uploads, now=now))
            if not ended:
                break
            await on_disk(partial(self._blobs.remove, parts))
            gone += ended
        if strays:
            await self._clear_strays()
        if gone:
            self._log.info("files were let go", files=gone)
        return gone

    async def _clear_strays(self) -> None:
        before = self._clock.now() - STRAY_SECONDS
        names = await on_disk(lambda: list(self._blobs.strays(before)))
        for start in range(0, len(names), _CHUNK):
            some = names[start : start + _CHUNK]
            known = await self._db.read(partial(store.known, names=some))
            await on_disk(partial(self._blobs.remove, [name for name in some if name not in known]))
