"""What the commands about accounts share: the services on the database, whether a server runs on it or not.

Decides how a command reaches them and what is told when there is no database yet.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ingot.cli.database import require_database
from ingot.cli.location import located
from ingot.cli.output import fail
from ingot.clock import SystemClock
from ingot.config import AccountsConfig, ConfigError, from_disk
from ingot.errors import ApiError, Unauthenticated
from ingot.logs import LineSink, configure
from ingot.services.accounts import Accounts, open_accounts
from ingot.services.accounts.desk import Desk
from ingot.services.accounts.gate import HasKeyId
from ingot.store.engine import open_database
from ingot.store.faults import StoreError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tools:
    """What a command works with."""

    accounts: Accounts
    desk: Desk


class _NoKeys:
    """The command line holds no key and needs none."""

    async def authenticate(self, token: bytes) -> HasKeyId:  # noqa: ARG002  # the protocol's signature
        """Nobody comes this way."""
        raise Unauthenticated("The command line takes no key.")


def run(
    data: Path | None, config: Path | None, work: Callable[[Tools], Awaitable[T]], *, create: bool = False
) -> T:
    """What `work` returns, run on the database, which only `create` makes; faults end the command with their text."""
    place, settings = located(data, config), _settings(data, config)
    if not create:
        require_database(place)

    async def inside() -> T:
        log = configure(LineSink(sys.stderr.buffer), form="auto", level="warning")
        clock = SystemClock()
        async with open_database(place.data, place.url) as db:
            accounts = open_accounts(db, settings, keys=_NoKeys(), clock=clock, log=log)
            try:
                return await work(Tools(accounts, Desk(db, passwords=accounts.passwords, clock=clock)))
            finally:
                await accounts.close()

    try:
        return asyncio.run(inside())
    except (ApiError, StoreError) as error:
        fail(error.message)


def look(data: Path | None, config: Path | None, work: Callable[[Tools], Awaitable[T]]) -> T | None:
    """Like `run`, and None where there is no database: to look must not create one."""
    return run(data, config, work) if located(data, config).exists() else None


def _settings(data: Path | None, config: Path | None) -> AccountsConfig:
    try:
        loaded = from_disk(
            config, os.environ, directory=Path.cwd(), options={"server.data": data}, secrets=False
        )
    except ConfigError as error:
        fail("\n".join(str(each) for each in error.problems))
    return loaded.config.accounts


def when(instant: int | None, *, never: str = "never") -> str:
    """An instant of the store for a table."""
    return (
        never
        if instant is None
        else datetime.fromtimestamp(instant // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M")
    )
