"""What is particular to Valkey and to PostgreSQL: keys, scripts, tables, clocks."""

import asyncio
from typing import Any

import psycopg
import pytest
import redis

from databases import postgres_url, valkey_url
from ingot.clock import ManualClock, SystemClock
from ingot.ids import new_id
from ingot.limits.lane import Beat, LinkFault, Reserve
from ingot.limits.limiter import Claim, Refused, Reservation
from ingot.limits.postgres import SWEEP_EVERY, PostgresLink, postgres_limiter
from ingot.limits.shared import SharedLimiter
from ingot.limits.valkey import ValkeyLink, valkey_limiter
from treasury import Lines

PATIENT = 30.0
ORG = Claim("org_1", 60, 60_000, 3, 100)
KEY = Claim("key_1", 30, None, None, 100)


def limiter(kind: str, url: str, *, node: str = "n1") -> SharedLimiter:
    """A limiter that waits as long as it takes."""
    make = valkey_limiter if kind == "valkey" else postgres_limiter
    return make(url, clock=SystemClock(), ids=new_id, node=node, log=Lines(), budget=PATIENT, rest=0.05)


def new_url(kind: str) -> str:
    """An empty place."""
    return valkey_url() if kind == "valkey" else postgres_url()


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What a statement returns."""
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(statement.encode()).fetchall()


async def test_keys_share_a_slot_when_they_belong_to_one_request() -> None:
    """In a cluster a script may touch one slot only: what stands in braces is hashed, and is the same."""
    url = valkey_url()
    made = limiter("valkey", url)
    await made.start()
    await made.reserve((ORG, KEY))
    await made.close()
    with redis.Redis.from_url(url, decode_responses=True) as client:
        keys = sorted(client.scan_iter("ingot:limits:*"))
    assert keys == [
        "ingot:limits:nodes",
        "ingot:limits:{org_1}:key_1",
        "ingot:limits:{org_1}:org_1",
        "ingot:limits:{org_1}:org_1:leases",
    ]


async def test_state_goes_when_it_equals_an_empty_bucket() -> None:
    """Every key but the nodes' ends by itself, soon after its level drained or its last lease ran out."""
    url = valkey_url()
    made = limiter("valkey", url)
    await made.start()
    await made.reserve((ORG,))
    with redis.Redis.from_url(url, decode_responses=True) as client:
        assert 0 < client.pttl("ingot:limits:{org_1}:org_1") <= 2_000
        assert 0 < client.pttl("ingot:limits:{org_1}:org_1:leases") <= 61_000
    await made.close()


async def test_scripts_are_loaded_again_when_the_server_forgot_them() -> None:
    """A flush or a restart costs a round trip, not a decision."""
    url = valkey_url()
    made = limiter("valkey", url)
    await made.start()
    with redis.Redis.from_url(url) as client:
        client.script_flush()
    outcomes = await asyncio.gather(*[made.reserve((ORG,)) for _ in range(4)])
    assert [isinstance(outcome, Reservation) for outcome in outcomes] == [True, True, True, False]
    assert not made.degraded
    await made.close()


async def test_a_server_that_refuses_to_write_is_as_good_as_none() -> None:
    """Full, or a replica after a failover: the process counts for itself, and reconnects."""
    link = ValkeyLink(valkey_url())
    wrong = Reserve("lease", (Claim("org", 60, None, None, 0),), 1)
    assert (await link.exchange([wrong], PATIENT))[0][0] == 1
    with redis.Redis.from_url(valkey_url()) as client:
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(LinkFault, match="OutOfMemory"):
                await link.exchange([wrong], PATIENT)
        finally:
            client.config_set("maxmemory", "0")
    assert (await link.exchange([wrong], PATIENT))[0][0] == 1
    await link.close()


@pytest.mark.parametrize("kind", ["valkey", "postgres"])
async def test_nodes_know_each_other_when_they_have_started(kind: str) -> None:
    """L09: the fourth knows of four."""
    url = new_url(kind)
    nodes = [limiter(kind, url, node=f"n{number}") for number in range(4)]
    for node in nodes:
        await node.start()
    assert nodes[-1].nodes == 4
    for node in nodes:
        await node.close()


