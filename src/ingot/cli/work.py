"""`ingot work`: works on the queue without serving, beside the servers that share a database."""

import sys
from typing import Annotated

import typer

from ingot import app
from ingot.cli.process import ConfigFile, DataDirectory, LogFormat, LogLevel, run
from ingot.config import redacted_url


def work(
    config: ConfigFile = None,
    data: DataDirectory = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Most queued requests at once; 64 unless set.")
    ] = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Work on the queue until SIGTERM, and listen nowhere. Any number of these share a PostgreSQL with the servers."""
    options: dict[str, object | None] = {
        "server.data": data,
        "worker.enabled": True,
        "worker.concurrency": concurrency,
        "server.log_format": log_format,
        "server.log_level": log_level,
    }
    run(lambda load, environ: app.work(load(), environ=environ, reload=load, greet=greet), config, options)


def greet(working: app.App) -> None:
    """Says which queue it is."""
    config = working.runtime.config
    where = redacted_url(config.server.database) if config.server.database else f"{config.server.data}"
    sys.stdout.write(f"\nIngot works on the queue in {where}\n")
    sys.stdout.flush()
