"""Which heads of the queue a claim looks at, on both databases: what is critical first, targets before due moments, prompts together."""

from typing import Any

from databases import Place
from ingot.scheduling.backlog import NONE
from ingot.scheduling.capacity import Room
from ingot.scheduling.choice import Head, Own
from ingot.store.queue import Rest
from ingot.store.schema import MICROSECOND, micros
from queuehouse import MODEL, QueueHouse, open_queue, take

ONE = Room(ordinary=1, lifted=1)


async def put(house: QueueHouse, org_id: str = "org_a", *, due: float = 300.0, **fields: Any) -> str:
    """Work that is due after so many seconds, and lifted late; its job."""
    now = micros(house.clock.now())
    told = {"due_at": now + round(due * MICROSECOND), "lift_at": now + round(due * MICROSECOND)}
    return (await house.put(org_id, **told | fields)).id


async def taken(house: QueueHouse, room: Room = ONE, **told: Any) -> list[str]:
    """The jobs that come next."""
    return [job.id for job in await house.process().claim(room, models=[MODEL], **told)]


async def test_target_orders_the_jobs_of_an_organization(backend: Place) -> None:
    """A batch of a day whose next part is to have come soon goes before a request that is due later than that."""
    async with open_queue(backend) as house:
        request = await put(house, due=300)
        soon = micros(house.clock.now()) + 100 * MICROSECOND
        batch = await put(house, due=86_400, target_at=soon)
        late = await put(house, due=86_400)
        assert [await taken(house) for _ in range(3)] == [[batch], [request], [late]]


async def test_critical_work_goes_first_by_its_due_moment(backend: Place) -> None:
    """Up to the horizon nobody's counter counts: who had most service is served, as its work is due first."""
    async with open_queue(backend) as house:
        theirs = await put(house, "org_b", due=400)
        large = await put(house, "org_a", due=100, estimate=5_000)
        assert await taken(house, horizon=house.clock.now() + 150) == [large]
        mine = await put(house, "org_a", due=200)
        assert await taken(house, horizon=NONE) == [theirs]
        await put(house, "org_b", due=400)
        assert await taken(house, horizon=house.clock.now() + 250) == [mine]


async def test_critical_work_has_the_room_of_lifted_work(backend: Place) -> None:
    """Where no place is left for what can wait."""
    async with open_queue(backend) as house:
        job = await put(house, due=200)
        none = Room(ordinary=0, lifted=1)
        assert await taken(house, none) == []
        assert await taken(house, none, horizon=house.clock.now() + 250) == [job]


async def test_jobs_that_begin_alike_are_kept_together(backend: Place) -> None:
    """The one whose prompts begin as the last ones did goes before one that is due about as soon, and not before one that
    is due much sooner.
    """
    async with open_queue(backend) as house:
        first = await put(house, due=250, prefix="a")
        alike = await put(house, due=300, prefix="b")
        assert await taken(house, warm={"org_a": "b"}) == [alike]
        far = await put(house, due=900, prefix="b")
        assert await taken(house, warm={"org_a": "b"}) == [first]
        assert await taken(house, warm={"org_b": "b"}) == [far]


async def test_f21_leased_items_that_wait_compete_with_the_queue(backend: Place) -> None:
    """Of a job of 20 all but one wait: another organization's request stands before the rest of them, with what waits taken
    out of the count; so does an earlier request of the same organization, and nothing that has no claim to be next.
    """
    async with open_queue(backend) as house:
        job = await put(house, due=86_400, estimate=10, count=20)
        assert await taken(house) == [job]
        head = Head(job, house.clock.now() + 86_400, house.clock.now() + 86_400, 10, items=19)
        own = [Own("org_a", 1, head)]
        theirs = await put(house, "org_b", estimate=10)
        assert await taken(house, own=own) == [theirs]
        second = await put(house, "org_b", estimate=10)
        assert await taken(house, own=own) == []  # both had one, and of equals it is the first by name
        sooner = await put(house, "org_a", due=100, estimate=10)
        assert await taken(house, own=own) == [sooner]
        assert await taken(house, own=own) == [second]
        await put(house, "org_a", due=90_000, estimate=10)
        assert await taken(house, own=own) == []


async def test_what_failed_before_waits_until_nothing_else_is_ready_where_that_is_asked_for(
    backend: Place,
) -> None:
    """Of its target little can be asked, and it may be to blame itself."""
    async with open_queue(backend) as house:
        tried = await put(house, due=100)
        process = house.process()
        [job] = await take(process)
        assert await process.give_back(job, {job.lo: Rest(tries=1)})
        fresh = await put(house, "org_b", due=900)
        room = Room(ordinary=8, lifted=8)
        assert await taken(house, room, untried=True) == [fresh]
        assert await taken(house, room, untried=True) == [tried]
