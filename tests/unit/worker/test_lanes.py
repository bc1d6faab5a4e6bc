"""The places of a lane: items wait until their target bears them, the queue's own share is kept, and nobody is left behind."""

import asyncio
import ssl

import pytest

from ingot.catalog import Target
from ingot.clock import ManualClock
from ingot.scheduling.capacity import Room
from ingot.services.pacing import Called, Pacing
from ingot.upstream.client import Client
from ingot.upstream.link import Link
from ingot.worker.lanes import LATE, MOST_PARKED, Places
from ingot.worker.line import Turn

NOW = 1_000_000.0


class Lane:
    """A target with so many places, and its lane."""

    def __init__(self, capacity: int) -> None:
        self.clock = ManualClock(NOW)
        self.target = Target("up", "http://127.0.0.1:9/v1", dialects=frozenset({"chat"}), capacity=capacity)
        self.link = Link(
            self.target, client=Client(), clock=self.clock, tls=lambda _: ssl.create_default_context()
        )
        self.pacing = Pacing()
        self.looks = 0
        self.places = Places(self.link, self.pacing, clock=self.clock, look=self.look)
        self.entered: list[str] = []

    def look(self) -> None:
        """The queue is to be looked at."""
        self.looks += 1

    async def work(
        self, name: str, leave: asyncio.Event, *, lifted: bool = False, org_id: str = "org_a"
    ) -> None:
        """An item that stays until it may leave."""
        async with self.places.enter(turn(org_id, lifted=lifted)):
            self.entered.append(name)
            await leave.wait()


def turn(org_id: str = "org_a", *, weight: int = 1, target: int = 0, lifted: bool = False) -> Turn:
    """An item that wants a place."""
    return Turn(org_id, weight, 100, target, lifted)


