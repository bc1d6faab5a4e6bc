"""`ingot work`: works on the queue without serving, beside the servers that share a database."""

import asyncio
import functools
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from ingot import app
from ingot.cli.output import fail
from ingot.config import ConfigError, from_disk, redacted_url
from ingot.errors import ApiError
from ingot.store.faults import StoreError


def work(
    config: Annotated[
        Path | None, typer.Option(help="The file; else INGOT_CONFIG, else ./ingot.toml if it is there.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data directory; ~/.local/share/ingot unless set.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Most queued requests at once; 64 unless set.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="auto, json or console; auto is console on a terminal.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="The least severe level to log: debug, info, warning or error.")
    ] = None,
) -> None:
    """Work on the queue until SIGTERM, and listen nowhere. Any number of these share a PostgreSQL with the servers."""
    options: dict[str, object | None] = {
        "server.data": data,
        "worker.enabled": True,
        "worker.concurrency": concurrency,
        "server.log_format": log_format,
        "server.log_level": log_level,
    }
    load = functools.partial(from_disk, config, os.environ, directory=Path.cwd(), options=options)
    try:
        running = app.work(load(), environ=os.environ, reload=load, greet=greet)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(running)
    except (ConfigError, StoreError, ApiError) as error:
        fail(str(error))


def greet(working: app.App) -> None:
    """Says which queue it is."""
    config = working.runtime.config
    where = redacted_url(config.server.database) if config.server.database else f"{config.server.data}"
    sys.stdout.write(f"\nIngot works on the queue in {where}\n")
    sys.stdout.flush()
