"""`ingot keys`: create, list, roll and revoke API keys.

Works on the database itself, whether a server runs on it or not; a running one follows within 5 s.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

import re
import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingot.app.models import embedded_models
from ingot.cli.database import on_keys, org_id
from ingot.cli.location import Location, located
from ingot.cli.money import ACTOR, OWN_ORG, AnyOrgOption, OrgOption
from ingot.cli.options import ConfigOption, DataOption, JsonOption, names, usd_amount
from ingot.cli.output import print_json
from ingot.errors import InvalidRequest, NotFound
from ingot.services.key_desk import IssuedKey, KeyInfo, KeyOrder
from ingot.services.keys import KeyRing
from ingot.store.database import Database

KeyArgument = Annotated[str, typer.Argument(help="The id, kid or name of the key.")]

app = typer.Typer(name="keys", help="Create, list, roll and revoke API keys.", no_args_is_help=True)


_UNITS = {"m": 60, "h": 3600, "d": 86400}


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", "-n", help="What the key is for; shown in lists.")],
    org: OrgOption = OWN_ORG,
    user: Annotated[
        str | None, typer.Option("--user", help="Id or e-mail address of the member that it is for.")
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            help="The only models that it may use, as a,b, of those in the configuration; without it all of the plan's.",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", help="Lifetime, as 30d, 12h or 45m; without it the key does not expire."),
    ] = None,
    rpm: Annotated[
        int | None, typer.Option("--rpm", min=1, help="Its own requests per minute, below the plan's.")
    ] = None,
    tpm: Annotated[
        int | None, typer.Option("--tpm", min=1, help="Its own tokens per minute, below the plan's.")
    ] = None,
    cap: Annotated[
        str | None, typer.Option("--cap", help="The most that it may ever spend, in USD, as 12.50.")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="A key for the admin API.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Create a key and print it, this once."""
    order = KeyOrder(
        name,
        user_id=user,
        scope="admin" if admin else "inference",
        models=None if models is None else names(models),
        expires=None if expires is None else time.time() + _lifetime(expires),
        rpm=rpm,
        tpm=tpm,
        cap=None if cap is None else usd_amount(cap, "--cap"),
    )
    _show(_issued(located(data, config), order, org=org), as_json=as_json)


@app.command("list")
def list_keys(
    org: AnyOrgOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List all keys, without their secrets."""
    place = located(data, config)

    async def work(ring: KeyRing, db: Database) -> list[KeyInfo]:
        if org is None:
            return await ring.desk.list_all()
        try:
            return await ring.desk.list(await org_id(db, org, deleted=True))
        except NotFound:
            return []  # nobody has no keys

    known = [] if place.empty else on_keys(place, work)
    if as_json:
        print_json(known)
    elif known:
        Console().print(_table(known))
    else:
        print(f"No keys in {place.shown} yet. Create one with `ingot keys create --name NAME`.")


@app.command()
def roll(
    key: KeyArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Also within 24 hours of the last roll; the oldest key ends now.")
    ] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Replace a key by a new one and print it; the old one is valid for 24 hours more."""

    async def work(ring: KeyRing, _: Database) -> IssuedKey:
        info = await ring.desk.find(key)
        return await ring.desk.roll(info.org_id, info.id, actor=ACTOR, force=force)

    _show(on_keys(located(data, config), work), as_json=as_json)


@app.command()
def revoke(
    key: KeyArgument,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """End a key, and one that it replaced; requests that carry it are refused within 5 seconds."""

    async def work(ring: KeyRing, _: Database) -> KeyInfo:
        found = await ring.desk.find(key)
        return await ring.desk.revoke(found.org_id, found.id, actor=ACTOR)

    info = on_keys(located(data, config), work)
    if as_json:
        print_json(info)
    else:
        print(f"revoked {info.name} ({info.kid})")


def _show(issued: IssuedKey, *, as_json: bool) -> None:
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


def _known_models(place: Location) -> set[str]:
    """The models of the server with this configuration: those that it names, and those that were pulled."""
    _, embedded = embedded_models(place.config)
    return {*place.config.models, *(model.name for model in embedded)}


def _issued(place: Location, order: KeyOrder, *, org: str) -> IssuedKey:
    known = _known_models(place) if order.models else None

    async def work(ring: KeyRing, db: Database) -> IssuedKey:
        try:
            return await ring.desk.issue(await org_id(db, org), order, actor=ACTOR, known=known)
        except InvalidRequest as error:
            if known is None or known.issuperset(order.models or ()):
                raise
            read = "no configuration file" if place.file is None else str(place.file)
            hint = f"This command reads {read}; --config names the server's."
            raise InvalidRequest(f"{error.message} {hint}", param=error.param) from error

    return on_keys(place, work, create=True)


def _lifetime(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(
            "a lifetime is a number and a unit, as 30d, 12h or 45m", param_hint="--expires"
        )
    return int(match[1]) * _UNITS[match[2]]


def _table(known: list[KeyInfo]) -> Table:
    heads = ("name", "kid", "ends in", "organization", "created", "last used", "state")
    table = Table(*heads, box=None, pad_edge=False)
    now = time.time()
    for info in known:
        used = "never" if info.last_used_at is None else _when(info.last_used_at)
        table.add_row(
            escape(info.name),
            info.kid,
            info.last4,
            info.org_id,
            _when(info.created_at),
            used,
            _state(info, now),
        )
    return table


def _state(info: KeyInfo, now: float) -> str:
    if info.revoked_at is not None:
        return f"revoked {_when(info.revoked_at)}"
    if info.expires_at is None:
        return "live"
    ended = info.expires_at <= now
    if info.replaced_by is not None:
        return f"replaced, {'ended' if ended else 'live until'} {_when(info.expires_at)}"
    return f"{'expired' if ended else 'live until'} {_when(info.expires_at)}"


def _when(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M")
