"""The statements about deliveries on their way: leased host by host, tried, logged, given up, sent once more.

    due --lease--> leased --conclude--> done: delivered, gone, given up
     ^                |-- conclude --> due later
     '--lease lapsed--'                                replay: due again, from the first try

    place of an organization    FAILURES in a row --> probed by one delivery at a time --> disabled

A lease is a fence: who lost it changes nothing. Delivering is at least once. Rows are leased in turn of hosts, so that one
which is dead or slow delays no other. Plain functions over a connection; what signs and who sends is decided above.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert as upsert

from ingot.deliveries import DISABLE_SECONDS, FAILURES, PROBE_SECONDS, Generation
from ingot.store.schema import (
    micros,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
    webhook_orders,
    webhook_places,
    webhook_secrets,
    webhook_tries,
)
from ingot.store.webhooks import KEPT

GIVEN_UP: Final = "given up"

_d, _v, _e, _p, _s, _t = (
    webhook_deliveries.c,
    webhook_events.c,
    webhook_endpoints.c,
    webhook_places.c,
    webhook_secrets.c,
    webhook_tries.c,
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A leased delivery, and what it is sent with; `attempts` counts this try. `body` None: there is nothing left to send."""

    id: str
    event_id: str
    object_id: str
    org_id: str
    endpoint_id: str | None
    url: str
    place: str
    token: bytes | None
    policy: str
    attempts: int
    body: bytes | None
    secret: Generation


@dataclass(frozen=True, slots=True)
class Ask:
    """Who leases, when and until when; `room` for how many in all, `per_place` at one host, less those `busy` there."""

    owner: str
    now: int
    until: int
    room: int
    per_place: int
    busy: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Try:
    """What came of a try: `due` is when the next one comes, None where this was the last. `error` says what went wrong."""

    at: int
    ms: int
    status: int | None
    family: str | None
    error: str | None
    due: int | None = None
    everywhere: bool = False
    """Whether the receiver wants nothing at this URL any more."""


def any_due(conn: Connection, now: int) -> bool:
    """Whether something can be delivered now."""
    return conn.execute(_places_due(now).limit(1)).first() is not None


def lease(conn: Connection, ask: Ask) -> list[Delivery]:
    """Takes what is due, the host first that waits longest; two processes never get the same row."""
    taken: list[str] = []
    room = ask.room
    busy = dict(ask.busy)
    for place in sorted(conn.execute(_places_due(ask.now)), key=lambda each: (each.first, each.org_id)):
        if room <= 0:
            break
        probing = (place.failures or 0) >= FAILURES
        most = min(room, ask.per_place - busy.get(place.place, 0), 1 if probing else room)
        if most <= 0:
            continue
        if probing and not _probe(conn, place, ask.now):
            continue
        ids = list(conn.execute(_due_at(place, ask.now).limit(most)).scalars())
        taken += ids
        room -= len(ids)
        busy[place.place] = busy.get(place.place, 0) + len(ids)
    if not taken:
        return []
    mine = update(webhook_deliveries).where(_d.id.in_(taken))
    conn.execute(mine.values(owner=ask.owner, lease_until=ask.until, attempts=_d.attempts + 1))
    return read_deliveries(conn, taken)


def read_deliveries(conn: Connection, ids: Sequence[str]) -> list[Delivery]:
    """These deliveries, with what they are sent with."""
    joined = (
        webhook_deliveries.join(webhook_events, _v.id == _d.event_id)
        .outerjoin(webhook_endpoints, _e.id == _d.endpoint_id)
        .outerjoin(webhook_secrets, _s.org_id == _d.org_id)
    )
    query = (
        select(
            webhook_deliveries,
            _v.body,
            _v.object_id,
            _e.generation.label("own"),
            _e.old_until.label("own_until"),
            _s.generation.label("account"),
            _s.old_until.label("account_until"),
        )
        .select_from(joined)
        .where(_d.id.in_(list(ids)))
    )
    return [_delivery(row) for row in conn.execute(query)]


