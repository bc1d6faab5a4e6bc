"""Routes for money: credit, promo codes, budgets, subscriptions, the ledger; what was used is in `usage`.

What makes money out of nothing is an operator's: top-ups, refunds, corrections, codes, and subscriptions, whose price
nobody collects here. An organization redeems codes, keeps budgets, cancels its subscription, and reads what is its
own. Amounts are in USD as text, exact to 1e-12; the objects are those that the commands print. The ledger comes in
pages, and whole as CSV or JSON lines, as `ingot ledger export` writes it.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from ingot.errors import InvalidRequest
from ingot.services.accounts.permissions import OPERATOR
from ingot.services.budgets import Budgets
from ingot.services.credits import Credits
from ingot.services.ledger import Form, Ledger
from ingot.services.money import Money
from ingot.services.promos import MOST_USES, Promos
from ingot.services.statements import (
    AccountInfo,
    BudgetInfo,
    EntryInfo,
    PromoInfo,
    ReceiptInfo,
    SubscriptionInfo,
    account_info,
    budget_info,
    entry_info,
    promo_info,
    receipt_info,
    subscription_info,
)
from ingot.services.subscriptions import Subscriptions
from ingot.store.ledger import Kind, Span
from ingot.store.schema import MICROSECOND
from ingot.web.admin import usage
from ingot.web.admin.reading import read_usd
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call, Download, Gone
from ingot.web.admin.shapes import Seconds

ORGANIZATION = f"{PREFIX}/organizations/{{org}}"

Amount = Annotated[str, Meta(min_length=1, max_length=40)]
Ident = Annotated[str, Meta(min_length=1, max_length=200)]
Code = Annotated[str, Meta(min_length=1, max_length=100)]
Reference = Annotated[str, Meta(min_length=1, max_length=100)]
Note = Annotated[str, Meta(max_length=500)]
Count = Annotated[int, Meta(ge=1, le=MOST_USES)]


class TopUp(Struct, frozen=True):
    """Credit that was paid for: `reference`, as a payment's number, makes it safe to tell again."""

    organization: Ident
    amount: Amount
    reference: Reference | None = None
    note: Note | None = None


class Refund(Struct, frozen=True):
    """What to give back of the ledger row `entry`: `amount`, or all that is left of it."""

    entry: Ident
    amount: Amount | None = None
    reference: Reference | None = None
    note: Note | None = None


class Correction(Struct, frozen=True):
    """An amount to add, or with a minus to take away, for the reason in `note`; `refers_to` a row that it is about."""

    organization: Ident
    amount: Amount
    note: Annotated[str, Meta(min_length=1, max_length=500)]
    refers_to: Ident | None = None
    reference: Reference | None = None


class NewPromo(Struct, frozen=True):
    """A code to make: made up unless given; `expires_at` in seconds since the epoch, `most_uses` by organizations."""

    amount: Amount
    code: Code | None = None
    expires_at: Seconds | None = None
    most_uses: Count | None = None


class PromoList(Struct, frozen=True):
    """Codes, the oldest first, ended ones included."""

    data: list[PromoInfo]
    object: str = "list"


class Redemption(Struct, frozen=True):
    """The code to redeem."""

    code: Code


class NewBudget(Struct, frozen=True):
    """A cap in USD, of a key by its id or of the organization; it takes the place of one with the same period."""

    cap: Amount
    period: Literal["month", "total"] = "month"
    key: Ident | None = None


class BudgetList(Struct, frozen=True):
    """Budgets in force with what is spent of them."""

    data: list[BudgetInfo]
    object: str = "list"


class NewSubscription(Struct, frozen=True):
    """An organization and the plan, by name or id, that it is to be on."""

    organization: Ident
    plan: Annotated[str, Meta(min_length=1, max_length=63)]


class SubscriptionList(Struct, frozen=True):
    """Subscriptions, the oldest first, ended ones included."""

    data: list[SubscriptionInfo]
    object: str = "list"


class LedgerPage(Struct, frozen=True):
    """Which rows: of a kind, from `start` up to before `end` in seconds; `before` is the id of the row that ended the
    page before. `format` asks for all of them in a file, which has no pages.
    """

    kind: Kind | None = None
    start: Seconds | None = None
    end: Seconds | None = None
    before: Ident | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    format: Literal["json", "csv", "jsonl"] | None = None


PAGE_ROWS: Final = 50
LEDGER_TYPES: Final[Mapping[Form, str]] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl",
}