@pytest.mark.parametrize("kind", ["valkey", "postgres"])
async def test_limiters_start_together_when_nothing_is_there(kind: str) -> None:
    """Tables and functions are made once, whoever is first."""
    url = new_url(kind)
    nodes = [limiter(kind, url, node=f"n{number}") for number in range(6)]
    await asyncio.gather(*[node.start() for node in nodes])
    assert not any(node.degraded for node in nodes)
    outcomes = await asyncio.gather(*[node.reserve((ORG,)) for node in nodes])
    assert sum(isinstance(outcome, Reservation) for outcome in outcomes) == 3
    await asyncio.gather(*[node.close() for node in nodes])


@pytest.mark.parametrize("kind", ["valkey", "postgres"])
async def test_partitions_cross_when_processes_share_them(kind: str) -> None:
    """Rounds over the same partitions in any order never wait for each other in a circle."""
    url = new_url(kind)
    nodes = [limiter(kind, url, node=f"n{number}") for number in range(3)]
    for node in nodes:
        await node.start()
    claims = [Claim(f"p{number}", 100_000, None, None, 0) for number in range(8)]

    async def cross(node: SharedLimiter, turn: int) -> None:
        for number in range(30):
            first, second = (number + turn) % 8, (number * 3 + turn + 1) % 8
            if first != second:
                assert isinstance(await node.reserve((claims[first], claims[second])), Reservation)

    await asyncio.gather(*[cross(node, turn) for node in nodes for turn in range(8)])
    assert not any(node.degraded for node in nodes)
    await asyncio.gather(*[node.close() for node in nodes])


async def test_tables_are_not_logged_and_made_again_when_they_vanish() -> None:
    """An emptied database is set up again without a restart."""
    url = postgres_url()
    made = limiter("postgres", url)
    await made.start()
    await made.reserve((ORG,))
    kinds = rows(url, "SELECT DISTINCT relpersistence FROM pg_class WHERE relname LIKE 'limit\\_%'")
    assert kinds == [("u",)]
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("DROP TABLE limit_state, limit_leases, limit_nodes")
    first = await made.reserve((ORG,))
    second = await made.reserve((ORG,))
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    assert second.shared
    await made.close()


async def test_old_rows_are_swept_when_the_time_comes() -> None:
    """Rows that nobody touched for an hour go; others stay."""
    url = postgres_url()
    now = [10**15]
    link = PostgresLink(url, statement_seconds=PATIENT, now=lambda: now[0])
    old, new = (Reserve(f"lease-{name}", (Claim(name, 60, None, 1, 0),), 1000) for name in ("old", "new"))
    await link.exchange([old, Beat("gone")], PATIENT)
    now[0] += 3_600_000_000
    await link.exchange([new], PATIENT)
    for _ in range(SWEEP_EVERY):
        (answer,) = await link.exchange([Beat("here")], PATIENT)
    assert list(answer) == [1]
    assert rows(url, "SELECT partition FROM limit_state") == [("new",)]
    assert rows(url, "SELECT partition FROM limit_leases") == [("new",)]
    assert rows(url, "SELECT node FROM limit_nodes") == [("here",)]
    await link.close()


@pytest.mark.parametrize("kind", ["valkey", "postgres"])
async def test_a_clock_set_back_blocks_nobody(kind: str) -> None:
    """A failover to a slower clock: what was used stays used, and drains from then on."""
    now = [10**15]
    make = valkey_limiter if kind == "valkey" else postgres_limiter
    made = make(
        new_url(kind),
        clock=ManualClock(),
        ids=new_id,
        node="n1",
        log=Lines(),
        budget=PATIENT,
        now=lambda: now[0],
    )
    await made.start()
    claim = Claim("org_1", 5, None, None, 0)
    for _ in range(5):
        assert isinstance(await made.reserve((claim,)), Reservation)
    now[0] -= 3_600_000_000
    refused = await made.reserve((claim,))
    assert isinstance(refused, Refused)
    assert refused.wait == 12_000_000
    await made.close()
