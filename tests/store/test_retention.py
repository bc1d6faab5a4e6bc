"""What is let go, when, and how much at a time; on both databases."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.services.retention import Retention
from ingot.store.database import Database
from ingot.store.engine import FILE_NAME
from ingot.store.faults import StoreError
from ingot.store.responses import delete_response, erase_responses, sweep
from ingot.store.schema import (
    DEFAULT_ORG,
    idempotency,
    ledger,
    micros,
    organizations,
    response_metadata,
    responses,
)
from keyhouse import Lines
from ledgerbook import DAY, NOW, Entry, add_organization, book


@dataclass(frozen=True, slots=True)
class Kept:
    """A store with content, and its sweeper."""

    db: Database
    clock: ManualClock
    log: Lines
    retention: Retention


@pytest.fixture
async def kept(backend: Place) -> AsyncIterator[Kept]:
    """Twelve answers a day apart, the newest now; every third belongs to another organization, kept for 5 days."""

    def fill(conn: Connection) -> None:
        add_organization(conn, "org_two")
        book(conn, [_entry(number) for number in range(12)])

    clock, log = ManualClock(NOW), Lines()
    async with open_store(backend, clock=clock) as db:
        await db.write(fill)
        yield Kept(db, clock, log, Retention(db, clock=clock, log=log, batch=2, pause=0))


def _entry(number: int) -> Entry:
    org, days = ("org_two", 5) if number % 3 == 0 else (DEFAULT_ORG, 10)
    return Entry(number=number, at=NOW - number * DAY, org=org, days=days, metadata={"n": str(number)})


def _left(conn: Connection) -> list[int]:
    """The numbers of those that are whole; the others must be gone altogether."""
    rows = conn.execute(select(responses)).all()
    labels = conn.execute(select(response_metadata.c.value)).scalars().all()
    whole = [row for row in rows if row.answer is not None]
    for row in rows:
        content: set[Any] = {row.request is None, row.metadata is None, row.expires_at is None}
        assert content == {row.answer is None}
        assert row.state == "completed"
    numbers = sorted(int(row.request_id.removeprefix("req_")) for row in whole)
    assert sorted(map(int, labels)) == numbers
    assert conn.execute(select(func.count()).select_from(ledger)).scalar() == 12
    return numbers


async def test_s16_content_is_let_go_when_it_has_expired(kept: Kept) -> None:
    """By each row's own date, in batches; rows, costs and the ledger stay."""
    assert await kept.db.write(lambda conn: sweep(conn, micros(NOW), most=2)) == 2
    assert len(await kept.db.read(_left)) == 10
    assert await kept.retention.turn() == 2
    assert await kept.db.read(_left) == [0, 1, 2, 3, 4, 5, 7, 8]
    assert await kept.retention.turn() == 0
    kept.clock.advance(5 * DAY)
    assert await kept.retention.turn() == 5
    assert await kept.db.read(_left) == [1, 2, 4]
    kept.clock.advance(30 * DAY)
    assert await kept.retention.turn() == 3
    assert await kept.db.read(_left) == []


async def test_s16_all_is_let_go_when_the_organization_is_deleted(kept: Kept) -> None:
    """Expired or not, with the answers to retries; another organization's content stays."""

    def mark(conn: Connection) -> None:
        gone = organizations.c.id == "org_two"
        conn.execute(update(organizations).where(gone).values(deleted_at=micros(NOW)))
        for number, org in enumerate(("org_two", "org_two", "org_two", DEFAULT_ORG)):
            row: dict[str, Any] = {
                "org_id": org,
                "key_id": "k",
                "key": str(number),
                "response_id": f"r{number}",
            }
            row |= {"fingerprint": b"f", "path": "p", "state": "done", "owner": "o"}
            row |= {"lease_until": 0, "created_at": 0}
            conn.execute(insert(idempotency), row | {"answer": b"content"})

    await kept.db.write(mark)
    await kept.retention.turn()
    assert await kept.db.read(_left) == [1, 2, 4, 5, 7, 8]
    left = select(idempotency.c.org_id)
    assert await kept.db.read(lambda conn: conn.execute(left).scalars().all()) == [DEFAULT_ORG]
    assert await kept.retention.turn() == 0


