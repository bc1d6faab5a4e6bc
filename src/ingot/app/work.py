"""The worker of a process, with the dialects of every preset that its hosts have: they are what stored work is read with."""

from collections.abc import Mapping
from dataclasses import replace

from ingot.presets import Preset, dressed
from ingot.services.runtime import Runtime
from ingot.services.work import Dialects
from ingot.web.surfaces import DIALECTS
from ingot.worker.loop import Pace, Worker


def open_worker(runtime: Runtime, chosen: Mapping[str, Preset]) -> Worker:
    """The worker; `chosen` has the presets by name."""
    return Worker(runtime, _dialects(chosen), pace=Pace(concurrency=runtime.config.worker.concurrency))


def _dialects(chosen: Mapping[str, Preset]) -> Dialects:
    """Each dialect as each preset dresses it. What was stored passed the preset's rules when it came."""
    return {
        (preset.name, name): replace(dressed(dialect, preset), decode=dialect.decode)
        for preset in chosen.values()
        for name, dialect in DIALECTS
        if preset.offers(name)
    }
