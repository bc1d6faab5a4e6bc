"""Many requests with one key at the same moment, in one process and in several: one works, all get its bytes."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from databases import Place, open_store
from ingot.clock import SystemClock
from ingot.store.schema import idempotency, ledger
from keyhouse import Lines
from racer import PATIENCE, race
from retryhouse import House

COROUTINES = 50
PROCESSES = 3


async def check(place: Place, calls: Path, got: list[list[str]]) -> None:
    """One lead, one call, one ledger row; everybody else has the leader's id and bytes."""
    kinds = [kind for kind, _, _ in got]
    assert kinds.count("lead") == 1
    assert kinds.count("replay") == len(got) - 1
    assert len({(response_id, answer) for _, response_id, answer in got}) == 1
    assert calls.read_bytes() == b"."
    async with open_store(place) as db:
        rows = await db.read(lambda conn: conn.execute(idempotency.select()).all())
        billed = await db.read(lambda conn: conn.execute(ledger.select()).all())
    assert [(row.state, row.epoch) for row in rows] == [("done", 1)]
    assert [row.billable_id for row in billed] == [got[0][1]]


async def test_one_leads_when_many_ask_in_one_process(backend: Place, tmp_path: Path) -> None:
    """50 coroutines on either database."""
    calls = tmp_path / "calls"
    async with open_store(backend) as db:
        got = await race(House(db, SystemClock(), Lines()), calls, count=COROUTINES)
    await check(backend, calls, [list(each) for each in got])


async def test_one_leads_when_many_ask_in_several_processes(postgres: str, tmp_path: Path) -> None:
    """50 coroutines in each of 3 processes that share a PostgreSQL."""
    place = Place("postgres", tmp_path / "data", postgres)
    calls = tmp_path / "calls"
    async with open_store(place):
        pass  # migrated before the race
    racer = str(Path(__file__).parents[1] / "racer.py")
    command = [sys.executable, racer, str(place.data), place.url, str(calls), str(COROUTINES)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        told = await asyncio.gather(
            *[asyncio.to_thread(process.communicate, "go\n", PATIENCE) for process in processes]
        )
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * PROCESSES
    got = [each for output, _ in told for each in json.loads(output)]
    assert len(got) == COROUTINES * PROCESSES
    await check(place, calls, got)