async def test_answers_to_retries_are_let_go_when_their_day_is_over(kept: Kept) -> None:
    """With the keys that they answered; those whose day is not over stay, and so does the stored response."""

    def fill(conn: Connection) -> None:
        for number in range(5):
            row: dict[str, Any] = {"org_id": DEFAULT_ORG, "key_id": "k", "key": str(number)}
            row |= {"response_id": f"r{number}", "fingerprint": b"f", "path": "p", "state": "done"}
            row |= {"owner": "o", "lease_until": 0, "created_at": 0, "answer": b"content"}
            conn.execute(insert(idempotency), row | {"expires_at": micros(NOW + number - 3)})

    await kept.db.write(fill)
    await kept.retention.turn()
    left = select(idempotency.c.key).order_by(idempotency.c.key)
    assert await kept.db.read(lambda conn: conn.execute(left).scalars().all()) == ["4"]
    assert len(await kept.db.read(_left)) == 8


async def test_nothing_happens_when_there_is_nothing_to_erase(kept: Kept) -> None:
    """An unknown organization has no content."""
    assert await kept.db.write(lambda conn: erase_responses(conn, "org_none")) == 0
    assert len(await kept.db.read(_left)) == 12


async def test_sweeper_goes_on_when_the_store_fails(kept: Kept) -> None:
    """A fault ends a turn and not the loop, and is told; cancelling ends it."""
    asked = asyncio.Event()

    class Failing(Retention):
        async def turn(self) -> int:
            asked.set()
            raise StoreError("The disk is full.")

    task = asyncio.create_task(Failing(kept.db, clock=kept.clock, log=kept.log).run())
    await asked.wait()
    await asyncio.sleep(0)
    assert not task.done()
    assert kept.log.said[-1][1] == {"reason": "The disk is full."}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_others_write_between_when_much_is_let_go(kept: Kept) -> None:
    """A turn is many small writes: one that came later does not wait for all of them."""
    kept.clock.advance(40 * DAY)
    done = []
    turn = asyncio.create_task(kept.retention.turn())
    turn.add_done_callback(lambda _: done.append("turn"))
    await asyncio.sleep(0)
    await kept.db.write(lambda _: done.append("write"))
    await turn
    assert done[0] == "write"
    assert await kept.db.read(_left) == []


SECRET = b"a prompt that nobody may find again"


def _found(folder: Path) -> set[str]:
    """The files of a database in which the secret can be read."""
    return {path.suffix for path in folder.iterdir() if SECRET in path.read_bytes()}


def _whisper(conn: Connection) -> None:
    for number, request in enumerate((SECRET, SECRET * 9_000)):
        book(conn, [Entry(number=number, at=NOW, org=DEFAULT_ORG, metadata={"n": SECRET.decode()})])
        own = responses.c.request_id == f"req_{number}"
        conn.execute(update(responses).where(own).values(request=request))


def _hush(conn: Connection) -> None:
    for response_id in conn.execute(select(responses.c.id)).scalars().all():
        delete_response(conn, DEFAULT_ORG, response_id)


async def test_s16_no_file_holds_what_was_deleted_once_a_turn_is_over(tmp_path: Path) -> None:
    """Neither SQLite's file nor its log, whoever deleted it; large and small values, and those of an index."""
    place = Place("sqlite", tmp_path, "")
    clock, log = ManualClock(NOW), Lines()
    async with open_store(place, clock=clock) as db:
        retention = Retention(db, clock=clock, log=log, pause=0, between=0)
        await db.write(_whisper)
        await retention.turn()
        assert _found(tmp_path) == {".db"}
        await db.write(_hush)
        assert _found(tmp_path)
        await retention.turn()
        assert _found(tmp_path) == set()


async def test_turn_goes_on_and_says_so_when_an_old_state_is_still_read(tmp_path: Path) -> None:
    """Writes do not wait for the reader; once it has ended the log goes."""
    place = Place("sqlite", tmp_path, "")
    clock, log = ManualClock(NOW), Lines()
    async with open_store(place, clock=clock) as db:
        retention = Retention(db, clock=clock, log=log, pause=0, between=0)
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM responses").fetchone()
            await db.write(lambda conn: add_organization(conn, "org_new"))
            await retention.turn()
            assert log.said[-1][1] == {"tried": 5}
            await db.write(lambda conn: add_organization(conn, "org_newer"))
            reader.execute("COMMIT")
        await retention.turn()
        assert len(log.said) == 1
        assert (tmp_path / f"{FILE_NAME}-wal").stat().st_size == 0
