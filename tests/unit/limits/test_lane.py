"""Rounds, misses and recovery, on a link that does as it is told."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ingot.limits.gcra import POINTS
from ingot.limits.lane import Answer, GiveBack, Reserve, Settle
from ingot.limits.limiter import Claim, Refused, Reservation
from ingot.limits.places import BATCH, Renew
from lanehouse import CLAIM, MICROS, MOMENT, NODES, Scene, until


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A started scene."""
    made = Scene()
    await made.limiter.start()
    yield made
    made.link.gate.set()
    await made.limiter.close()


async def test_commands_go_together_when_a_round_is_under_way(scene: Scene) -> None:
    """The first goes at once; what comes meanwhile is the next round."""
    scene.link.rounds.clear()
    scene.link.gate.clear()
    waiting = [asyncio.create_task(scene.reserve()) for _ in range(5)]
    await until(lambda: len(scene.link.rounds) == 1)
    waiting += [asyncio.create_task(scene.reserve()) for _ in range(7)]
    await asyncio.sleep(0)
    scene.link.gate.set()
    reserved = await asyncio.gather(*waiting)
    assert [len(round_) for round_ in scene.link.rounds] == [5, 7]
    assert all(reservation.shared for reservation in reserved)


async def test_the_server_decides_when_a_round_or_two_fail(scene: Scene) -> None:
    """L09: a hiccup is no outage: nobody is let in by a count of its own, and the lane stays up for two misses."""
    scene.link.rounds.clear()
    scene.link.misses = 2
    reservation = await scene.reserve()
    assert reservation.shared
    assert not scene.limiter.degraded
    assert scene.told == []
    reserved = [command for command in scene.link.sent() if isinstance(command, Reserve)]
    assert len({command.id for command in reserved}) == len(reserved) == 3
    # What became of the first two is unknown: the places that they may have are given back.
    freed = [command.id for command in scene.link.sent() if isinstance(command, Settle)]
    assert set(freed) == {command.id for command in reserved[:2]}


async def test_each_counts_for_itself_when_three_rounds_failed(scene: Scene) -> None:
    """L09: the caller hears a decision all the same, of one part in three."""
    scene.link.fails = True
    reservation = await scene.reserve()
    assert not reservation.shared
    assert reservation.share == NODES
    assert scene.limiter.degraded


async def test_the_server_is_left_alone_when_three_rounds_failed(scene: Scene) -> None:
    """L09: the third miss in a row is noticed, told, and nobody waits any more; a beat finds the server again."""
    scene.link.fails = True
    for _ in range(3):
        await scene.reserve()
    assert scene.limiter.degraded
    scene.link.rounds.clear()
    outcome = await scene.limiter.reserve((Claim("other", 6, None, None, 0),))
    assert isinstance(outcome, Reservation)
    assert scene.link.sent() == []
    scene.link.fails = False
    await until(lambda: not scene.limiter.degraded)
    assert [down for down, _ in scene.told] == [True, False]
    assert (await scene.reserve()).shared


async def test_an_own_part_is_a_part_when_the_server_is_away(scene: Scene) -> None:
    """L09: of a burst of ten among three processes each grants three."""
    scene.link.fails = True
    for _ in range(3):
        await scene.limiter.reserve((Claim("x", None, None, None, 0),))
    claim = Claim("org", 60, None, None, 0)
    outcomes = [await scene.limiter.reserve((claim,)) for _ in range(10)]
    assert sum(isinstance(outcome, Reservation) for outcome in outcomes) == 3
    assert all(outcome.wait <= 3_000_000 for outcome in outcomes if isinstance(outcome, Refused))


async def test_a_lane_starts_down_when_there_is_no_server() -> None:
    """L09: a start does not fail, and the server is found later."""
    scene = Scene()
    scene.link.fails = True
    await scene.limiter.start()
    assert scene.limiter.degraded
    scene.link.fails = False
    await until(lambda: not scene.limiter.degraded)
    assert scene.limiter.nodes == NODES
    await scene.limiter.close()


