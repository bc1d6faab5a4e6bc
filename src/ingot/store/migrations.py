"""The steps from an empty database to today's tables, and the decision whether this one may be used.

Each step runs in one transaction together with its record, under a lock of the database: of two
processes that start together one migrates and the other finds the work done. A step is never edited once
released; `steps` holds one module for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, inspect, select, update

from ingot.store.database import Purpose
from ingot.store.faults import StoreError
from ingot.store.schema import schema_migrations
from ingot.store.steps import (
    batches,
    conversations,
    files,
    guards,
    keys,
    organizations,
    queue,
    records,
    references,
    suspects,
    translations,
    webhooks,
    windows,
)

_RESTORE = "Restore the newest backup, or start with an empty database."


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step; `tables` are those that exist once it is done; `apply` is given the instant."""

    number: int
    name: str
    apply: Callable[[Connection, int], None]
    tables: tuple[str, ...] = ()


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "keys", keys.apply, tables=("peppers", "api_keys")),
    Migration(
        2, "organizations", organizations.apply, tables=("plans", "organizations", "users", "slots", "outbox")
    ),
    Migration(
        3, "records", records.apply, tables=("responses", "ledger", "balances", "idempotency", "usage_hours")
    ),
    Migration(4, "translations", translations.apply, tables=("response_losses",)),
    Migration(5, "conversations", conversations.apply, tables=("conversations", "conversation_items")),
    Migration(6, "files", files.apply, tables=("files", "uploads", "upload_parts")),
    Migration(7, "queue", queue.apply, tables=("items", "jobs", "tenant_clocks", "response_waits")),
    Migration(8, "references", references.apply, tables=("response_items",)),
    Migration(9, "batches", batches.apply, tables=("batches", "batch_lines")),
    Migration(10, "windows", windows.apply, tables=("window_slots", "throughput", "bookings")),
    Migration(
        11, "webhooks", webhooks.apply, tables=("webhook_endpoints", "webhook_events", "webhook_deliveries")
    ),
    Migration(12, "suspects", suspects.apply),
    Migration(13, "guards", guards.apply),
)


def migrate(
    conn: Connection,
    *,
    begin: Callable[[Connection, Purpose], None],
    now: int,
    steps: Sequence[Migration] = MIGRATIONS,
) -> list[str]:
    """Applies what is missing and returns the names of the steps; `begin` takes the lock that migrations need.

    Raises StoreError where the schema is newer than `steps` or not whole.
    """
    with conn.begin():
        begin(conn, "read")  # one snapshot: another process may be migrating at this moment
        if not pending(conn, steps):
            return []
    done: list[str] = []
    while True:
        with conn.begin():
            begin(conn, "migrate")
            missing = pending(conn, steps)
            if not missing:
                return done
            _apply(conn, missing[0], now=now)
        done.append(missing[0].name)


def pending(conn: Connection, steps: Sequence[Migration] = MIGRATIONS) -> list[Migration]:
    """The steps that this database still needs; raises StoreError where going on would do harm."""
    tables = set(inspect(conn).get_table_names())
    if schema_migrations.name not in tables:
        if tables:
            raise StoreError(
                f"The database holds tables ({', '.join(sorted(tables)[:5])}) but no record of migrations: it is "
                f"not an Ingot database, or it was copied in part. {_RESTORE}"
            )
        return list(steps)
    _judge(conn, steps)
    applied = conn.execute(select(schema_migrations.c.number)).scalars().all()
    missing = {name for step in steps if step.number in applied for name in step.tables} - tables
    if missing:
        raise StoreError(
            f"The schema is half-applied: a migration is recorded as done, but its tables are missing "
            f"({', '.join(sorted(missing))}). {_RESTORE}"
        )
    return [step for step in steps if step.number not in applied]


def _judge(conn: Connection, steps: Sequence[Migration]) -> None:
    rows = conn.execute(select(schema_migrations).order_by(schema_migrations.c.number)).all()
    known = sorted(steps, key=lambda step: step.number)
    newest = known[-1].number if known else 0
    for place, row in enumerate(rows):
        if row.number > newest:
            raise StoreError(
                f"The database was written by a newer Ingot (schema {rows[-1].number}; this version knows up to "
                f"{newest}). Run that version again, or restore a backup made before the upgrade."
            )
        if row.state != "done":
            raise StoreError(
                f"Migration {row.number} ({row.name}) is half-applied: it was begun and never finished. {_RESTORE}"
            )
        if (row.number, row.name) != (known[place].number, known[place].name):
            raise StoreError(
                f"The record of migrations does not fit this version of Ingot: place {place + 1} holds "
                f"{row.number} ({row.name}). {_RESTORE}"
            )


def _apply(conn: Connection, step: Migration, *, now: int) -> None:
    if step.number == 1:
        schema_migrations.create(conn)
    record = {"number": step.number, "name": step.name, "state": "applying", "applied_at": now}
    conn.execute(insert(schema_migrations), record)
    step.apply(conn, now)
    # Within one transaction nobody sees the first state; where a step has to commit on its own it stays behind.
    done = update(schema_migrations).where(schema_migrations.c.number == step.number)
    conn.execute(done.values(state="done"))
