"""What an organization's counter moves by, on both databases: what it really had, tries that failed included."""

from functools import partial

from databases import Place
from ingot.scheduling.fairness import SCALE
from ingot.services.accounting import claim_of
from ingot.store import clocks
from ingot.store.queue import Rest
from queuehouse import QueueHouse, open_queue, take


async def counter(house: QueueHouse, org_id: str = "org_a") -> int:
    """The service that an organization had, for its weight."""
    return (await house.db.read(partial(clocks.of, org_ids=[org_id])))[org_id]


async def test_q13_tries_that_failed_count_for_what_they_took(backend: Place) -> None:
    """Of three items one is done, one had tries that failed and one none: the counter has moved by what was used and spent, and a
    second lease and its end count every item once.
    """
    async with open_queue(backend) as house:
        await house.put("org_a", count=3, weight=2)
        worker = house.process()
        [job] = await take(worker)
        one, two, three = await worker.items(job)
        assert await house.settle(job, two, tokens=8)
        rests = {one.seq: Rest(tries=1, spent=40), three.seq: Rest()}
        assert await worker.give_back(job, rests)
        assert await counter(house) == (8 + 40) * SCALE // 2
        again = await take(worker, 3)
        assert await counter(house) == (8 + 40 + 2 * 10) * SCALE // 2
        for part in again:
            for item in await worker.items(part):
                claim = claim_of(part, item, spent=100)
                assert await house.settle(part, item, tokens=1, claim=claim)
        assert await counter(house) == (8 + 40 + 2 * 101) * SCALE // 2


async def test_q13_what_lapsed_is_given_back_for_what_is_left(backend: Place) -> None:
    """A job of which two items were done when its worker died gives the estimate of the third back, and no more."""
    async with open_queue(backend) as house:
        await house.put("org_a", count=3)
        worker = house.process()
        [job] = await take(worker)
        for item in (await worker.items(job))[:2]:
            assert await house.settle(job, item, tokens=8)
        await house.lapse()
        assert await house.process().reclaim() == 1
        assert await counter(house) == 2 * 8 * SCALE
