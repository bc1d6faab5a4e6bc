"""The statements about what promises are made from: what nodes measured, and refused work that is expected again.

    throughput   a row for each node, told every few seconds, read by all
    bookings     a row for each piece of refused work, until it comes again or its time is over

Plain functions over a connection.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from ingot.scheduling.bookings import Booking
from ingot.store.schema import MICROSECOND, bookings, micros, throughput

FORGOTTEN: Final = 7 * 86_400 * MICROSECOND
"""A node that told nothing for so long tells nothing about today."""

_t, _b = throughput.c, bookings.c
_TELL: Final = upsert(throughput).values(node=bindparam("node"), at=bindparam("at"), told=bindparam("told"))
_BOOK: Final = upsert(bookings)
_LIVING: Final = (_b.org_id == bindparam("org"), _b.until >= bindparam("now"))
_OWN: Final = select(bookings).where(*_LIVING, _b.work == bindparam("work"), _b.model == bindparam("model"))
_SECOND: Final = (_b.at // MICROSECOND).label("second")
_PLACES: Final = (
    select(_b.model, _b.seconds, _SECOND, func.sum(_b.service).label("service"), func.count().label("many"))
    .where(*_LIVING)
    .group_by(_b.model, _b.seconds, _SECOND)
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a node told, and when, in seconds."""

    node: str
    at: float
    told: str


class Place(NamedTuple):
    """Where work is booked: its model, the length of its window in seconds, and the second in which it comes again."""

    model: str
    seconds: float
    second: int


def tell(conn: Connection, node: str, told: str, *, now: int) -> None:
    """Puts what a node measured in place of what it told before."""
    change = _TELL.on_conflict_do_update(
        index_elements=[_t.node], set_={"at": _TELL.excluded.at, "told": _TELL.excluded.told}
    )
    conn.execute(change, {"node": node, "at": now, "told": told})


def heard(conn: Connection) -> list[Told]:
    """What all nodes told, the newest last."""
    rows = conn.execute(select(throughput).order_by(_t.at))
    return [Told(row.node, row.at / MICROSECOND, row.told) for row in rows]


def bury(conn: Connection, node: str | None = None) -> None:
    """A node works no more, or no other than one that starts does: what it measured stays, how much it gives does not."""
    over = update(throughput).values(at=_t.at - 3600 * MICROSECOND)
    conn.execute(over if node is None else over.where(_t.node == node))


def book(conn: Connection, org_id: str, model: str, booking: Booking) -> None:
    """Keeps a place for refused work, instead of the one that it had."""
    values: dict[str, Any] = {
        "model": model,
        "service": round(booking.service),
        "seconds": booking.seconds,
        "at": micros(booking.at),
        "until": micros(booking.until),
    }
    change = _BOOK.values(org_id=org_id, work=booking.key, **values)
    conn.execute(change.on_conflict_do_update(index_elements=[_b.org_id, _b.work], set_=values))


def booking(conn: Connection, org_id: str, model: str, work: str, *, now: int) -> Booking | None:
    """The booking of this work, if it has not lapsed."""
    row = conn.execute(_OWN, {"org": org_id, "now": now, "work": work, "model": model}).first()
    if row is None:
        return None
    return Booking(row.work, float(row.service), row.seconds, row.at / MICROSECOND, row.until / MICROSECOND)


def places(conn: Connection, org_id: str, *, now: int) -> tuple[dict[Place, float], int]:
    """The service that an organization has booked and that has not lapsed, by place; and how many bookings that is."""
    rows = conn.execute(_PLACES, {"org": org_id, "now": now}).all()
    found = {Place(row.model, row.seconds, int(row.second)): float(row.service) for row in rows}
    return found, sum(row.many for row in rows)


def unbook(conn: Connection, org_id: str, work: str) -> None:
    """Work that was booked has come."""
    conn.execute(delete(bookings).where(_b.org_id == org_id, _b.work == work))


def sweep(conn: Connection, now: int) -> int:
    """Removes what has lapsed; how many rows."""
    gone = conn.execute(delete(bookings).where(_b.until < now)).rowcount
    return gone + conn.execute(delete(throughput).where(_t.at < now - FORGOTTEN)).rowcount


def organizations(conn: Connection, *, now: int) -> set[str]:
    """Those that have bookings."""
    return set(conn.execute(select(_b.org_id).where(_b.until >= now).distinct()).scalars())