class LedgerRows(Struct, frozen=True):
    """Ledger rows, the newest first; `next` is the `before` of the page after, null on the last."""

    data: list[EntryInfo]
    next: str | None
    object: str = "list"


def routes(money: Money) -> tuple[AdminRoute, ...]:
    """The rows."""
    return (
        *_credits(money.credits),
        *_amends(money.credits),
        *_promos(money.promos),
        *_budgets(money.budgets),
        *_subscriptions(money.subscriptions),
        *_ledger(money.ledger),
        *usage.routes(money.usage),
    )


def _credits(service: Credits) -> tuple[AdminRoute, ...]:
    async def show(call: Call) -> Answer:
        return Answer(account_info(await service.show(call.org_id)))

    async def top_up(call: Call) -> Answer:
        body: TopUp = call.body
        done = await service.top_up(
            body.organization,
            read_usd(body.amount, param="amount"),
            actor=call.who.actor,
            reference=body.reference,
            note=body.note,
            keep=call.keep(receipt_info),
        )
        return Answer(receipt_info(done))

    every = f"{PREFIX}/credits"
    return (
        AdminRoute(
            "GET", f"{ORGANIZATION}/credits", show, "billing.read",
            "The balance, what it came from, and the last rows", answer=AccountInfo,
        ),
        AdminRoute(
            "POST", f"{every}/topups", top_up, OPERATOR,
            "Add credit that was paid for; a reference counts once", TopUp, ReceiptInfo, status=201,
        ),
    )  # fmt: skip


def _amends(service: Credits) -> tuple[AdminRoute, ...]:
    async def refund(call: Call) -> Answer:
        body: Refund = call.body
        amount = None if body.amount is None else read_usd(body.amount, param="amount")
        done = await service.refund(
            body.entry,
            amount,
            actor=call.who.actor,
            reference=body.reference,
            note=body.note,
            keep=call.keep(receipt_info),
        )
        return Answer(receipt_info(done))

    async def correct(call: Call) -> Answer:
        body: Correction = call.body
        done = await service.correct(
            body.organization,
            read_usd(body.amount, param="amount"),
            actor=call.who.actor,
            note=body.note,
            reference=body.reference,
            refers_to=body.refers_to,
            keep=call.keep(receipt_info),
        )
        return Answer(receipt_info(done))

    every = f"{PREFIX}/credits"
    return (
        AdminRoute(
            "POST", f"{every}/refunds", refund, OPERATOR,
            "Give back what a call cost, or note that a top-up was paid back", Refund, ReceiptInfo, status=201,
        ),
        AdminRoute(
            "POST", f"{every}/corrections", correct, OPERATOR,
            "Add or take away an amount, with the reason", Correction, ReceiptInfo, status=201,
        ),
    )  # fmt: skip


def _promos(service: Promos) -> tuple[AdminRoute, ...]:
    async def create(call: Call) -> Answer:
        body: NewPromo = call.body
        made = await service.create(
            read_usd(body.amount, param="amount"),
            actor=call.who.actor,
            code=body.code,
            expires=body.expires_at,
            most_uses=body.most_uses,
            keep=call.keep(promo_info),
        )
        return Answer(promo_info(made))

    async def list_codes(_: Call) -> Answer:
        return Answer(PromoList([promo_info(each) for each in await service.list()]))

    async def end(call: Call) -> Answer:
        return Answer(promo_info(await service.end(call.path["code"], actor=call.who.actor)))

    async def redeem(call: Call) -> Answer:
        body: Redemption = call.body
        keep = call.keep(receipt_info)
        done = await service.redeem(call.org_id, body.code, actor=call.who.actor, keep=keep)
        return Answer(receipt_info(done))

    every = f"{PREFIX}/promos"
    return (
        AdminRoute("POST", every, create, OPERATOR, "Create a promo code", NewPromo, PromoInfo, status=201),
        AdminRoute("GET", every, list_codes, OPERATOR, "List promo codes and their uses", answer=PromoList),
        AdminRoute(
            "DELETE", f"{every}/{{code}}", end, OPERATOR,
            "Take a promo code out of use; what it brought stays", answer=PromoInfo,
        ),
        AdminRoute(
            "POST", f"{ORGANIZATION}/promos/redeem", redeem, "promos.redeem",
            "Give the organization what a promo code brings, once", Redemption, ReceiptInfo, status=201,
        ),
    )  # fmt: skip


