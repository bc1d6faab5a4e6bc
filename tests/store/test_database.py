"""The writer and the readers, on both databases: grouping, isolation, cancellation, closing."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import Connection, text

from databases import Place, open_store
from ingot.store.database import Database
from ingot.store.faults import StoreConflict, StoreError
from things import GUARD_SECONDS, add, count, create, held, kept


@pytest.fixture
async def db(backend: Place) -> AsyncIterator[Database]:
    """An open database with one plain table."""
    async with open_store(backend, patience=GUARD_SECONDS) as opened:
        await opened.write(create)
        yield opened


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("ingot-store")}


async def test_writes_share_one_commit_when_they_gather(db: Database, backend: Place) -> None:
    """A hundred writes that wait together are one commit, in order, and all of them are on the disk."""
    gate = await held(db)
    before = db.tally.commits
    writes = [asyncio.create_task(db.write(partial(add, n=n))) for n in range(100)]
    await asyncio.sleep(0)
    await gate.open()
    assert await asyncio.gather(*writes) == list(range(100))
    assert db.tally.commits == before + 2  # the gate's own, and one for all
    assert kept(backend) == list(range(100))


async def test_one_write_fails_alone_when_its_function_raises(db: Database, backend: Place) -> None:
    """Its own statements are undone and its caller hears of it; the rest of the group stands."""

    def broken(conn: Connection) -> None:
        add(conn, 50)
        raise LookupError("mine")

    gate = await held(db)
    before = db.tally.commits
    first = asyncio.create_task(db.write(partial(add, n=1)))
    middle = asyncio.create_task(db.write(broken))
    twice = asyncio.create_task(db.write(partial(add, n=1)))
    last = asyncio.create_task(db.write(partial(add, n=2)))
    await asyncio.sleep(0)
    await gate.open()
    assert [await first, await last] == [1, 2]
    with pytest.raises(LookupError, match="mine"):
        await middle
    with pytest.raises(StoreConflict, match="refused a row"):
        await twice
    assert db.tally.commits == before + 2
    assert kept(backend) == [1, 2]


async def test_all_writes_fail_when_the_commit_fails(db: Database, backend: Place) -> None:
    """Nothing of the group is kept, each caller is told, and the next write works."""

    def orphan(conn: Connection) -> None:
        conn.execute(text("INSERT INTO things (n, parent) VALUES (7, 999)"))

    gate = await held(db)
    good = asyncio.create_task(db.write(partial(add, n=1)))
    bad = asyncio.create_task(db.write(orphan))
    await asyncio.sleep(0)
    await gate.open()
    outcomes = await asyncio.gather(good, bad, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreConflict, StoreConflict]
    assert kept(backend) == []
    assert await db.write(partial(add, n=2)) == 2


async def test_all_writes_fail_when_the_transaction_is_lost(db: Database, backend: Place) -> None:
    """Where the transaction vanished under the group (as on a failing disk) nobody is told of success."""
    gate = await held(db)
    good = asyncio.create_task(db.write(partial(add, n=1)))
    loser = asyncio.create_task(db.write(lambda conn: conn.exec_driver_sql("ROLLBACK")))
    await asyncio.sleep(0)
    await gate.open()
    outcomes = await asyncio.gather(good, loser, return_exceptions=True)
    assert all("not kept" in str(outcome) for outcome in outcomes)
    assert kept(backend) == []
    assert await db.write(partial(add, n=2)) == 2


async def test_write_is_kept_when_its_task_is_cancelled(db: Database, backend: Place) -> None:
    """What was queued is written although nobody waits, and the writer goes on."""
    gate = await held(db)
    left = asyncio.create_task(db.write(partial(add, n=1)))
    stayed = asyncio.create_task(db.write(partial(add, n=2)))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    await gate.open()
    assert await stayed == 2
    assert await db.write(partial(add, n=3)) == 3
    assert kept(backend) == [1, 2, 3]


async def test_writer_goes_on_when_the_loop_of_a_caller_is_gone(db: Database, backend: Place) -> None:
    """An answer for a closed event loop has no taker: the write stands, and other loops are served."""
    gate = await held(db)

    async def leave() -> None:
        write = asyncio.create_task(db.write(partial(add, n=1)))
        await asyncio.sleep(0)
        write.cancel()

    await asyncio.to_thread(asyncio.run, leave())
    await gate.open()
    assert await db.write(partial(add, n=2)) == 2
    assert kept(backend) == [1, 2]


async def test_read_is_served_when_another_was_cancelled(db: Database) -> None:
    """A caller that leaves takes no reader with it."""
    for _ in range(5):
        left = asyncio.create_task(db.read(count))
        await asyncio.sleep(0)
        left.cancel()
    assert await db.read(count) == 0


async def test_read_sees_one_moment_when_a_write_comes_between(db: Database) -> None:
    """All that one function reads is from one snapshot; a writer does not wait for it."""
    first_read, written = threading.Event(), threading.Event()

    def twice(conn: Connection) -> tuple[int, int]:
        first = count(conn)
        first_read.set()
        assert written.wait(GUARD_SECONDS)
        return first, count(conn)

    reading = asyncio.create_task(db.read(twice))
    assert await asyncio.to_thread(first_read.wait, GUARD_SECONDS)
    await db.write(partial(add, n=1))
    written.set()
    assert await reading == (0, 0)
    assert await db.read(count) == 1


async def test_reads_run_side_by_side_when_one_is_slow(db: Database) -> None:
    """A second reader takes over while the first is busy; there are never more than two."""
    release = threading.Event()
    slow = asyncio.create_task(db.read(lambda _: release.wait(GUARD_SECONDS)))
    assert await db.read(count) == 0
    many = [asyncio.create_task(db.read(count)) for _ in range(20)]
    assert await asyncio.gather(*many) == [0] * 20
    assert len([thread for thread in _threads() if thread.name == "ingot-store-read"]) <= 2
    release.set()
    assert await slow


async def test_read_is_refused_when_it_writes(db: Database, backend: Place) -> None:
    """Only the writer writes."""
    with pytest.raises(StoreError):
        await db.read(partial(add, n=1))
    assert kept(backend) == []


async def test_threads_start_late_and_end_when_closed(backend: Place) -> None:
    """An idle store has no thread; a closed one has none either."""
    before = _threads()
    db = open_store(backend)
    assert _threads() == before
    await db.write(create)
    await db.read(count)
    started = _threads() - before
    assert len(started) == 2
    await db.close()
    assert not any(thread.is_alive() for thread in started)


async def test_queue_is_finished_when_the_database_closes(backend: Place) -> None:
    """Closing waits for what was asked before, and refuses what comes after; twice is no error."""
    db = open_store(backend)
    await db.write(create)
    gate = await held(db)
    waiting = [asyncio.create_task(db.write(partial(add, n=n))) for n in range(10)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(db.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="closed"):
        await db.write(create)
    await gate.open()
    await closing
    assert await asyncio.gather(*waiting) == list(range(10))
    await db.close()
    with pytest.raises(StoreError, match="closed"):
        await db.read(count)
    assert kept(backend) == list(range(10))


def test_database_serves_another_loop_when_the_first_has_ended(backend: Place) -> None:
    """A command line may run one loop after the other on one database."""
    db = open_store(backend)
    asyncio.run(db.write(create))
    assert asyncio.run(db.write(partial(add, n=1))) == 1
    assert asyncio.run(db.read(count)) == 1
    asyncio.run(db.close())
