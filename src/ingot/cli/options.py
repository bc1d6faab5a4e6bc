"""The options that several commands share, and what they stand for."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.output import fail
from ingot.config import ConfigError, from_disk
from ingot.pricing import parse_usd

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="The data directory; else INGOT_DATA, else what the configuration says."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The file; else INGOT_CONFIG, else ./ingot.toml if it is there."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]


def directory(data: Path | None, config: Path | None) -> Path:
    """The data directory; a configuration with faults elsewhere does not matter where --data says it."""
    if data is not None:
        return data.expanduser()
    try:
        loaded = from_disk(config, os.environ, directory=Path.cwd(), options={}, secrets=False)
    except ConfigError as error:
        fail("\n".join(str(each) for each in error.problems))
    return Path(loaded.config.server.data).expanduser()


def names(text: str) -> tuple[str, ...]:
    """The names in a list such as `a,b`."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def usd_amount(text: str, option: str) -> int:
    """An amount in USD as units of 1e-12 USD; wrong usage unless it is exact."""
    try:
        return parse_usd(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
