"""The statements about usage: what was used and spent hour by hour, and the standing of who pays for it.

    ledger (kind inference) --settlement, or `rederive`--> usage_hours --sums--> reads

Reads take sums of `usage_hours` and never touch the ledger or the responses. A row there holds the inferences
of one hour, key, model and window; refunds and corrections are no usage and stay in the ledger alone. An hour
is counted from the epoch, UTC, and an inference belongs to the hour of its ledger row's `at`. Amounts are in
1e-12 USD, spent ones above zero.

Plain functions over a connection; who calls decides about transactions.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from ingot.store.schema import MICROSECOND, balances, ledger, organizations, plans, subscriptions, usage_hours

HOUR = 3600 * MICROSECOND
"""Microseconds."""

_u = usage_hours.c
_l = ledger.c


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over some inferences."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    amount: int = 0

    @property
    def tokens(self) -> int:
        """Input and output; what was cached is part of the input."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.amount + other.amount,
        )


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one model and window in one bucket of hours."""

    bucket: int
    model: str
    window: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays: the plan's name, whether requests need credit, the balance where there is one."""

    plan: str
    prepaid: bool
    balance: int | None


_SUMMED = ("requests", "input_tokens", "cached_tokens", "output_tokens", "amount")
_WITHIN = (_u.org_id == bindparam("org"), _u.hour >= bindparam("since"), _u.hour < bindparam("until"))

# First as the table is ordered, without sorting, which leaves a tenth of the rows to be grouped once more: 70 ms
# where a month of 120,000 rows took 130.
_HOURS = (
    select(_u.hour, _u.model, _u.window, *(func.sum(_u[name]).label(name) for name in _SUMMED))
    .where(*_WITHIN)
    .group_by(_u.hour, _u.model, _u.window)
    .subquery("by_hour")
)


def _sums(table: ReadOnlyColumnCollection[str, Any]) -> list[ColumnElement[int]]:
    # PostgreSQL sums bigint to numeric; the sums here fit.
    return [cast(func.sum(table[name]), BigInteger) for name in _SUMMED]


def _shares(bucket: ColumnElement[int]) -> Select[Any]:
    keys = (bucket, _HOURS.c.model, _HOURS.c.window)
    return select(*keys, *_sums(_HOURS.c)).group_by(*keys)


# The numbers stand in the text: PostgreSQL takes two parameters for two expressions, and refuses to group.
_SHARES = {
    0: _shares(_HOURS.c.hour.op("*")(literal_column("0"))),
    1: _shares(_HOURS.c.hour),
    24: _shares(_HOURS.c.hour.op("/")(literal_column("24"))),
}
_TOTALS = select(*_sums(_u)).where(*_WITHIN)
_ACCOUNT = (
    select(plans.c.name, organizations.c.prepaid, balances.c.balance)
    .select_from(organizations)
    .join(plans, plans.c.id == organizations.c.plan_id)
    .outerjoin(balances, balances.c.org_id == organizations.c.id)
    .where(organizations.c.id == bindparam("org"))
)
_PERIOD = (
    select(subscriptions.c.period_start)
    .where(subscriptions.c.org_id == bindparam("org"), subscriptions.c.ended_at.is_(None))
    .order_by(subscriptions.c.started_at.desc())
    .limit(1)
)


def read_shares(conn: Connection, org_id: str, *, since: int, until: int, width: int) -> list[Share]:
    """What each model and window used in the hours from `since` up to `until`.

    In buckets of `width` hours, 1 or 24, numbered from the epoch; width 0: all in bucket 0.
    """
    found = conn.execute(_SHARES[width], {"org": org_id, "since": since, "until": until})
    return [Share(bucket, model, window, Totals(*sums)) for bucket, model, window, *sums in found]


def read_totals(conn: Connection, org_id: str, *, since: int, until: int) -> Totals:
    """What was used in the hours from `since` up to `until`."""
    sums = conn.execute(_TOTALS, {"org": org_id, "since": since, "until": until}).one()
    return Totals(*(each or 0 for each in sums))


def read_account(conn: Connection, org_id: str) -> Account | None:
    """The organization's standing; None where there is no such organization."""
    found = conn.execute(_ACCOUNT, {"org": org_id}).first()
    return None if found is None else Account(found.name, bool(found.prepaid), found.balance)


def period_start(conn: Connection, org_id: str) -> int | None:
    """The instant at which the running subscription's period began; None without a subscription."""
    return conn.execute(_PERIOD, {"org": org_id}).scalar()


def rederive(conn: Connection, org_id: str | None = None, *, since: int, until: int) -> None:
    """Makes the hours from `since` up to `until` anew from the ledger, of one organization or of all."""
    hour: ColumnElement[int] = _l.at.op("/")(literal_column(str(HOUR)))
    names = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    empty: ColumnElement[str] = literal_column("''")
    keys = (_l.org_id, hour, *(func.coalesce(_l[name], empty) for name in ("key_id", "model", "window")))
    query = (
        select(*keys, func.count(), *(func.sum(_l[name]) for name in names), -func.sum(_l.amount))
        .where(_l.kind == "inference", _l.at >= since * HOUR, _l.at < until * HOUR)
        .group_by(*keys)
    )
    stale = delete(usage_hours).where(_u.hour >= since, _u.hour < until)
    if org_id is not None:
        query, stale = query.where(_l.org_id == org_id), stale.where(_u.org_id == org_id)
    conn.execute(stale)
    columns = ("org_id", "hour", "key_id", "model", "window", "requests", *names, "amount")
    conn.execute(insert(usage_hours).from_select(columns, query))
