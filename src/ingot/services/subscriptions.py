"""Subscriptions: an organization on a plan, renewed a month at a time, with the plan's credits once a period.

    start --credits--> period --tick, credits--> period ... --cancel--> the last period --tick--> ended

A period begins on the day of the month on which the subscription did, or on the month's last. Its credits are one
ledger row, `sub_ID:DAY`, so that no restart and no second process gives them twice; after a pause every missed period
is made up for. An ended subscription puts its organization back on the fallback plan. What a plan costs a month is
told and not collected: that is the payment provider's. That of a deleted organization is over. Each change leaves an
audit row.
"""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock
from ingot.errors import Conflict, NotFound
from ingot.logs import Log
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.store import subscriptions as store
from ingot.store.audit import Detail, note
from ingot.store.balances import add, locked_standing
from ingot.store.database import Database
from ingot.store.ledger import Entry, add_entry
from ingot.store.schema import MICROSECOND, micros, moment
from ingot.store.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick did."""

    renewed: int = 0
    ended: int = 0


class Subscriptions:
    """The subscriptions of one database; `fallback` is the plan of those that ended."""

    def __init__(
        self, db: Database, *, clock: Clock, fallback: str = "free", new_id: ids.NewId = ids.new_id
    ) -> None:
        self._db = db
        self._clock = clock
        self._fallback = fallback
        self._new_id = new_id

    async def start(
        self, org_id: str, plan: str, *, actor: str, keep: Keep[Subscription] = keep_nothing
    ) -> Subscription:
        """Puts an organization on a plan, by id or name, and gives it the first period's credits."""
        now = self._now()
        row = Subscription(self._new_id("sub"), org_id, plan, now, now, period_after(now, now))
        return await self._db.write(kept(partial(_start, row=row, plan=plan, actor=actor), keep))

    async def cancel(
        self, org_id: str, *, actor: str, keep: Keep[Subscription] = keep_nothing
    ) -> Subscription:
        """Makes the present period the last one; again is no error. Raises NotFound."""
        work = partial(_cancel, org_id=org_id, actor=actor, at=self._now())
        return await self._db.write(kept(work, keep))

    async def list(self, org_id: str | None = None, *, ended: bool = False) -> Sequence[Subscription]:
        """Those of an organization, or all, the oldest first."""
        return await self._db.read(partial(store.list_subscriptions, org_id=org_id, ended=ended))

    async def tick(self, *, log: Log) -> Ticked:
        """Renews and ends what is due; call it now and then, in any number of processes.

        One that cannot be brought up to date is logged, and keeps no other from it.
        """
        now = self._now()
        renewed = ended = 0
        for which in await self._db.read(partial(store.due, now=now)):
            try:
                done = await self._db.write(partial(_turn, which=which, now=now, fallback=self._fallback))
            except Exception as error:  # logged; the others are paid for too
                log.error("subscription_not_renewed", subscription=which, exc_info=error)
                continue
            renewed += done.renewed
            ended += done.ended
        return Ticked(renewed, ended)

    def _now(self) -> int:
        return micros(self._clock.now())


def period_after(started_at: int, start: int) -> int:
    """When the period ends that began at `start`, of a subscription that began at `started_at`; in microseconds."""
    first = datetime.fromtimestamp(started_at // MICROSECOND, UTC)
    this = datetime.fromtimestamp(start // MICROSECOND, UTC)
    year, month = (this.year + 1, 1) if this.month == 12 else (this.year, this.month + 1)
    day = min(first.day, calendar.monthrange(year, month)[1])
    end = first.replace(year=year, month=month, day=day)
    return int(end.timestamp()) * MICROSECOND + started_at % MICROSECOND


def _start(conn: Connection, row: Subscription, *, plan: str, actor: str) -> Subscription:
    terms = store.terms(conn, plan)
    if terms is None or terms.archived:
        raise NotFound(
            f"There is no plan {plan!r}; GET /admin/v1/plans, or `ingot plans list`, shows them.",
            param="plan",
        )
    _lock(conn, row.org_id)
    live = store.live_subscription(conn, row.org_id)
    if live is not None:
        raise Conflict(
            f"The organization has the subscription {live.id} until {moment(live.period_end)}; cancel it, or wait for "
            f"its end."
        )
    row = replace(row, plan_id=terms.plan_id)
    store.insert_subscription(conn, row)
    store.put_on_plan(conn, row.org_id, plan_id=terms.plan_id)
    _give(conn, row, credits=terms.credits)
    _note(conn, row, actor=actor, action="subscription.start", at=row.started_at)
    return row


def _cancel(conn: Connection, org_id: str, *, actor: str, at: int) -> Subscription:
    _lock(conn, org_id)
    live = store.live_subscription(conn, org_id)
    if live is None:
        raise NotFound("The organization has no subscription.")
    if store.cancel(conn, live.id, at=at):
        live = replace(live, cancelled_at=at)
        _note(conn, live, actor=actor, action="subscription.cancel", at=at)
    return live


def _turn(conn: Connection, which: str, *, now: int, fallback: str) -> Ticked:
    """Brings one subscription up to date, period after period."""
    row = store.subscription(conn, which)
    if row is None:
        return Ticked()
    if locked_standing(conn, row.org_id) is None:
        return Ticked(ended=int(_drop(conn, row, at=now)))
    renewed = 0
    while (
        (row := store.subscription(conn, which)) is not None
        and row.ended_at is None
        and row.period_end <= now
    ):
        if row.cancelled_at is not None:
            _end(conn, row, fallback=fallback, at=now)
            return Ticked(renewed, ended=1)
        following = replace(
            row, period_start=row.period_end, period_end=period_after(row.started_at, row.period_end)
        )
        if store.move_on(conn, row, end=following.period_end):
            terms = store.terms(conn, row.plan_id)
            _give(conn, following, credits=0 if terms is None else terms.credits)
            renewed += 1
    return Ticked(renewed)


def _end(conn: Connection, row: Subscription, *, fallback: str, at: int) -> None:
    if not store.end(conn, row.id, at=row.period_end):
        return
    plan = store.terms(conn, fallback)
    if plan is not None:
        store.put_on_plan(conn, row.org_id, plan_id=plan.plan_id)
    _note(conn, row, actor="server", action="subscription.end", at=at)


def _drop(conn: Connection, row: Subscription, *, at: int) -> bool:
    """Ends the subscription of an organization that was deleted; nothing is given for what it missed."""
    if not store.end(conn, row.id, at=at):
        return False
    _note(conn, row, actor="server", action="subscription.end", at=at)
    return True


def _give(conn: Connection, row: Subscription, *, credits: int) -> None:  # noqa: A002  # what the ledger calls them
    """The credits of the period that a subscription is in; a plan without any gives no row."""
    if not credits:
        return
    day = datetime.fromtimestamp(row.period_start // MICROSECOND, UTC).date().isoformat()
    entry = Entry(f"{row.id}:{day}", row.org_id, "subscription", credits, row.period_start, note=row.plan_id)
    add(conn, row.org_id, amount=credits)
    add_entry(conn, entry)


def _lock(conn: Connection, org_id: str) -> None:
    if locked_standing(conn, org_id) is None:
        raise NotFound(f"There is no organization {org_id!r}.")


def _note(conn: Connection, row: Subscription, *, actor: str, action: str, at: int) -> None:
    detail: Detail = {"plan": row.plan_id, "period_end": row.period_end}
    note(conn, org_id=row.org_id, actor=actor, action=action, subject=row.id, detail=detail, at=at)
