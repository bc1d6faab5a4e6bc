"""The worker of a process, with the dialects of every preset that its hosts have: they are what stored work is read with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from ingot.presets import Preset, dressed
from ingot.services.runtime import Runtime
from ingot.services.work import Dialects
from ingot.web.surfaces import DIALECTS
from ingot.worker.loop import Pace, Worker


@contextlib.asynccontextmanager
async def open_worker(runtime: Runtime, chosen: Mapping[str, Preset]) -> AsyncIterator[Worker | None]:
    """The worker, at work; None where this process leaves the queue to others. `chosen` has the presets by name."""
    config = runtime.config.worker
    if not config.enabled:
        yield None
        return
    worker = Worker(runtime, _dialects(chosen), pace=Pace(concurrency=config.concurrency))
    working = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        await worker.close()
        await asyncio.gather(working, return_exceptions=True)


def _dialects(chosen: Mapping[str, Preset]) -> Dialects:
    """Each dialect as each preset dresses it. What was stored passed the preset's rules when it came."""
    return {
        (preset.name, name): replace(dressed(dialect, preset), decode=dialect.decode)
        for preset in chosen.values()
        for name, dialect in DIALECTS
        if preset.offers(name)
    }