def _budgets(service: Budgets) -> tuple[AdminRoute, ...]:
    async def put(call: Call) -> Answer:
        body: NewBudget = call.body
        cap = read_usd(body.cap, param="cap")
        row = await service.set(
            call.org_id,
            cap,
            period=body.period,
            actor=call.who.actor,
            key_id=body.key,
            keep=call.keep(budget_info),
        )
        return Answer(budget_info(row))

    async def list_budgets(call: Call) -> Answer:
        return Answer(BudgetList([budget_info(row) for row in await service.list(call.org_id)]))

    async def end(call: Call) -> Answer:
        await service.end(call.org_id, call.path["budget"], actor=call.who.actor)
        return Answer(Gone(call.path["budget"]))

    every = f"{ORGANIZATION}/budgets"
    return (
        AdminRoute(
            "PUT", every, put, "budgets.manage",
            "Set a budget, or another cap for the one that is set", NewBudget, BudgetInfo,
        ),
        AdminRoute("GET", every, list_budgets, "billing.read", "List the budgets in force", answer=BudgetList),
        AdminRoute(
            "DELETE", f"{every}/{{budget}}", end, "budgets.manage", "Take a budget out of force", answer=Gone
        ),
    )  # fmt: skip


def _subscriptions(service: Subscriptions) -> tuple[AdminRoute, ...]:
    async def start(call: Call) -> Answer:
        body: NewSubscription = call.body
        keep = call.keep(subscription_info)
        row = await service.start(body.organization, body.plan, actor=call.who.actor, keep=keep)
        return Answer(subscription_info(row))

    async def cancel(call: Call) -> Answer:
        keep = call.keep(subscription_info)
        row = await service.cancel(call.org_id, actor=call.who.actor, keep=keep)
        return Answer(subscription_info(row))

    async def show(call: Call) -> Answer:
        found = await service.list(call.org_id, ended=True)
        return Answer(SubscriptionList([subscription_info(row) for row in found]))

    every = f"{ORGANIZATION}/subscriptions"
    return (
        AdminRoute(
            "POST", f"{PREFIX}/subscriptions", start, OPERATOR,
            "Put an organization on a plan, renewed each month", NewSubscription, SubscriptionInfo, status=201,
        ),
        AdminRoute(
            "GET", every, show, "billing.read", "The organization's subscriptions", answer=SubscriptionList
        ),
        AdminRoute(
            "POST", f"{every}/cancel", cancel, "billing.manage",
            "Make the present period the subscription's last", answer=SubscriptionInfo,
        ),
    )  # fmt: skip


def _ledger(service: Ledger) -> tuple[AdminRoute, ...]:
    async def page(call: Call) -> Answer:
        wanted: LedgerPage = call.query
        if wanted.start is not None and wanted.end is not None and wanted.start > wanted.end:
            raise InvalidRequest("'end' lies before 'start'; rows are from `start` up to `end`.", param="end")
        span = Span(
            org_id=call.org_id,
            start=None if wanted.start is None else wanted.start * MICROSECOND,
            end=None if wanted.end is None else wanted.end * MICROSECOND,
            kind=wanted.kind,
        )
        form = wanted.format or _accepted(call.accept)
        if form != "json":
            _check_unpaged(wanted)
            pieces = service.export(span, form)
            return Answer(Download(LEDGER_TYPES[form], f"ledger.{form}", pieces))
        limit = PAGE_ROWS if wanted.limit is None else wanted.limit
        rows = await service.latest(span, limit=limit + 1, before=wanted.before)
        shown = rows[:limit]
        following = shown[-1].billable_id if len(rows) > limit else None
        return Answer(LedgerRows([entry_info(row) for row in shown], following))

    return (
        AdminRoute(
            "GET", f"{ORGANIZATION}/ledger", page, "billing.read",
            "The organization's ledger: in pages from the newest row back, or whole from the oldest on as a file",
            answer=LedgerRows, query=LedgerPage, downloads=tuple(LEDGER_TYPES.values()),
        ),
    )  # fmt: skip


def _accepted(accept: str) -> Literal["json", "csv", "jsonl"]:
    """What the Accept header asks for: the first type of ours in it, JSON where there is none."""
    for each in accept.split(","):
        kind = each.partition(";")[0].strip().lower()
        if kind == "application/json":
            return "json"
        for form, known in LEDGER_TYPES.items():
            if kind == known.partition(";")[0]:
                return form
    return "json"


def _check_unpaged(wanted: LedgerPage) -> None:
    for name, given in (("before", wanted.before), ("limit", wanted.limit)):
        if given is not None:
            raise InvalidRequest(
                f"A file of the ledger has all rows, so '{name}' means nothing there: leave it out, or choose rows by "
                "'start', 'end' and 'kind'.",
                param=name,
            )
