"""F16: the clock jumps an hour while work is leased: nothing is billed twice, and no lease is held for ever.

On PostgreSQL leases are by the database's clock, which a process's own does not move. On SQLite, where there is one clock, work
may be begun again after a jump forward. What the limiter does is in tests/unit/limits/test_memory.py.
"""

import pytest

from databases import Place
from queuehouse import open_queue, take

HOUR = 3600.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_work_is_billed_once_when_the_clock_jumps(backend: Place, jump: float) -> None:
    """Whoever had it and whoever has it now both answer: one answer counts."""
    async with open_queue(backend) as house:
        await house.put()
        one, other = house.process(), house.process()
        [leased] = await take(one)
        items = await one.items(leased)
        house.clock.advance(jump)
        lapsed = await other.reclaim()
        assert lapsed == int(jump > 0 and not backend.postgres)
        again = await take(other)
        assert len(again) == lapsed
        written = [await house.settle(each, items[0]) for each in (leased, *again)]
        assert written.count(True) == 1
        assert await house.billed(items[0].id) == 1
        assert await house.held() == 0
        assert await house.sound()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_lease_is_kept_when_the_clock_jumps_and_its_process_lives(backend: Place, jump: float) -> None:
    """It is renewed by the clock as it is then, and outlives its first term."""
    async with open_queue(backend) as house:
        await house.put()
        worker = house.process()
        [leased] = await take(worker)
        house.clock.advance(jump)
        assert await worker.renew([leased.id]) == {(leased.id, leased.epoch)}
        house.clock.advance(50)
        assert await house.process().reclaim() == 0


async def test_lease_is_not_stuck_when_the_clock_went_back_and_its_process_died(backend: Place) -> None:
    """The next process has it: at its start on SQLite, when the database's time is over on PostgreSQL."""
    async with open_queue(backend) as house:
        await house.put()
        assert await take(house.process())
        house.clock.advance(-HOUR)
        started = house.process()
        await started.start()
        if backend.postgres:
            await house.lapse()
        assert await started.reclaim() == 1
        assert len(await take(started)) == 1


async def test_q07_work_is_not_run_again_when_the_clock_jumps_over_its_lease(backend: Place) -> None:
    """Whoever works on it has it: on SQLite by its own word, for nobody else can be alive; on PostgreSQL by the database's clock."""
    async with open_queue(backend) as house:
        await house.put()
        worker = house.process()
        [leased] = await take(worker)
        house.clock.advance(HOUR)
        assert await worker.reclaim({leased.id}) == 0
        [item] = await worker.items(leased)
        assert await house.settle(leased, item)
