"""Failed items pause beside others that work, and only as long as these do."""

import asyncio

from ingot.worker.course import Together


async def test_pause_ends_by_itself_when_others_still_work() -> None:
    """Who pauses for no time at all is let go on: another is at work."""
    together = Together(2)
    together.end()
    assert await together.pause(0.0)
    together.begin()
    assert together.active == 2


async def test_pause_is_broken_off_when_nobody_works_any_more() -> None:
    """The last one that works sends all away who pause, and nobody pauses from then on."""
    together = Together(3)
    pauses = [asyncio.create_task(together.pause(1e9)) for _ in range(2)]
    together.end()
    together.end()
    await asyncio.sleep(0)
    assert not any(each.done() for each in pauses)
    together.end()
    assert await asyncio.gather(*pauses) == [False, False]
    assert not await together.pause(1e9)


async def test_pause_is_broken_off_when_the_lease_is_lost() -> None:
    """Whatever still runs of the job: no other try is begun."""
    together = Together(2)
    pausing = asyncio.create_task(together.pause(1e9))
    await asyncio.sleep(0)
    together.still()
    assert not await pausing
    assert together.active == 2
