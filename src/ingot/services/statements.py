"""Money as it is shown outside, by the admin API and the commands alike.

Amounts are USD in decimal text with all their digits, because a JSON number would round them. Instants are seconds
since the epoch, those of ledger rows ISO 8601 to the microsecond. Decides no amount.
"""

from datetime import UTC, datetime

from msgspec import Struct

from ingot.pricing import usd
from ingot.services.credits import Account
from ingot.services.receipts import Receipt
from ingot.store.balances import Standing
from ingot.store.budgets import BudgetRow
from ingot.store.ledger import Entry
from ingot.store.promos import Promo
from ingot.store.schema import MICROSECOND, seconds, seconds_or_none
from ingot.store.subscriptions import Subscription


class EntryInfo(Struct, frozen=True):
    """A row of the ledger; `amount` is below zero where money was spent."""

    id: str
    organization: str
    kind: str
    amount: str
    at: str
    key_id: str | None
    model: str | None
    window: str | None
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    price: str | None
    estimated: bool
    refers_to: str | None
    note: str | None


class StandingInfo(Struct, frozen=True):
    """An organization's money: `held` is reserved by running requests, `available` is the rest."""

    organization: str
    name: str
    prepaid: bool
    balance: str
    held: str
    available: str


class AccountInfo(Struct, frozen=True):
    """The same with what came and went, by kind, and the last rows."""

    standing: StandingInfo
    sums: dict[str, str]
    last: list[EntryInfo]


class ReceiptInfo(Struct, frozen=True):
    """A row that was written, or was there already, and the balance after it."""

    entry: EntryInfo
    balance: str
    repeated: bool


class PromoInfo(Struct, frozen=True):
    """A promo code."""

    code: str
    amount: str
    uses: int
    most_uses: int | None
    created_at: int
    expires_at: int | None
    ended_at: int | None


class BudgetInfo(Struct, frozen=True):
    """A hard cap, and what is spent and reserved of it in the present period."""

    id: str
    organization: str
    key_id: str | None
    period: str
    cap: str
    spent: str
    held: str
    left: str
    created_at: int
    ended_at: int | None


class SubscriptionInfo(Struct, frozen=True):
    """An organization's subscription of a plan."""

    id: str
    organization: str
    plan_id: str
    started_at: int
    period_start: int
    period_end: int
    cancelled_at: int | None
    ended_at: int | None


def entry_info(entry: Entry) -> EntryInfo:
    """A ledger row as it is shown."""
    return EntryInfo(
        id=entry.billable_id,
        organization=entry.org_id,
        kind=entry.kind,
        amount=usd(entry.amount),
        at=iso(entry.at),
        key_id=entry.key_id,
        model=entry.model,
        window=entry.window,
        input_tokens=entry.input_tokens,
        cached_tokens=entry.cached_tokens,
        cache_write_tokens=entry.cache_write_tokens,
        output_tokens=entry.output_tokens,
        reasoning_tokens=entry.reasoning_tokens,
        price=entry.price,
        estimated=bool(entry.estimated),
        refers_to=entry.refers_to,
        note=entry.note,
    )


def standing_info(standing: Standing) -> StandingInfo:
    """An organization's money as it is shown."""
    return StandingInfo(
        organization=standing.org_id,
        name=standing.name,
        prepaid=standing.prepaid,
        balance=usd(standing.balance),
        held=usd(standing.held),
        available=usd(standing.available),
    )


def account_info(account: Account) -> AccountInfo:
    """An organization's money with its last rows as it is shown."""
    sums = {kind: usd(amount) for kind, amount in sorted(account.sums.items())}
    return AccountInfo(standing_info(account.standing), sums, [entry_info(each) for each in account.last])


def receipt_info(receipt: Receipt) -> ReceiptInfo:
    """A receipt as it is shown."""
    return ReceiptInfo(entry_info(receipt.entry), usd(receipt.standing.balance), receipt.repeated)


def promo_info(promo: Promo) -> PromoInfo:
    """A promo code as it is shown."""
    return PromoInfo(
        code=promo.code,
        amount=usd(promo.amount),
        uses=promo.uses,
        most_uses=promo.most_uses,
        created_at=seconds(promo.created_at),
        expires_at=seconds_or_none(promo.expires_at),
        ended_at=seconds_or_none(promo.ended_at),
    )


def budget_info(budget: BudgetRow) -> BudgetInfo:
    """A budget as it is shown."""
    return BudgetInfo(
        id=budget.id,
        organization=budget.org_id,
        key_id=budget.key_id,
        period=budget.period,
        cap=usd(budget.cap),
        spent=usd(budget.spent),
        held=usd(budget.held),
        left=usd(max(0, budget.cap - budget.spent - budget.held)),
        created_at=seconds(budget.created_at),
        ended_at=seconds_or_none(budget.ended_at),
    )


def subscription_info(row: Subscription) -> SubscriptionInfo:
    """A subscription as it is shown."""
    return SubscriptionInfo(
        id=row.id,
        organization=row.org_id,
        plan_id=row.plan_id,
        started_at=seconds(row.started_at),
        period_start=seconds(row.period_start),
        period_end=seconds(row.period_end),
        cancelled_at=seconds_or_none(row.cancelled_at),
        ended_at=seconds_or_none(row.ended_at),
    )


def iso(at: int) -> str:
    """An instant of the store, exact to the microsecond: `2026-11-27T07:00:00.000000Z`."""
    whole, rest = divmod(at, MICROSECOND)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"
