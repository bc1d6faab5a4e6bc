"""The statements for who looks at deliveries: lists with their tries, hosts that fail, and what is to be sent once more.

Each is bound to an organization. A body or a token is never read here. Plain functions over a connection.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, and_, select, update

from ingot.store.responses import Mark, Step, beyond, is_plain
from ingot.store.schema import (
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
    webhook_places,
    webhook_tries,
)
from ingot.store.webhooks import LAST

State = Literal["pending", "delivered", "failed"]

_d, _v, _t, _p, _e = (
    webhook_deliveries.c,
    webhook_events.c,
    webhook_tries.c,
    webhook_places.c,
    webhook_endpoints.c,
)


@dataclass(frozen=True, slots=True)
class TryRow:
    """One try; instants in microseconds, `status` None where no reply came."""

    at: int
    ms: int
    status: int | None
    family: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """An event on its way to one URL, with all tries that are still in the log, the first one first."""

    id: str
    event_id: str
    kind: str
    object_id: str
    endpoint_id: str | None
    url: str
    attempts: int
    created_at: int
    due_at: int
    done_at: int | None
    error: str | None
    tries: list[TryRow] = field(default_factory=list)

    @property
    def state(self) -> State:
        """Whether it is there."""
        if self.done_at is None:
            return "pending"
        return "delivered" if self.error is None else "failed"


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """A host that failed the last time; `disabled_at` where it is called no more."""

    place: str
    failures: int
    failing_since: int
    probe_at: int | None
    disabled_at: int | None


@dataclass(frozen=True, slots=True)
class Which:
    """Which deliveries: of one event, endpoint or object, of a time (microseconds), in a state."""

    event_id: str | None = None
    endpoint_id: str | None = None
    object_id: str | None = None
    since: int | None = None
    until: int | None = None
    state: State | None = None


def list_deliveries(
    conn: Connection, org_id: str, which: Which, *, step: Step
) -> tuple[list[DeliveryRow], bool]:
    """The next deliveries of a list, and whether more follow."""
    query = (
        select(
            _d.id, _d.event_id, _v.kind, _v.object_id, _d.endpoint_id, _d.url, _d.attempts, _d.created_at, _d.due_at,
            _d.done_at, _d.error,
        )
        .join(webhook_events, _v.id == _d.event_id)
        .where(*_within(org_id, which), *beyond(_d.created_at, _d.id, step))
        .order_by(_d.created_at.desc(), _d.id.desc())
        .limit(step.limit + 1)
    )  # fmt: skip
    rows = [DeliveryRow(*row) for row in conn.execute(query)]
    tries: dict[str, list[TryRow]] = defaultdict(list)
    found = select(webhook_tries).where(_t.delivery_id.in_([row.id for row in rows]))
    for each in sorted(conn.execute(found), key=lambda each: each.seq) if rows else ():
        tries[each.delivery_id].append(TryRow(each.at, each.ms, each.status, each.family, each.error))
    for row in rows:
        row.tries.extend(tries[row.id])
    return rows[: step.limit], len(rows) > step.limit


def mark_of(conn: Connection, org_id: str, delivery_id: str) -> Mark | None:
    """A delivery's place in lists."""
    if not is_plain(delivery_id):
        return None
    query = select(_d.created_at, _d.id).where(_d.org_id == org_id, _d.id == delivery_id)
    row = conn.execute(query).first()
    return None if row is None else Mark(*row)


def replay(conn: Connection, org_id: str, which: Which, *, at: int) -> tuple[int, int]:
    """Has these delivered once more, from the first try on: how many, and how many are not kept any more.

    What is still on its way stays as it is.
    """
    query = (
        select(_d.id, _v.body.is_not(None).label("there"))
        .join(webhook_events, _v.id == _d.event_id)
        .where(*_within(org_id, which), _d.done_at.is_not(None))
    )
    rows = conn.execute(query).all()
    ids = [row.id for row in rows if row.there]
    values = {"done_at": None, "error": None, "attempts": 0, "due_at": at, "ends_at": at + LAST}
    for start in range(0, len(ids), 500):
        own = update(webhook_deliveries).where(_d.id.in_(ids[start : start + 500]), _d.done_at.is_not(None))
        conn.execute(own.values(**values, owner=None, lease_until=None))
    return len(ids), len(rows) - len(ids)


def list_places(conn: Connection, org_id: str) -> list[PlaceRow]:
    """The hosts that fail, by name."""
    query = select(_p.place, _p.failures, _p.failing_since, _p.probe_at, _p.disabled_at)
    return [PlaceRow(*row) for row in conn.execute(query.where(_p.org_id == org_id).order_by(_p.place))]


def enable_endpoint(conn: Connection, org_id: str, which: str, *, at: int) -> bool:
    """Calls an endpoint again that was disabled; False where it was not."""
    own = update(webhook_endpoints).where(_e.org_id == org_id, _e.id == which, _e.disabled_at.is_not(None))
    changed = own.values(disabled_at=None, disabled_why=None, updated_at=at)
    return conn.execute(changed).rowcount == 1


def _within(org_id: str, which: Which) -> list[Any]:
    found: list[Any] = [_d.org_id == org_id]
    pairs = (
        (_d.event_id, which.event_id),
        (_d.endpoint_id, which.endpoint_id),
        (_v.object_id, which.object_id),
    )
    found += [column == value for column, value in pairs if value is not None]
    if which.since is not None:
        found.append(_d.created_at >= which.since)
    if which.until is not None:
        found.append(_d.created_at < which.until)
    states = {
        "pending": _d.done_at.is_(None),
        "delivered": and_(_d.done_at.is_not(None), _d.error.is_(None)),
        "failed": and_(_d.done_at.is_not(None), _d.error.is_not(None)),
    }
    return found if which.state is None else [*found, states[which.state]]
