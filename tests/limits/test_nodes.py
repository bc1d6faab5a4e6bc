"""Four processes on one server are one limiter: together they admit what the limit grants (L01, L09)."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from databases import postgres_url, valkey_url

NODES = 4
SECONDS = 3.0
EACH = 50
"""Requests a second of each process."""
LIMIT = 60
BURST = 10

# Prints the wall time in microseconds of the first and of the last decision, and how many were admitted.
NODE = """
import asyncio, sys, time, structlog
from ingot.clock import SystemClock
from ingot.ids import new_id
from ingot.limits.limiter import Claim, Reservation
from ingot.limits.postgres import postgres_limiter
from ingot.limits.valkey import valkey_limiter

async def main(kind, url, node, each, seconds, limit):
    make = valkey_limiter if kind == "valkey" else postgres_limiter
    # A budget that no slow machine exceeds: what is counted here is the shared limit alone.
    limiter = make(url, clock=SystemClock(), ids=new_id, node=node, log=structlog.get_logger(), budget=20.0)
    await limiter.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    claims = (Claim("org_1", limit, None, None, 0), Claim("key_" + node, None, None, 100, 0))
    admitted, started = 0, time.time_ns()
    pace = time.monotonic()
    for number in range(int(each * seconds)):
        await asyncio.sleep(max(pace + number / each - time.monotonic(), 0))
        outcome = await limiter.reserve(claims)
        if isinstance(outcome, Reservation):
            admitted += 1
            await limiter.settle(outcome, 0)
    print(started // 1000, time.time_ns() // 1000, admitted, int(limiter.degraded), limiter.nodes, flush=True)
    await limiter.close()

kind, url, node, each, seconds, limit = sys.argv[1:]
asyncio.run(main(kind, url, node, int(each), float(seconds), int(limit)))
"""

URLS: dict[str, Callable[[], str]] = {"valkey": valkey_url, "postgres": postgres_url}


async def start(script: Path, kind: str, url: str, node: str) -> asyncio.subprocess.Process:
    """A process with a limiter of its own, once that is connected."""
    arguments = [kind, url, node, str(EACH), str(SECONDS), str(LIMIT)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("kind", list(URLS))
async def test_processes_share_a_limit_when_all_are_busy(kind: str, tmp_path: Path) -> None:
    """L01: 200 requests a second by four processes; admitted are the burst and what the limit drains, no more, no less."""
    script = tmp_path / "node.py"
    script.write_text(NODE)
    url = URLS[kind]()
    nodes = [await start(script, kind, url, f"n{number}") for number in range(NODES)]
    told = await asyncio.gather(*[node.communicate(b"go\n") for node in nodes])
    figures = [[int(word) for word in out.split()] for out, _ in told]
    assert [node.returncode for node in nodes] == [0] * NODES
    assert not any(each[3] for each in figures)
    span = max(each[1] for each in figures) - min(each[0] for each in figures)
    admitted = sum(each[2] for each in figures)
    assert BURST <= admitted <= BURST + LIMIT * span / 60_000_000
    assert max(each[4] for each in figures) <= NODES
