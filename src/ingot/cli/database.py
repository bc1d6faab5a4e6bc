"""How a command works on the database: whether a server runs on it or not; a running one follows within 5 s."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from ingot.cli.output import fail
from ingot.errors import ApiError
from ingot.logs import LineSink, configure
from ingot.services.keys import KeyRing
from ingot.store.database import Database
from ingot.store.engine import FILE_NAME, open_database
from ingot.store.faults import StoreError

T = TypeVar("T")


def require_database(folder: Path) -> None:
    """Ends the command where there is nothing yet that it could change."""
    if not (folder / FILE_NAME).exists():
        fail(f"there is no database in {folder}; name the data directory with --data DIR")


def on_database(folder: Path, work: Callable[[Database], Awaitable[T]]) -> T:
    """What `work` returns, run on the database in `folder`; faults end the command with their text."""

    async def run() -> T:
        async with open_database(folder) as db:
            return await work(db)

    try:
        return asyncio.run(run())
    except (ApiError, StoreError) as error:
        fail(error.message)


def on_keys(folder: Path, work: Callable[[KeyRing], Awaitable[T]]) -> T:
    """What `work` returns, run on the keys in `folder`; faults end the command with their text."""

    async def run(db: Database) -> T:
        log = configure(LineSink(sys.stderr.buffer), form="auto", level="warning")
        ring = await KeyRing.open(db, folder, log=log)
        return await work(ring)

    return on_database(folder, run)
