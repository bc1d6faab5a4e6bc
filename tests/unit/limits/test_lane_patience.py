"""How long a round is waited for, where this very process was late to look."""

import asyncio
import time

from ingot.limits.lane import Answer, answered


async def test_an_answer_counts_when_this_process_was_late_to_read_it() -> None:
    """L09: a process that stood still learns nothing of the server by that."""

    async def answer() -> list[Answer]:
        time.sleep(0.2)  # the process stands still
        for _ in range(5):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        return [[1]]

    task = asyncio.create_task(answer())
    assert await answered(task, 0.05)

    async def never() -> list[Answer]:
        await asyncio.Event().wait()
        return []

    silent = asyncio.create_task(never())
    assert not await answered(silent, 0.01)
    silent.cancel()
