"""Step 11: what is brought to the web addresses of customers. Endpoints, events with their bodies, deliveries, tries.

An event is written with what it tells of, and its body never again; a delivery is that event on its way to one address. A
try is a row of the log. `webhook_places` counts the failures of an organization's hosts. No secret is stored: one is derived
from a number, and a request's token lies sealed.
"""

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy import text as sql

from ingot.store.steps.kinds import Serial, ident, instant, number, text

_OPEN = "done_at IS NULL"


def define(tables: MetaData) -> None:
    """The tables of this step."""
    Table(
        "webhook_endpoints",
        tables,
        ident(),
        text("org_id"),
        text("key_id"),
        text("name"),
        text("url"),
        text("place"),  # scheme, host and port
        text("event_types"),  # a JSON array
        number("generation", "1"),
        Column("old_until", BigInteger),  # until then the secret before signs too
        instant("created_at"),
        instant("updated_at"),
        Column("disabled_at", BigInteger),
        Column("disabled_why", Text),
        Index("webhook_endpoints_by_org", "org_id", "created_at", "id"),
    )
    Table(
        "webhook_secrets",  # a row for each organization that ever rotated its own
        tables,
        ident("org_id"),
        number("generation", "1"),
        Column("old_until", BigInteger),
    )
    Table(
        "webhook_orders",  # what requests ordered whose answers are not there yet, and what could not be taken
        tables,
        ident("response_id"),
        text("org_id"),
        text("url"),
        text("place"),
        Column("token", LargeBinary),  # sealed
        text("policy"),  # JSON
        Column("rejected", Text),  # why it is not called
        instant("created_at"),
        Index("webhook_orders_by_org", "org_id"),
        Index("webhook_orders_by_time", "created_at"),
    )
    Table(
        "webhook_places",
        tables,
        Column("org_id", Text, primary_key=True),
        Column("place", Text, primary_key=True),
        number("failures"),  # in a row
        instant("failing_since"),
        Column("probe_at", BigInteger),  # nobody is asked before that
        Column("disabled_at", BigInteger),
    )
    _define_events(tables)
    _define_tries(tables)


def _define_events(tables: MetaData) -> None:
    Table(
        "webhook_events",
        tables,
        ident(),
        text("org_id"),
        text("kind"),
        text("object_id"),
        Column("body", LargeBinary),  # null: its object was deleted, or nothing may be kept of it
        number("fleeting"),  # 1: the body goes with the last delivery
        instant("created_at"),
        instant("expires_at"),
        Index("webhook_events_by_object", "object_id"),
        Index("webhook_events_by_org", "org_id", "created_at"),
        Index("webhook_events_by_end", "expires_at"),
    )
    Table(
        "webhook_deliveries",
        tables,
        ident(),
        text("event_id"),
        text("org_id"),
        Column("endpoint_id", Text),
        text("url"),
        text("place"),
        Column("token", LargeBinary),  # sealed
        text("policy"),  # JSON
        instant("created_at"),
        instant("due_at"),
        instant("ends_at"),  # nothing is tried after that
        number("attempts"),
        Column("owner", Text),
        Column("lease_until", BigInteger),
        Column("done_at", BigInteger),
        Column("error", Text),
        Index(
            "webhook_deliveries_due",
            "org_id",
            "place",
            "due_at",
            sqlite_where=sql(_OPEN),
            postgresql_where=sql(_OPEN),
        ),
        Index("webhook_deliveries_soon", "due_at", sqlite_where=sql(_OPEN), postgresql_where=sql(_OPEN)),
        Index("webhook_deliveries_by_event", "event_id"),
        Index("webhook_deliveries_by_org", "org_id", "created_at", "id"),
    )


def _define_tries(tables: MetaData) -> None:
    Table(
        "webhook_tries",
        tables,
        Column("seq", Serial, primary_key=True, autoincrement=True),
        text("delivery_id"),
        text("org_id"),
        instant("at"),
        number("ms"),
        Column("status", Integer),  # null: no reply came
        Column("family", Text),  # ipv4 or ipv6, where there was a connection
        Column("error", Text),
        Index("webhook_tries_by_delivery", "delivery_id"),
        Index("webhook_tries_by_org", "org_id"),
        Index("webhook_tries_by_time", "at"),
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates them."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
