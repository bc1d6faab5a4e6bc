"""What the commands that run until they are stopped have in common: their options, and how they end."""

import asyncio
import functools
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from ingot.cli.output import fail
from ingot.config import ConfigError, Loaded, from_disk
from ingot.errors import ApiError
from ingot.store.faults import StoreError

ConfigFile = Annotated[
    Path | None, typer.Option(help="The file; else INGOT_CONFIG, else ./ingot.toml if it is there.")
]
DataDirectory = Annotated[
    Path | None, typer.Option(help="The data directory; ~/.local/share/ingot unless set.")
]
LogFormat = Annotated[str | None, typer.Option(help="auto, json or console; auto is console on a terminal.")]
LogLevel = Annotated[
    str | None, typer.Option(help="The least severe level to log: debug, info, warning or error.")
]

Load = Callable[[], Loaded]
Start = Callable[[Load, Mapping[str, str]], Coroutine[Any, Any, None]]
"""Makes the process of a configuration, which it may read again, and of the environment."""


def run(start: Start, config: Path | None, options: Mapping[str, object | None]) -> None:
    """Runs it to its end; what keeps it from starting is told, with exit code 1."""
    load = functools.partial(from_disk, config, os.environ, directory=Path.cwd(), options=options)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(start(load, os.environ))
    except (ConfigError, StoreError, ApiError) as error:
        fail(str(error))
