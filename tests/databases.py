"""A real PostgreSQL and a real Valkey for the tests, started when first asked for and gone with the test process.

backend (fixture)    "sqlite" and "postgres" in turn: an empty place for a store
open_store(backend)  the store there, migrated
postgres (fixture)   the URL of an empty PostgreSQL database; postgres_url() is the same without a clean-up
valkey (fixture)     the URL of an empty Valkey database; valkey_url() is the same
postgres_server(), valkey_server()   the servers themselves, see `databaseservers`
"""

import functools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from databaseservers import Postgres, Valkey
from ingot.clock import Clock
from ingot.store.database import Database
from ingot.store.engine import FILE_NAME, open_database
from ingot.store.migrations import MIGRATIONS, Migration


@functools.cache
def postgres_server() -> Postgres:
    """The one PostgreSQL of this test process."""
    return Postgres()


@functools.cache
def valkey_server() -> Valkey:
    """The one Valkey of this test process."""
    return Valkey()


def postgres_url() -> str:
    """The URL of a new and empty PostgreSQL database, which stays until the tests end."""
    return postgres_server().create()


def valkey_url() -> str:
    """The URL of an empty Valkey database."""
    return valkey_server().create()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store may be made: its kind, its data directory, and its URL ("" for SQLite)."""

    kind: str
    data: Path
    url: str

    @property
    def postgres(self) -> bool:
        """Whether it is on PostgreSQL."""
        return self.kind == "postgres"

    def catalog(self) -> list[tuple[Any, ...]]:
        """All tables and columns, as the database itself describes them."""
        if self.postgres:
            return self.run(
                "SELECT table_name, column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'public' ORDER BY 1, 2"
            )
        return self.run("SELECT name, sql FROM sqlite_schema ORDER BY 1")

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last statement, run past our own code, each committed at once."""
        rows: list[tuple[Any, ...]] = []
        if self.postgres:
            for statement in statements:
                rows = postgres_server().run(statement, url=self.url)
            return rows
        self.data.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.data / FILE_NAME, isolation_level=None)) as conn:
            for statement in statements:
                rows = conn.execute(statement).fetchall()
        return rows


def open_store(
    place: Place,
    *,
    clock: Clock | None = None,
    readers: int = 2,
    patience: float | None = None,
    steps: Sequence[Migration] = MIGRATIONS,
) -> Database:
    """The store at a place, migrated; several may be open at once, as those of several processes."""
    return open_database(place.data, place.url, clock=clock, readers=readers, patience=patience, steps=steps)


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of a new and empty PostgreSQL database."""
    server = postgres_server()
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def valkey() -> str:
    """The URL of an empty Valkey database."""
    return valkey_url()


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty place for a store, on SQLite and then on PostgreSQL."""
    if request.param == "sqlite":
        yield Place("sqlite", tmp_path / "data", "")
        return
    server = postgres_server()
    url = server.create()
    yield Place("postgres", tmp_path / "data", url)
    server.drop(url)
