"""Limits that outlive the process that counts them: what is written, how often, and what a restart grants."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.limits.limiter import Claim, Reservation
from ingot.limits.memory import MemoryLimiter
from ingot.services.levels import LevelKeeper
from ingot.store.database import Database
from ingot.store.limits import read_levels
from keyhouse import Lines

PLAN = Claim("org", 5, 40_000, None, 100)


@dataclass(slots=True)
class Node:
    """A process with its limiter, on a database that outlives it."""

    db: Database
    clock: ManualClock
    log: Lines = field(default_factory=Lines)
    limiter: MemoryLimiter = field(init=False)
    keeper: LevelKeeper = field(init=False)

    async def start(self) -> None:
        """A new process, whatever became of the last one."""
        self.limiter = MemoryLimiter(self.clock)
        self.keeper = LevelKeeper(self.db, self.limiter, log=self.log)
        await self.keeper.restore()

    def admitted(self, times: int, claim: Claim = PLAN) -> int:
        """How many of so many requests pass."""
        return sum(isinstance(self.limiter.admit((claim,)), Reservation) for _ in range(times))


@pytest.fixture
async def node(backend: Place) -> AsyncIterator[Node]:
    """A process that has started on an empty database."""
    clock = ManualClock()
    async with open_store(backend, clock=clock) as db:
        made = Node(db, clock)
        await made.start()
        yield made


async def test_l11_restart_grants_no_second_burst_when_the_process_ended_well(node: Node) -> None:
    """What was used is known to the next process; time drains it meanwhile as if nothing had happened."""
    assert node.admitted(9) == 5
    await node.keeper.close()
    await node.start()
    assert node.admitted(9) == 0
    await node.keeper.close()
    node.clock.advance(24.0)
    await node.start()
    assert node.admitted(9) == 2


async def test_l11_restart_grants_one_burst_at_most_when_the_process_was_killed(node: Node) -> None:
    """Five before the kill that were never written, five after it; then, once written, no more."""
    assert node.admitted(9) == 5
    await node.start()
    assert node.admitted(9) == 5
    await node.keeper.tick()
    await node.start()
    assert node.admitted(9) == 0


async def test_nothing_is_written_when_nothing_was_asked(node: Node) -> None:
    """A tick without a change is no commit; what has drained is forgotten by one."""
    node.admitted(2)
    node.admitted(1, Claim("other", 600, None, None, 0))
    await node.keeper.tick()
    commits = node.db.tally.commits
    for _ in range(3):
        await node.keeper.tick()
    assert node.db.tally.commits == commits
    node.clock.advance(5.0)
    await node.keeper.tick()
    assert (await node.db.read(read_levels)).keys() == {"org"}
    node.clock.advance(60.0)
    await node.keeper.tick()
    assert await node.db.read(read_levels) == {}


async def test_end_is_no_fault_when_the_store_is_gone(node: Node) -> None:
    """It is told, as what was used last is lost."""
    node.admitted(1)
    await node.db.close()
    await node.keeper.close()
    assert [event for event, _ in node.log.said] == ["limits_not_kept"]
