"""Q14: hints end a wait early, in one process and over PostgreSQL; without any, a wait ends by itself."""

import asyncio

from ingot.signals.postgres import PostgresSignal
from ingot.signals.signal import ENDS, WORK, LocalSignal
from treasury import Lines


async def test_no_hint_is_missed_when_it_comes_before_the_wait() -> None:
    """What came since the mark ends the wait at once; another topic's hint does not."""
    signal = LocalSignal()
    mark = signal.mark(WORK)
    signal.send(WORK)
    await signal.wait(WORK, mark, 60.0)
    waiting = asyncio.create_task(signal.wait(WORK, signal.mark(WORK), 60.0))
    await asyncio.sleep(0)
    signal.send(ENDS)
    await asyncio.sleep(0)
    assert not waiting.done()
    signal.send(WORK)
    await waiting


async def test_wait_ends_when_no_hint_comes() -> None:
    """Hints only save time."""
    signal = LocalSignal()
    await signal.wait(WORK, signal.mark(WORK), 0.01)


async def test_other_processes_hear_when_they_share_postgresql(postgres: str) -> None:
    """A hint of one process wakes who waits in another."""
    one, other = PostgresSignal(postgres, log=Lines()), PostgresSignal(postgres, log=Lines())
    await one.start()
    await other.start()
    try:
        mark = other.mark(WORK)
        while other.mark(WORK) == mark:  # who listens is not known: it is said until it is heard
            one.send(WORK)
            await other.wait(WORK, mark, 0.2)
    finally:
        await one.close()
        await other.close()
