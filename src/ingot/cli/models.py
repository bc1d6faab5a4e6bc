"""`ingot models`: get models from a hub, the web or a file, see what is there, remove it.

Works on the data directory, whether a server runs on it or not; a running one takes new models at its next start or
SIGHUP. Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Results go to stdout, progress and hints to stderr.
"""

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from ingot.cli.options import ConfigOption, DataOption, JsonOption, directory
from ingot.cli.output import fail, print_json
from ingot.upstream.engine.machine import free_memory
from ingot.upstream.weights.fetch import Room, human, pull
from ingot.upstream.weights.gguf import GgufError, read_header
from ingot.upstream.weights.library import Library, LibraryError, Model, Unreadable
from ingot.upstream.weights.sources import Candidate, Hub, resolve
from ingot.upstream.weights.web import PullError, Web

app = typer.Typer(name="models", help="Pull, list, show and remove local models.", no_args_is_help=True)

SHA256_DIGITS = 64
LINE_EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""


@app.command("pull")
def pull_model(
    source: Annotated[
        str, typer.Argument(help="hf:ORG/REPO, hf:ORG/REPO:QUANT, an https address of a GGUF, or a file.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="What the model is called here; else its file's name.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="The sha256 sum that the file must have.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing, and pull even what may not fit into memory.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", envvar="INGOT_OFFLINE", help="Use no network: files only.")
    ] = False,
    allow_http: Annotated[
        bool, typer.Option("--allow-http", help="Permit plain http to other machines.")
    ] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Get a model. A pull that was cut is resumed; the file is checked and is there whole or not at all."""
    if sha256 is not None and (
        len(sha256) != SHA256_DIGITS or not set(sha256.lower()) <= set("0123456789abcdef")
    ):
        raise typer.BadParameter("a sha256 sum has 64 hexadecimal digits", param_hint="--sha256")
    library = Library(directory(data, config))
    web = Web(allow_http=allow_http)
    console = Console(stderr=True)
    try:
        candidate = resolve(source, web=web, hub=Hub.of(os.environ), offline=offline)
        candidate = replace(candidate, name=name) if name else candidate
        library.path_of(candidate.name)
        announce(candidate, console)
        with watching(console, candidate.name, yes=yes) as watcher:
            model = pull(
                candidate, library, web=web, watcher=watcher, room=Room(memory=free_memory()), sha256=sha256
            )
    except (PullError, LibraryError) as problem:
        fail(str(problem))
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from here", status=130)
    if as_json:
        print_json(model.manifest)
        return
    print(f"{model.name} is at {model.path}")
    if not candidate.licence:
        licence = model.manifest.licence or "not named by the file; see where it came from"
        print(f"Its licence: {licence}", file=sys.stderr)
    print("A server that runs takes it up at its next start, or at once with SIGHUP.", file=sys.stderr)


@app.command("list")
def list_models(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """List the local models, the bundled one first."""
    found = list(Library(directory(data, config)).look())
    models = [each for each in found if isinstance(each, Model)]
    if as_json:
        print_json([record(model) for model in models])
    else:
        Console().print(table(models))
    for each in found:
        if isinstance(each, Unreadable):
            print(f"{each.path} is no model: {each.reason}", file=sys.stderr)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The model's name, as `ingot models list` shows it.")],
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show what is known of a model, and the memory that it needs."""
    model = Library(directory(data, config)).find(name)
    if model is None:
        fail(f"there is no model {name}; `ingot models list` shows what there is")
    known = record(model) | {"sha256": model.manifest.sha256 or digest(model.path)} | memory(model)
    if as_json:
        print_json(known)
        return
    for key, value in known.items():
        print(f"{key:16} {readable(key, value)}")


@app.command()
def rm(
    name: Annotated[str, typer.Argument(help="The model's name, as `ingot models list` shows it.")],
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove a model, complete or cut off in the middle of its pull."""
    try:
        freed = Library(directory(data, config)).remove(name)
    except LibraryError as problem:
        fail(str(problem))
    if as_json:
        print_json({"name": name, "removed": True, "freed_bytes": freed})
    else:
        print(f"removed {name}, {human(freed)} are free again")


class Lines:
    """Progress as plain lines, for logs and pipes; asks nothing, so that a problem is a refusal without --yes."""

    def __init__(self, console: Console, *, yes: bool) -> None:
        self._console = console
        self._yes = yes
        self._done = 0
        self._total: int | None = None
        self._said_at = time.monotonic()

    def begin(self, done: int, total: int | None) -> None:
        """The bytes there are already, and all there will be."""
        self._done, self._total = done, total
        if done:
            self.note(f"going on at {human(done)}")

    def advance(self, count: int) -> None:
        """A line now and then."""
        self._done += count
        now = time.monotonic()
        if now - self._said_at >= LINE_EVERY or self._done == self._total:
            self._said_at = now
            share = f" of {human(self._total)} ({100 * self._done // self._total} %)" if self._total else ""
            self.note(f"{human(self._done)}{share}")

    def note(self, text: str) -> None:
        """One line to stderr."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def agree(self, problem: str) -> bool:
        """Only --yes agrees."""
        if self._yes:
            self.note(f"{problem}; going on, as --yes says")
        return self._yes


class Bar(Lines):
    """Progress as a bar with bytes, rate and time left; problems are asked about."""

    def __init__(self, console: Console, bar: Progress, name: str, *, yes: bool) -> None:
        super().__init__(console, yes=yes)
        self._bar = bar
        self._task = bar.add_task(escape(name), total=None)

    def begin(self, done: int, total: int | None) -> None:
        """Sets the bar; bytes of an earlier pull do not count for the rate."""
        self._bar.reset(self._task, completed=done, total=total)

    def advance(self, count: int) -> None:
        """Moves the bar."""
        self._bar.advance(self._task, count)

    def agree(self, problem: str) -> bool:
        """Asks the person at the terminal."""
        if self._yes:
            return super().agree(problem)
        self._bar.stop()
        agreed = typer.confirm(f"{problem}. Pull it anyway?", default=False, err=True)
        self._bar.start()
        return agreed


@contextmanager
def watching(console: Console, name: str, *, yes: bool) -> Iterator[Lines]:
    """A bar on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield Lines(console, yes=yes)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield Bar(console, bar, name, yes=yes)


def announce(candidate: Candidate, console: Console) -> None:
    """Says what is about to come, from where and under which licence."""
    size = human(candidate.size) if candidate.size is not None else "size unknown"
    licence = f", licence {candidate.licence}" if candidate.licence else ""
    text = f"{candidate.name}: {size} from {candidate.source}{licence}"
    console.print(escape(text), highlight=False, soft_wrap=True)


def record(model: Model) -> dict[str, object]:
    """A model as JSON: its manifest, where it is, and whether it came with the package."""
    label = "bundled-demo" if model.demo else "local"
    return {**msgspec.structs.asdict(model.manifest), "path": str(model.path), "owned_by": label}


def memory(model: Model) -> dict[str, object]:
    """The memory that a model wants, at 4k tokens and at its whole context."""
    try:
        header = read_header(model.path)
    except (OSError, GgufError):
        return {}
    contexts = sorted({4_096, header.context_length or 4_096})
    return {f"memory_at_{context}": header.memory(model.manifest.size, context) for context in contexts}


def readable(key: str, value: object) -> str:
    """A value of `show` for people."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and (key == "size" or key.startswith("memory_")):
        return human(value)
    if isinstance(value, int) and key == "pulled_at":
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{value:,}" if isinstance(value, int) else str(value)


def digest(path: Path) -> str:
    """The sha256 sum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table(models: list[Model]) -> Table:
    """All models, one a row."""
    rows = Table("name", "size", "parameters", "quantization", "context", "source", box=None, pad_edge=False)
    for model in models:
        known = model.manifest
        context = "unknown" if known.context_length is None else f"{known.context_length:,}"
        rows.add_row(
            escape(model.name), human(known.size), f"{known.parameters / 1e6:,.0f} M", known.quantization, context,
            escape(known.source),
        )  # fmt: skip
    return rows
