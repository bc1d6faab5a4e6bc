"""Routes for plans: an operator's to list, create, change and archive; an organization sees its own.

Which plan an organization is on is set with the organization. Amounts are in USD as text, exact to 1e-12.
"""

from collections.abc import Callable
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from ingot.errors import InvalidRequest
from ingot.pricing import parse_usd
from ingot.services.accounts.permissions import OPERATOR
from ingot.services.plans import MOST, WEIGHTS, PlanFields, PlanInfo, Plans, parse_factor
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call

Rate = Annotated[int, Meta(ge=1, le=MOST)]
Keys = Annotated[int, Meta(ge=0, le=100_000)]
Weight = Annotated[int, Meta(ge=1, le=WEIGHTS)]
Decimal = Annotated[str, Meta(min_length=1, max_length=40)]
Models = Annotated[list[str], Meta(min_length=1, max_length=1000)]


class PlanChange(Struct, frozen=True, kw_only=True):
    """What to set; what is left out stays, null is no limit."""

    rpm: Rate | UnsetType | None = UNSET
    tpm: Rate | UnsetType | None = UNSET
    concurrency: Rate | UnsetType | None = UNSET
    keys: Keys | UnsetType | None = UNSET
    models: Models | UnsetType | None = UNSET
    price_factor: Decimal | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    monthly_credits: Decimal | UnsetType = UNSET
    monthly_price: Decimal | UnsetType = UNSET


class NewPlan(PlanChange, frozen=True, kw_only=True):
    """A plan to make; what is left out is without a limit."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]


class Plan(Struct, frozen=True):
    """A plan; null is no limit, amounts in USD, `price_factor` what prices are multiplied by."""

    id: str
    name: str
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    keys: int | None
    models: list[str] | None
    price_factor: str
    weight: int
    monthly_credits: str
    monthly_price: str
    created_at: int
    archived_at: int | None
    object: str = "plan"


class PlanList(Struct, frozen=True):
    """Plans by name, archived ones included."""

    data: list[Plan]
    object: str = "list"


def show_plan(info: PlanInfo) -> Plan:
    """A plan as the API tells of it."""
    return Plan(
        id=info.id,
        name=info.name,
        rpm=info.rpm,
        tpm=info.tpm,
        concurrency=info.concurrency,
        keys=info.keys,
        models=info.models,
        price_factor=info.price_factor,
        weight=info.weight,
        monthly_credits=info.monthly_credits,
        monthly_price=info.monthly_price,
        created_at=info.created_at,
        archived_at=info.archived_at,
    )


def routes(plans: Plans) -> tuple[AdminRoute, ...]:
    """The rows."""

    async def list_plans(_: Call) -> Answer:
        return Answer(PlanList([show_plan(info) for info in await plans.list()]))

    async def create(call: Call) -> Answer:
        body: NewPlan = call.body
        wanted, keep = _fields(body), call.keep(show_plan)
        return Answer(show_plan(await plans.create(body.name, wanted, actor=call.who.actor, keep=keep)))

    async def show(call: Call) -> Answer:
        return Answer(show_plan(await plans.get(call.path["plan"])))

    async def change(call: Call) -> Answer:
        wanted = _fields(call.body)
        return Answer(show_plan(await plans.edit(call.path["plan"], wanted, actor=call.who.actor)))

    async def archive(call: Call) -> Answer:
        return Answer(show_plan(await plans.archive(call.path["plan"], actor=call.who.actor)))

    async def own(call: Call) -> Answer:
        return Answer(show_plan(await plans.of(call.org_id)))

    every = f"{PREFIX}/plans"
    one = f"{every}/{{plan}}"
    return (
        AdminRoute("GET", every, list_plans, OPERATOR, "List all plans", answer=PlanList),
        AdminRoute("POST", every, create, OPERATOR, "Create a plan", NewPlan, Plan, status=201),
        AdminRoute("GET", one, show, OPERATOR, "One plan, by name or id", answer=Plan),
        AdminRoute(
            "PATCH", one, change, OPERATOR, "Change a plan for all organizations on it", PlanChange, Plan
        ),
        AdminRoute(
            "DELETE", one, archive, OPERATOR,
            "Archive a plan: organizations on it stay, nobody new comes", answer=Plan,
        ),
        AdminRoute(
            "GET", f"{PREFIX}/organizations/{{org}}/plan", own, "organization.read",
            "The plan that the organization is on", answer=Plan,
        ),
    )  # fmt: skip


def _fields(body: PlanChange) -> PlanFields:
    models = body.models
    return PlanFields(
        rpm=body.rpm,
        tpm=body.tpm,
        concurrency=body.concurrency,
        keys=body.keys,
        models=tuple(models) if isinstance(models, list) else models,
        price_factor=_read(body.price_factor, parse_factor, param="price_factor"),
        weight=body.weight,
        monthly_credits=_read(body.monthly_credits, parse_usd, param="monthly_credits"),
        monthly_price=_read(body.monthly_price, parse_usd, param="monthly_price"),
    )


def _read(text: str | UnsetType, parse: Callable[[str], int], *, param: str) -> int | UnsetType:
    if isinstance(text, UnsetType):
        return UNSET
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidRequest(f"{error}.", param=param) from error
