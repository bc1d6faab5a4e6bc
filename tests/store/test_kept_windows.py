"""Sums of kept promises on both databases: written with each result, by slot, and read without looking at any result."""

from functools import partial
from typing import Any

from batchqueue import DAY, EXPIRED, end_waiting, look, make
from databases import Place
from ingot.scheduling.turns import place
from ingot.store import windows
from ingot.store.schema import MICROSECOND, micros, window_slots
from ingot.store.windows import REFUSED, Count
from queuehouse import QueueHouse, open_queue, take

HOUR = 3600


async def ended(house: QueueHouse, *, after: float, **fields: Any) -> None:
    """Work that has ended so many seconds after it came."""
    await house.put()
    worker = house.process()
    [job] = await take(worker)
    house.clock.advance(after)
    [item] = await worker.items(job)
    assert await house.settle(job, item, achieved=None, **fields)


async def counts(house: QueueHouse, *, hours: int = 24, fine: bool = False) -> list[Count]:
    """The sums of the last hours, in their order."""
    now = micros(house.clock.now())
    read = partial(windows.read, since=now - hours * HOUR * MICROSECOND, now=now, fine=fine)
    return sorted(await house.db.read(read), key=lambda each: each.place)


async def test_result_counts_as_kept_when_it_was_in_time(backend: Place) -> None:
    """In the commit that brings it: by window, model and class of turn time; a late one ended, and was not kept."""
    async with open_queue(backend) as house:
        await ended(house, after=10.0)
        await ended(house, after=10.0)
        await ended(house, after=400.0)
        for fine in (True, False):
            assert await counts(house, hours=1, fine=fine) == [
                Count("standard", "m", False, place(10.0), 2, 2),
                Count("standard", "m", False, place(400.0), 1, 0),
            ]


async def test_only_broken_promises_of_ours_count(backend: Place) -> None:
    """A failure of ours is one; what was cancelled, and what a client got wrong, is no promise."""
    async with open_queue(backend) as house:
        for state, status in (("failed", 503), ("failed", 400), ("cancelled", 499)):
            await ended(house, after=1.0, state=state, status=status, billable=False)
        assert [(each.ended, each.kept) for each in await counts(house)] == [(1, 0)]


async def test_window_that_was_achieved_is_kept(backend: Place) -> None:
    """What is due at once can never end by then: whether it was begun at once decides."""
    async with open_queue(backend) as house:
        for achieved in ("asap", "priority"):
            job = await house.put(window="asap", due_at=micros(house.clock.now()))
            worker = house.process()
            [leased] = await take(worker)
            [item] = await worker.items(leased)
            house.clock.advance(2.0)
            assert await house.settle(leased, item, achieved=achieved)
            assert job.window == "asap"
        assert [(each.window, each.ended, each.kept) for each in await counts(house)] == [("asap", 2, 1)]


async def test_requests_of_batches_are_counted_apart(backend: Place) -> None:
    """They have another promise."""
    async with open_queue(backend) as house:
        await house.put(count=2)
        worker = house.process()
        [job] = await take(worker)
        for item in await worker.items(job):
            assert await house.settle(job, item)
        assert [(each.batch, each.ended) for each in await counts(house)] == [(True, 2)]


async def test_expired_requests_are_broken_promises(backend: Place) -> None:
    """Those that nobody began, and those that a worker ended; a cancelled batch breaks none. A row tells of all of them."""
    async with open_queue(backend) as house:
        other = await make(house, sizes=(4,))
        await end_waiting(house, other)
        row = await make(house, sizes=(2, 3, 5))
        worker = house.process()
        [job] = await take(worker)
        house.clock.advance(DAY)
        assert await end_waiting(house, row, how="expired") == 2
        for item in await worker.items(job):
            assert await house.settle(job, item, achieved=None, **EXPIRED)
        assert (await look(house, row.id)).expired == 10
        late = place(float(DAY))
        for fine in (True, False):
            assert await counts(house, hours=1, fine=fine) == [Count("standard", "m", True, late, 10, 0)]
        spans = await house.rows(window_slots.c.span, window_slots.c.kept == 0)
        assert len(spans) <= 4  # two spans, of the process that ends what waits and of the one that settles


async def test_slots_drop_out_of_sight_and_are_removed(backend: Place) -> None:
    """After an hour the fine ones say nothing; after two they are gone, and after 31 days all are."""
    async with open_queue(backend) as house:
        await ended(house, after=1.0)
        house.clock.advance(HOUR + 300)
        assert await counts(house, hours=1, fine=True) == []
        assert len(await counts(house)) == 1
        for seconds, left in ((HOUR + 300, 1), (31 * 86_400, 0)):
            house.clock.advance(seconds)
            await house.db.write(partial(windows.sweep, now=micros(house.clock.now())))
            assert len(await house.rows(window_slots.c.span)) == left


async def test_processes_add_up(backend: Place) -> None:
    """Each has rows of its own, and so has what was refused."""
    async with open_queue(backend) as house:
        now = micros(house.clock.now())
        for node in ("one", "two", "two"):
            refuse = partial(
                windows.refuse, window="flex", model="m", batch=True, items=5, now=now, node=node
            )
            await house.db.write(refuse)
        assert await counts(house) == [Count("flex", "m", True, REFUSED, 15, 0)]
        assert len(await house.rows(window_slots.c.span)) == 4
