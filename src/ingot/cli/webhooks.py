"""`ingot webhooks`: an organization's endpoints and hosts, what was delivered and what failed, sending once more.

Works on the database itself, whether a server runs on it or not; a running server delivers within a second. No command
shows a body or a token. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar, cast, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingot.cli.database import on_keys, org_id
from ingot.cli.location import Location, located
from ingot.cli.money import OWN_ORG, OrgOption, hint, instant
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.clock import SystemClock
from ingot.services.keys import KeyRing
from ingot.services.webhooks.desk import DeliveryPage, WebhookDesk, WebhookStatus
from ingot.store.database import Database
from ingot.store.delivery_log import State, Which
from ingot.store.schema import micros, moment

app = typer.Typer(
    name="webhooks", help="Look at webhooks, and deliver once more what failed.", no_args_is_help=True
)

T = TypeVar("T")

FromOption = Annotated[
    str | None,
    typer.Option("--from", help="The first day or instant, in UTC, as 2026-11-01 or 2026-11-01T12:00."),
]
ToOption = Annotated[
    str | None, typer.Option("--to", help="The day or instant before which it ends, in UTC.")
]
EventOption = Annotated[str | None, typer.Option("--event", help="Only this event, by its id.")]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", help="Only deliveries to this endpoint, by its id.")
]


@app.command("list")
def list_webhooks(
    org: OrgOption = OWN_ORG,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List the endpoints of an organization, and the hosts that fail."""
    status = _run(located(data, config), org, lambda desk, which: desk.status(which))
    if as_json:
        print_json(status)
    else:
        _print_status(status)


@app.command()
def deliveries(
    org: OrgOption = OWN_ORG,
    event: EventOption = None,
    endpoint: EndpointOption = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only those that are pending, delivered or failed.")
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most deliveries.")] = 20,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List deliveries with their tries, the newest first."""
    if state is not None and state not in get_args(State):
        raise typer.BadParameter(f"the states are {', '.join(get_args(State))}", param_hint="--state")
    which = _which(event, endpoint, start, end, cast("State | None", state))
    page = _run(
        located(data, config), org, lambda desk, own: desk.deliveries(own, which, after=None, limit=limit)
    )
    if as_json:
        print_json(page)
    elif page.data:
        Console().print(_deliveries_table(page))
    else:
        print("No such deliveries. They are kept for 30 days.")


@app.command()
def redeliver(
    org: OrgOption = OWN_ORG,
    event: EventOption = None,
    endpoint: EndpointOption = None,
    start: FromOption = None,
    end: ToOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="Leave out what has arrived.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Deliver one event, or all of a time, once more under the same ids."""
    if event is None and start is None:
        raise typer.BadParameter("name one event, or say from when on with --from", param_hint="--event")
    which = _which(event, endpoint, start, end, "failed" if failed else None)
    told = _run(located(data, config), org, lambda desk, own: desk.redeliver(own, which, actor="cli"))
    if as_json:
        print_json(told)
    else:
        print(f"{told.deliveries} deliveries begin anew.")
        if told.gone:
            hint(f"ingot: {told.gone} cannot: their content is not kept any more")


@app.command()
def enable(
    name: Annotated[str, typer.Argument(help="An endpoint's id, or a host as `list` shows it.")],
    org: OrgOption = OWN_ORG,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Call an endpoint or a host again that was disabled or fails."""
    told = _run(located(data, config), org, lambda desk, own: desk.enable(own, name, actor="cli"))
    if as_json:
        print_json(told)
    else:
        print(f"{told.enabled} is called again.")


@app.command()
def secret(
    org: OrgOption = OWN_ORG,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate", help="Make a new one and show it, this once; the old one signs 24 hours more."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also within 24 hours of the last time; the oldest ends now.")
    ] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show which secret signs what requests order, or make a new one."""
    place = located(data, config)
    if rotate:
        told = _run(place, org, lambda desk, own: desk.rotate_secret(own, actor="cli", force=force))
    else:
        told = _run(place, org, lambda desk, own: desk.secret(own))
    if as_json:
        print_json(told)
    elif told.secret is not None:
        print(told.secret)
        hint("ingot: this is the only time that the secret is shown")
    else:
        print(
            f"{told.hint}, number {told.number}; `ingot webhooks secret --rotate` makes a new one and shows it"
        )


def _run(place: Location, org: str, work: Callable[[WebhookDesk, str], Awaitable[T]]) -> T:
    async def run(ring: KeyRing, db: Database) -> T:
        desk = WebhookDesk(db, digest=ring.digest, clock=SystemClock())
        return await work(desk, await org_id(db, org))

    return on_keys(place, run)


def _which(
    event: str | None, endpoint: str | None, start: str | None, end: str | None, state: State | None
) -> Which:
    first, last = instant(start, option="--from"), instant(end, option="--to")
    if first is not None and last is not None and first > last:
        raise typer.BadParameter("it lies before --from, so nothing could be in between", param_hint="--to")
    return Which(
        event,
        endpoint,
        since=None if first is None else micros(first),
        until=None if last is None else micros(last),
        state=state,
    )


def _print_status(status: WebhookStatus) -> None:
    if not status.endpoints and not status.hosts:
        print("No endpoints, and no host fails. POST /v1/webhook_endpoints makes one.")
        return
    console = Console()
    if status.endpoints:
        table = Table("id", "name", "url", "events", "state", box=None, pad_edge=False)
        for each in status.endpoints:
            state = each.disabled_reason or "called"
            table.add_row(
                each.id, escape(each.name), escape(each.url), ", ".join(each.event_types), escape(state)
            )
        console.print(table)
    if status.hosts:
        table = Table("failing host", "failures", "since", "state", box=None, pad_edge=False)
        for host in status.hosts:
            state = "disabled" if host.disabled_at else "probed" if host.probe_at else "called"
            table.add_row(escape(host.host), str(host.failures), moment(micros(host.failing_since)), state)
        console.print(table)


def _deliveries_table(page: DeliveryPage) -> Table:
    table = Table("event", "type", "about", "url", "state", "tries", "last answer", box=None, pad_edge=False)
    for each in page.data:
        last = each.tries[-1] if each.tries else None
        said = "" if last is None else str(last.status or last.error or "")
        table.add_row(
            each.event,
            each.type,
            each.object_id,
            escape(each.url),
            each.state,
            str(each.attempts),
            escape(said),
        )
    return table
