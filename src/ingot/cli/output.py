"""How every command speaks: results to stdout, problems to stderr with exit status 1, JSON where asked."""

import sys
from typing import Any, NoReturn

import msgspec
import typer


def fail(message: str, *, status: int = 1) -> NoReturn:
    """Ends the command with a message that says what to do next."""
    sys.stderr.write(f"ingot: {message}\n")
    raise typer.Exit(status)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
