"""What a database holds, looked at without changing it: no file is made, no step is applied."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select, table

from ingot.store import postgres, sqlite
from ingot.store.faults import StoreError
from ingot.store.migrations import MIGRATIONS, pending
from ingot.store.schema import schema_migrations


@dataclass(frozen=True, slots=True)
class Survey:
    """A database as it is; `place` is its path, or host and name; `problem` is why a start would be refused."""

    kind: str
    place: str
    exists: bool
    schema: int  # the number of the newest step; 0: none yet
    pending: tuple[str, ...]
    tables: dict[str, int]  # rows
    size_bytes: int
    problem: str | None = None


def survey(data: Path, url: str = "") -> Survey:
    """The database behind `url`, or in the directory `data`; raises StoreError where it cannot be read."""
    kind, place = (
        ("postgresql", postgres.shown(postgres.parsed(url)))
        if url
        else ("sqlite", str(data / sqlite.FILE_NAME))
    )
    if not url and not (data / sqlite.FILE_NAME).exists():
        return Survey(kind, place, exists=False, schema=0, pending=_names(), tables={}, size_bytes=0)
    backend = postgres.backend(url) if url else sqlite.backend(data)
    try:
        with backend.connect("read") as conn, conn.begin():
            backend.begin(conn, "read")
            size = postgres.size(conn) if url else sqlite.size(conn)
            tables = {name: _rows(conn, name) for name in sorted(inspect(conn).get_table_names())}
            schema = _schema(conn) if schema_migrations.name in tables else 0
            missing, problem = _pending(conn)
    except Exception as error:
        told = backend.explain(error)
        if told is error:
            raise
        raise told from error
    finally:
        backend.dispose()
    return Survey(
        kind,
        place,
        exists=True,
        schema=schema,
        pending=missing,
        tables=tables,
        size_bytes=size,
        problem=problem,
    )


def _names() -> tuple[str, ...]:
    return tuple(step.name for step in MIGRATIONS)


def _pending(conn: Connection) -> tuple[tuple[str, ...], str | None]:
    try:
        return tuple(step.name for step in pending(conn)), None
    except StoreError as error:
        return (), error.message


def _schema(conn: Connection) -> int:
    newest = conn.execute(select(func.max(schema_migrations.c.number))).scalar()
    return int(newest or 0)


def _rows(conn: Connection, name: str) -> int:
    return int(conn.execute(select(func.count()).select_from(table(name))).scalar_one())
