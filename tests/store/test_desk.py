"""The desk on both databases, on a clock that only the test moves: what is let in, what is refused, and when it comes again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from databases import Place
from ingot.catalog import Catalog, Deployment, Route, Target
from ingot.clock import ManualClock
from ingot.pricing import Price
from ingot.scheduling.backlog import NONE
from ingot.scheduling.capacity import Room
from ingot.scheduling.quotes import Quote, Refusal
from ingot.services.desk import LONGEST_ASAP, MOST_ASAP, Decided, Desk, Load
from ingot.services.pacing import LIVING, Called, Pacing
from ingot.store import promises, windows
from ingot.store.schema import bookings, micros, throughput
from queuehouse import QueueHouse, open_queue

TARGET = Target("up", "http://127.0.0.1:9/v1", dialects=frozenset({"chat"}), capacity=10)
NAMES = ("asap", "priority", "standard", "flex")
CATALOG = Catalog(
    {
        name: Deployment(
            name=name,
            routes=(Route(TARGET, name),),
            strategy="ordered",
            price=Price.free,
            context=None,
            windows=NAMES,
            attempts=1,
            owned_by="test",
            created=0,
            capabilities=frozenset({"chat"}),
        )
        for name in ("m", "twin")
    },
    {"up": TARGET},
)
EACH = 100.0
"""Service a second of a place; with eight of ten for the queue, 800 a second are given."""
PLACES = 8


@dataclass
class Office:
    """A queue, and desks of nodes that measured the same target."""

    house: QueueHouse
    alone: bool
    desks: list[Desk] = field(default_factory=list)

    @property
    def clock(self) -> ManualClock:
        """The only clock."""
        return self.house.clock

    async def desk(self, *, measured: bool = True) -> Desk:
        """One more node's."""
        node = f"node_{len(self.desks)}"
        desk = Desk(self.house.db, Pacing(), clock=self.clock, node=node, alone=self.alone)
        await desk.start()
        self.desks.append(desk)
        if measured:
            self.measure(desk)
        return desk

    def measure(self, desk: Desk) -> None:
        """Forty calls at the speed of EACH, that came to what was guessed."""
        now = self.clock.now()
        for _ in range(40):
            call = Called(model="m", ending="done", began=now, seconds=1.0, read=50, written=25, most=50)
            desk.pacing.learn(TARGET, call, now + 1.0)
        desk.pacing.look(TARGET, now, asap=0, most=64)


@asynccontextmanager
async def open_office(backend: Place) -> AsyncIterator[Office]:
    """An empty queue."""
    async with open_queue(backend) as house:
        yield Office(house, alone=not backend.postgres)


def load(*, items: int = 1, tokens: int = 100, **fields: Any) -> Load:
    """Work of so much service a piece."""
    values: dict[str, Any] = {"org_id": "org_a", "model": "m", "window": "standard", "key": "k"}
    return Load(**values | {"items": items, "read": tokens, "written": 0, "batch": items > 1} | fields)


async def ask(desk: Desk, wanted: Load) -> Quote | Refusal:
    """What is decided."""
    return (await desk.decide(CATALOG, wanted)).told


async def fill(desk: Desk, **fields: Any) -> Refusal:
    """Asks for one piece after the other until one is refused."""
    for number in range(10_000):
        told = await ask(desk, load(key=f"fill-{number}", **fields))
        if isinstance(told, Refusal):
            return told
    raise AssertionError("everything was let in")


async def test_so_much_is_let_in_as_is_guessed_when_nothing_was_measured(backend: Place) -> None:
    """Ten places answer 300 requests in five minutes, were each to take ten seconds; it is said that nobody knows."""
    async with open_office(backend) as office:
        desk = await office.desk(measured=False)
        for number in range(300):
            decided = await desk.decide(CATALOG, load(tokens=10**9, key=str(number)))
            assert isinstance(decided.told, Quote)
            assert (decided.measured, decided.guessed) == (False, 300)
        assert await ask(desk, load()) == Refusal("capacity", 1.0)
        assert isinstance(await ask(desk, load(window="priority", items=60, batch=False)), Quote)
        assert desk.horizon("up") == NONE
        office.measure(desk)
        assert (await desk.decide(CATALOG, load(key="x"))).measured


async def test_day_is_long_when_nothing_was_measured(backend: Place) -> None:
    """A batch fits that ten places answer in a day; a larger one is not told to come again. Due at once is a short line."""
    async with open_office(backend) as office:
        desk = await office.desk(measured=False)
        assert await ask(desk, load(items=86_401)) == Refusal("size", None)
        told = await ask(desk, load(items=86_400))
        assert isinstance(told, Quote)
        assert told.finish == office.clock.now() + 86_400
        assert await ask(desk, load(window="asap", items=MOST_ASAP + 1, batch=False)) == Refusal("size", None)
        assert isinstance(await ask(desk, load(window="asap", items=MOST_ASAP, batch=False)), Quote)


