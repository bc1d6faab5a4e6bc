"""Work on many bytes, beside the event loop: one client's long prompt stalls no other's stream."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

LARGE: Final = 256 * 1024
"""Bytes above which work leaves the event loop."""

T = TypeVar("T")


async def apart(size: int, work: Callable[[], T]) -> T:
    """Runs `work` here, or on a thread where it is about more than `LARGE` bytes."""
    if size <= LARGE:
        return work()
    return await asyncio.get_running_loop().run_in_executor(None, work)