def conclude(conn: Connection, delivery: Delivery, told: Try, *, owner: str) -> bool:
    """Writes down a try and what follows; False where the lease was lost, and nothing is changed."""
    held = (
        update(webhook_deliveries)
        .where(
            _d.id == delivery.id, _d.owner == owner, _d.attempts == delivery.attempts, _d.done_at.is_(None)
        )
        .values(owner=None, lease_until=None, error=told.error)
    )
    ends = held.values(done_at=told.at) if told.due is None else held.values(due_at=told.due)
    if conn.execute(ends).rowcount != 1:
        return False
    conn.execute(
        insert(webhook_tries),
        {
            "delivery_id": delivery.id,
            "org_id": delivery.org_id,
            "at": told.at,
            "ms": told.ms,
            "status": told.status,
            "family": told.family,
            "error": told.error,
        },
    )
    if told.due is None:
        _let_go(conn, delivery.event_id)
    if told.everywhere:
        _stop_url(conn, delivery, told.at)
    return True


def drop(conn: Connection, delivery: Delivery, *, owner: str, at: int, error: str) -> bool:
    """Ends a delivery that has nothing to send, without a try; False where the lease was lost."""
    own = update(webhook_deliveries).where(_d.id == delivery.id, _d.owner == owner, _d.done_at.is_(None))
    return conn.execute(own.values(done_at=at, error=error, owner=None, lease_until=None)).rowcount == 1


def give_back(conn: Connection, ids: Sequence[str], *, owner: str, now: int) -> None:
    """Gives leased deliveries back that were not tried, or not to their end; the try counts all the same."""
    own = update(webhook_deliveries).where(_d.id.in_(list(ids)), _d.owner == owner, _d.done_at.is_(None))
    conn.execute(own.values(owner=None, lease_until=None, due_at=now))


def void_leases(conn: Connection, owner: str) -> int:
    """Ends the leases of all others where they cannot be alive: one process serves a SQLite file. How many."""
    if conn.dialect.name == "postgresql":
        return 0
    others = update(webhook_deliveries).where(
        _d.lease_until.is_not(None), _d.done_at.is_(None), _d.owner != owner
    )
    return conn.execute(others.values(owner=None, lease_until=None)).rowcount


def note_success(conn: Connection, org_id: str, place: str) -> None:
    """Forgets the failures of a host; one that was disabled by hand or by time stays so."""
    conn.execute(
        delete(webhook_places).where(_p.org_id == org_id, _p.place == place, _p.disabled_at.is_(None))
    )


def note_failure(conn: Connection, org_id: str, place: str, *, at: int) -> bool:
    """Counts a failure of a host; True where it was the one that disables it."""
    values = {"org_id": org_id, "place": place, "failures": 1, "failing_since": at}
    count = upsert(webhook_places).values(values)
    more = count.on_conflict_do_update(
        index_elements=["org_id", "place"], set_={"failures": webhook_places.c.failures + 1}
    ).returning(_p.failures, _p.failing_since, _p.disabled_at)
    row = conn.execute(more).one()
    own = update(webhook_places).where(_p.org_id == org_id, _p.place == place)
    if row.failures < FAILURES:
        return False
    conn.execute(own.values(probe_at=at + micros(PROBE_SECONDS)))
    if row.disabled_at is not None or at - row.failing_since < micros(DISABLE_SECONDS):
        return False
    return conn.execute(own.where(_p.disabled_at.is_(None)).values(disabled_at=at)).rowcount == 1


def enable_place(conn: Connection, org_id: str, place: str) -> bool:
    """Forgets all failures of a host; False where there are none."""
    gone = delete(webhook_places).where(_p.org_id == org_id, _p.place == place)
    return conn.execute(gone).rowcount == 1


def give_up(conn: Connection, now: int) -> int:
    """Ends deliveries whose time is over, as at hosts that were only probed; how many."""
    late = and_(
        _d.done_at.is_(None),
        _d.due_at <= now,
        _d.ends_at <= now,
        or_(_d.lease_until.is_(None), _d.lease_until <= now),
    )
    values = {"done_at": now, "error": GIVEN_UP, "owner": None, "lease_until": None}
    found = conn.execute(update(webhook_deliveries).where(late).values(values).returning(_d.event_id))
    events = set(found.scalars())
    for each in sorted(events):
        _let_go(conn, each)
    return len(events)


