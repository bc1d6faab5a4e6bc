"""`ingot promo`: codes that bring credit.

Works on the database itself, whether a server runs on it or not. Amounts are in USD.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ingot.cli.database import on_database, org_id
from ingot.cli.location import located
from ingot.cli.money import (
    ACTOR,
    OWN_ORG,
    AmountOption,
    EndedOption,
    OrgOption,
    amount,
    day,
    expiry,
    hint,
)
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.clock import SystemClock
from ingot.services.promos import Promos
from ingot.services.receipts import Receipt
from ingot.services.statements import PromoInfo, promo_info, receipt_info
from ingot.store.database import Database

app = typer.Typer(name="promo", help="Create, list, end and redeem promo codes.", no_args_is_help=True)

CodeArgument = Annotated[str, typer.Argument(help="The code; upper and lower case are the same.")]


@app.command()
def create(
    value: AmountOption,
    code: Annotated[str | None, typer.Option("--code", help="The code; else one is made up.")] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", help="When it ends: 30d, 12h, or a day as 2026-12-31; else never."),
    ] = None,
    most_uses: Annotated[
        int | None, typer.Option("--most-uses", help="How many organizations may use it; else any number.")
    ] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Create a code that brings each organization an amount, once."""
    units = amount(value)
    until = expiry(expires, option="--expires")
    made = on_database(
        located(data, config),
        lambda db: Promos(db, clock=SystemClock()).create(
            units, actor=ACTOR, code=code, expires=until, most_uses=most_uses
        ),
    )
    if as_json:
        print_json(promo_info(made))
        return
    print(made.code)
    hint(f"Redeem it with `ingot promo redeem {made.code} --org ORG`.")


@app.command("list")
def list_codes(
    ended: EndedOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List codes and how often they were used."""
    found = on_database(located(data, config), lambda db: Promos(db, clock=SystemClock()).list(ended=ended))
    known = [promo_info(each) for each in found]
    if as_json:
        print_json(known)
    elif known:
        Console().print(_table(known))
    else:
        print("No promo codes. Create one with `ingot promo create --amount 5`.")


@app.command()
def end(
    code: CodeArgument, as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Take a code out of use; what it brought stays."""
    info = promo_info(
        on_database(located(data, config), lambda db: Promos(db, clock=SystemClock()).end(code, actor=ACTOR))
    )
    if as_json:
        print_json(info)
    else:
        print(f"ended {info.code}; it was used {info.uses} times")


@app.command()
def redeem(
    code: CodeArgument,
    org: OrgOption = OWN_ORG,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Give an organization what a code brings."""

    async def work(db: Database) -> Receipt:
        return await Promos(db, clock=SystemClock()).redeem(await org_id(db, org), code, actor=ACTOR)

    info = receipt_info(on_database(located(data, config), work))
    if as_json:
        print_json(info)
    else:
        print(
            f"{info.entry.organization} got {info.entry.amount} USD and has a balance of {info.balance} USD"
        )


def _table(known: list[PromoInfo]) -> Table:
    table = Table("code", "USD", "uses", "most", "expires", "ended", box=None, pad_edge=False)
    for each in known:
        most = "any" if each.most_uses is None else str(each.most_uses)
        table.add_row(
            each.code, each.amount, str(each.uses), most, day(each.expires_at) or "never", day(each.ended_at)
        )
    return table