async def test_nothing_is_sent_when_the_caller_left_before(scene: Scene) -> None:
    """L10: a command that waits in the queue goes with its caller."""
    scene.link.gate.clear()
    first = asyncio.create_task(scene.reserve())
    await until(lambda: len(scene.link.sent()) == 1)
    second = asyncio.create_task(scene.reserve())
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    scene.link.gate.set()
    await first
    await scene.reserve()
    assert sum(isinstance(command, Reserve) for command in scene.link.sent()) == 2


async def test_what_was_admitted_is_given_back_when_the_caller_left(scene: Scene) -> None:
    """L10: the answer to somebody who is gone is settled with no usage."""
    scene.link.gate.clear()
    task = asyncio.create_task(scene.reserve())
    await until(lambda: len(scene.link.sent()) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.link.gate.set()
    await until(lambda: len(scene.link.sent()) == 2)
    reserve, settle = scene.link.sent()
    assert isinstance(reserve, Reserve)
    assert settle == Settle(reserve.id, (CLAIM,), 0)


async def test_what_was_admitted_is_given_back_when_the_caller_leaves_at_that_moment(scene: Scene) -> None:
    """L10: the answer is there and the caller cancelled before it took it."""
    future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
    scene.lane.ask = lambda _: future  # type: ignore[method-assign, assignment]  # the moment cannot be met otherwise
    task = asyncio.create_task(scene.reserve())
    await asyncio.sleep(0)
    future.set_result([1, MOMENT, POINTS, 0, 1])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: len(scene.link.sent()) == 1)
    (settle,) = scene.link.sent()
    assert isinstance(settle, Settle)
    assert settle.tokens == 0


async def test_places_are_given_back_when_the_fate_of_a_round_is_unknown(scene: Scene) -> None:
    """A place must not stay taken by a request that was never served; tokens are not refunded on suspicion."""
    scene.link.misses = 1
    await scene.reserve()
    reserve, settle, _ = scene.link.sent()
    assert isinstance(reserve, Reserve)
    assert settle == Settle(reserve.id, (CLAIM,), None)


async def test_settlements_go_first_when_the_server_is_back(scene: Scene) -> None:
    """What was finished during an outage is told before anything new is asked."""
    reserved = await scene.reserve()
    scene.link.fails = True
    for _ in range(3):
        await scene.reserve()
    await scene.limiter.settle(reserved, 40)
    await scene.limiter.settle(reserved, 40)
    scene.link.rounds.clear()
    scene.link.fails = False
    await until(lambda: not scene.limiter.degraded)
    await scene.reserve()
    settled = [
        command for command in scene.link.sent() if isinstance(command, Settle) and command.tokens == 40
    ]
    assert settled == [Settle(reserved.id, (CLAIM,), 40)]
    assert isinstance(scene.link.sent()[-1], Reserve)


async def test_settlements_are_sent_when_the_limiter_closes() -> None:
    """The last requests of a process give their places back."""
    scene = Scene()
    await scene.limiter.start()
    reserved = await scene.reserve()
    await scene.limiter.settle(reserved, 7)
    await scene.limiter.close()
    assert scene.link.sent()[-1] == Settle(reserved.id, (CLAIM,), 7)
    assert scene.limiter.degraded


async def test_what_never_ran_is_given_back_once() -> None:
    """The charge and its moment go back to the server; a second time, or a settlement after it, says nothing."""
    scene = Scene()
    await scene.limiter.start()
    reserved = await scene.reserve()
    await scene.limiter.give_back(reserved)
    await scene.limiter.give_back(reserved)
    await scene.limiter.settle(reserved, 7)
    await scene.limiter.close()
    assert scene.link.sent()[1:] == [GiveBack(reserved.id, (CLAIM,), MOMENT)]


async def test_what_never_ran_is_given_back_here_when_it_was_counted_here(scene: Scene) -> None:
    """L09: the server never knew of it."""
    scene.link.fails = True
    claim = Claim("org", 60, None, 3, 0)
    for _ in range(3):
        reserved = await scene.limiter.reserve((claim,))
        assert isinstance(reserved, Reservation)
        assert not reserved.shared
        await scene.limiter.give_back(reserved)
    assert not [command for command in scene.link.sent() if isinstance(command, GiveBack)]


# ---- places are renewed while their requests run