def prune(conn: Connection, now: int, *, most: int = 500) -> int:
    """Removes events whose time is over with their deliveries, and tries and orders of thirty days ago; how many rows."""
    due = conn.execute(select(_v.id).where(_v.expires_at <= now).limit(most)).scalars().all()
    gone = len(due)
    if due:
        conn.execute(delete(webhook_deliveries).where(_d.event_id.in_(due)))
        conn.execute(delete(webhook_events).where(_v.id.in_(due)))
    old = select(_t.seq).where(_t.at <= now - KEPT).limit(most)
    gone += conn.execute(delete(webhook_tries).where(_t.seq.in_(old.scalar_subquery()))).rowcount
    orders = webhook_orders.c
    stale = select(orders.response_id).where(orders.rejected.is_not(None), orders.created_at <= now - KEPT)
    few = stale.limit(most).scalar_subquery()
    return gone + conn.execute(delete(webhook_orders).where(orders.response_id.in_(few))).rowcount


def _places_due(now: int) -> Select[Any]:
    """The hosts that something is due at, and since when; those are left out that nobody is to call now."""
    open_place = and_(_p.disabled_at.is_(None), or_(_p.probe_at.is_(None), _p.probe_at <= now))
    # Expressions: for the order of the columns SQLite would walk all that waits, due or not.
    org_id, place = _d.org_id.concat(""), _d.place.concat("")
    first, failures = func.min(_d.due_at), func.max(_p.failures)
    columns: tuple[Any, ...] = (
        org_id.label("org_id"),
        place.label("place"),
        first.label("first"),
        failures.label("failures"),
    )
    return (
        select(*columns)
        .select_from(
            webhook_deliveries.outerjoin(webhook_places, and_(_p.org_id == _d.org_id, _p.place == _d.place))
        )
        .where(*_ready(now), or_(_p.org_id.is_(None), open_place))
        .group_by(sql("1"), sql("2"))
    )


def _ready(now: int) -> tuple[Any, ...]:
    free = or_(_d.lease_until.is_(None), _d.lease_until <= now)
    return _d.done_at.is_(None), _d.due_at <= now, free


def _due_at(place: Any, now: int) -> Select[Any]:
    return (
        select(_d.id)
        .where(_d.org_id == place.org_id, _d.place == place.place, *_ready(now))
        .order_by(_d.due_at, _d.id)
        .with_for_update(skip_locked=True)
    )


def _probe(conn: Connection, place: Any, now: int) -> bool:
    """Takes the one probe of a failing host; False where another process did."""
    own = update(webhook_places).where(
        _p.org_id == place.org_id,
        _p.place == place.place,
        or_(_p.probe_at.is_(None), _p.probe_at <= now),
    )
    return conn.execute(own.values(probe_at=now + micros(PROBE_SECONDS))).rowcount == 1


def _let_go(conn: Connection, event_id: str) -> None:
    """Removes the body of an event that must not be kept, once nothing is left to deliver of it."""
    open_ones = select(_d.id).where(_d.event_id == event_id, _d.done_at.is_(None))
    own = update(webhook_events).where(_v.id == event_id, _v.fleeting == 1, ~open_ones.exists())
    conn.execute(own.values(body=None))


def _stop_url(conn: Connection, delivery: Delivery, at: int) -> None:
    """Ends all that waits for a URL whose receiver is gone, and disables the endpoint that has it."""
    waits = update(webhook_deliveries).where(
        _d.org_id == delivery.org_id, _d.url == delivery.url, _d.done_at.is_(None)
    )
    conn.execute(
        waits.values(done_at=at, error="the receiver answered 410 Gone", owner=None, lease_until=None)
    )
    if delivery.endpoint_id is not None:
        own = update(webhook_endpoints).where(_e.id == delivery.endpoint_id, _e.disabled_at.is_(None))
        conn.execute(own.values(disabled_at=at, disabled_why="the receiver answered 410 Gone"))


def _delivery(row: Any) -> Delivery:
    own = row.endpoint_id is not None
    number, until = (row.own, row.own_until) if own else (row.account, row.account_until)
    return Delivery(
        id=row.id,
        event_id=row.event_id,
        object_id=row.object_id,
        org_id=row.org_id,
        endpoint_id=row.endpoint_id,
        url=row.url,
        place=row.place,
        token=None if row.token is None else bytes(row.token),
        policy=row.policy,
        attempts=row.attempts,
        body=None if row.body is None else bytes(row.body),
        secret=Generation(number or 1, until),
    )
