"""The statements about subscriptions: an organization on a plan, a month at a time.

    live: ended_at is null       cancelled: live, but the present period is the last

Plain functions over a connection. A period is moved on by a guarded update: of two processes one does it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, insert, select, update

from ingot.store.schema import organizations, plans, subscriptions


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it is stored; its periods follow each other without a gap."""

    id: str
    org_id: str
    plan_id: str
    started_at: int
    period_start: int
    period_end: int
    cancelled_at: int | None = None
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan gives and costs in a month."""

    plan_id: str
    name: str
    credits: int
    price: int
    archived: bool


_COLUMNS = tuple(subscriptions.c[field.name] for field in fields(Subscription))


def insert_subscription(conn: Connection, row: Subscription) -> None:
    """Adds a subscription."""
    conn.execute(
        insert(subscriptions), {field.name: getattr(row, field.name) for field in fields(Subscription)}
    )


def live_subscription(conn: Connection, org_id: str) -> Subscription | None:
    """The one that an organization has now."""
    query = select(*_COLUMNS).where(subscriptions.c.org_id == org_id, subscriptions.c.ended_at.is_(None))
    found = conn.execute(query).first()
    return None if found is None else Subscription(*found)


def list_subscriptions(
    conn: Connection, org_id: str | None, *, ended: bool = False
) -> Sequence[Subscription]:
    """Those of an organization, or all, the oldest first."""
    query = select(*_COLUMNS).order_by(subscriptions.c.started_at, subscriptions.c.id)
    if org_id is not None:
        query = query.where(subscriptions.c.org_id == org_id)
    if not ended:
        query = query.where(subscriptions.c.ended_at.is_(None))
    return [Subscription(*row) for row in conn.execute(query)]


def due(conn: Connection, now: int) -> Sequence[str]:
    """The ids of those whose period is over."""
    query = select(subscriptions.c.id).where(
        subscriptions.c.ended_at.is_(None), subscriptions.c.period_end <= now
    )
    return list(conn.execute(query.order_by(subscriptions.c.id)).scalars())


def subscription(conn: Connection, which: str) -> Subscription | None:
    """The one with this id."""
    found = conn.execute(select(*_COLUMNS).where(subscriptions.c.id == which)).first()
    return None if found is None else Subscription(*found)


def move_on(conn: Connection, row: Subscription, *, end: int) -> bool:
    """Begins the period after the present one; False where somebody else did, or it was cancelled meanwhile."""
    query = update(subscriptions).where(
        subscriptions.c.id == row.id,
        subscriptions.c.period_start == row.period_start,
        subscriptions.c.cancelled_at.is_(None),
        subscriptions.c.ended_at.is_(None),
    )
    return bool(conn.execute(query.values(period_start=row.period_end, period_end=end)).rowcount)


def cancel(conn: Connection, which: str, *, at: int) -> bool:
    """Makes the present period the last; False where it is already."""
    query = update(subscriptions).where(
        subscriptions.c.id == which,
        subscriptions.c.cancelled_at.is_(None),
        subscriptions.c.ended_at.is_(None),
    )
    return bool(conn.execute(query.values(cancelled_at=at)).rowcount)


def end(conn: Connection, which: str, *, at: int) -> bool:
    """Ends a subscription; False where it is over already."""
    query = update(subscriptions).where(subscriptions.c.id == which, subscriptions.c.ended_at.is_(None))
    return bool(conn.execute(query.values(ended_at=at)).rowcount)


def terms(conn: Connection, plan: str) -> Terms | None:
    """What the plan with this id or name gives."""
    query = select(
        plans.c.id, plans.c.name, plans.c.monthly_credits, plans.c.monthly_price, plans.c.archived_at
    ).where((plans.c.id == plan) | (plans.c.name == plan))
    found = conn.execute(query).first()
    return (
        None
        if found is None
        else Terms(found[0], found[1], found[2], found[3], archived=found[4] is not None)
    )


def put_on_plan(conn: Connection, org_id: str, *, plan_id: str) -> None:
    """The plan whose limits and prices count for an organization from now on."""
    conn.execute(update(organizations).where(organizations.c.id == org_id).values(plan_id=plan_id))
