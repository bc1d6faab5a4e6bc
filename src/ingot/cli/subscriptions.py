"""`ingot subscriptions`: organizations on a plan, renewed a month at a time.

Works on the database itself, whether a server runs on it or not; the server renews.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

from typing import Annotated

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
    day,
)
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.clock import SystemClock
from ingot.services.statements import SubscriptionInfo, subscription_info
from ingot.services.subscriptions import Subscriptions
from ingot.store.database import Database

app = typer.Typer(name="subscriptions", help="Start, cancel and list subscriptions.", no_args_is_help=True)


@app.command()
def start(
    plan: Annotated[str, typer.Option("--plan", help="The plan, by name or id.")],
    org: OrgOption = OWN_ORG,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Put an organization on a plan, with its credits now and at the start of every period."""

    async def work(db: Database) -> SubscriptionInfo:
        found = await org_id(db, org)
        return subscription_info(await Subscriptions(db, clock=SystemClock()).start(found, plan, actor=ACTOR))

    info = on_database(located(data, config), work)
    if as_json:
        print_json(info)
    else:
        print(
            f"{info.organization} subscribes to {info.plan_id} as {info.id}; renewed {day(info.period_end)}"
        )


@app.command()
def cancel(
    org: OrgOption = OWN_ORG,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Make the present period the last; credits stay, the plan ends with it."""

    async def work(db: Database) -> SubscriptionInfo:
        found = await org_id(db, org)
        return subscription_info(await Subscriptions(db, clock=SystemClock()).cancel(found, actor=ACTOR))

    info = on_database(located(data, config), work)
    if as_json:
        print_json(info)
    else:
        print(f"{info.id} ends {day(info.period_end)}")


@app.command("list")
def list_subscriptions(
    org: AnyOrgOption = None,
    ended: EndedOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List subscriptions."""

    async def work(db: Database) -> list[SubscriptionInfo]:
        found = await Subscriptions(db, clock=SystemClock()).list(await optional_org_id(db, org), ended=ended)
        return [subscription_info(row) for row in found]

    known = on_database(located(data, config), work)
    if as_json:
        print_json(known)
    elif known:
        Console().print(_table(known))
    else:
        print("No subscriptions. Start one with `ingot subscriptions start --org ORG --plan PLAN`.")


def _table(known: list[SubscriptionInfo]) -> Table:
    names = ("id", "organization", "plan", "period from", "to", "state")
    table = Table(*names, box=None, pad_edge=False)
    for each in known:
        state = "ended" if each.ended_at else "cancelled" if each.cancelled_at else "live"
        table.add_row(
            each.id, each.organization, each.plan_id, day(each.period_start), day(each.period_end), state
        )
    return table
