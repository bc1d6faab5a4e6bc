"""Routes for an organization's money: balance, rows, promo codes, subscription; for an operator to add, refund, correct.

Amounts are USD in decimal text, in both directions. What brings money without a payment that this server saw is an
operator's alone.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ingot.errors import InvalidRequest
from ingot.pricing import parse_usd
from ingot.services.accounts.permissions import OPERATOR
from ingot.services.credits import Credits
from ingot.services.ledger import Ledger
from ingot.services.promos import Promos
from ingot.services.statements import (
    AccountInfo,
    EntryInfo,
    PromoInfo,
    ReceiptInfo,
    SubscriptionInfo,
    account_info,
    entry_info,
    promo_info,
    receipt_info,
    subscription_info,
)
from ingot.services.subscriptions import Subscriptions
from ingot.store.ledger import Kind, Span
from ingot.store.schema import MICROSECOND
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call

Organization = Annotated[str, Meta(min_length=1, max_length=100)]
Amount = Annotated[str, Meta(min_length=1, max_length=40)]
Reference = Annotated[str, Meta(min_length=1, max_length=100)]
Note = Annotated[str, Meta(min_length=1, max_length=500)]
Instant = Annotated[int, Meta(ge=0, le=253_402_300_799)]


@dataclass(frozen=True, slots=True)
class Money:
    """The services that these routes stand for."""

    credits: Credits
    promos: Promos
    subscriptions: Subscriptions
    ledger: Ledger


class TopUp(Struct, frozen=True, kw_only=True):
    """Credit that was paid for; the same `reference` is one payment however often it is sent."""

    organization: Organization
    amount: Amount
    reference: Reference | None = None
    note: Note | None = None


class Correction(Struct, frozen=True, kw_only=True):
    """An amount to add, or with a minus to take away, and the reason."""

    organization: Organization
    amount: Amount
    note: Note
    reference: Reference | None = None
    refers_to: str | None = None


class Refund(Struct, frozen=True, kw_only=True):
    """What to give back of a row, by its id; without an amount all that is left of it."""

    id: Annotated[str, Meta(min_length=1, max_length=200)]
    amount: Amount | None = None
    reference: Reference | None = None
    note: Note | None = None


class NewPromo(Struct, frozen=True, kw_only=True):
    """A promo code; without `code` one is made up, without a limit it has none."""

    amount: Amount
    code: Annotated[str, Meta(max_length=40)] | None = None
    expires_at: Instant | None = None
    most_uses: Annotated[int, Meta(ge=1, le=10**9)] | None = None


class Redemption(Struct, frozen=True):
    """A promo code to redeem."""

    code: Annotated[str, Meta(min_length=1, max_length=60)]


class NewSubscription(Struct, frozen=True):
    """An organization, and the plan that it subscribes to, by name or id."""

    organization: Organization
    plan: Annotated[str, Meta(min_length=1, max_length=100)]


class Rows(Struct, frozen=True, kw_only=True):
    """Which rows: of a kind, from an instant on, until before another, older than the row `before`."""

    kind: Kind | None = None
    start: Instant | None = None
    end: Instant | None = None
    before: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class EntryList(Struct, frozen=True):
    """Rows, the newest first."""

    data: list[EntryInfo]
    object: Literal["list"] = "list"


class PromoList(Struct, frozen=True):
    """Promo codes, the oldest first."""

    data: list[PromoInfo]
    object: Literal["list"] = "list"


class SubscriptionList(Struct, frozen=True):
    """Subscriptions, the oldest first, those that ended included."""

    data: list[SubscriptionInfo]
    object: Literal["list"] = "list"


def units(text: str, *, param: str = "amount") -> int:
    """The units of an amount in a body; raises InvalidRequest."""
    try:
        return parse_usd(text)
    except ValueError as error:
        raise InvalidRequest(f"{error}.", param=param) from error


def routes(money: Money) -> tuple[AdminRoute, ...]:
    """The rows."""
    return (*_of_organizations(money), *_of_operators(money), *_of_promos(money), *_of_subscriptions(money))


def _of_organizations(money: Money) -> tuple[AdminRoute, ...]:
    async def show(call: Call) -> Answer:
        return Answer(account_info(await money.credits.show(call.org_id)))

    async def rows(call: Call) -> Answer:
        wanted: Rows = call.query
        span = Span(
            org_id=call.org_id,
            start=None if wanted.start is None else wanted.start * MICROSECOND,
            end=None if wanted.end is None else wanted.end * MICROSECOND,
            kind=wanted.kind,
        )
        found = await money.ledger.latest(span, limit=wanted.limit, before=wanted.before)
        return Answer(EntryList([entry_info(each) for each in found]))

    async def redeem(call: Call) -> Answer:
        body: Redemption = call.body
        return Answer(receipt_info(await money.promos.redeem(call.org_id, body.code, actor=call.who.actor)))

    one = f"{PREFIX}/organizations/{{org}}"
    return (
        AdminRoute(
            "GET", f"{one}/credits", show, "billing.read",
            "Show the balance, what it came from, and the last rows", answer=AccountInfo,
        ),
        AdminRoute(
            "GET", f"{one}/ledger", rows, "billing.read",
            "List rows of the ledger, the newest first", answer=EntryList, query=Rows,
        ),
        AdminRoute(
            "POST", f"{one}/promo", redeem, "billing.manage",
            "Redeem a promo code", Redemption, ReceiptInfo, status=201,
        ),
    )  # fmt: skip


def _of_operators(money: Money) -> tuple[AdminRoute, ...]:
    async def top_up(call: Call) -> Answer:
        body: TopUp = call.body
        made = await money.credits.top_up(
            body.organization,
            units(body.amount),
            actor=call.who.actor,
            reference=body.reference,
            note=body.note,
        )
        return Answer(receipt_info(made))

    async def correct(call: Call) -> Answer:
        body: Correction = call.body
        made = await money.credits.correct(
            body.organization,
            units(body.amount),
            actor=call.who.actor,
            note=body.note,
            reference=body.reference,
            refers_to=body.refers_to,
        )
        return Answer(receipt_info(made))

    async def refund(call: Call) -> Answer:
        body: Refund = call.body
        amount = None if body.amount is None else units(body.amount)
        made = await money.credits.refund(
            body.id, amount, actor=call.who.actor, reference=body.reference, note=body.note
        )
        return Answer(receipt_info(made))

    return (
        AdminRoute(
            "POST", f"{PREFIX}/top-ups", top_up, OPERATOR,
            "Add credit that was paid for; a reference counts once", TopUp, ReceiptInfo, status=201,
        ),
        AdminRoute(
            "POST", f"{PREFIX}/corrections", correct, OPERATOR,
            "Add or take away an amount, with the reason", Correction, ReceiptInfo, status=201,
        ),
        AdminRoute(
            "POST", f"{PREFIX}/refunds", refund, OPERATOR,
            "Give back what a call or a top-up was about, never more than was paid", Refund, ReceiptInfo, status=201,
        ),
    )  # fmt: skip


def _of_promos(money: Money) -> tuple[AdminRoute, ...]:
    async def create(call: Call) -> Answer:
        body: NewPromo = call.body
        made = await money.promos.create(
            units(body.amount),
            actor=call.who.actor,
            code=body.code,
            expires=body.expires_at,
            most_uses=body.most_uses,
        )
        return Answer(promo_info(made))

    async def every(call: Call) -> Answer:  # noqa: ARG001  # a handler's shape
        return Answer(PromoList([promo_info(each) for each in await money.promos.list()]))

    async def end(call: Call) -> Answer:
        return Answer(promo_info(await money.promos.end(call.path["code"], actor=call.who.actor)))

    all_of_them = f"{PREFIX}/promo-codes"
    return (
        AdminRoute("GET", all_of_them, every, OPERATOR, "List promo codes", answer=PromoList),
        AdminRoute(
            "POST", all_of_them, create, OPERATOR,
            "Create a code that brings each organization an amount, once", NewPromo, PromoInfo, status=201,
        ),
        AdminRoute(
            "DELETE", f"{all_of_them}/{{code}}", end, OPERATOR,
            "Take a promo code out of use; what it brought stays", answer=PromoInfo,
        ),
    )  # fmt: skip


def _of_subscriptions(money: Money) -> tuple[AdminRoute, ...]:
    async def every(call: Call) -> Answer:
        found = await money.subscriptions.list(call.org_id, ended=True)
        return Answer(SubscriptionList([subscription_info(each) for each in found]))

    async def start(call: Call) -> Answer:
        body: NewSubscription = call.body
        made = await money.subscriptions.start(body.organization, body.plan, actor=call.who.actor)
        return Answer(subscription_info(made))

    async def cancel(call: Call) -> Answer:
        return Answer(subscription_info(await money.subscriptions.cancel(call.org_id, actor=call.who.actor)))

    own = f"{PREFIX}/organizations/{{org}}/subscriptions"
    return (
        AdminRoute("GET", own, every, "billing.read", "List the subscriptions", answer=SubscriptionList),
        AdminRoute(
            "POST", f"{PREFIX}/subscriptions", start, OPERATOR,
            "Start a subscription: the plan and its credits, month by month",
            NewSubscription, SubscriptionInfo, status=201,
        ),
        AdminRoute(
            "DELETE", own, cancel, "billing.manage",
            "Cancel the subscription at the end of its period", answer=SubscriptionInfo,
        ),
    )  # fmt: skip
