"""A plain table of numbers for tests of the store, and a gate that makes writes gather."""

import asyncio
import threading

from sqlalchemy import Connection, text

from databases import Place
from ingot.store.database import Database

GUARD_SECONDS = 30
"""A safety net, no expectation."""


def create(conn: Connection) -> None:
    """Makes the table; a parent is looked for when the transaction commits."""
    parent = "parent INTEGER REFERENCES things (n) DEFERRABLE INITIALLY DEFERRED"
    conn.execute(text(f"CREATE TABLE things (n INTEGER PRIMARY KEY, {parent})"))


def add(conn: Connection, n: int) -> int:
    """Adds the number `n`."""
    conn.execute(text("INSERT INTO things (n) VALUES (:n)"), {"n": n})
    return n


def count(conn: Connection) -> int:
    """How many numbers there are."""
    return int(conn.execute(text("SELECT count(*) FROM things")).scalar_one())


def kept(place: Place) -> list[int]:
    """What another process would find."""
    return [row[0] for row in place.run("SELECT n FROM things ORDER BY n")]


class Gate:
    """A write that holds the writer until it is opened, so that others gather behind it."""

    def __init__(self, db: Database) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()
        self._task = asyncio.create_task(db.write(self._hold))

    def _hold(self, _: Connection) -> None:
        self._entered.set()
        assert self._open.wait(GUARD_SECONDS)

    async def entered(self) -> None:
        """Returns once the writer is held."""
        assert await asyncio.to_thread(self._entered.wait, GUARD_SECONDS)

    async def open(self) -> None:
        """Lets the writer go on."""
        self._open.set()
        await self._task


async def held(db: Database) -> Gate:
    """A gate that holds the writer already."""
    gate = Gate(db)
    await gate.entered()
    return gate