async def test_work_is_let_in_up_to_its_share_of_the_window(backend: Place) -> None:
    """Alone an organization fills three fifths of what the targets give in five minutes, less what a last item needs."""
    async with open_office(backend) as office:
        desk = await office.desk()
        told = [await ask(desk, load(tokens=1_000, key=str(number))) for number in range(150)]
        let_in = sum(isinstance(each, Quote) for each in told)
        assert let_in == int(0.6 * (300 - 1.5 * 10) * 800 / 1_000)
        assert all(isinstance(each, Refusal) for each in told[let_in:])
        first = told[0]
        assert isinstance(first, Quote)
        assert first.due == office.clock.now() + 300
        assert first.confidence > 0.95


@pytest.mark.parametrize("answered", [0, 30, 60, 63])
async def test_what_is_left_of_a_leased_job_is_what_counts(backend: Place, answered: int) -> None:
    """A large job that somebody has is ahead by its items without a result: those that run by half, those that wait whole."""
    async with open_office(backend) as office:
        desk, worker = await office.desk(), office.house.process()
        await office.house.put(count=64, estimate=1_000, model="m")
        [job] = await worker.claim(Room(1, 1), models=["m"])
        for item in (await worker.items(job))[:answered]:
            assert await office.house.settle(job, item)
        left = 64 - answered
        told = await ask(desk, load(tokens=1_000, items=2))
        assert isinstance(told, Quote)
        runs = min(left, PLACES)
        before = (left - runs / 2.0) * 1_000 / (PLACES * EACH)
        assert told.start - office.clock.now() == pytest.approx(before)


async def test_refused_work_is_let_in_when_it_comes_as_told(backend: Place) -> None:
    """Its place is kept: nine of ten that were refused at once are let in at their moments, whatever else comes."""
    async with open_office(backend) as office:
        desk = await office.desk()
        start = office.clock.now()
        told: list[tuple[float, str]] = []
        for number in range(120):
            decided = await ask(desk, load(tokens=5_000, key=f"w{number}"))
            if isinstance(decided, Refusal):
                assert decided.retry_after is not None
                told.append((start + decided.retry_after, f"w{number}"))
        assert len(told) > 50
        kept = 0
        for moment, key in sorted(told):
            office.clock.at = max(moment, office.clock.at)
            # What was let in runs at the rate that was measured: the queue of the database stays empty here.
            kept += isinstance(await ask(desk, load(tokens=5_000, key=key)), Quote)
        assert kept >= 0.9 * len(told)


async def test_what_waits_in_the_database_counts(backend: Place) -> None:
    """Other nodes' work is met as well: a queue of ten minutes leaves no room in a window of five."""
    async with open_office(backend) as office:
        desk = await office.desk()
        now = micros(office.clock.now())
        for number in range(6):
            await office.house.put("org_b", estimate=80_000, due_at=now + 290_000_000, created_at=number)
        told = await ask(desk, load(tokens=5_000))
        assert isinstance(told, Refusal)
        assert told.retry_after is not None
        assert told.retry_after > 60
        office.measure(desk)
        later = await ask(desk, load(window="flex", tokens=5_000, key="other"))
        assert isinstance(later, Quote)
        assert desk.horizon("up") > office.clock.now()


async def test_models_of_one_target_share_its_room(backend: Place) -> None:
    """What waits for the twin is in the way of the other."""
    async with open_office(backend) as office:
        desk = await office.desk()
        await fill(desk, model="twin", tokens=10_000)
        assert isinstance(await ask(desk, load(tokens=10_000)), Refusal)


async def test_others_have_their_share_when_one_fills_its_own(backend: Place) -> None:
    """An organization that was not there yet is let in beside one whose share is full."""
    async with open_office(backend) as office:
        desk = await office.desk()
        assert (await fill(desk, tokens=10_000)).reason == "share"
        assert isinstance(await ask(desk, load(org_id="org_b", tokens=10_000)), Quote)


async def test_nothing_is_promised_that_never_fits(backend: Place) -> None:
    """A piece that runs for longer than its window is refused for good, and a longer window takes it."""
    async with open_office(backend) as office:
        desk = await office.desk()
        told = await ask(desk, load(window="priority", tokens=7_000))
        assert told == Refusal("size", None)
        assert isinstance(await ask(desk, load(window="standard", tokens=7_000)), Quote)


async def test_batch_has_a_day(backend: Place) -> None:
    """A thousand pieces are let in at once, finish long before they are due, and are met by those who come later."""
    async with open_office(backend) as office:
        desk = await office.desk()
        told = await ask(desk, load(items=1_000, tokens=5_000))
        assert isinstance(told, Quote)
        assert told.finish - office.clock.now() == pytest.approx(1_000 * 5_000 / 800, rel=0.01)
        assert told.due - office.clock.now() == 86_400
        again = await ask(desk, load(items=1_000, tokens=5_000, key="other"))
        assert isinstance(again, Quote)
        assert again.finish > told.finish


