"""Opens the database: SQLite in the data directory, or PostgreSQL behind a URL.

What is particular to one of them is in `sqlite` and `postgres`; the statements, the migrations and the
grouping of writes know of neither.
"""

from collections.abc import Sequence
from pathlib import Path

from ingot.clock import Clock, SystemClock
from ingot.store import postgres, sqlite
from ingot.store.database import Backend, Database
from ingot.store.hold import hold
from ingot.store.migrations import MIGRATIONS, Migration, migrate
from ingot.store.schema import micros
from ingot.store.sqlite import FILE_NAME

__all__ = ["FILE_NAME", "hold", "migrate_database", "open_database"]


def open_database(
    data: Path,
    url: str = "",
    *,
    clock: Clock | None = None,
    readers: int = 2,
    patience: float | None = None,
    steps: Sequence[Migration] = MIGRATIONS,
) -> Database:
    """The database behind `url`, or where that is empty in the directory `data`, created and migrated.

    Blocks for the disk or the network, and for up to `patience` seconds where another process migrates: call
    it at start. Raises StoreError.
    """
    backend, _ = _prepared(data, url, clock=clock, patience=patience, steps=steps)
    return Database(backend, readers=readers)


def migrate_database(data: Path, url: str = "", *, clock: Clock | None = None) -> list[str]:
    """Creates and migrates the database; the names of the steps that were applied. Raises StoreError."""
    backend, applied = _prepared(data, url, clock=clock, patience=None, steps=MIGRATIONS)
    backend.dispose()
    return applied


def _prepared(
    data: Path, url: str, *, clock: Clock | None, patience: float | None, steps: Sequence[Migration]
) -> tuple[Backend, list[str]]:
    backend = postgres.backend(url, patience=patience) if url else sqlite.backend(data, patience=patience)
    now = micros((clock or SystemClock()).now())
    try:
        with backend.connect("migrate") as conn:
            applied = migrate(conn, begin=backend.begin, now=now, steps=steps)
    except BaseException as error:
        backend.dispose()
        told = backend.explain(error)
        if told is error:
            raise
        raise told from error
    return backend, applied
