"""What an organization used and spent: the summary and the breakdown, from the sums of hours alone.

Money goes out in cents, as numbers with a fraction: one request costs far less than a cent. They are the exact
amounts of 1e-12 USD divided once, good to 15 digits; exact ones are in the request log and its CSV. Instants are
unix seconds. Decides what each figure means; the shapes are C-64 and C-65 of the conformance rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.services.spans import (
    DEFAULT_RANGE,
    HOUR_SECONDS,
    RANGES,
    SUMMARY_RANGES,
    Span,
    check_date,
    check_range,
    span_of,
)
from ingot.store import usage as store
from ingot.store.database import Database
from ingot.store.usage import Account, Share, Totals

Key = TypeVar("Key")

UNITS_PER_CENT = 10**10
PACE_HOURS = 7 * 24
"""The burn rate is that of the last 7 days: one quiet night or busy hour must not foretell the end of a balance."""

WINDOWS = ("asap", "standard")
"""Windows that every mix names, used or not."""


class Tokens(msgspec.Struct, frozen=True):
    """Tokens by kind: `total` is input and output, `cached` the part of the input that was."""

    total: int
    input: int
    output: int
    cached: int


class Prior(msgspec.Struct, frozen=True):
    """The equally long stretch right before the range."""

    period_spend: float
    tokens: Tokens
    avg_cost_per_day: float
    model_count: int


class UsageSummary(msgspec.Struct, frozen=True):
    """The answer of `GET /v1/usage`; money in cents.

    `burn_rate` is what a day costs at the pace of the last 7 days, `days_remaining` how long the balance lasts at
    it (null where nothing is spent, or where requests need no credit), `sla_mix` the percentage of the requests
    in each completion window.
    """

    range: str
    period_spend: float
    burn_rate: float
    balance: float | None
    balance_unavailable: bool
    days_remaining: float | None
    plan_type: str | None
    model_count: int
    tokens: Tokens
    avg_cost_per_day: float
    sla_mix: dict[str, float]
    prior_period: Prior
    object: str = "usage.summary"


class Spent(msgspec.Struct, frozen=True):
    """What some inferences used, and cost in cents (`total`)."""

    total: float
    tokens: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int


class Bucket(msgspec.Struct, frozen=True):
    """One hour or day, by model and by completion window; it begins at `timestamp`."""

    timestamp: int
    total: float
    models: dict[str, Spent]
    slas: dict[str, Spent]


class ModelSpent(msgspec.Struct, frozen=True):
    """A model's part of the whole range: `percentage` of what was spent, or of the tokens where all were free."""

    model: str
    total: float
    tokens: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    percentage: float


class UsageBreakdown(msgspec.Struct, frozen=True):
    """The answer of `GET /v1/usage/breakdown`: every hour or day of the range, and its models, the dearest first."""

    granularity: str
    data: list[Bucket]
    models: list[ModelSpent]
    object: str = "usage.breakdown"


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a summary is made from, of one snapshot."""

    span: Span
    shares: list[Share]
    prior: list[Share]
    week: Totals
    account: Account | None


class Usage:
    """The usage of one database's organizations."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def summarize(self, org_id: str, *, range_name: str = DEFAULT_RANGE) -> UsageSummary:
        """The figures of a range, and where the balance stands; raises InvalidRequest."""
        name = check_range(range_name, SUMMARY_RANGES)
        now = self._clock.now()
        facts = await self._db.read(lambda conn: _gather(conn, org_id, name=name, now=now))
        return _summary(facts)

    async def break_down(
        self, org_id: str, *, range_name: str = DEFAULT_RANGE, day: str | None = None
    ) -> UsageBreakdown:
        """A range hour by hour or day by day, by model and window; `day` is YYYY-MM-DD; raises InvalidRequest."""
        name = check_range(range_name, RANGES)
        chosen = check_date(name, day)
        now = self._clock.now()

        def read(conn: Connection) -> tuple[Span, list[Share]]:
            span = locate(conn, org_id, name=name, day=chosen, now=now)
            width = span.width
            return span, store.read_shares(conn, org_id, since=span.since, until=span.until, width=width)

        return _breakdown(*await self._db.read(read))


def locate(conn: Connection, org_id: str, *, name: str, day: date | None, now: float) -> Span:
    """The span of a checked range; only a period is asked of the store."""
    start = store.period_start(conn, org_id) if name == "period" else None
    return span_of(name, day, now=now, period_start=start)


def cents(units: int) -> float:
    """An amount of 1e-12 USD in cents."""
    return units / UNITS_PER_CENT


