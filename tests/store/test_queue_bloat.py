"""T-Q-bloat, F19: a transaction on PostgreSQL stays open for long, so that no dead row can go; work is claimed as before.

`INGOT_BLOAT_ITEMS` sets how many items come and go meanwhile. No clock is looked at: what a claim costs is counted in pages
that it touches, and a page of the cache is less than a microsecond.
"""

import asyncio
import os
from functools import partial
from typing import Any, Final

import msgspec
import psycopg
from sqlalchemy import Connection, event

from databases import Place, postgres_server
from ingot.scheduling.capacity import Room
from ingot.scheduling.choice import choose, look
from ingot.services.jobs import Jobs
from ingot.store import queue
from ingot.store.heads import Claimer
from ingot.store.queue import Leased
from ingot.store.schema import jobs, micros
from queuehouse import MODEL, QueueHouse, open_queue, take

ITEMS: Final = int(os.environ.get("INGOT_BLOAT_ITEMS", "6400"))
OF_A_JOB: Final = 64
"""Items of a job of a batch, as a server cuts it."""
GROUP: Final = 20
"""Items of a commit of results."""
WAITING: Final = 40
PAGES: Final = 100 + ITEMS // OF_A_JOB
"""That a claim may touch: one for each job that came and went. After ten minutes of 200 results a second it is 2,000, some two
milliseconds of the 20 that a claim may take."""
ROOM: Final = Room(4, 4)


class _Seen(Exception):  # no error: it takes back what was only looked at
    """What a claim cost."""

    def __init__(self, pages: int, jobs: list[str]) -> None:
        super().__init__(pages)
        self.pages = pages
        self.jobs = jobs


def _pages(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def _counted(conn: Connection, claimer: Claimer) -> None:
    """Claims, counts the pages that each of its statements touched, and takes it back."""
    pages = 0

    def explain(_conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        nonlocal pages
        if statement.startswith(("SELECT", "UPDATE")):
            cursor.execute("SAVEPOINT looked", ())
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
            [(told,)] = cursor.fetchall()
            pages += _pages((told if isinstance(told, list) else msgspec.json.decode(told))[0]["Plan"])
            cursor.execute("ROLLBACK TO SAVEPOINT looked", ())

    event.listen(conn, "before_cursor_execute", explain)
    try:
        chosen = partial(choose, room=ROOM, now=claimer.now / 1e6)
        found = queue.claim(conn, claimer, look(ROOM), choose=chosen)
    finally:
        event.remove(conn, "before_cursor_execute", explain)
    raise _Seen(pages, [job.id for job in found])


async def looked_at(house: QueueHouse) -> _Seen:
    """What the next claim would cost, and bring."""
    claimer = Claimer("own_look", micros(house.clock.now()), [MODEL], horizon=micros(house.clock.now()))
    try:
        await house.db.write(partial(_counted, claimer=claimer))
    except _Seen as seen:
        return seen
    raise AssertionError("it was not looked at")


async def churned(house: QueueHouse, worker: Jobs, *, items: int) -> list[str]:
    """Work of two organizations comes, is claimed and settled; the ids of its items in that order."""
    done: list[str] = []
    while len(done) < items:
        for org_id in ("org_a", "org_b"):
            await house.put(org_id, count=OF_A_JOB)
        house.clock.advance(1.0)
        for job in await take(worker, 2):
            done += await settled(house, worker, job)
    return done


async def settled(house: QueueHouse, worker: Jobs, job: Leased) -> list[str]:
    """All items of a job are answered, some of them in each commit."""
    items = await worker.items(job)
    for at in range(0, len(items), GROUP):
        part = items[at : at + GROUP]
        assert all(await asyncio.gather(*(house.settle(job, item) for item in part)))
    return [item.id for item in items]


def dead(place: Place, table: str) -> int:
    """Rows of a table that are dead, and stay because somebody may still see them."""
    asked = f"SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = '{table}'"  # noqa: S608  # our own names
    [(count,)] = postgres_server().run(asked, url=place.url)
    return int(count)


async def test_t_q_bloat_claims_cost_no_more_when_a_snapshot_is_held(backend: Place) -> None:
    """F19: the pages of a claim stay bounded while thousands of items come and go, and each of them is done exactly once."""
    if not backend.postgres:
        return  # on SQLite nothing is dead: a row that goes is gone
    async with open_queue(backend) as house:
        worker = house.process()
        for number in range(WAITING):
            await house.put("org_a" if number % 2 else "org_b", count=OF_A_JOB)
        before = await looked_at(house)
        with psycopg.connect(backend.url) as holder:
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            seen = "SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM jobs), (SELECT count(*) FROM ledger)"
            first = holder.execute(seen).fetchall()
            done = await churned(house, worker, items=ITEMS)
            postgres_server().run("VACUUM ANALYZE", url=backend.url)
            after = await looked_at(house)
            assert holder.execute(seen).fetchall() == first
            assert len(done) == len(set(done)) >= ITEMS
            assert dead(backend, "items") >= ITEMS
            assert dead(backend, "jobs") >= ITEMS // OF_A_JOB
            assert after.pages <= PAGES, f"{before.pages} before"
            assert len(after.jobs) == len(before.jobs) == 2
        assert set(after.jobs) <= set(await house.rows(jobs.c.id))
        assert await house.sound()
