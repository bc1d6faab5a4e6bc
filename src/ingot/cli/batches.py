"""`ingot batches`: what is under way, one batch, and its end.

Works on the database itself, whether a server runs on it or not. Results go to stdout, problems and hints to stderr.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ingot.cli.database import on_database, org_id
from ingot.cli.location import located
from ingot.cli.money import OWN_ORG, OrgOption
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.clock import SystemClock
from ingot.services.batches.overview import Overview
from ingot.store.database import Database

app = typer.Typer(
    help="Batches of an organization: what is under way, one of them, and its end.", no_args_is_help=True
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The batch's id.", show_default=False)]


@app.command("list")
def list_batches(
    org: OrgOption = OWN_ORG,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List the batches of an organization, the newest first."""

    async def work(db: Database) -> list[dict[str, Any]]:
        return await Overview(db, clock=SystemClock()).list(await org_id(db, org, deleted=True), limit=limit)

    found = on_database(located(data, config), work)
    if as_json:
        print_json(found)
    elif found:
        Console().print(_table(found))
    else:
        print("No batches yet. POST /v1/batches makes one: docs/howto/batches.md.", file=sys.stderr)


@app.command("show")
def show(
    which: IdArgument,
    org: OrgOption = OWN_ORG,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show one batch with its counts."""

    async def work(db: Database) -> dict[str, Any]:
        return await Overview(db, clock=SystemClock()).read(await org_id(db, org, deleted=True), which)

    found = on_database(located(data, config), work)
    if as_json:
        print_json(found)
        return
    for name, held in found.items():
        if held is not None:
            print(f"{name}: {held}")


@app.command("cancel")
def cancel(
    which: IdArgument,
    org: OrgOption = OWN_ORG,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """End what waits of a batch; what runs has a minute."""

    async def work(db: Database) -> dict[str, Any]:
        overview = Overview(db, clock=SystemClock())
        return await overview.cancel(await org_id(db, org, deleted=True), which)

    found = on_database(located(data, config), work)
    if as_json:
        print_json(found)
    else:
        print(
            f"{found['id']} is {found['state']}: {found['cancelled']:,} requests were cancelled, {found['running']:,} run."
        )


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("batch", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("total", "completed", "failed", "left"):
        table.add_column(name, justify="right")
    for each in found:
        figures = (each["total"], each["completed"], each["failed"], each["running"] + each["pending"])
        table.add_row(each["id"], each["state"], *(f"{figure:,}" for figure in figures))
    return table
