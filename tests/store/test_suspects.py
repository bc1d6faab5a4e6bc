"""What becomes of work that is there when its workers die, on both databases: cut up, kept apart, given up."""

import pytest
from sqlalchemy import update

from databases import Place
from ingot.scheduling.capacity import Room
from ingot.store.schema import jobs
from ingot.store.suspects import DISTANCE_SECONDS, MOST_LAPSES, PROVEN, SUSPECTED, distance
from queuehouse import MODEL, open_queue, take


async def test_q09_job_is_cut_up_when_it_lapsed_twice(backend: Place) -> None:
    """Its items go on one by one, those with a result are left out, the money is shared, and all of it is settled."""
    async with open_queue(backend) as house:
        await house.put(count=4, most=400)
        worker = house.process()
        [job] = await take(worker)
        first, *rest = await worker.items(job)
        assert await house.settle(job, first)
        for _ in range(SUSPECTED):
            await house.lapse()
            await worker.reclaim()
            taken = await take(worker, 8)
        taken += [job for _ in rest[1:] for job in await take(worker, 8)]
        assert sorted((each.lo, each.hi) for each in taken) == [(1, 1), (2, 2), (3, 3)]
        assert {each.lapses for each in taken} == {SUSPECTED}
        for each in taken:
            [item] = await worker.items(each)
            assert item.id in {one.id for one in rest}
            assert await house.settle(each, item)
        assert await house.left() == (0, 0, 4, 4)
        assert await house.held() == 0
        assert await house.sound()


async def test_q09_job_is_given_up_when_it_was_alone_at_the_third_death(backend: Place) -> None:
    """A job whose lease was never given back says so to the next one that takes it."""
    async with open_queue(backend) as house:
        await house.put()
        worker = house.process()
        for lapses in range(PROVEN):
            [job] = await take(worker)
            assert job.lapses == lapses
            await house.lapse()
            await worker.reclaim()
        [job] = await take(worker)
        assert job.lapses == MOST_LAPSES


async def test_q09_job_has_more_lives_when_it_died_in_company(backend: Place) -> None:
    """Who was one of several at the third death is given up after six; what another process had is no company."""
    async with open_queue(backend) as house:
        one, other = house.process(), house.process()
        for lapses in range(MOST_LAPSES):
            if lapses == 0:
                await house.put()
                await house.put()
            taken = [job for _ in range(2) for job in await take(one)]
            assert [job.lapses for job in taken] == [lapses] * 2
            await house.lapse()
            await other.reclaim()
        assert await house.rows(jobs.c.lapses) == [MOST_LAPSES] * 2
        await house.db.write(lambda conn: conn.execute(update(jobs).values(lapses=PROVEN - 1)))
        assert [len(await take(each)) for each in (one, other)] == [1, 1]
        await house.lapse()
        await one.reclaim()
        assert await house.rows(jobs.c.lapses) == [MOST_LAPSES] * 2


async def test_q09_suspects_are_leased_one_at_a_time(backend: Place) -> None:
    """Of jobs whose workers died twice the one due first, and none beside it; all others as ever, before and behind it."""
    async with open_queue(backend) as house:
        worker = house.process()
        old = [await house.put() for _ in range(3)]
        for _ in range(SUSPECTED):
            assert len(await take(worker, 8)) == len(old)
            await house.lapse()
            await worker.reclaim()
        new = [await house.put() for _ in range(2)]
        beside = await worker.claim(Room(8, 8), models=[MODEL], suspects=False)
        assert {job.id for job in beside} == {job.id for job in new}
        for each in old:
            [suspect] = await take(worker, 8)
            assert (suspect.id, suspect.lapses) == (each.id, SUSPECTED)
        assert await take(worker, 8) == []


async def test_q09_what_is_given_up_waits_for_no_other(backend: Place) -> None:
    """Whoever was there at one death more is not tried any more, so that all of them are taken at once."""
    async with open_queue(backend) as house:
        worker = house.process()
        for _ in range(3):
            await house.put()
        await house.db.write(lambda conn: conn.execute(update(jobs).values(lapses=MOST_LAPSES)))
        assert len(await worker.claim(Room(8, 8), models=[MODEL], suspects=False)) == 3


@pytest.mark.parametrize("lapses", [0, 1, MOST_LAPSES])
def test_q09_nothing_keeps_its_distance_from_what_is_no_suspect(lapses: int) -> None:
    """New work, and what is given up without a try."""
    assert distance(lapses) == 0.0


def test_q09_distance_grows_with_every_death() -> None:
    """What hangs holds the others up for seconds at first; what was there often enough has minutes for itself."""
    found = [distance(lapses) for lapses in range(SUSPECTED, MOST_LAPSES)]
    assert found[0] == DISTANCE_SECONDS
    assert found == sorted(found)
    assert found[-1] >= 120.0
