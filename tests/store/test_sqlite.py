"""What is particular to SQLite: a full disk, a lock that another holds, one server process for one file."""

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from databases import Place, open_store
from ingot.store.engine import FILE_NAME, hold, open_database
from ingot.store.faults import StoreError
from things import add, create, held, kept


async def test_write_says_so_when_the_disk_is_full(tmp_path: Path) -> None:
    """F14: all of the group are told of the disk, what was there stays, and once there is room writing goes on."""

    def limit(conn: Connection, more: int) -> None:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one() + more
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def fill(conn: Connection) -> None:
        conn.execute(text("CREATE TABLE blobs (b BLOB)"))
        conn.execute(text("INSERT INTO blobs VALUES (zeroblob(1000000))"))

    place = Place("sqlite", tmp_path, "")
    async with open_store(place) as db:
        await db.write(create)
        await db.write(partial(add, n=1))
        await db.write(partial(limit, more=10))
        gate = await held(db)
        group = [
            asyncio.create_task(db.write(partial(add, n=2))),
            asyncio.create_task(db.write(fill)),
            asyncio.create_task(db.write(partial(add, n=3))),
        ]
        await asyncio.sleep(0)
        await gate.open()
        outcomes = await asyncio.gather(*group, return_exceptions=True)
        assert all(re.search(r"disk .* is full", str(outcome)) for outcome in outcomes)
        assert kept(place) == [1]
        await db.write(partial(limit, more=100_000))
        await db.write(fill)
        assert await db.write(partial(add, n=4)) == 4
        assert kept(place) == [1, 4]


async def test_write_says_so_when_another_process_holds_the_database(tmp_path: Path) -> None:
    """A lock that does not go away is named, not waited for without end."""
    async with open_database(tmp_path, patience=0.01) as db:
        await db.write(create)
        other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="Another process holds"):
            await db.write(partial(add, n=1))
        other.execute("ROLLBACK")
        other.close()
        assert await db.write(partial(add, n=1)) == 1


_HOLDER = """
import sys
from pathlib import Path
from ingot.store.engine import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_second_server_is_refused_when_one_holds_the_directory(tmp_path: Path) -> None:
    """The text names the process that holds it and the way to several; a killed holder leaves nothing behind."""
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "data")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with (
            pytest.raises(StoreError, match=rf'process {child.pid}\) .* database = "postgresql://'),
            hold(tmp_path / "data"),
        ):
            raise AssertionError("two hold it")
        child.kill()
    with hold(tmp_path / "data"):
        assert (tmp_path / "data" / "serve.lock").read_text() == f"{os.getpid()}\n"
    with hold(tmp_path / "data"):
        pass


async def test_command_writes_when_a_server_holds_the_directory(tmp_path: Path) -> None:
    """The hold keeps servers apart, not the command line from the database."""
    with hold(tmp_path):
        async with open_database(tmp_path) as server, open_database(tmp_path) as command:
            await server.write(create)
            assert await command.write(partial(add, n=1)) == 1


def test_directory_is_free_when_the_database_is_postgresql(tmp_path: Path) -> None:
    """Several servers may share a data directory where the database is elsewhere."""
    url = "postgresql://db.example/ingot"
    with hold(tmp_path, url), hold(tmp_path, url):
        assert list(tmp_path.iterdir()) == []


def test_hold_says_so_when_the_directory_cannot_be_made(tmp_path: Path) -> None:
    """The reason of the system and the way out stand in one text."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match=r"serve.lock cannot be opened \(Not a directory\).*--data"),
        hold(tmp_path / "file" / "data"),
    ):
        raise AssertionError("held")
