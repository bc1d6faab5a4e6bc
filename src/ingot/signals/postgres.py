"""Hints to all processes that share a PostgreSQL: NOTIFY, many in a moment as one, from a connection that does nothing else.

    send --> this process at once
         '-> after a moment, NOTIFY once for each topic --> LISTEN of every other process

A NOTIFY takes a lock of the whole database when it commits, so that none is ever part of a transaction that does work.
Where the connection is lost hints are lost, and it is made again.
"""

import asyncio
from functools import partial
from typing import Any, Final

from psycopg import AsyncConnection, Error

from ingot.logs import Log
from ingot.signals.signal import LocalSignal
from ingot.upkeep import endure

CHANNEL: Final = "ingot_hints"
GATHER_SECONDS: Final = 0.02
RETRY_SECONDS: Final = 2.0


class PostgresSignal(LocalSignal):
    """Hints over one database; `url` is psycopg's."""

    def __init__(self, url: str, *, log: Log) -> None:
        super().__init__()
        self._url = url
        self._log = log
        self._unsent: set[str] = set()
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to listen; a database that is away is tried again."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(endure(partial(self._for_ever, work), name="hints", log=self._log))
            for work in (self._listen, self._speak)
        ]

    async def close(self) -> None:
        """Ends both connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, topic: str) -> None:
        """Wakes who waits here at once, and the others soon."""
        super().send(topic)
        self._unsent.add(topic)
        self._due.set()

    async def _for_ever(self, work: Any) -> None:
        told = False
        while True:
            try:
                async with await AsyncConnection.connect(self._url, autocommit=True) as conn:
                    told = False
                    await work(conn)
            except (Error, OSError) as error:
                if not told:
                    self._log.warning(
                        "hints are not heard, work is found by looking", reason=type(error).__name__
                    )
                told = True
                await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, conn: AsyncConnection[Any]) -> None:
        await conn.execute(f"LISTEN {CHANNEL}".encode())
        async for hint in conn.notifies():
            super().send(hint.payload)

    async def _speak(self, conn: AsyncConnection[Any]) -> None:
        while True:
            await self._due.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._due.clear()
            topics, self._unsent = self._unsent, set()
            for topic in sorted(topics):
                await conn.execute(b"SELECT pg_notify(%s, %s)", (CHANNEL, topic))
