"""F13: the server of the limits dies, hangs, forgets, crawls: requests go on, and the limits hold within bounds (L09).

Two limiters, as of two processes, are asked all the time while the harm is done. `INGOT_CHAOS_STALL` sets for how
many seconds a server hangs.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import pytest
import redis

from databaseservers import Postgres, Valkey
from ingot.clock import SystemClock
from ingot.ids import new_id
from ingot.limits.lane import Lane, Link
from ingot.limits.limiter import Claim, Reservation
from ingot.limits.memory import MemoryLimiter
from ingot.limits.postgres import BUDGET as POSTGRES_BUDGET
from ingot.limits.postgres import PostgresLink
from ingot.limits.shared import SharedLimiter
from ingot.limits.valkey import BUDGET as VALKEY_BUDGET
from ingot.limits.valkey import ValkeyLink
from tcpproxy import Harm, Proxy
from treasury import Lines

STALL = float(os.environ.get("INGOT_CHAOS_STALL", "2.0"))
RPM = 600
BURST = 100
NODES = 2
EACH = 100
"""Requests a second of each limiter: ten times what the limit grants."""
PATIENCE = 30.0


@dataclass
class Tally:
    """What the limiters said."""

    asked: int = 0
    admitted: int = 0
    started: float = field(default_factory=time.monotonic)

    def granted(self) -> float:
        """What one limiter that never saw a fault may have admitted by now."""
        return BURST + RPM * (time.monotonic() - self.started) / 60


async def ask(limiter: SharedLimiter, tally: Tally) -> None:
    """Asks without end, at a steady pace; whatever is raised fails the test."""
    claims = (Claim("org_1", RPM, None, None, 0), Claim("key_1", None, 1_000_000, 50, 10))
    at = time.monotonic()
    while True:
        at += 1 / EACH
        await asyncio.sleep(max(at - time.monotonic(), 0))
        tally.asked += 1
        outcome = await limiter.reserve(claims)
        if isinstance(outcome, Reservation):
            tally.admitted += 1
            await limiter.settle(outcome, 5)


@asynccontextmanager
async def busy(make: Callable[[str], SharedLimiter]) -> AsyncIterator[tuple[list[SharedLimiter], Tally]]:
    """Two limiters under load for as long as the block lasts."""
    limiters = [make(f"n{number}") for number in range(NODES)]
    for limiter in limiters:
        await limiter.start()
    await until(lambda: all(limiter.nodes == NODES for limiter in limiters), "they know of each other")
    tally = Tally()
    tasks = [asyncio.create_task(ask(limiter, tally)) for limiter in limiters]
    try:
        yield limiters, tally
        assert not [task for task in tasks if task.done()], "a limiter raised"
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome
        for limiter in limiters:
            await limiter.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Returns once the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


def limiter(link: Link, node: str, budget: float) -> SharedLimiter:
    """A limiter that tries again soon and counts its fellows often, so that the test does not wait."""
    clock = SystemClock()
    lane = Lane(link, node=node, budget=budget, patience=5.0, clock=clock, log=Lines(), rest=0.5, beat=0.2)
    return SharedLimiter(lane, local=MemoryLimiter(clock), ids=new_id)


def valkey(url: str) -> Callable[[str], SharedLimiter]:
    """Makes limiters on a Valkey."""
    return lambda node: limiter(ValkeyLink(url), node, VALKEY_BUDGET)


def postgres(url: str) -> Callable[[str], SharedLimiter]:
    """The same on a PostgreSQL."""
    return lambda node: limiter(PostgresLink(url, statement_seconds=1.0), node, POSTGRES_BUDGET)


@pytest.fixture(scope="module")
def valkeys() -> Valkey:
    """A server of this module's own, to be harmed."""
    return Valkey()


@pytest.fixture(scope="module")
def postgreses() -> Postgres:
    """The same, of PostgreSQL."""
    return Postgres()


async def outage(
    harm: AbstractContextManager[None],
    make: Callable[[str], SharedLimiter],
    seconds: float,
    *,
    forgiven: int = 0,
) -> None:
    """Does harm for some seconds in the middle of the load and sees what must hold.

    Two sets of buckets grant in turn, each at most what one alone would; a server that forgets grants a burst more.
    """
    async with busy(make) as (limiters, tally):
        await until(lambda: tally.asked > EACH, "the load runs")
        await asyncio.to_thread(harm.__enter__)
        await until(lambda: all(limiter.degraded for limiter in limiters), "the outage is noticed")
        asked = tally.asked
        await asyncio.sleep(seconds)
        assert tally.asked > asked, "requests wait for the server"
        await asyncio.to_thread(harm.__exit__, None, None, None)
        await until(lambda: not any(limiter.degraded for limiter in limiters), "all is well again")
        asked = tally.asked
        await until(lambda: tally.asked > asked + EACH, "the load goes on")
        assert BURST < tally.admitted <= 2 * tally.granted() + forgiven


async def test_limits_hold_when_valkey_is_killed(valkeys: Valkey) -> None:
    """L09: each process grants its part until the server is back, empty, which costs a burst."""
    await outage(valkeys.stopped(), valkey(valkeys.create()), 1.0, forgiven=BURST)


async def test_limits_hold_when_valkey_hangs(valkeys: Valkey) -> None:
    """L09: the same where connections stay open and nothing answers."""
    await outage(valkeys.paused(), valkey(valkeys.create()), STALL)


async def test_limits_hold_when_valkey_crawls(valkeys: Valkey) -> None:
    """L09: replies that take 200 ms are too late, and the server is left alone."""
    number = valkeys.create().rpartition("/")[2]
    async with Proxy(("127.0.0.1", valkeys.port)) as proxy:
        await outage(crawling(proxy), valkey(f"redis://127.0.0.1:{proxy.port}/{number}"), 1.0)


async def test_limits_hold_when_postgres_is_killed(postgreses: Postgres) -> None:
    """L09: the same in the database."""
    await outage(postgreses.stopped(), postgres(postgreses.create()), 1.0, forgiven=BURST)


async def test_limits_hold_when_postgres_hangs(postgreses: Postgres) -> None:
    """L09: the same where all its processes stand still."""
    url = postgreses.create()
    await outage(frozen(postgreses, url), postgres(url), STALL)


async def test_a_flush_costs_a_burst_when_valkey_forgets(valkeys: Valkey) -> None:
    """L09: counts and scripts are gone; what was granted before is granted once more."""
    url = valkeys.create()
    async with busy(valkey(url)) as (_, tally):
        await until(lambda: tally.asked > EACH, "the load runs")
        with redis.Redis.from_url(url) as client:
            client.flushall()
            client.script_flush()
        asked = tally.asked
        await until(lambda: tally.asked > asked + 2 * EACH, "the load goes on")
        assert BURST < tally.admitted <= 2 * tally.granted() + BURST


@contextmanager
def frozen(server: Postgres, url: str) -> Iterator[None]:
    """Stops the server and every process that serves a connection to the database."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
    pids = [int(pid) for (pid,) in server.run(query, url.partition("?")[0].rpartition("/")[2])]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with server.paused():
            yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def crawling(proxy: Proxy) -> Iterator[None]:
    """Inside of this block all that passes takes 200 ms."""
    proxy.harm(Harm(latency=0.2))
    try:
        yield
    finally:
        proxy.heal()
