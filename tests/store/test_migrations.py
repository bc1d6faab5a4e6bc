"""Migrations: from nothing to today, once, and never onto a schema that is not whole."""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.store.conversations import find_item_anywhere
from ingot.store.faults import StoreError
from ingot.store.migrations import MIGRATIONS, Migration
from ingot.store.schema import metadata

REFERENCES = next(step.number for step in MIGRATIONS if step.name == "references")
NEXT = MIGRATIONS[-1].number + 1
"""The number of a step that is not there yet."""


def _plain(index: Mapping[str, Any]) -> dict[str, object]:
    """An index as it can be compared: a partial one's condition comes as an object that equals no other."""
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return {**index, "dialect_options": options}


def _records(place: Place) -> list[tuple[object, ...]]:
    return place.run("SELECT number, name, state, applied_at FROM schema_migrations ORDER BY number")


def _described(conn: Connection) -> dict[str, object]:
    found = inspect(conn)
    return {
        table: (
            [
                (column["name"], str(column["type"]), column["nullable"], column["default"])
                for column in found.get_columns(table)
            ],
            found.get_pk_constraint(table)["constrained_columns"],
            _sorted(found.get_unique_constraints(table)),
            _sorted(found.get_check_constraints(table)),
            _sorted(found.get_foreign_keys(table)),
            _sorted(_plain(index) for index in found.get_indexes(table)),
        )
        for table in found.get_table_names()
    }


def _sorted(found: Iterable[Any]) -> list[str]:
    return sorted(map(str, found))


async def test_tables_are_those_of_the_schema_when_migrated_from_empty(backend: Place) -> None:
    """History and the present agree, column by column."""
    async with open_store(backend) as db:
        migrated = await db.read(_described)
    fresh = Migration(1, "all", lambda conn, _: metadata.create_all(conn, checkfirst=True))
    backend.run(*(f'DROP TABLE "{name}"{" CASCADE" if backend.postgres else ""}' for name in migrated))
    async with open_store(backend, steps=[fresh]) as db:
        assert await db.read(_described) == migrated


async def test_steps_are_recorded_once_when_opened_again(backend: Place) -> None:
    """The second start finds the work done."""
    for at in (1_000.0, 2_000.0):
        await open_store(backend, clock=ManualClock(at)).close()
    assert _records(backend) == [(step.number, step.name, "done", 1_000_000_000) for step in MIGRATIONS]


async def test_only_missing_steps_run_when_the_database_is_older(backend: Place) -> None:
    """An upgrade adds what is new and leaves what is there."""
    await open_store(backend).close()
    more = Migration(
        NEXT, "more", lambda conn, _: _execute(conn, "CREATE TABLE more (n INTEGER)"), tables=("more",)
    )
    await open_store(backend, steps=[*MIGRATIONS, more]).close()
    assert [row[:3] for row in _records(backend)][-2:] == [
        (NEXT - 1, MIGRATIONS[-1].name, "done"),
        (NEXT, "more", "done"),
    ]


async def test_items_of_conversations_are_told_whose_they_are_when_migrated(backend: Place) -> None:
    """Those that were there before are found by their ids, too; one without its conversation belongs to nobody."""
    kind = "BYTEA" if backend.postgres else "BLOB"
    before = [step for step in MIGRATIONS if step.number < REFERENCES]
    await open_store(backend, steps=before).close()
    backend.run(
        "INSERT INTO conversations (id, org_id, created_at) VALUES ('conv_1', 'org_one', 0)",
        *(
            "INSERT INTO conversation_items (conversation_id, place, id, item) "  # noqa: S608  # names of ours
            f"SELECT '{which}', 0, 'msg_a', answer FROM (SELECT CAST('{{}}' AS {kind}) AS answer) AS made"
            for which in ("conv_1", "conv_gone")
        ),
    )
    async with open_store(backend) as db:
        found = await db.read(lambda conn: find_item_anywhere(conn, "org_one", "msg_a"))
        assert found is not None
        assert found.item == b"{}"
        left = await db.read(lambda conn: find_item_anywhere(conn, "org_two", "msg_a"))
        assert left is None


async def test_nothing_stays_when_a_step_fails(backend: Place) -> None:
    """A step and its record are one transaction: the next start, with the step mended, goes on from there."""

    def broken(conn: Connection, _: int) -> None:
        _execute(conn, "CREATE TABLE more (n INTEGER)")
        raise LookupError("half way")

    with pytest.raises(LookupError, match="half way"):
        open_store(backend, steps=[*MIGRATIONS, Migration(NEXT, "more", broken)])
    assert [row[0] for row in _records(backend)] == [step.number for step in MIGRATIONS]
    mended = Migration(NEXT, "more", lambda conn, _: _execute(conn, "CREATE TABLE more (n INTEGER)"))
    await open_store(backend, steps=[*MIGRATIONS, mended]).close()


async def test_start_is_refused_when_the_schema_is_newer(backend: Place) -> None:
    """An older version does not touch what it does not know, and says which version is needed."""
    await open_store(backend).close()
    backend.run("INSERT INTO schema_migrations VALUES (99, 'future', 'done', 0)")
    with pytest.raises(StoreError, match=rf"newer Ingot \(schema 99; this version knows up to {NEXT - 1}\)"):
        open_store(backend)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE schema_migrations SET state = 'applying'", "half-applied: it was begun and never finished"),
        ("DROP TABLE api_keys", r"half-applied: .* tables are missing \(api_keys\)"),
        ("UPDATE schema_migrations SET name = 'other'", "does not fit this version"),
        ("UPDATE schema_migrations SET number = 0 WHERE number = 1", "does not fit this version"),
        ("DROP TABLE schema_migrations", "no record of migrations"),
    ],
)
async def test_start_is_refused_when_the_schema_is_not_whole(backend: Place, damage: str, says: str) -> None:
    """Each text says what is wrong and what to do, and the database is left as it was."""
    await open_store(backend).close()
    backend.run(damage + " CASCADE" if backend.postgres and damage.startswith("DROP") else damage)
    before = backend.catalog()
    with pytest.raises(StoreError, match=says) as caught:
        open_store(backend)
    assert "backup" in caught.value.message
    assert backend.catalog() == before


def test_start_is_refused_when_the_file_belongs_to_another_program(backend: Place) -> None:
    """Tables that are not ours are not built upon."""
    backend.run("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="bookmarks"):
        open_store(backend)


_STARTER = """
import asyncio, sys
from pathlib import Path
from ingot.store.engine import open_database
print("ready", flush=True)
sys.stdin.readline()
asyncio.run(open_database(Path(sys.argv[1]), sys.argv[2]).close())
"""


def test_one_process_migrates_when_several_start_together(backend: Place) -> None:
    """All of them start, and each step ran once."""
    command = [sys.executable, "-c", _STARTER, str(backend.data), backend.url]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
    assert [child.returncode for child in children] == [0, 0, 0, 0]
    assert [row[:3] for row in _records(backend)] == [(step.number, step.name, "done") for step in MIGRATIONS]


def _execute(conn: Connection, statement: str) -> None:
    conn.execute(text(statement))
