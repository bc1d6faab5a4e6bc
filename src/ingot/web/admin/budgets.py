"""Routes for budgets: hard caps that an organization's administrators set for it and for its keys."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ingot.services.budgets import Budgets
from ingot.services.statements import BudgetInfo, budget_info
from ingot.web.admin.money import Amount, units
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call, Gone


class NewBudget(Struct, frozen=True, kw_only=True):
    """A cap in USD for a calendar month in UTC or in all; without a key for the whole organization."""

    cap: Amount
    period: Literal["month", "total"] = "month"
    key_id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class BudgetList(Struct, frozen=True):
    """Budgets in force."""

    data: list[BudgetInfo]
    object: Literal["list"] = "list"


def routes(budgets: Budgets) -> tuple[AdminRoute, ...]:
    """The rows."""

    async def every(call: Call) -> Answer:
        return Answer(BudgetList([budget_info(each) for each in await budgets.list(call.org_id)]))

    async def put(call: Call) -> Answer:
        body: NewBudget = call.body
        row = await budgets.set(
            call.org_id,
            units(body.cap, param="cap"),
            period=body.period,
            actor=call.who.actor,
            key_id=body.key_id,
        )
        return Answer(budget_info(row))

    async def end(call: Call) -> Answer:
        await budgets.end(call.org_id, call.path["budget"], actor=call.who.actor)
        return Answer(Gone(call.path["budget"]))

    own = f"{PREFIX}/organizations/{{org}}/budgets"
    return (
        AdminRoute("GET", own, every, "billing.read", "List the budgets in force", answer=BudgetList),
        AdminRoute(
            "PUT", own, put, "budgets.manage",
            "Set a budget, or another cap for the one that is set", NewBudget, BudgetInfo,
        ),
        AdminRoute("DELETE", f"{own}/{{budget}}", end, "budgets.manage", "End a budget", answer=Gone),
    )  # fmt: skip
