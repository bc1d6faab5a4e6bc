"""The statements about webhook endpoints, about which of an organization's secrets sign, and about the end of all of it.

Each is bound to an organization. No secret is here: a row says which one it is, and until when the one before it signs too.
Plain functions over a connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Table, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from ingot.deliveries import Generation
from ingot.store.responses import Mark, Step, beyond, is_plain
from ingot.store.schema import (
    organizations,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
    webhook_orders,
    webhook_places,
    webhook_secrets,
    webhook_tries,
)

_e, _d, _s = webhook_endpoints.c, webhook_deliveries.c, webhook_secrets.c
_OWNED: tuple[tuple[Table, Column[Any]], ...] = tuple(
    (table, table.c[key])
    for table, key in (
        (webhook_tries, "seq"),
        (webhook_deliveries, "id"),
        (webhook_events, "id"),
        (webhook_orders, "response_id"),
        (webhook_endpoints, "id"),
        (webhook_places, "place"),
        (webhook_secrets, "org_id"),
    )
)
"""What belongs to an organization, with what tells its rows apart."""
_types = msgspec.json.Decoder(tuple[str, ...]).decode


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint; instants in microseconds. `place` is what its failures are counted by."""

    id: str
    org_id: str
    key_id: str
    name: str
    url: str
    place: str
    event_types: tuple[str, ...]
    created_at: int
    updated_at: int
    secret: Generation = field(default_factory=Generation)
    disabled_at: int | None = None
    disabled_why: str | None = None

    @property
    def mark(self) -> Mark:
        """Its place in lists."""
        return Mark(self.created_at, self.id)


def insert_endpoint(conn: Connection, row: EndpointRow) -> None:
    """Adds an endpoint."""
    conn.execute(
        insert(webhook_endpoints),
        {
            "id": row.id,
            "org_id": row.org_id,
            "key_id": row.key_id,
            "name": row.name,
            "url": row.url,
            "place": row.place,
            "event_types": _encoded(row.event_types),
            "generation": row.secret.number,
            "old_until": row.secret.old_until,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        },
    )


def find_endpoint(conn: Connection, org_id: str, which: str) -> EndpointRow | None:
    """The organization's endpoint with this id."""
    if not is_plain(which):
        return None
    row = conn.execute(select(webhook_endpoints).where(_e.org_id == org_id, _e.id == which)).first()
    return None if row is None else _row(row)


def list_endpoints(conn: Connection, org_id: str, *, step: Step) -> tuple[list[EndpointRow], bool]:
    """The next endpoints of a list, and whether more follow."""
    query = select(webhook_endpoints).where(_e.org_id == org_id, *beyond(_e.created_at, _e.id, step))
    order = (_e.created_at.desc(), _e.id.desc()) if step.descending else (_e.created_at, _e.id)
    found = conn.execute(query.order_by(*order).limit(step.limit + 1)).all()
    return [_row(row) for row in found[: step.limit]], len(found) > step.limit


def count_endpoints(conn: Connection, org_id: str) -> int:
    """How many an organization has."""
    query = select(func.count()).select_from(webhook_endpoints).where(_e.org_id == org_id)
    return int(conn.execute(query).scalar_one())


def change_endpoint(conn: Connection, row: EndpointRow) -> None:
    """Puts a changed endpoint in place; what waits for it goes to where it is now."""
    own = update(webhook_endpoints).where(_e.org_id == row.org_id, _e.id == row.id)
    conn.execute(
        own.values(
            name=row.name,
            url=row.url,
            place=row.place,
            event_types=_encoded(row.event_types),
            generation=row.secret.number,
            old_until=row.secret.old_until,
            updated_at=row.updated_at,
            disabled_at=row.disabled_at,
            disabled_why=row.disabled_why,
        )
    )
    waits = update(webhook_deliveries).where(_d.endpoint_id == row.id, _d.done_at.is_(None))
    conn.execute(waits.values(url=row.url, place=row.place))


def delete_endpoint(conn: Connection, org_id: str, which: str, *, at: int) -> bool:
    """Removes an endpoint and ends what waits for it; False where there is none."""
    if conn.execute(delete(webhook_endpoints).where(_e.org_id == org_id, _e.id == which)).rowcount != 1:
        return False
    waits = update(webhook_deliveries).where(_d.endpoint_id == which, _d.done_at.is_(None))
    conn.execute(waits.values(done_at=at, error="the endpoint was deleted", owner=None, lease_until=None))
    return True


def account_secret(conn: Connection, org_id: str) -> Generation:
    """Which secret of an organization's own signs."""
    row = conn.execute(select(webhook_secrets).where(_s.org_id == org_id)).first()
    return Generation() if row is None else Generation(row.generation, row.old_until)


def set_account_secret(conn: Connection, org_id: str, secret: Generation) -> None:
    """Puts another one in its place."""
    values = {"generation": secret.number, "old_until": secret.old_until}
    made = upsert(webhook_secrets).values({"org_id": org_id, **values})
    conn.execute(made.on_conflict_do_update(index_elements=["org_id"], set_=values))


def erase_webhooks(conn: Connection, org_id: str, *, most: int = 500) -> int:
    """Removes all that an organization's webhooks left, at most about `most` rows of each kind; how many there were."""
    gone = 0
    for table, key in _OWNED:
        some = select(key).where(table.c.org_id == org_id).limit(most).scalar_subquery()
        gone += conn.execute(delete(table).where(key.in_(some), table.c.org_id == org_id)).rowcount
    return gone


def organizations_with_webhooks(conn: Connection) -> list[str]:
    """The deleted organizations of whose webhooks something is left."""
    left = [
        select(key).where(table.c.org_id == organizations.c.id).limit(1).correlate(organizations).exists()
        for table, key in _OWNED
    ]
    query = select(organizations.c.id).where(organizations.c.deleted_at.is_not(None), or_(*left))
    return list(conn.execute(query).scalars())


def _encoded(types: Sequence[str]) -> str:
    return msgspec.json.encode(types).decode()


def _row(row: Any) -> EndpointRow:
    return EndpointRow(
        id=row.id,
        org_id=row.org_id,
        key_id=row.key_id,
        name=row.name,
        url=row.url,
        place=row.place,
        event_types=_types(row.event_types),
        created_at=row.created_at,
        updated_at=row.updated_at,
        secret=Generation(row.generation, row.old_until),
        disabled_at=row.disabled_at,
        disabled_why=row.disabled_why,
    )