async def test_q11_what_is_due_at_once_waits_in_a_short_line(backend: Place) -> None:
    """No more than two hundred, and no longer than ten seconds."""
    async with open_office(backend) as office:
        desk = await office.desk()
        small = [await ask(desk, load(window="asap", tokens=1)) for _ in range(MOST_ASAP + 1)]
        assert [isinstance(each, Quote) for each in small] == [True] * MOST_ASAP + [False]
        fresh = await office.desk()
        large = 0
        while isinstance(told := await ask(fresh, load(window="asap", tokens=4_000)), Quote):
            large += 1
        supply = fresh.pacing.supply("up", office.clock.now())
        assert supply is not None
        assert large == pytest.approx(LONGEST_ASAP * supply.rate / 4_000, abs=2)
        assert told.retry_after is not None
        assert told.retry_after >= 1


async def test_refusals_are_counted_and_booked(backend: Place) -> None:
    """In one commit: the published figure, and the place of the work, which goes when the work has come."""
    async with open_office(backend) as office:
        desk = await office.desk()
        refused = await fill(desk, tokens=10_000)
        assert refused.booking is not None
        now = micros(office.clock.now())
        read = partial(windows.read, since=now - 3_600_000_000, now=now)
        [count] = await office.house.db.read(read)
        assert (count.place, count.ended) == (windows.REFUSED, 1)
        [key] = await office.house.rows(bookings.c.work)
        office.clock.at = refused.booking.at
        assert isinstance(await ask(desk, load(tokens=10_000, key=key)), Quote)
        assert await office.house.rows(bookings.c.work) == []


async def test_a_place_that_nobody_claims_lapses(backend: Place) -> None:
    """And its row is removed."""
    async with open_office(backend) as office:
        desk = await office.desk()
        refused = await fill(desk, tokens=10_000)
        assert refused.booking is not None
        office.clock.at = refused.booking.until + 1
        sweep = partial(promises.sweep, now=micros(office.clock.now()))
        assert await office.house.db.write(sweep) == 1


async def test_who_comes_when_told_is_let_in_when_those_before_did_not_come(backend: Place) -> None:
    """Four hundred are told moments one after the other; the last one alone comes, and finds a queue in which nobody waits."""
    async with open_office(backend) as office:
        desk = await office.desk()
        await fill(desk, tokens=5_000)
        told = [await ask(desk, load(tokens=5_000, key=f"later-{number}")) for number in range(400)]
        waits = [each.retry_after for each in told if isinstance(each, Refusal) and each.retry_after]
        assert len(waits) == 400
        assert waits == sorted(waits)
        office.clock.advance(waits[-1])
        assert isinstance(await ask(desk, load(tokens=5_000, key="later-399")), Quote)


async def test_a_quote_leaves_no_trace(backend: Place) -> None:
    """However often it is asked for, the answer is the same, and nothing is booked."""
    async with open_office(backend) as office:
        desk = await office.desk()
        told = [await desk.quote(CATALOG, load(tokens=10_000)) for _ in range(50)]
        assert all(isinstance(each.told, Quote) and each == told[0] for each in told)
        await fill(desk, tokens=10_000)
        before = await office.house.rows(bookings.c.work)
        assert isinstance((await desk.quote(CATALOG, load(tokens=10_000, key="new"))).told, Refusal)
        assert await office.house.rows(bookings.c.work) == before


async def test_node_that_measured_nothing_knows_what_others_told(backend: Place) -> None:
    """A node that does not work promises by what the others give, and nothing once they are silent."""
    async with open_office(backend) as office:
        worker = await office.desk()
        await worker.share()
        front = await office.desk(measured=False)
        if office.alone:
            # One process serves a file: what an earlier one told is a speed, and no place.
            assert isinstance((await front.decide(CATALOG, load(tokens=5_000))).told, Refusal)
            return
        decided: Decided = await front.decide(CATALOG, load(tokens=5_000))
        assert (decided.measured, isinstance(decided.told, Quote)) == (True, True)
        office.clock.advance(LIVING + 10)
        assert isinstance((await front.decide(CATALOG, load(tokens=5_000, key="b"))).told, Refusal)
        await worker.close()
        assert sorted(await office.house.rows(throughput.c.node)) == ["node_0", "node_1"]


async def test_sums_are_read_once_for_many_that_ask(backend: Place) -> None:
    """Within a second nobody reads them again."""
    async with open_office(backend) as office:
        desk = await office.desk()
        await ask(desk, load(key="first"))
        before = office.house.db.tally.reads
        for number in range(20):
            await ask(desk, load(key=f"n{number}"))
        assert office.house.db.tally.reads == before
        office.clock.advance(30.0)
        await ask(desk, load(key="last"))
        assert office.house.db.tally.reads > before
