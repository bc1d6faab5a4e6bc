"""One process that works on the queue and listens nowhere.

open    the same parts as a serving process
work    until a signal; SIGHUP replaces models and targets, as there
close   takes nothing new, waits for what runs, gives back the rest
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Mapping

from ingot.app.paths import data_directory
from ingot.app.process import App, Reload, open_log, opened
from ingot.clock import SystemClock
from ingot.config import Loaded
from ingot.store.hold import hold


async def work(
    loaded: Loaded, *, environ: Mapping[str, str], reload: Reload, greet: Callable[[App], None]
) -> None:
    """Works until SIGTERM or SIGINT; `greet` is called once it does. Raises ConfigError, StoreError."""
    config = loaded.config
    loop = asyncio.get_running_loop()
    sink, log = open_log(loaded)
    ending = asyncio.Event()
    with hold(data_directory(config), config.server.database):
        async with opened(loaded, environ=environ, log=log, sink=sink, clock=SystemClock()) as app:
            loop.add_signal_handler(signal.SIGHUP, app.reload, reload)
            for each in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(each, ending.set)
            greet(app)
            log.info("working", models=len(app.runtime.catalog.deployments))
            await ending.wait()
            app.drain()
            if app.worker is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(app.worker.idle(), config.server.drain_seconds)
    log.info("stopped")
    sink.later = None
    sink.flush()
