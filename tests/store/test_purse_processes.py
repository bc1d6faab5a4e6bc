"""Several real processes and one balance on PostgreSQL: what they may spend together, and what a killed one leaves."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from databases import Place, open_store
from ingot.errors import QuotaExceeded
from ingot.services.ledger import Ledger
from treasury import Treasury

_SPENDER = Path(__file__).parents[1] / "spender.py"
_GUARD_SECONDS = 60


@pytest.fixture
async def treasury(postgres: str, tmp_path: Path) -> AsyncIterator[Treasury]:
    """An empty PostgreSQL database."""
    async with open_store(Place("postgres", tmp_path, postgres)) as db:
        yield Treasury(db)


@contextmanager
def _spender(url: str, owner: str, *numbers: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(_SPENDER), url, owner, "org_a", *map(str, numbers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert _line(process) == "ready"
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


async def test_reserve_when_four_processes_race(treasury: Treasury, postgres: str) -> None:
    """Of 200 calls at once against a balance that covers 10, 10 run; then what they did not need is there again."""
    await treasury.organization("org_a", amount=1_000)
    with ExitStack() as stack:
        processes = [stack.enter_context(_spender(postgres, f"p{n}", 100, 50, 30)) for n in range(4)]
        for process in processes:
            _go(process)
        told = [_line(process).split(" ", 2) for process in processes]
        assert sum(int(each[0]) for each in told) == 10
        assert all(each[1] == "0" for each in told), told
        assert await treasury.figures("org_a") == (1_000, 1_000)
        for process in processes:
            _go(process)
        assert [_line(process) for process in processes] == ["done"] * 4
    assert await treasury.figures("org_a") == (700, 0)
    assert (await treasury.purse("late").reserve("org_a", 700)).amount == 700
    assert (await Ledger(treasury.db).verify()).findings == []


async def test_reserve_when_a_process_is_killed(treasury: Treasury, postgres: str) -> None:
    """What a killed process held is usable once its lease is over."""
    await treasury.organization("org_a", amount=1_000)
    with _spender(postgres, "p", 100, 50, 30) as process:
        _go(process)
        assert _line(process).startswith("10 0")
    assert await treasury.figures("org_a") == (1_000, 1_000)
    purse = treasury.purse("late")
    deadline = time.monotonic() + _GUARD_SECONDS
    while True:
        try:
            hold = await purse.reserve("org_a", 1_000)
            break
        except QuotaExceeded:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    assert hold.amount == 1_000
    assert await treasury.figures("org_a") == (1_000, 1_000)