def _gather(conn: Connection, org_id: str, *, name: str, now: float) -> _Facts:
    span = locate(conn, org_id, name=name, day=None, now=now)
    prior = span.prior
    return _Facts(
        span=span,
        shares=store.read_shares(conn, org_id, since=span.since, until=span.until, width=0),
        prior=store.read_shares(conn, org_id, since=prior.since, until=prior.until, width=0),
        week=store.read_totals(conn, org_id, since=span.until - PACE_HOURS, until=span.until),
        account=store.read_account(conn, org_id),
    )


def _summary(facts: _Facts) -> UsageSummary:
    span, account = facts.span, facts.account
    totals = _sum(share.totals for share in facts.shares)
    prior = _sum(share.totals for share in facts.prior)
    balance = account.balance if account is not None else None
    burn = facts.week.amount * 24 // PACE_HOURS
    lasts = account is not None and account.prepaid and balance is not None and burn > 0
    return UsageSummary(
        range=span.name,
        period_spend=cents(totals.amount),
        burn_rate=cents(burn),
        balance=None if balance is None else cents(balance),
        balance_unavailable=balance is None,
        days_remaining=round(max(0, balance) / burn, 2) if lasts and balance is not None else None,
        plan_type=None if account is None else account.plan,
        model_count=len({share.model for share in facts.shares}),
        tokens=_tokens(totals),
        avg_cost_per_day=_daily(totals, span),
        sla_mix=_mix(facts.shares),
        prior_period=Prior(
            period_spend=cents(prior.amount),
            tokens=_tokens(prior),
            avg_cost_per_day=_daily(prior, span.prior),
            model_count=len({share.model for share in facts.prior}),
        ),
    )


def _breakdown(span: Span, shares: list[Share]) -> UsageBreakdown:
    by_bucket: Mapping[int, list[Share]] = _grouped((share.bucket, share) for share in shares)
    buckets = [_bucket(number, span, shares=by_bucket.get(number, [])) for number in span.buckets()]
    models = {
        model: _sum(share.totals for share in part)
        for model, part in _grouped((share.model, share) for share in shares).items()
    }
    whole = _sum(models.values())
    ranked = sorted(models.items(), key=lambda item: (-item[1].amount, -item[1].tokens, item[0]))
    return UsageBreakdown(
        granularity="hour" if span.width == 1 else "day",
        data=buckets,
        models=[_ranked(model, totals, whole=whole) for model, totals in ranked],
    )


def _bucket(number: int, span: Span, *, shares: list[Share]) -> Bucket:
    def parts(grouped: Mapping[str, list[Share]]) -> dict[str, Spent]:
        return {name: _spent(_sum(share.totals for share in part)) for name, part in sorted(grouped.items())}

    return Bucket(
        timestamp=number * span.width * HOUR_SECONDS,
        total=cents(sum(share.totals.amount for share in shares)),
        models=parts(_grouped((share.model, share) for share in shares)),
        slas=parts(_grouped((share.window, share) for share in shares)),
    )


def _ranked(model: str, totals: Totals, *, whole: Totals) -> ModelSpent:
    part, of = (totals.amount, whole.amount) if whole.amount else (totals.tokens, whole.tokens)
    spent = _spent(totals)
    return ModelSpent(
        model=model,
        total=spent.total,
        tokens=spent.tokens,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cached_tokens=spent.cached_tokens,
        percentage=_percentage(part, of),
    )


def _mix(shares: list[Share]) -> dict[str, float]:
    counts = dict.fromkeys(WINDOWS, 0)
    for share in shares:
        counts[share.window] = counts.get(share.window, 0) + share.totals.requests
    whole = sum(counts.values())
    return {window: _percentage(count, whole) for window, count in counts.items()}


def _percentage(part: int, of: int) -> float:
    return round(100 * part / of, 2) if of else 0.0


def _daily(totals: Totals, span: Span) -> float:
    """Cents a day, over the hours that have passed; less than a day counts as one."""
    return cents(totals.amount * 24 // max(24, span.hours))


def _sum(all_totals: Iterable[Totals]) -> Totals:
    return sum(all_totals, start=Totals())


def _grouped(pairs: Iterable[tuple[Key, Share]]) -> Mapping[Key, list[Share]]:
    groups: dict[Key, list[Share]] = defaultdict(list)
    for key, share in pairs:
        groups[key].append(share)
    return groups


def _tokens(totals: Totals) -> Tokens:
    return Tokens(totals.tokens, totals.input_tokens, totals.output_tokens, totals.cached_tokens)


def _spent(totals: Totals) -> Spent:
    return Spent(
        cents(totals.amount), totals.tokens, totals.input_tokens, totals.output_tokens, totals.cached_tokens
    )
