"""What is particular to PostgreSQL: connections that end, other writers at the same moment, the session's settings."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from databases import Place, open_store, postgres_server
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.faults import StoreConflict, StoreError
from tcpproxy import Harm, Proxy
from things import GUARD_SECONDS, add, count, create, held, kept


@pytest.fixture
def place(postgres: str, tmp_path: Path) -> Place:
    """An empty PostgreSQL database."""
    return Place("postgres", tmp_path, postgres)


@pytest.fixture
async def db(place: Place) -> AsyncIterator[Database]:
    """An open database with the table of numbers."""
    async with open_store(place) as opened:
        await opened.write(create)
        yield opened


async def test_group_is_told_when_its_connection_is_ended(db: Database, place: Place) -> None:
    """Nobody of the group hears of success, nothing of it is kept, and the next write opens another connection."""

    def ended(conn: Connection) -> None:
        add(conn, 2)
        assert postgres_server().disconnect(place.url) >= 1
        add(conn, 3)

    gate = await held(db)
    group = [
        asyncio.create_task(db.write(partial(add, n=1))),
        asyncio.create_task(db.write(ended)),
        asyncio.create_task(db.write(partial(add, n=4))),
    ]
    await asyncio.sleep(0)
    await gate.open()
    outcomes = await asyncio.gather(*group, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreError] * 3
    assert all("ended the connection" in str(outcome) for outcome in outcomes)
    assert kept(place) == []
    assert await db.write(partial(add, n=5)) == 5
    assert await db.read(count) == 1


async def test_outcome_is_left_open_when_the_connection_ends_in_a_commit(db: Database, place: Place) -> None:
    """What became of a commit that nobody confirmed is not made up."""
    await db.write(
        lambda conn: conn.exec_driver_sql(
            """
            CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(30); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER leave AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW WHEN (NEW.n > 100) EXECUTE FUNCTION leave();
            """
        )
    )
    gate = await held(db)
    group = [asyncio.create_task(db.write(partial(add, n=n))) for n in (1, 101)]
    await asyncio.sleep(0)
    await gate.open()
    outcomes = await asyncio.gather(*group, return_exceptions=True)
    assert all("whether the write was kept is not known" in str(outcome) for outcome in outcomes)
    assert await db.write(partial(add, n=2)) == 2
    assert kept(place) == [2]


async def test_idle_connections_are_replaced_when_the_server_ended_them(db: Database, place: Place) -> None:
    """A restart between two requests is noticed before anything is sent: no request fails for it."""
    await db.write(partial(add, n=1))
    assert await db.read(count) == 1
    assert postgres_server().disconnect(place.url) == 2
    assert await db.write(partial(add, n=2)) == 2
    assert await db.read(count) == 2


async def test_requests_fail_at_once_when_the_server_is_stopped(db: Database, place: Place) -> None:
    """F10: reads and writes say what is wrong, again and again, and work as soon as the server is back."""
    await db.write(partial(add, n=1))
    assert await db.read(count) == 1
    with postgres_server().stopped():
        for _ in range(3):
            with pytest.raises(StoreError, match=r"cannot be used .* See that it runs"):
                await db.write(partial(add, n=2))
            with pytest.raises(StoreError, match="cannot be used"):
                await db.read(count)
        with pytest.raises(StoreError, match="cannot be used"):
            open_store(place)
    assert await db.write(partial(add, n=3)) == 3
    assert await db.read(count) == 2
    assert kept(place) == [1, 3]


async def test_connection_is_given_up_when_nobody_answers_on_it(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F12: what takes our bytes and lets nothing back is no server: reads and writes say so, and a new connection serves."""
    monkeypatch.setattr("ingot.store.postgres._Connection.patience", 0.5)
    server = postgres_server()
    name = postgres.partition("?")[0].rpartition("/")[2]
    async with Proxy(server.folder / ".s.PGSQL.5432") as proxy:
        place = Place("postgres", tmp_path, f"postgresql://ingot@127.0.0.1:{proxy.port}/{name}")
        # On a thread: it waits for the proxy, which is served by this loop.
        async with await asyncio.to_thread(open_store, place) as db:
            await db.write(create)
            assert await db.read(count) == 0
            proxy.harm(Harm(black_hole=True))
            for attempt in (db.write(partial(add, n=1)), db.read(count)):
                with pytest.raises(StoreError, match="cannot be used"):
                    await attempt
            proxy.heal()
            assert await db.write(partial(add, n=2)) == 2
            assert await db.read(count) == 1


