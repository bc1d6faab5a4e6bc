"""What runs beside the requests for as long as a process serves: a fault is logged, and the work begins anew.

Decides that no such loop ends because of one bad row. Refuses to know what the work is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ingot.logs import Log

RESTART_SECONDS: Final = 5.0


async def endure(
    work: Callable[[], Awaitable[object]], *, name: str, log: Log, pause: float = RESTART_SECONDS
) -> None:
    """Does `work` until it returns of itself or is cancelled; what it raises is logged, and it begins anew."""
    while True:
        try:
            await work()
        except Exception as error:  # logged; nobody waits for this task, so it would end unheard
            log.error("upkeep_failed", work=name, exc_info=error)
            await asyncio.sleep(pause)
        else:
            return
