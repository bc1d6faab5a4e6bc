"""What the commands about money share: amounts, organizations, instants, and how they reach the database."""

import re
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from ingot.cli import database
from ingot.cli.database import require_database
from ingot.cli.location import located
from ingot.pricing import parse_usd
from ingot.store.balances import organization_id
from ingot.store.database import Database
from ingot.store.schema import DEFAULT_ORG

T = TypeVar("T")

ACTOR: Final = "cli"

OrgOption = Annotated[
    str, typer.Option("--org", help="The organization, by id or name; the operator's own unless said.")
]
AnyOrgOption = Annotated[
    str | None, typer.Option("--org", help="Only this organization, by id or name; else all.")
]
AmountOption = Annotated[str, typer.Option("--amount", help="An amount in USD, as 12.50.")]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="What makes the command safe to repeat, as a payment's number: the same counts once.",
    ),
]
NoteOption = Annotated[str | None, typer.Option("--note", help="A remark that is kept with the row.")]
EndedOption = Annotated[bool, typer.Option("--all", help="Show those that are over, too.")]
OWN_ORG: Final = DEFAULT_ORG

_UNITS: Final = {"m": 60, "h": 3600, "d": 86400}


def on_database(data: Path | None, config: Path | None, work: Callable[[Database], Awaitable[T]]) -> T:
    """What `work` returns, run on the database, which must be there; faults end the command with their text."""
    place = located(data, config)
    require_database(place)
    return database.on_database(place, work)


async def org_id(db: Database, which: str) -> str:
    """The id of the organization with this id or name; raises NotFound, Conflict."""
    return await db.read(partial(organization_id, which=which))


async def optional_org_id(db: Database, which: str | None) -> str | None:
    """The same, where none need be named."""
    return None if which is None else await org_id(db, which)


def amount(text: str, *, option: str = "--amount") -> int:
    """The units of an amount in USD; a wrong one is wrong usage."""
    try:
        return parse_usd(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def instant(text: str | None, *, option: str) -> float | None:
    """Seconds since the epoch of `2026-11-01` or `2026-11-01T12:00`, in UTC."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            "write a day or an instant in UTC, as 2026-11-01 or 2026-11-01T12:00", param_hint=option
        ) from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def expiry(text: str | None, *, option: str) -> float | None:
    """Seconds since the epoch of a day, or of a time from now as 30d, 12h or 45m."""
    match = None if text is None else re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if match is not None:
        return time.time() + int(match[1]) * _UNITS[match[2]]
    return instant(text, option=option)


def hint(text: str) -> None:
    """Says what to do next, where it does not get into a result that is piped on."""
    print(text, file=sys.stderr)


def day(at: int | None) -> str:
    """An instant in seconds for a table."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
