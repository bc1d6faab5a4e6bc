"""What a lane does when a link or it itself fails in a way that nobody foresaw: it goes on, nobody waits for it, and the log says so."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ingot.limits.gcra import POINTS
from ingot.limits.lane import Answer, LinkFault, Reserve, Settle, in_time
from ingot.limits.places import Renew
from lanehouse import CLAIM, MICROS, MOMENT, NODES, Scene, until

SOON = 10.0
"""No caller waits that long for anything here."""


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A started scene."""
    made = Scene()
    await made.limiter.start()
    yield made
    made.link.gate.set()
    await made.limiter.close()


def faults(scene: Scene) -> list[type[Exception]]:
    """What the log has of the lane's failures."""
    assert all((event, fields["work"]) == ("upkeep_failed", "limits") for event, fields in scene.log.said)
    return [type(fields["exc_info"]) for _, fields in scene.log.said]


async def test_the_server_decides_when_a_driver_breaks_once(scene: Scene) -> None:
    """The caller asks again like after any miss; the connection is given up, and the log has the fault."""
    scene.link.breaks = [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd")]
    async with asyncio.timeout(SOON):
        reservation = await scene.reserve()
    assert reservation.shared
    assert not scene.limiter.degraded
    assert faults(scene) == [UnicodeDecodeError]
    assert scene.link.given_up == 1


async def test_each_counts_for_itself_when_a_driver_stays_broken(scene: Scene) -> None:
    """L09: nobody waits for ever, nobody counts alone without a word, and the lane comes back by itself."""
    scene.link.breaks = [ValueError("a bug")] * 5
    async with asyncio.timeout(SOON):
        reservations = await asyncio.gather(*[scene.reserve() for _ in range(3)])
    assert {(each.shared, each.share) for each in reservations} == {(False, NODES)}
    assert scene.told == [(True, "ValueError: a bug")]
    await until(lambda: not scene.limiter.degraded)
    assert faults(scene) == [ValueError] * 5
    assert scene.told[1:] == [(False, "The server of the limits answers again.")]
    assert (await scene.reserve()).shared


async def test_nothing_is_sent_again_when_a_driver_broke(scene: Scene) -> None:
    """One of the commands may be what breaks it: what they may have taken runs out with its lease."""
    running = await scene.reserve()
    scene.link.rounds.clear()
    scene.link.breaks = [KeyError("a command of a kind that it does not know")]
    await scene.limiter.settle(running, 5)
    await until(lambda: bool(scene.log.said))
    await scene.reserve()
    settled = [command for command in scene.link.sent() if isinstance(command, Settle)]
    assert settled == [Settle(running.id, (CLAIM,), 5)]


@pytest.mark.parametrize(
    ("junk", "said"),
    [
        ([[]], ValueError),
        ([[1, MOMENT, POINTS]], ValueError),
        ([[1, MOMENT, POINTS, 0, 1, 0]], ValueError),
        ([], ValueError),
        ([None], TypeError),
        ([7], TypeError),
    ],
)
async def test_answer_that_is_none_is_a_miss(scene: Scene, junk: list[Answer], said: type[Exception]) -> None:
    """It is no decision: nobody is let in by it, and three of them are an outage that is told."""
    scene.link.junk = junk
    async with asyncio.timeout(SOON):
        reservation = await scene.reserve()
    assert not reservation.shared
    assert scene.limiter.degraded
    assert [down for down, _ in scene.told] == [True]
    assert faults(scene)[:3] == [said] * 3
    scene.link.junk = None
    await until(lambda: not scene.limiter.degraded)
    assert (await scene.reserve()).shared


async def test_callers_hear_of_it_when_the_lane_itself_fails(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those whose round was answered and never told, and those behind them."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    scene.link.rounds.clear()
    scene.link.gate.clear()
    first = asyncio.create_task(scene.reserve())
    await until(lambda: bool(scene.link.rounds))
    second = asyncio.create_task(scene.reserve())
    await asyncio.sleep(0)
    with monkeypatch.context() as patched:
        patched.setattr(scene.lane.places, "renewed", broken)
        scene.link.gate.set()
        async with asyncio.timeout(SOON):
            reservations = [await first, await second]
    assert [each.shared for each in reservations] == [False, False]
    assert scene.told[0] == (True, "RuntimeError: a bug of ours")
    await until(lambda: not scene.limiter.degraded)
    assert faults(scene) == [RuntimeError]
    assert (await scene.reserve()).shared


async def test_lane_goes_on_when_what_hears_of_it_fails(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a log whose disk is full."""

    def broken(*_: object) -> None:
        raise OSError("no space")

    scene.link.fails = True
    with monkeypatch.context() as patched:
        patched.setattr(scene.lane, "_notify", broken)
        async with asyncio.timeout(SOON):
            assert not (await scene.reserve()).shared
        await until(lambda: bool(scene.log.said))
    scene.link.fails = False
    await until(lambda: not scene.limiter.degraded)
    assert set(faults(scene)) == {OSError}
    assert (await scene.reserve()).shared


async def test_beats_go_on_when_one_fails() -> None:
    """What runs is renewed after it as before."""
    scene = Scene(beat=0.001)
    await scene.limiter.start()
    running = await scene.reserve()
    ask = scene.lane.ask

    def broken(_: object) -> object:
        scene.lane.ask = ask  # type: ignore[method-assign]  # once
        raise ZeroDivisionError

    scene.lane.ask = broken  # type: ignore[method-assign, assignment]  # a bug cannot be had otherwise
    await until(lambda: bool(scene.log.said))
    assert faults(scene) == [ZeroDivisionError]
    scene.clock.advance(10.1)
    await until(lambda: bool(scene.link.renewals()))
    assert scene.link.renewals() == [[Renew("org", "org", (running.id,), MICROS)]]
    await scene.limiter.close()


async def test_a_lane_starts_down_when_its_driver_is_broken() -> None:
    """L09: a start does not fail, and the log has why."""
    scene = Scene()
    scene.link.breaks = [ValueError("a bug")]
    await scene.limiter.start()
    assert scene.limiter.degraded
    assert scene.told == [(True, "ValueError: a bug")]
    await until(lambda: not scene.limiter.degraded)
    assert faults(scene) == [ValueError]
    await scene.limiter.close()


async def test_a_lane_closes_when_its_driver_breaks_on_what_is_owed() -> None:
    """Whoever closes has more to close; and the log has why places stay taken for a lease."""
    scene = Scene()
    await scene.limiter.start()
    running = await scene.reserve()
    scene.link.breaks = [ValueError("a bug")]
    await scene.limiter.settle(running, 7)
    await scene.limiter.close()
    assert faults(scene) == [ValueError]
    assert [type(command) for command in scene.link.sent()] == [Reserve, Settle]


async def test_a_round_failed_when_its_driver_gives_it_up() -> None:
    """A driver that cancels its own work must not look like somebody who cancels ours."""
    abandoned: list[asyncio.Task[list[Answer]]] = []

    async def gives_up() -> list[Answer]:
        raise asyncio.CancelledError

    async def abandon(task: asyncio.Task[list[Answer]]) -> None:
        abandoned.append(task)

    with pytest.raises(LinkFault, match="Valkey: the driver gave the round up"):
        await in_time(gives_up(), 5.0, server="Valkey", abandon=abandon)
    assert len(abandoned) == 1