@pytest.fixture
async def beating() -> AsyncIterator[Scene]:
    """A started scene that beats all the time."""
    made = Scene(beat=0.001)
    await made.limiter.start()
    yield made
    made.link.gate.set()
    await made.limiter.close()


async def beats(scene: Scene, count: int) -> None:
    """Returns after so many more rounds."""
    least = len(scene.link.rounds) + count
    await until(lambda: len(scene.link.rounds) >= least)


async def test_all_that_runs_is_renewed_in_one_command_when_a_third_of_the_lease_is_over(
    beating: Scene,
) -> None:
    """One for a partition and a period, however many run there; nothing for those who hold no place, nothing before."""
    other = Claim("other", 60, None, 5, 0)
    running = [await beating.reserve() for _ in range(20)]
    ended = await beating.reserve()
    elsewhere = await beating.limiter.reserve((other, Claim("key", 60, None, None, 0)))
    await beating.limiter.reserve((Claim("free", 60, None, None, 0),))
    assert isinstance(elsewhere, Reservation)
    beating.clock.advance(9.9)
    await beats(beating, 3)
    assert beating.link.renewals() == []
    await beating.limiter.settle(ended, 1)
    beating.clock.advance(0.2)
    await beats(beating, 3)
    names = tuple(reservation.id for reservation in running)
    due = [Renew("org", "org", names, MICROS), Renew("other", "other", (elsewhere.id,), MICROS)]
    assert beating.link.renewals() == [due]
    beating.clock.advance(10.1)
    await beats(beating, 3)
    assert beating.link.renewals() == [due, due]


async def test_nothing_is_renewed_when_it_has_ended(beating: Scene) -> None:
    """Settled or given back, at whatever moment: also while a round is under way, the next one does not count it again."""
    settled, regretted, running = [await beating.reserve() for _ in range(3)]
    beating.link.gate.clear()
    beating.clock.advance(10.1)
    await beats(beating, 1)
    await beating.limiter.settle(settled, 1)
    await beating.limiter.give_back(regretted)
    beating.link.rounds.clear()
    beating.link.gate.set()
    await beats(beating, 2)
    beating.clock.advance(10.1)
    await beats(beating, 3)
    renewed = {name for renewals in beating.link.renewals() for renew in renewals for name in renew.ids}
    assert renewed == {running.id}


async def test_a_renewal_is_tried_again_when_its_round_failed(beating: Scene) -> None:
    """The places stay due until a server has said that it counts them."""
    reserved = await beating.reserve()
    beating.link.fails = True
    beating.clock.advance(10.1)
    await until(lambda: beating.limiter.degraded)
    assert beating.link.renewals()[0] == [Renew("org", "org", (reserved.id,), MICROS)]
    beating.link.rounds.clear()
    beating.link.fails = False
    await until(lambda: not beating.limiter.degraded)
    await until(lambda: bool(beating.link.renewals()))
    await beats(beating, 3)
    assert beating.link.renewals() == [[Renew("org", "org", (reserved.id,), MICROS)]]


async def test_everything_is_counted_again_before_others_ask_when_the_server_was_away(scene: Scene) -> None:
    """It may have forgotten what runs, however short the outage was."""
    reserved = await scene.reserve()
    scene.link.fails = True
    for _ in range(3):
        await scene.limiter.reserve((Claim("x", 60, None, None, 0),))
    scene.link.rounds.clear()
    scene.link.fails = False
    await until(lambda: not scene.limiter.degraded)
    await scene.reserve()
    renew, reserve = scene.link.sent()
    assert renew == Renew("org", "org", (reserved.id,), MICROS)
    assert isinstance(reserve, Reserve)


async def test_many_places_are_renewed_in_rounds(beating: Scene) -> None:
    """No round is so large that those who wait for it would miss their time."""
    wide = Claim("org", None, None, 10_000, 0)
    for _ in range(2 * BATCH + 5):
        await beating.limiter.reserve((wide,))
    beating.link.rounds.clear()
    beating.clock.advance(10.1)
    await until(lambda: len(beating.link.renewals()) == 3)
    assert [[len(renew.ids) for renew in renewals] for renewals in beating.link.renewals()] == [
        [BATCH],
        [BATCH],
        [5],
    ]
