"""The writer and the readers, on a real SQLite file: grouping, isolation, cancellation, closing."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from ingot.store.database import Database
from ingot.store.engine import FILE_NAME, open_database
from ingot.store.faults import StoreConflict, StoreError

_GUARD_SECONDS = 30


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """An open database with one plain table."""
    async with open_database(tmp_path, patience=_GUARD_SECONDS) as opened:
        await opened.write(_create)
        yield opened


def _create(conn: Connection) -> None:
    conn.execute(text("CREATE TABLE things (n INTEGER PRIMARY KEY, parent INTEGER REFERENCES things (n))"))


def _add(conn: Connection, n: int) -> int:
    conn.execute(text("INSERT INTO things (n) VALUES (:n)"), {"n": n})
    return n


def _count(conn: Connection) -> int:
    return int(conn.execute(text("SELECT count(*) FROM things")).scalar_one())


def _on_disk(data: Path) -> list[int]:
    """What another process would find."""
    conn = sqlite3.connect(data / FILE_NAME)
    try:
        return [row[0] for row in conn.execute("SELECT n FROM things ORDER BY n")]
    finally:
        conn.close()


class _Gate:
    """A write that holds the writer until it is opened, so that others gather behind it."""

    def __init__(self, db: Database) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()
        self._task = asyncio.create_task(db.write(self._hold))

    def _hold(self, _: Connection) -> None:
        self._entered.set()
        assert self._open.wait(_GUARD_SECONDS)

    async def entered(self) -> None:
        """Returns once the writer is held."""
        assert await asyncio.to_thread(self._entered.wait, _GUARD_SECONDS)

    async def open(self) -> None:
        """Lets the writer go on."""
        self._open.set()
        await self._task


async def _held(db: Database) -> _Gate:
    gate = _Gate(db)
    await gate.entered()
    return gate


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("ingot-store")}


async def test_writes_share_one_commit_when_they_gather(db: Database, tmp_path: Path) -> None:
    """A hundred writes that wait together are one commit, in order, and all of them are on the disk."""
    gate = await _held(db)
    before = db.tally.commits
    writes = [asyncio.create_task(db.write(partial(_add, n=n))) for n in range(100)]
    await asyncio.sleep(0)
    await gate.open()
    assert await asyncio.gather(*writes) == list(range(100))
    assert db.tally.commits == before + 2  # the gate's own, and one for all
    assert _on_disk(tmp_path) == list(range(100))


async def test_one_write_fails_alone_when_its_function_raises(db: Database, tmp_path: Path) -> None:
    """Its own statements are undone and its caller hears of it; the rest of the group stands."""

    def broken(conn: Connection) -> None:
        _add(conn, 50)
        raise LookupError("mine")

    gate = await _held(db)
    before = db.tally.commits
    first = asyncio.create_task(db.write(partial(_add, n=1)))
    middle = asyncio.create_task(db.write(broken))
    twice = asyncio.create_task(db.write(partial(_add, n=1)))
    last = asyncio.create_task(db.write(partial(_add, n=2)))
    await asyncio.sleep(0)
    await gate.open()
    assert [await first, await last] == [1, 2]
    with pytest.raises(LookupError, match="mine"):
        await middle
    with pytest.raises(StoreConflict, match="refused a row"):
        await twice
    assert db.tally.commits == before + 2
    assert _on_disk(tmp_path) == [1, 2]


async def test_all_writes_fail_when_the_commit_fails(db: Database, tmp_path: Path) -> None:
    """Nothing of the group is kept, each caller is told, and the next write works."""

    def orphan(conn: Connection) -> None:
        conn.execute(text("PRAGMA defer_foreign_keys = ON"))
        conn.execute(text("INSERT INTO things (n, parent) VALUES (7, 999)"))

    gate = await _held(db)
    good = asyncio.create_task(db.write(partial(_add, n=1)))
    bad = asyncio.create_task(db.write(orphan))
    await asyncio.sleep(0)
    await gate.open()
    outcomes = await asyncio.gather(good, bad, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreConflict, StoreConflict]
    assert _on_disk(tmp_path) == []
    assert await db.write(partial(_add, n=2)) == 2


async def test_all_writes_fail_when_the_transaction_is_lost(db: Database, tmp_path: Path) -> None:
    """Where the transaction vanished under the group (as on a failing disk) nobody is told of success."""
    gate = await _held(db)
    good = asyncio.create_task(db.write(partial(_add, n=1)))
    loser = asyncio.create_task(db.write(lambda conn: conn.exec_driver_sql("ROLLBACK")))
    await asyncio.sleep(0)
    await gate.open()
    outcomes = await asyncio.gather(good, loser, return_exceptions=True)
    assert all("not kept" in str(outcome) for outcome in outcomes)
    assert _on_disk(tmp_path) == []
    assert await db.write(partial(_add, n=2)) == 2


async def test_write_is_kept_when_its_task_is_cancelled(db: Database, tmp_path: Path) -> None:
    """What was queued is written although nobody waits, and the writer goes on."""
    gate = await _held(db)
    left = asyncio.create_task(db.write(partial(_add, n=1)))
    stayed = asyncio.create_task(db.write(partial(_add, n=2)))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    await gate.open()
    assert await stayed == 2
    assert await db.write(partial(_add, n=3)) == 3
    assert _on_disk(tmp_path) == [1, 2, 3]


async def test_writer_goes_on_when_the_loop_of_a_caller_is_gone(db: Database, tmp_path: Path) -> None:
    """An answer for a closed event loop has no taker: the write stands, and other loops are served."""
    gate = await _held(db)

    async def leave() -> None:
        write = asyncio.create_task(db.write(partial(_add, n=1)))
        await asyncio.sleep(0)
        write.cancel()

    await asyncio.to_thread(asyncio.run, leave())
    await gate.open()
    assert await db.write(partial(_add, n=2)) == 2
    assert _on_disk(tmp_path) == [1, 2]


async def test_read_is_served_when_another_was_cancelled(db: Database) -> None:
    """A caller that leaves takes no reader with it."""
    for _ in range(5):
        left = asyncio.create_task(db.read(_count))
        await asyncio.sleep(0)
        left.cancel()
    assert await db.read(_count) == 0


async def test_read_sees_one_moment_when_a_write_comes_between(db: Database) -> None:
    """All that one function reads is from one snapshot; a writer does not wait for it."""
    first_read, written = threading.Event(), threading.Event()

    def twice(conn: Connection) -> tuple[int, int]:
        first = _count(conn)
        first_read.set()
        assert written.wait(_GUARD_SECONDS)
        return first, _count(conn)

    reading = asyncio.create_task(db.read(twice))
    assert await asyncio.to_thread(first_read.wait, _GUARD_SECONDS)
    await db.write(partial(_add, n=1))
    written.set()
    assert await reading == (0, 0)
    assert await db.read(_count) == 1


async def test_reads_run_side_by_side_when_one_is_slow(db: Database) -> None:
    """A second reader takes over while the first is busy; there are never more than two."""
    release = threading.Event()
    slow = asyncio.create_task(db.read(lambda _: release.wait(_GUARD_SECONDS)))
    assert await db.read(_count) == 0
    many = [asyncio.create_task(db.read(_count)) for _ in range(20)]
    assert await asyncio.gather(*many) == [0] * 20
    assert len([thread for thread in _threads() if thread.name == "ingot-store-read"]) <= 2
    release.set()
    assert await slow


async def test_read_is_refused_when_it_writes(db: Database, tmp_path: Path) -> None:
    """Only the writer writes."""
    with pytest.raises(StoreError):
        await db.read(partial(_add, n=1))
    assert _on_disk(tmp_path) == []


async def test_write_says_so_when_the_disk_is_full(db: Database, tmp_path: Path) -> None:
    """All of the group are told of the disk, what was there stays, and once there is room writing goes on."""

    def limit(conn: Connection, more: int) -> None:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one() + more
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def fill(conn: Connection) -> None:
        conn.execute(text("CREATE TABLE blobs (b BLOB)"))
        conn.execute(text("INSERT INTO blobs VALUES (zeroblob(1000000))"))

    await db.write(partial(_add, n=1))
    await db.write(partial(limit, more=10))
    gate = await _held(db)
    group = [
        asyncio.create_task(db.write(partial(_add, n=2))),
        asyncio.create_task(db.write(fill)),
        asyncio.create_task(db.write(partial(_add, n=3))),
    ]
    await asyncio.sleep(0)
    await gate.open()
    outcomes = await asyncio.gather(*group, return_exceptions=True)
    assert all(re.search(r"disk .* is full", str(outcome)) for outcome in outcomes)
    assert _on_disk(tmp_path) == [1]
    await db.write(partial(limit, more=100_000))
    await db.write(fill)
    assert await db.write(partial(_add, n=4)) == 4
    assert _on_disk(tmp_path) == [1, 4]


async def test_write_says_so_when_another_process_holds_the_database(tmp_path: Path) -> None:
    """A lock that does not go away is named, not waited for without end."""
    async with open_database(tmp_path, patience=0.01) as db:
        await db.write(_create)
        other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="Another process holds"):
            await db.write(partial(_add, n=1))
        other.execute("ROLLBACK")
        other.close()
        assert await db.write(partial(_add, n=1)) == 1


async def test_threads_start_late_and_end_when_closed(tmp_path: Path) -> None:
    """An idle store has no thread; a closed one has none either."""
    before = _threads()
    db = open_database(tmp_path)
    assert _threads() == before
    await db.write(_create)
    await db.read(_count)
    started = _threads() - before
    assert len(started) == 2
    await db.close()
    assert not any(thread.is_alive() for thread in started)


async def test_queue_is_finished_when_the_database_closes(tmp_path: Path) -> None:
    """Closing waits for what was asked before, and refuses what comes after; twice is no error."""
    db = open_database(tmp_path)
    await db.write(_create)
    gate = await _held(db)
    waiting = [asyncio.create_task(db.write(partial(_add, n=n))) for n in range(10)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(db.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="closed"):
        await db.write(_create)
    await gate.open()
    await closing
    assert await asyncio.gather(*waiting) == list(range(10))
    await db.close()
    with pytest.raises(StoreError, match="closed"):
        await db.read(_count)
    assert _on_disk(tmp_path) == list(range(10))


def test_database_serves_another_loop_when_the_first_has_ended(tmp_path: Path) -> None:
    """A command line may run one loop after the other on one database."""
    db = open_database(tmp_path)
    asyncio.run(db.write(_create))
    assert asyncio.run(db.write(partial(_add, n=1))) == 1
    assert asyncio.run(db.read(_count)) == 1
    asyncio.run(db.close())
