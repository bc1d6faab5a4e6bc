"""`ingot config`: check, show and describe the configuration, and write a first one.

Exit codes: 0 all is well, 1 the configuration has problems, 2 wrong usage. Results go to stdout, problems
and warnings to stderr, unless `--json` puts both into one object on stdout.
"""

import json
import os
import sys
from collections.abc import Sized
from pathlib import Path
from typing import Annotated, Any

import typer

from ingot import catalog
from ingot.app import embedded_models
from ingot.cli.options import ConfigOption, JsonOption
from ingot.config import ConfigError, Loaded, Problem, bind_problem, from_disk, redacted
from ingot.config.document import document, plain, simple
from ingot.config.problems import located
from ingot.config.reference import json_schema, page, template
from ingot.presets import load_all

app = typer.Typer(name="config", help="Check, show and describe the configuration.", no_args_is_help=True)


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check the configuration and list everything that is wrong; credential files and constitutions are read too."""
    loaded, problems = _loaded(config, secrets=True)
    if loaded and not problems:
        problems = [*_catalog_problems(loaded), *_preset_problems(loaded)]
    warnings = loaded.warnings if loaded else ()
    if as_json:
        _print_json(
            {
                "ok": not problems,
                "problems": [
                    {"where": each.where, "message": each.message, "line": each.line} for each in problems
                ],
                "warnings": list(warnings),
            }
        )
    else:
        _complain(problems, warnings)
    if problems or loaded is None:
        raise typer.Exit(1)
    if not as_json:
        counts = f"{_count(loaded.config.targets, 'target')}, {_count(loaded.config.models, 'model')}"
        print(f"ok: {loaded.file or 'no file, the defaults'}: {counts}")


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the configuration that counts: file, environment and defaults. Credentials are hidden."""
    loaded, problems = _loaded(config, secrets=False)
    if loaded is None:
        _complain(problems, ())
        raise typer.Exit(1)
    _complain([], loaded.warnings)
    shown = redacted(loaded.config)
    if as_json:
        _print_json(simple(plain(shown)))
    else:
        print(f"# {loaded.file or 'no file'}, INGOT_* and defaults\n\n{document(shown)}", end="")


@app.command()
def schema() -> None:
    """Print the JSON Schema of ingot.toml, for editors."""
    _print_json(json_schema())


@app.command()
def reference() -> None:
    """Print the reference of all configuration keys, in Markdown."""
    print(page(), end="")


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where to write it; - is stdout.")] = Path("ingot.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write an ingot.toml with every setting, explained and commented out."""
    if str(file) == "-":
        print(template(), end="")
        return
    try:
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(template())
    except FileExistsError:
        print(f"{file} is there already; --force replaces it", file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:
        print(f"cannot write {file}: {error.strerror}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"wrote {file}; `ingot config check` says whether it is right")


def _loaded(config: Path | None, *, secrets: bool) -> tuple[Loaded | None, list[Problem]]:
    """What a start would use, and what it would refuse."""
    try:
        loaded = from_disk(config, os.environ, directory=Path.cwd(), options={}, secrets=secrets)
    except ConfigError as error:
        return None, list(error.problems)
    public = bind_problem(loaded.config)
    return loaded, [Problem("server.host", public)] if public else []


def _catalog_problems(loaded: Loaded) -> list[Problem]:
    """What only shows when the models are put together with what the engine has."""
    try:
        catalog.build(loaded.config, embedded_models(loaded.config)[1], constitutions=loaded.constitutions)
    except ConfigError as error:
        return list(error.problems)
    return []


def _preset_problems(loaded: Loaded) -> list[Problem]:
    """What is wrong inside of presets, with lines."""
    config = loaded.config
    try:
        load_all((config.server.preset, *config.hosts.values()), config.presets)
    except ConfigError as error:
        text = "" if loaded.file is None else loaded.file.read_text(encoding="utf-8-sig")
        return located(list(error.problems), text)
    return []


def _count(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _complain(problems: list[Problem], warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for each in problems:
        print(f"error: {each}", file=sys.stderr)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
