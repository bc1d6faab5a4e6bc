"""`ingot db`: bring the database up to date, look at it, save it.

Works beside a server that runs. Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout,
problems and hints to stderr.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ingot.cli.location import located
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import fail, print_json
from ingot.store.backup import back_up
from ingot.store.engine import migrate_database
from ingot.store.faults import StoreError
from ingot.store.survey import Survey, survey

app = typer.Typer(name="db", help="Migrate, inspect and back up the database.", no_args_is_help=True)


@app.command()
def migrate(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Create the database or bring it up to date, as every start does; print the steps that were applied."""
    place = located(data, config)
    try:
        applied = migrate_database(place.data, place.url)
    except StoreError as error:
        fail(error.message)
    if as_json:
        print_json({"applied": applied})
        return
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print("The database is up to date.")


@app.command()
def status(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Show what the database is, its schema, its size and its rows; exit status 1 if a start would refuse it."""
    place = located(data, config)
    try:
        found = survey(place.data, place.url)
    except StoreError as error:
        fail(error.message)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found.problem:
        if not as_json:
            fail(found.problem)
        raise typer.Exit(1)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Save the database to FILE and the key pepper to FILE.pepper, while servers run; PostgreSQL needs pg_dump."""
    place = located(data, config)
    try:
        made = back_up(place.data, place.url, file.expanduser())
    except StoreError as error:
        fail(error.message)
    if as_json:
        print_json(
            {
                "file": str(made.file),
                "pepper": made.pepper and str(made.pepper),
                "size_bytes": made.size_bytes,
            }
        )
        return
    print(f"saved {made.file} ({_bytes(made.size_bytes)})")
    if made.pepper:
        print(f"saved {made.pepper}: the keys in the backup need it; who has both can test guesses of them")
    else:
        print(
            f"{place.data} holds no pepper, so none was saved; see that another backup does", file=sys.stderr
        )


def _show(found: Survey) -> None:
    print(f"{found.kind} at {found.place}{'' if found.exists else ' (not there yet)'}")
    print(
        f"schema {found.schema}, pending: {', '.join(found.pending) or 'nothing'}, size {_bytes(found.size_bytes)}"
    )
    if found.tables:
        shown = Table("table", "rows", box=None, pad_edge=False)
        shown.columns[1].justify = "right"
        for name, rows in found.tables.items():
            shown.add_row(name, f"{rows:,}")
        Console().print(shown)


def _bytes(count: int) -> str:
    """A size for people, in the decimal units that disks are sold in."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if count >= 1000**power:
            return f"{count / 1000**power:.1f} {unit}"
    return f"{count} B"
