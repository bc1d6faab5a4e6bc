"""`ingot presets`: what the server can stand in for; show, check and compare presets.

A preset is one that ships, one of `[presets.NAME]` in the configuration, or a file.
Exit codes: 0 all is well, 1 a preset has problems or is not there, 2 wrong usage.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ingot.cli.options import ConfigOption, JsonOption
from ingot.cli.output import fail, print_json
from ingot.config import ConfigError, Problem, from_disk
from ingot.config.document import simple
from ingot.presets import Preset, load, names, page, parse

app = typer.Typer(
    name="presets",
    help="Show, check and compare presets: whose rules a server follows.",
    no_args_is_help=True,
)

Which = Annotated[str, typer.Argument(help="A preset's name, or a file.")]
Own = Mapping[str, dict[str, Any]]


@app.command("list")
def list_presets(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the presets that ship, and those of the configuration."""
    own = _own(config)
    presets = [_named(name, own) for name in (*names(), *own)]
    if as_json:
        print_json([{"name": each.name, "about": each.about, "extends": each.extends} for each in presets])
        return
    width = max(len(each.name) for each in presets)
    for each in presets:
        print(f"{each.name:<{width}}  {each.about}")


@app.command()
def show(name: Which, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print a preset together with all that it extends."""
    preset = _preset(name, config)
    if as_json:
        print_json(simple(preset.tree))
    else:
        print(page.text(preset.tree), end="")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The file.")],
    as_json: JsonOption = False,
) -> None:
    """Check a preset's file and list everything that is wrong."""
    problems = _problems(file)
    if as_json:
        told = [{"where": each.where, "message": each.message, "line": each.line} for each in problems]
        print_json({"ok": not problems, "problems": told})
    for each in () if as_json else problems:
        print(f"error: {each}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)
    if not as_json:
        print(f"ok: {file}")


@app.command()
def diff(first: Which, second: Which, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print what tells two presets apart: a line for each key."""
    found = page.differences(_preset(first, config), _preset(second, config))
    if as_json:
        print_json([{"key": key, "first": old or None, "second": new or None} for key, old, new in found])
        return
    for key, old, new in found:
        print(f"{key}: {old or 'not set'} -> {new or 'not set'}")


def _preset(which: str, config: Path | None) -> Preset:
    """The preset of a name, or in a file."""
    if which in names():
        return load(which)
    own = _own(config)
    if which in own or not Path(which).is_file():
        return _named(which, own)
    try:
        return parse(Path(which).stem, _text(Path(which)))
    except ConfigError as error:
        fail("\n".join(str(each) for each in error.problems))


def _named(name: str, own: Own) -> Preset:
    try:
        return load(name, own)
    except ConfigError as error:
        fail("\n".join(str(each) for each in error.problems))


def _own(config: Path | None) -> Own:
    """The presets of the configuration."""
    try:
        loaded = from_disk(config, os.environ, directory=Path.cwd(), options={}, secrets=False)
    except ConfigError as error:
        fail("\n".join(str(each) for each in error.problems))
    return loaded.config.presets


def _problems(file: Path) -> tuple[Problem, ...]:
    try:
        parse(file.stem, _text(file))
    except ConfigError as error:
        return error.problems
    return ()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        fail(f"cannot read {file}: {reason}")