async def test_acknowledged_writes_survive_when_the_server_crashes(db: Database, place: Place) -> None:
    """What was said to be written is there after a stop without any farewell."""
    server = postgres_server()
    await asyncio.gather(*(db.write(partial(add, n=n)) for n in range(50)))
    server.stop(signal.SIGQUIT)
    server.start()
    assert kept(place) == list(range(50))
    assert await db.write(partial(add, n=50)) == 50


async def test_both_writes_are_kept_when_two_processes_deadlock(db: Database, place: Place) -> None:
    """Two groups that lock the same rows crosswise both commit: the one that is undone runs again."""
    both = threading.Barrier(2)
    calls: list[str] = []

    def cross(conn: Connection, who: str, first: int, second: int) -> None:
        calls.append(who)
        move = text("UPDATE things SET parent = coalesce(parent, 0) + 1 WHERE n = :n")
        conn.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        conn.execute(move, {"n": first})
        if len(calls) <= 2:
            both.wait(GUARD_SECONDS)
        conn.execute(move, {"n": second})

    for n in range(1, 4):
        await db.write(partial(add, n=n))
    async with open_store(place) as other:
        await asyncio.gather(
            db.write(partial(cross, who="a", first=1, second=2)),
            other.write(partial(cross, who="b", first=2, second=1)),
        )
    assert len(calls) == 3
    assert place.run("SELECT n, parent FROM things ORDER BY n") == [(1, 2), (2, 2), (3, None)]


async def test_no_group_waits_for_another_when_they_name_what_they_lock(db: Database, place: Place) -> None:
    """Functions that lock the same rows crosswise run once each: names are taken in one order before anything else."""
    calls: list[int] = []

    def move(conn: Connection, n: int) -> None:
        calls.append(n)
        conn.execute(text("UPDATE things SET parent = n WHERE n = :n"), {"n": n})

    for n in range(4):
        await db.write(partial(add, n=n))
    async with open_store(place) as other:
        for turn in range(40):
            order = [(turn + step) % 4 for step in range(4)]
            await asyncio.gather(
                *(db.write(partial(move, n=n), locks=(str(n),)) for n in order),
                *(other.write(partial(move, n=n), locks=(str(n),)) for n in reversed(order)),
            )
    assert len(calls) == 2 * 4 * 40


async def test_names_stay_locked_when_a_function_of_the_group_fails(db: Database) -> None:
    """What one function undoes of its own leaves the others what they locked."""
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
    gate = await held(db)
    bad = asyncio.create_task(db.write(lambda conn: conn.execute(text("SELECT 1 / 0")), locks=("a", "b")))
    good = asyncio.create_task(db.write(lambda conn: int(conn.execute(query).scalar_one()), locks=("b", "c")))
    await asyncio.sleep(0)
    await gate.open()
    with pytest.raises(Exception, match="division by zero"):
        await bad
    assert await good == 3


async def test_rest_of_the_group_is_kept_when_a_statement_fails(db: Database, place: Place) -> None:
    """A failed statement would poison a PostgreSQL transaction; inside of its savepoint it undoes itself alone."""
    gate = await held(db)
    good = asyncio.create_task(db.write(partial(add, n=1)))
    bad = asyncio.create_task(db.write(lambda conn: conn.execute(text("SELECT 1 / 0"))))
    twice = asyncio.create_task(db.write(partial(add, n=1)))
    last = asyncio.create_task(db.write(partial(add, n=2)))
    await asyncio.sleep(0)
    await gate.open()
    assert [await good, await last] == [1, 2]
    with pytest.raises(Exception, match="division by zero"):
        await bad
    with pytest.raises(StoreConflict, match="refused a row: duplicate key") as caught:
        await twice
    assert "(1)" not in caught.value.message  # values of rows may be private
    assert kept(place) == [1, 2]


