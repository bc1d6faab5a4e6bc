"""What the commands about accounts share: the services, and how instants look in a table."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ingot.cli.database import command_log, on_database
from ingot.cli.location import Location, located
from ingot.clock import SystemClock
from ingot.errors import Unauthenticated
from ingot.services.accounts import Accounts, open_accounts
from ingot.services.accounts.desk import Desk
from ingot.services.accounts.gate import HasKeyId
from ingot.store.database import Database

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tools:
    """What a command works with."""

    accounts: Accounts
    desk: Desk


class _NoKeys:
    """The command line holds no key and needs none."""

    async def authenticate(self, token: bytes, *, address: str | None = None) -> HasKeyId:  # noqa: ARG002  # the protocol's signature
        """Nobody comes this way."""
        raise Unauthenticated("The command line takes no key.")


def run(
    data: Path | None, config: Path | None, work: Callable[[Tools], Awaitable[T]], *, create: bool = False
) -> T:
    """What `work` returns, run on the database, which only `create` makes; faults end the command with their text."""
    return _run(located(data, config), work, create=create)


def look(data: Path | None, config: Path | None, work: Callable[[Tools], Awaitable[T]]) -> T | None:
    """Like `run`, and None where there is no database: to look must not create one."""
    place = located(data, config)
    return None if place.empty else _run(place, work, create=False)


def _run(place: Location, work: Callable[[Tools], Awaitable[T]], *, create: bool) -> T:
    async def inside(db: Database) -> T:
        clock = SystemClock()
        accounts = open_accounts(db, place.config.accounts, keys=_NoKeys(), clock=clock, log=command_log())
        try:
            return await work(Tools(accounts, Desk(db, passwords=accounts.passwords, clock=clock)))
        finally:
            await accounts.close()

    return on_database(place, inside, create=create)


def when(instant: int | None, *, never: str = "never") -> str:
    """An instant of the store for a table."""
    return (
        never
        if instant is None
        else datetime.fromtimestamp(instant // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M")
    )
