"""`ingot budgets`: hard caps on what an organization or a key may spend.

Works on the database itself, whether a server runs on it or not; a running one follows within 5 s. Amounts are in USD.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from ingot.cli.database import on_database, optional_org_id, org_id
from ingot.cli.location import located
from ingot.cli.money import (
    ACTOR,
    OWN_ORG,
    AnyOrgOption,
    EndedOption,
    OrgOption,
    amount,
    day,
)
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.clock import SystemClock
from ingot.services.budgets import Budgets
from ingot.services.statements import BudgetInfo, budget_info
from ingot.store.database import Database

app = typer.Typer(name="budgets", help="Set, list and end budgets.", no_args_is_help=True)


@app.command("set")
def set_budget(
    cap: Annotated[
        str, typer.Option("--cap", help="The most that may be spent, in USD; 0 stops all spending.")
    ],
    org: OrgOption = OWN_ORG,
    key: Annotated[
        str | None, typer.Option("--key", help="The id of the key that it is for; else the organization.")
    ] = None,
    period: Annotated[
        Literal["month", "total"], typer.Option("--period", help="month, of the calendar in UTC, or total.")
    ] = "month",
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Set a budget, or another cap for the one that is set; what was spent in its period counts."""
    units = amount(cap, option="--cap")

    async def work(db: Database) -> BudgetInfo:
        budgets = Budgets(db, clock=SystemClock())
        row = await budgets.set(await org_id(db, org), units, period=period, actor=ACTOR, key_id=key)
        return budget_info(row)

    info = on_database(located(data, config), work)
    if as_json:
        print_json(info)
    else:
        print(f"{info.id}: {info.cap} USD a {info.period}, {info.spent} spent, {info.left} left")


@app.command("list")
def list_budgets(
    org: AnyOrgOption = None,
    ended: EndedOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List budgets with what is spent of them."""

    async def work(db: Database) -> list[BudgetInfo]:
        rows = await Budgets(db, clock=SystemClock()).list(await optional_org_id(db, org), ended=ended)
        return [budget_info(row) for row in rows]

    known = on_database(located(data, config), work)
    if as_json:
        print_json(known)
    elif known:
        Console().print(_table(known))
    else:
        print("No budgets. Set one with `ingot budgets set --org ORG --cap 100`.")


@app.command()
def end(
    budget: Annotated[str, typer.Argument(help="The id of the budget, as `ingot budgets list` shows it.")],
    org: OrgOption = OWN_ORG,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Take a budget out of force."""

    async def work(db: Database) -> None:
        await Budgets(db, clock=SystemClock()).end(await org_id(db, org), budget, actor=ACTOR)

    on_database(located(data, config), work)
    if as_json:
        print_json({"id": budget, "ended": True})
    else:
        print(f"ended {budget}")


def _table(known: list[BudgetInfo]) -> Table:
    names = ("id", "organization", "key", "period", "cap", "spent", "held", "left", "ended")
    table = Table(*names, box=None, pad_edge=False)
    for each in known:
        figures = (each.cap, each.spent, each.held, each.left, day(each.ended_at))
        table.add_row(each.id, each.organization, each.key_id or "all", each.period, *figures)
    return table