async def test_write_sees_what_others_committed_when_it_runs_long(db: Database, place: Place) -> None:
    """Writers run at READ COMMITTED: the documented reason to let the statement itself decide."""

    def twice(conn: Connection) -> tuple[int, int]:
        before = count(conn)
        place.run("INSERT INTO things (n) VALUES (9)")
        return before, count(conn)

    assert await db.write(twice) == (0, 1)
    assert await db.read(lambda conn: (count(conn), count(conn))) == (1, 1)


async def test_statement_is_ended_when_it_takes_too_long(db: Database) -> None:
    """One slow statement keeps neither a reader nor the writer; its own caller is told."""

    def slow(conn: Connection) -> None:
        conn.execute(text("SET LOCAL statement_timeout = 10"))
        conn.execute(text("SELECT pg_sleep(30)"))

    gate = await held(db)
    loser = asyncio.create_task(db.write(slow))
    good = asyncio.create_task(db.write(partial(add, n=1)))
    await asyncio.sleep(0)
    await gate.open()
    with pytest.raises(StoreError, match="took too long"):
        await loser
    assert await good == 1
    with pytest.raises(StoreError, match="took too long"):
        await db.read(slow)
    assert await db.read(count) == 1


async def test_session_is_safe_when_the_defaults_of_the_server_are_not(place: Place) -> None:
    """The promises do not rest on how an administrator set the server up."""
    name = place.url.partition("?")[0].rpartition("/")[2]
    place.run(
        f"ALTER DATABASE {name} SET synchronous_commit = 'off'",
        f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'",
        f"ALTER DATABASE {name} SET default_transaction_read_only = on",
    )

    def settings(conn: Connection) -> list[str]:
        names = (
            "statement_timeout",
            "idle_in_transaction_session_timeout",
            "synchronous_commit",
            "application_name",
            "transaction_isolation",
            "transaction_read_only",
        )
        return [str(conn.execute(text(f"SHOW {each}")).scalar_one()) for each in names]

    async with open_store(place) as db:
        assert await db.write(settings) == ["5s", "10s", "on", "ingot", "read committed", "off"]
        assert await db.read(settings) == ["5s", "10s", "on", "ingot", "repeatable read", "on"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://db/ingot", "postgresql://USER:PASSWORD@HOST/NAME"),
        ("postgresql://ingot:geheim@db.example", "postgresql://USER:PASSWORD@HOST/NAME"),
        ("ingot.db", "postgresql://USER:PASSWORD@HOST/NAME"),
        ("postgresql://ingot:geheim@127.0.0.1:1/ingot", r"127.0.0.1:1/ingot cannot be used .*refused"),
    ],
)
def test_start_is_refused_when_the_url_is_wrong(url: str, says: str, tmp_path: Path) -> None:
    """The text says what would be right, and never repeats the password."""
    with pytest.raises(StoreError, match=says) as caught:
        open_database(tmp_path, url)
    assert "geheim" not in caught.value.message


def test_start_is_refused_when_the_password_is_wrong(place: Place, tmp_path: Path) -> None:
    """The server's own reason is told, the password is not."""
    url = place.url.replace("ingot@", "guarded:wrong-secret@")
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        open_database(tmp_path, url)
    assert "wrong-secret" not in caught.value.message


def test_start_is_refused_when_the_database_does_not_exist(tmp_path: Path) -> None:
    """It is not created: that is a decision about encoding, owner and place."""
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        open_database(tmp_path, postgres_server().url("nowhere"))


def test_start_is_refused_when_the_user_may_not_create_tables(place: Place, tmp_path: Path) -> None:
    """The text says who must own the database."""
    url = place.url.replace("ingot@", "guarded:secret@")
    with pytest.raises(StoreError, match="the owner of the database"):
        open_database(tmp_path, url)


def test_start_is_refused_when_another_process_migrates_without_end(place: Place) -> None:
    """The lock is waited for only so long."""
    with psycopg.connect(place.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(b"ingotmig"),))
        with pytest.raises(StoreError, match="Another process holds the database"):
            open_store(place, patience=0.01)
