"""How every command works on the database, SQLite or PostgreSQL, whether a server runs on it or not.

Decides what is told when there is no database yet, how a fault ends a command, and how an organization is named. To
look creates nothing, and what is refused creates nothing either; a running server follows within 5 s.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from ingot import presets
from ingot.cli.location import Location
from ingot.cli.output import fail
from ingot.config import ConfigError
from ingot.errors import ApiError
from ingot.logs import LineSink, Log, configure
from ingot.presets import Preset
from ingot.services.keys import KeyRing
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.faults import StoreError
from ingot.store.organizations import sole_organization

T = TypeVar("T")


def on_database(place: Location, work: Callable[[Database], Awaitable[T]], *, create: bool = False) -> T:
    """What `work` returns, run on the database, which only `create` makes; faults end the command with their text."""
    return _run(place, lambda _, db: work(db), create=create)


def on_keys(place: Location, work: Callable[[KeyRing, Database], Awaitable[T]], *, create: bool = False) -> T:
    """The same, on the keys; new ones look and are counted as the configured preset says."""
    rules = _preset(place).keys

    async def run(data: Path, db: Database) -> T:
        ring = await KeyRing.open(db, data, log=command_log(), prefix=rules.prefix, limit=rules.most)
        return await work(ring, db)

    return _run(place, run, create=create)


def _run(place: Location, work: Callable[[Path, Database], Awaitable[T]], *, create: bool) -> T:
    """Runs `work` with the data directory and the database."""
    if place.empty:
        if not create:
            fail(f"there is no database in {place.data}; name the data directory with --data DIR")
        # Done once where it leaves no trace: a command that is refused must not leave an empty database behind.
        with TemporaryDirectory(prefix="ingot-") as folder:
            _run_at(Path(folder), place.url, work)
    return _run_at(place.data, place.url, work)


def _run_at(data: Path, url: str, work: Callable[[Path, Database], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_database(data, url) as db:
            return await work(data, db)

    try:
        return asyncio.run(run())
    except (ApiError, StoreError) as error:
        fail(error.message)


async def org_id(db: Database, which: str, *, deleted: bool = False) -> str:
    """The id of the organization with this id or name; of a deleted one by its id alone. Raises NotFound, Conflict."""
    row = await db.read(partial(sole_organization, which=which, deleted=deleted))
    return row.id


async def optional_org_id(db: Database, which: str | None, *, deleted: bool = False) -> str | None:
    """The same, where none need be named."""
    return None if which is None else await org_id(db, which, deleted=deleted)


def command_log() -> Log:
    """What services log goes to stderr, beside a command's own words."""
    return configure(LineSink(sys.stderr.buffer), form="auto", level="warning")


def _preset(place: Location) -> Preset:
    try:
        return presets.load(place.config.server.preset, place.config.presets)
    except ConfigError as error:
        fail(str(error))
