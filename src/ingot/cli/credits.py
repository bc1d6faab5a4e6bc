"""`ingot credits`: what organizations have, and rows that add to it or take from it.

Works on the database itself, whether a server runs on it or not. Amounts are in USD, with all their digits.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingot.cli.database import on_database, org_id
from ingot.cli.location import located
from ingot.cli.money import (
    ACTOR,
    OWN_ORG,
    AmountOption,
    NoteOption,
    OrgOption,
    ReferenceOption,
    amount,
)
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.clock import SystemClock
from ingot.services.credits import Account, Credits
from ingot.services.receipts import Receipt
from ingot.services.statements import AccountInfo, EntryInfo, account_info, receipt_info
from ingot.store.database import Database

app = typer.Typer(name="credits", help="Add, show, refund and correct credit.", no_args_is_help=True)


@app.command()
def add(
    value: AmountOption,
    org: OrgOption = OWN_ORG,
    reference: ReferenceOption = None,
    note: NoteOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Add credit that was paid for; with --reference a payment counts once however often it is told."""
    units = amount(value)

    async def work(db: Database) -> Receipt:
        found = await org_id(db, org)
        return await Credits(db, clock=SystemClock()).top_up(
            found, units, actor=ACTOR, reference=reference, note=note
        )

    _print(on_database(located(data, config), work), as_json=as_json)


@app.command()
def show(
    org: OrgOption = OWN_ORG,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show an organization's balance, what it came from, and the last rows."""

    async def work(db: Database) -> Account:
        return await Credits(db, clock=SystemClock()).show(await org_id(db, org))

    info = account_info(on_database(located(data, config), work))
    if as_json:
        print_json(info)
    else:
        _show(info)


@app.command()
def refund(
    row: Annotated[
        str, typer.Argument(help="The id of the call or top-up, as `ingot ledger list` shows it.")
    ],
    value: Annotated[
        str | None, typer.Option("--amount", help="How much, in USD; else all that is left.")
    ] = None,
    reference: ReferenceOption = None,
    note: NoteOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Give back what a call cost, or note that a top-up was paid back; never more than was paid."""
    units = None if value is None else amount(value)

    async def work(db: Database) -> Receipt:
        return await Credits(db, clock=SystemClock()).refund(
            row, units, actor=ACTOR, reference=reference, note=note
        )

    _print(on_database(located(data, config), work), as_json=as_json)


@app.command()
def correct(
    value: Annotated[
        str, typer.Option("--amount", help="An amount in USD to add, or with a minus to take away.")
    ],
    note: Annotated[str, typer.Option("--note", help="The reason, which is kept with the row.")],
    org: OrgOption = OWN_ORG,
    refers_to: Annotated[
        str | None, typer.Option("--refers-to", help="The id of the row that is corrected, if it is one.")
    ] = None,
    reference: ReferenceOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Add or take away an amount, with the reason, by a row of its own."""
    units = amount(value)

    async def work(db: Database) -> Receipt:
        found = await org_id(db, org)
        return await Credits(db, clock=SystemClock()).correct(
            found, units, actor=ACTOR, note=note, reference=reference, refers_to=refers_to
        )

    _print(on_database(located(data, config), work), as_json=as_json)


def entries_table(entries: list[EntryInfo]) -> Table:
    """Ledger rows, one a line."""
    table = Table("at", "kind", "id", "USD", "about", box=None, pad_edge=False)
    for each in entries:
        about = each.model or each.refers_to or each.note or ""
        table.add_row(
            each.at[:16].replace("T", " "), each.kind, escape(each.id), each.amount, escape(about[:60])
        )
    return table


def _print(receipt: Receipt, *, as_json: bool) -> None:
    info = receipt_info(receipt)
    if as_json:
        print_json(info)
        return
    done = "was there already" if info.repeated else "is in the ledger"
    print(
        f"{info.entry.id} {done}: {info.entry.amount} USD; {info.entry.organization} has a balance of {info.balance} USD"
    )


def _show(info: AccountInfo) -> None:
    standing = info.standing
    print(f"{standing.name} ({standing.organization}), {'prepaid' if standing.prepaid else 'not prepaid'}")
    print(f"balance {standing.balance} USD, {standing.held} held, {standing.available} available")
    for kind, total in info.sums.items():
        print(f"  {kind} {total}")
    if info.last:
        Console().print(entries_table(info.last))
    else:
        print(
            f"Nothing was paid or spent yet. `ingot credits add --org {standing.organization} --amount 10` adds credit."
        )
