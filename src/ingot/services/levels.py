"""Keeps the limits of a single process over its restarts: how full they are is written every few seconds.

    restore at the start --> tick every 5 s: what has changed since the last time --> close: once more

What was admitted after the last tick of a process that was killed is forgotten, so that a restart grants one burst at
the most. An idle server writes nothing. Several processes share their limits elsewhere and need none of this.
"""

from functools import partial

from ingot.limits.memory import MemoryLimiter
from ingot.logs import Log
from ingot.store import limits as store
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.limits import Levels
from ingot.store.schema import MICROSECOND

TICK_SECONDS = 5.0


class LevelKeeper:
    """The keeper of one limiter."""

    def __init__(self, db: Database, limiter: MemoryLimiter, *, log: Log) -> None:
        self._db = db
        self._limiter = limiter
        self._log = log
        self._kept: dict[str, Levels] = {}

    async def restore(self) -> None:
        """Takes over what the process before this one left; raises StoreError."""
        self._kept = await self._db.read(store.read_levels)
        self._limiter.restore(self._kept)

    async def tick(self) -> None:
        """Writes what has changed; raises StoreError, and then the next tick writes it."""
        levels = self._limiter.snapshot()
        changed = {
            name: level for name, level in levels.items() if _differ(level, self._kept.get(name, (0, 0, 0)))
        }
        gone = self._kept.keys() - levels.keys()
        if not changed and not gone:
            return
        await self._db.write(partial(store.write_levels, changed=changed, gone=gone))
        self._kept = {name: level for name, level in self._kept.items() if name not in gone} | changed

    async def close(self) -> None:
        """The last tick; call it before the database's."""
        try:
            await self.tick()
        except StoreError as error:
            self._log.warning("limits_not_kept", error=error.message)


def _differ(one: Levels, other: Levels) -> bool:
    """Whether something was admitted or settled in between; two clocks alone differ by less."""
    return one[:2] != other[:2] or abs(one[2] - other[2]) >= MICROSECOND
