"""`ingot plans`: what organizations may use and what it costs them.

Works on the database itself, whether a server runs on it or not; a running one follows within 5 s. Amounts are in
USD as people write them, exact to 1e-12.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, problems and hints to stderr.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from msgspec import UNSET, UnsetType
from rich.console import Console
from rich.table import Table

from ingot.cli.database import on_database, require_database
from ingot.cli.location import Location, located
from ingot.cli.options import ConfigOption, DataOption, JsonOption, names, usd_amount
from ingot.cli.output import print_json
from ingot.clock import SystemClock
from ingot.services.plans import PlanFields, PlanInfo, Plans, parse_factor
from ingot.store.database import Database

ACTOR = "cli"
NONE = "none"
ALL = "all"

T = TypeVar("T")

PlanArgument = Annotated[str, typer.Argument(help="The name of the plan.")]
RpmOption = Annotated[
    str | None, typer.Option("--rpm", help="Requests per minute of an organization, or `none` for no limit.")
]
TpmOption = Annotated[
    str | None, typer.Option("--tpm", help="Tokens per minute of an organization, or `none` for no limit.")
]
ConcurrencyOption = Annotated[
    str | None, typer.Option("--concurrency", help="Requests at the same time, or `none` for no limit.")
]
KeysOption = Annotated[
    str | None, typer.Option("--keys", help="Keys of an organization, or `none` for no limit.")
]
ModelsOption = Annotated[
    str | None, typer.Option("--models", help="The only models that may be used, as a,b; or `all`.")
]
FactorOption = Annotated[
    str | None, typer.Option("--price-factor", help="What prices are multiplied by, as 0.8.")
]
WeightOption = Annotated[
    int | None,
    typer.Option("--weight", help="Share of the capacity between organizations that wait, 1 to 1000."),
]
CreditsOption = Annotated[
    str | None, typer.Option("--monthly-credits", help="What an organization gets each month, in USD.")
]
PriceOption = Annotated[
    str | None, typer.Option("--monthly-price", help="What the plan costs each month, in USD.")
]

app = typer.Typer(
    name="plans", help="List, show, create, change, archive and assign plans.", no_args_is_help=True
)


@app.command("list")
def list_plans(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """List all plans."""
    place = located(data, config)
    require_database(place)  # to look must not create anything
    known = _run(place, lambda plans: plans.list())
    if as_json:
        print_json(known)
    else:
        Console().print(_table(known))


@app.command()
def show(
    plan: PlanArgument, as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Show one plan."""
    place = located(data, config)
    require_database(place)
    _show(_run(place, lambda plans: plans.get(plan)), as_json=as_json)


@app.command()
def create(
    plan: PlanArgument,
    rpm: RpmOption = None,
    tpm: TpmOption = None,
    concurrency: ConcurrencyOption = None,
    keys: KeysOption = None,
    models: ModelsOption = None,
    price_factor: FactorOption = None,
    weight: WeightOption = None,
    monthly_credits: CreditsOption = None,
    monthly_price: PriceOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Create a plan; what is not given is without a limit."""
    wanted = PlanFields(
        rpm=_limit(rpm, "--rpm"),
        tpm=_limit(tpm, "--tpm"),
        concurrency=_limit(concurrency, "--concurrency"),
        keys=_limit(keys, "--keys"),
        models=_models(models),
        price_factor=_factor(price_factor),
        weight=UNSET if weight is None else weight,
        monthly_credits=_amount(monthly_credits, "--monthly-credits"),
        monthly_price=_amount(monthly_price, "--monthly-price"),
    )
    place = located(data, config)
    _show(_run(place, lambda plans: plans.create(plan, wanted, actor=ACTOR)), as_json=as_json)


@app.command("set")
def change(
    plan: PlanArgument,
    rpm: RpmOption = None,
    tpm: TpmOption = None,
    concurrency: ConcurrencyOption = None,
    keys: KeysOption = None,
    models: ModelsOption = None,
    price_factor: FactorOption = None,
    weight: WeightOption = None,
    monthly_credits: CreditsOption = None,
    monthly_price: PriceOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Change a plan for all organizations that are on it; what is not given stays."""
    wanted = PlanFields(
        rpm=_limit(rpm, "--rpm"),
        tpm=_limit(tpm, "--tpm"),
        concurrency=_limit(concurrency, "--concurrency"),
        keys=_limit(keys, "--keys"),
        models=_models(models),
        price_factor=_factor(price_factor),
        weight=UNSET if weight is None else weight,
        monthly_credits=_amount(monthly_credits, "--monthly-credits"),
        monthly_price=_amount(monthly_price, "--monthly-price"),
    )
    place = located(data, config)
    require_database(place)
    _show(_run(place, lambda plans: plans.edit(plan, wanted, actor=ACTOR)), as_json=as_json)


@app.command()
def archive(
    plan: PlanArgument, as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Let nobody new on a plan; organizations that are on it stay."""
    place = located(data, config)
    require_database(place)
    _show(_run(place, lambda plans: plans.archive(plan, actor=ACTOR)), as_json=as_json)


@app.command()
def assign(
    org: Annotated[str, typer.Argument(help="The id of the organization.")],
    plan: PlanArgument,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Put an organization on a plan."""
    place = located(data, config)
    require_database(place)
    info = _run(place, lambda plans: plans.assign(org, plan, actor=ACTOR))
    if as_json:
        print_json({"org_id": org, "plan": info.name})
    else:
        print(f"{org} is on the plan {info.name}")


def _run(place: Location, work: Callable[[Plans], Awaitable[T]]) -> T:
    async def run(db: Database) -> T:
        return await work(Plans(db, clock=SystemClock()))

    return on_database(place, run)


def _limit(text: str | None, option: str) -> int | UnsetType | None:
    if text is None:
        return UNSET
    if text == NONE:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise typer.BadParameter(f"a limit is a whole number, or `{NONE}`", param_hint=option)
    return int(text)


def _models(text: str | None) -> tuple[str, ...] | UnsetType | None:
    if text is None:
        return UNSET
    return None if text == ALL else names(text)


def _factor(text: str | None) -> int | UnsetType:
    if text is None:
        return UNSET
    try:
        return parse_factor(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--price-factor") from error


def _amount(text: str | None, option: str) -> int | UnsetType:
    return UNSET if text is None else usd_amount(text, option)


def _show(info: PlanInfo, *, as_json: bool) -> None:
    if as_json:
        print_json(info)
    else:
        Console().print(_table([info]))


def _table(known: list[PlanInfo]) -> Table:
    heads = ("name", "rpm", "tpm", "concurrency", "keys", "models", "factor", "weight", "credits", "price")
    table = Table(*heads, box=None, pad_edge=False)
    for info in known:
        limits = (info.rpm, info.tpm, info.concurrency, info.keys)
        table.add_row(
            info.name if info.archived_at is None else f"{info.name} (archived)",
            *(NONE if limit is None else str(limit) for limit in limits),
            ALL if info.models is None else ", ".join(info.models),
            info.price_factor,
            str(info.weight),
            info.monthly_credits,
            info.monthly_price,
        )
    return table