async def turns() -> None:
    """Lets everything that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_items_wait_when_their_target_has_no_place() -> None:
    """Of ten places eight are for ordinary work; the next ones begin in their order as places become free."""
    lane = Lane(10)
    leave = [asyncio.Event() for _ in range(10)]
    tasks = [asyncio.create_task(lane.work(str(n), leave[n])) for n in range(10)]
    await turns()
    assert (lane.entered, lane.places.running) == ([str(n) for n in range(8)], 8)
    leave[0].set()
    await turns()
    assert lane.entered[8:] == ["8"]
    for each in leave:
        each.set()
    await asyncio.gather(*tasks)
    assert (lane.places.running, len(lane.entered)) == (0, 10)


async def test_lifted_items_have_more_places() -> None:
    """One of the two that are kept for asap."""
    lane = Lane(10)
    leave = asyncio.Event()
    tasks = [asyncio.create_task(lane.work(str(n), leave, lifted=True)) for n in range(10)]
    await turns()
    assert lane.places.running == 9
    leave.set()
    await asyncio.gather(*tasks)


async def test_q11_share_of_the_queue_is_kept_from_asap_while_work_waits() -> None:
    """Asap finds the target full with two places left; queued work has them, and once it has, asap may fill the rest."""
    lane = Lane(10)
    lane.link.in_flight = 8
    assert lane.link.wait(NOW) == 0.0
    lane.places.wanted = True
    lane.places.wake()
    assert (lane.link.wait(NOW), lane.link.wait(NOW, queued=True)) == (float("inf"), 0.0)
    assert lane.places.room(held=0, free=64) == Room(2, 2)
    async with lane.places.enter(turn()), lane.places.enter(turn()):
        assert lane.link.reserved == 0
        lane.link.in_flight += 2
        assert lane.link.wait(NOW, queued=True) == float("inf")
        lane.link.in_flight -= 2
    lane.places.close()
    assert lane.link.wait(NOW) == 0.0


async def test_item_that_is_cancelled_takes_no_place() -> None:
    """While it waits, and in the moment in which it got one."""
    lane = Lane(1)
    leave = asyncio.Event()
    async with lane.places.enter(turn()):
        waits, given = (asyncio.create_task(lane.work(name, leave)) for name in "ab")
        await turns()
        waits.cancel()
        await turns()
    given.cancel()  # it has its place by now, and does not know it yet
    for task in (waits, given):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (lane.places.running, lane.entered) == (0, [])
    leave.set()
    await lane.work("d", leave)
    assert lane.entered == ["d"]


async def test_nothing_begins_while_the_target_wants_to_be_left_alone() -> None:
    """A Retry-After is waited out, and then whoever waits is let in."""
    lane = Lane(10)
    refused = Called(model="m", ending="throttled", began=NOW, seconds=0.1, retry_after=5.0)
    lane.pacing.learn(lane.target, refused, NOW)
    leave = asyncio.Event()
    task = asyncio.create_task(lane.work("a", leave))
    await turns()
    assert (lane.entered, lane.places.room(held=0, free=64)) == ([], Room(0, 0))
    lane.clock.advance(5.0)
    lane.places.wake()
    await turns()
    assert lane.entered == ["a"]
    leave.set()
    await task


def test_probe_is_left_to_an_item_that_was_never_tried() -> None:
    """While one is expected that found its target shut, those that failed before wait; where none is, they are the probes."""
    lane = Lane(10)
    lane.places.expect(5.0)
    assert (lane.places.hold(), lane.places.doubted) == (
        0.0,
        False,
    )  # its target was full: no reason to doubt others
    for number in range(3):
        lane.link.breaker.fail(lane.clock.monotonic(), item=f"resp_{number}")
    assert (lane.places.hold(), lane.places.doubted) == (0.0, True)
    lane.places.expect(5.0)
    assert lane.places.hold() == 5.0 + LATE
    lane.clock.advance(5.0 + LATE)
    assert lane.places.hold() == 0.0


async def test_work_of_a_model_that_is_gone_waits_for_no_place() -> None:
    """It is to end at once."""
    places = Places(None, Pacing(), clock=ManualClock(NOW))
    assert places.room(held=9, free=3) == Room(3, 3)
    async with places.enter(turn()):
        assert places.running == 1


def test_few_items_pause_in_a_lane() -> None:
    """Beyond its bound a failed item goes back; one that goes on makes room for another."""
    places = Lane(1).places
    assert [places.park() for _ in range(MOST_PARKED + 2)] == [True] * MOST_PARKED + [False] * 2
    places.unpark()
    assert places.park()
    assert not places.park()


async def test_a_lane_has_no_more_places_of_the_process_than_are_its_own() -> None:
    """Whatever its target bears: the rest is for work of others."""
    lane = Lane(10)
    lane.places.most = 2
    assert lane.places.room(held=0, free=64).ordinary == 2
    assert lane.places.room(held=2, free=64) == Room(0, 0)
    # More of a job may be leased: what waits takes no places of others.
    assert lane.places.bearable(64) == 2
    leave = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.create_task(lane.work(str(n), leave[n])) for n in range(3)]
    await turns()
    assert lane.entered == ["0", "1"]
    leave[0].set()
    await turns()
    assert lane.entered == ["0", "1", "2"]
    for each in leave:
        each.set()
    await asyncio.gather(*tasks)


async def test_f21_items_of_one_job_keep_nobody_out_who_comes_later() -> None:
    """Of 20 items of a job one runs: another organization's item that is leased now begins as one of the next two, and where it
    has no more here, the queue is looked at for its next.
    """
    lane = Lane(1)
    leave = asyncio.Event()
    many = [asyncio.create_task(lane.work("many", leave)) for _ in range(20)]
    await turns()
    few = asyncio.create_task(lane.work("few", leave, org_id="org_b"))
    await turns()
    assert (lane.entered, lane.looks) == (["many"], 0)
    leave.set()
    await asyncio.gather(few, *many)
    assert lane.entered.index("few") <= 2
    assert lane.looks == 1


async def test_few_are_leased_beside_those_that_wait() -> None:
    """One of four places is leased ahead, and not for more jobs than there are places, and one."""
    lane = Lane(10)
    leave = asyncio.Event()
    tasks = [asyncio.create_task(lane.work("many", leave)) for _ in range(8)]
    await turns()
    assert (lane.places.crowded, lane.places.beside(jobs=1)) == (False, 0)
    tasks += [asyncio.create_task(lane.work("many", leave)) for _ in range(20)]
    await turns()
    assert lane.places.crowded
    assert [lane.places.beside(jobs=jobs) for jobs in (1, 8, 9, 20)] == [2, 1, 0, 0]
    leave.set()
    await asyncio.gather(*tasks)
