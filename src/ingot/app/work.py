"""The worker of a process, with the dialects of every preset that its hosts have: they are what stored work is read with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from ingot.app.platform import Platform
from ingot.presets import Preset, dressed
from ingot.services.batches import filing
from ingot.services.batches.filing import Filing
from ingot.services.runtime import Runtime
from ingot.services.work import Dialects
from ingot.upkeep import endure
from ingot.web.batches import batched
from ingot.web.surfaces import DIALECTS
from ingot.worker.keeper import Keeper
from ingot.worker.loop import Pace, Worker


@contextlib.asynccontextmanager
async def open_worker(
    runtime: Runtime, chosen: Mapping[str, Preset], *, parts: Platform
) -> AsyncIterator[Worker | None]:
    """The worker, at work; None where this process leaves the queue to others. `chosen` has the presets by name."""
    config = runtime.config.worker
    if not config.enabled:
        yield None
        return
    worker = Worker(runtime, _dialects(chosen), pace=Pace(concurrency=config.concurrency))
    files = Filing(lambda: worker.runtime, parts.database, parts.files, _by_path(chosen), chosen)
    working = asyncio.create_task(endure(worker.run, name="worker", log=runtime.log))
    keeper = Keeper(files, parts.database)
    keeping = asyncio.create_task(endure(keeper.run, name="batches", log=runtime.log))
    try:
        yield worker
    finally:
        await worker.close()
        keeping.cancel()
        await asyncio.gather(working, keeping, return_exceptions=True)


def _by_path(chosen: Mapping[str, Preset]) -> filing.Dialects:
    """What batches of each preset may be for, by path."""
    return {
        (preset.name, path): dialect
        for preset in chosen.values()
        for path, dialect in batched(preset).items()
    }


def _dialects(chosen: Mapping[str, Preset]) -> Dialects:
    """Each dialect as each preset dresses it. What was stored passed the preset's rules when it came."""
    return {
        (preset.name, name): replace(dressed(dialect, preset), decode=dialect.decode)
        for preset in chosen.values()
        for name, dialect in DIALECTS
        if preset.offers(name)
    }
