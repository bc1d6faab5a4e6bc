"""How a command works on the database: whether a server runs on it or not; a running one follows within 5 s."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ingot import presets
from ingot.cli.location import Location
from ingot.cli.output import fail
from ingot.errors import ApiError
from ingot.logs import LineSink, configure
from ingot.services.keys import KeyRing
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.faults import StoreError

T = TypeVar("T")


def require_database(place: Location) -> None:
    """Ends the command where there is nothing yet that it could change."""
    if not place.exists():
        fail(f"there is no database in {place.data}; name the data directory with --data DIR")


def on_database(place: Location, work: Callable[[Database], Awaitable[T]]) -> T:
    """What `work` returns, run on the database of a place; faults end the command with their text."""

    async def run() -> T:
        async with open_database(place.data, place.url) as db:
            return await work(db)

    try:
        return asyncio.run(run())
    except (ApiError, StoreError) as error:
        fail(error.message)


def on_keys(place: Location, work: Callable[[KeyRing], Awaitable[T]]) -> T:
    """What `work` returns, run on the keys of a place under its preset's rules; faults end the command with their text."""
    rules = presets.load(place.preset).keys

    async def run(db: Database) -> T:
        log = configure(LineSink(sys.stderr.buffer), form="auto", level="warning")
        ring = await KeyRing.open(db, place.data, log=log, prefix=rules.prefix, limit=rules.most)
        return await work(ring)

    return on_database(place, run)
