"""`ingot keys`: create, list and revoke API keys.

Works on the database itself, whether a server runs on it or not; a running one follows within 5 s.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingot.cli.options import ConfigOption, DataOption, JsonOption, directory
from ingot.cli.output import fail, print_json
from ingot.errors import ApiError
from ingot.logs import LineSink, configure
from ingot.services.keys import KeyInfo, KeyRing
from ingot.store.engine import FILE_NAME, open_database
from ingot.store.faults import StoreError

T = TypeVar("T")

app = typer.Typer(name="keys", help="Create, list and revoke API keys.", no_args_is_help=True)


_UNITS = {"m": 60, "h": 3600, "d": 86400}


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", "-n", help="What the key is for; shown in lists.")],
    expires: Annotated[
        str | None,
        typer.Option("--expires", help="Lifetime, as 30d, 12h or 45m; without it the key does not expire."),
    ] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Create a key and print it, this once."""
    at = None if expires is None else time.time() + _lifetime(expires)
    issued = _run(directory(data, config), lambda ring: ring.issue(name, expires=at))
    info = issued.info
    if as_json:
        shown = {"id": info.id, "name": info.name, "key": issued.secret, "created_at": info.created_at}
        print_json(shown if info.expires_at is None else {**shown, "expires_at": info.expires_at})
        return
    print(issued.secret)
    print(
        f"This is the only time that the key is shown. Send it as `Authorization: Bearer KEY`; "
        f"end it with `ingot keys revoke {info.kid}`.",
        file=sys.stderr,
    )


@app.command("list")
def list_keys(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """List all keys, without their secrets."""
    folder = directory(data, config)
    known: list[KeyInfo] = []
    if (folder / FILE_NAME).exists():  # to look must not create anything
        known = _run(folder, lambda ring: ring.list())
    if as_json:
        print_json(known)
    elif known:
        Console().print(_table(known))
    else:
        print(f"No keys in {folder} yet. Create one with `ingot keys create --name NAME`.")


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The id, kid or name of the key.")],
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """End a key; requests that carry it are refused within 5 seconds."""
    folder = directory(data, config)
    if not (folder / FILE_NAME).exists():
        fail(f"there is no database in {folder}; name the data directory with --data DIR")
    info = _run(folder, lambda ring: ring.revoke(key))
    if as_json:
        print_json(info)
    else:
        print(f"revoked {info.name} ({info.kid})")


def _run(folder: Path, work: Callable[[KeyRing], Awaitable[T]]) -> T:
    """What `work` returns, run on the keys in `folder`; faults end the command with their text."""

    async def run() -> T:
        log = configure(LineSink(sys.stderr.buffer), form="auto", level="warning")
        async with open_database(folder) as db:
            ring = await KeyRing.open(db, folder, log=log)
            return await work(ring)

    try:
        return asyncio.run(run())
    except (ApiError, StoreError) as error:
        fail(error.message)


def _lifetime(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(
            "a lifetime is a number and a unit, as 30d, 12h or 45m", param_hint="--expires"
        )
    return int(match[1]) * _UNITS[match[2]]


def _table(known: list[KeyInfo]) -> Table:
    table = Table("name", "kid", "ends in", "created", "last used", "state", box=None, pad_edge=False)
    now = time.time()
    for info in known:
        used = "never" if info.last_used_at is None else _when(info.last_used_at)
        table.add_row(
            escape(info.name), info.kid, info.last4, _when(info.created_at), used, _state(info, now)
        )
    return table


def _state(info: KeyInfo, now: float) -> str:
    if info.revoked_at is not None:
        return f"revoked {_when(info.revoked_at)}"
    if info.expires_at is None:
        return "live"
    return f"{'expired' if info.expires_at <= now else 'live until'} {_when(info.expires_at)}"


def _when(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M")
