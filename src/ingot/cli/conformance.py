"""`ingot conformance URL`: whether a server keeps the rules of the service that a preset stands in for.

Reads options and shows verdicts; what is tried and how is `ingot.conformance`.
Exit codes: 0 no row is red, 1 a row is red or the server cannot be reached, 2 wrong usage. Verdicts go to stdout, the
progress to stderr.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ingot.cli.options import JsonOption, names
from ingot.cli.output import fail, print_json
from ingot.config import PRESETS
from ingot.conformance import (
    Address,
    Means,
    Patience,
    Row,
    Subject,
    Unreachable,
    Verdict,
    known,
    rows_for,
    run,
)

COLORS: Final = {"pass": "green", "fail": "red", "skip": "yellow"}


Url = Annotated[
    str, typer.Argument(help="Base URL, as http://127.0.0.1:5150/v1; without a path /v1 is meant.")
]
PresetOption = Annotated[str, typer.Option("--preset", "-p", help="Whose rules: a preset that ships.")]
KeyOption = Annotated[
    str | None, typer.Option("--key", envvar="INGOT_API_KEY", help="The API key.", show_envvar=True)
]
ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="The model to ask; else the first that the server lists.")
]
OnlyOption = Annotated[str, typer.Option("--only", help="Try these rows alone, as S4-85,X3.")]
HostOption = Annotated[
    str | None, typer.Option("--host", help="The Host header to send; else the one of the URL.")
]
OtherKey = Annotated[
    str | None,
    typer.Option(
        "--other-key",
        envvar="INGOT_OTHER_KEY",
        help="A key of another account; some rows need one.",
        show_envvar=True,
    ),
]
FreeKey = Annotated[
    str | None,
    typer.Option(
        "--free-key",
        envvar="INGOT_FREE_KEY",
        help="A key of an account on the smallest plan, silent for a minute.",
        show_envvar=True,
    ),
]
EmptyKey = Annotated[
    str | None,
    typer.Option(
        "--empty-key",
        envvar="INGOT_EMPTY_KEY",
        help="A key of an account with a balance of zero.",
        show_envvar=True,
    ),
]
NarrowKey = Annotated[
    str | None,
    typer.Option(
        "--narrow-key",
        envvar="INGOT_NARROW_KEY",
        help="A key of an account whose plan has fewer models.",
        show_envvar=True,
    ),
]
ImageModel = Annotated[str | None, typer.Option("--image-model", help="A model that reads images.")]
TextModel = Annotated[str | None, typer.Option("--text-model", help="A model that reads text only.")]
EmbeddingsModel = Annotated[str | None, typer.Option("--embeddings-model", help="A model for embeddings.")]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", min=1, help="Seconds without a byte after which a request has failed."),
]


def conformance(
    url: Url,
    preset: PresetOption = "open",
    key: KeyOption = None,
    model: ModelOption = None,
    only: OnlyOption = "",
    host: HostOption = None,
    other_key: OtherKey = None,
    free_key: FreeKey = None,
    empty_key: EmptyKey = None,
    narrow_key: NarrowKey = None,
    image_model: ImageModel = None,
    text_model: TextModel = None,
    embeddings_model: EmbeddingsModel = None,
    timeout: TimeoutOption = 300.0,
    as_json: JsonOption = False,
) -> None:
    """Try the rules of a preset against any server, row by row; each request is really answered, and paid."""
    rows = _rows(preset, only)
    means = Means(
        other_key=other_key,
        free_key=free_key,
        empty_key=empty_key,
        narrow_key=narrow_key,
        image_model=image_model,
        text_model=text_model,
        embeddings_model=embeddings_model,
    )
    try:
        address = Address.parse(url, host=host)
        patience = Patience(first_byte=timeout, idle=timeout)
        subject = Subject(preset, address, key or "", model or "", means, patience)
        subject, verdicts = asyncio.run(_try(subject, rows))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except Unreachable as error:
        fail(str(error))
    counts = Counter[str](verdict.result for verdict in verdicts)
    if as_json:
        shown = {"url": url, "preset": preset, "model": subject.model, **_counted(counts)}
        print_json({**shown, "rows": [asdict(verdict) for verdict in verdicts]})
    else:
        _show(verdicts, counts, title=f"{preset} at {url}, model {subject.model}")
    if counts["fail"]:
        raise typer.Exit(1)


def _rows(preset: str, only: str) -> tuple[Row, ...]:
    """The rows to try; wrong usage where there is no such preset or row."""
    if preset not in PRESETS:
        raise typer.BadParameter(f"no such preset; there are {', '.join(PRESETS)}", param_hint="--preset")
    rows = rows_for(preset)
    wanted = names(only)
    if not wanted:
        return rows
    mine = {row.id for row in rows}
    for name in wanted:
        if not known(name):
            raise typer.BadParameter(f"no row is named {name}", param_hint="--only")
        if name not in mine:
            raise typer.BadParameter(f"{name} is no row of {preset}", param_hint="--only")
    return tuple(row for row in rows if row.id in wanted)


async def _try(subject: Subject, rows: tuple[Row, ...]) -> tuple[Subject, list[Verdict]]:
    """The verdicts, and the subject with the model that was asked."""
    if not subject.model:
        subject = replace(subject, model=await _first_model(subject))
    verdicts = []
    with ExitStack() as stack:
        tell = _progress(stack, len(rows))
        async for verdict in run(subject, rows):
            verdicts.append(verdict)
            tell(verdict)
    return subject, verdicts


async def _first_model(subject: Subject) -> str:
    answer = await subject.call("GET", "/models")
    data = answer.value.get("data")
    listed = [each["id"] for each in data if "id" in each] if isinstance(data, list) else []
    if not listed:
        fail(f"the server lists no model ({answer}): name one with --model, and a key with --key")
    return str(listed[0])


def _progress(stack: ExitStack, count: int) -> Callable[[Verdict], None]:
    """What to call after each row: a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda _: None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = stack.enter_context(Progress(*columns, console=console, transient=True))
    task = bar.add_task("rows", total=count)
    return lambda verdict: bar.update(task, advance=1, description=verdict.id)


def _counted(counts: Counter[str]) -> dict[str, int]:
    return {"passed": counts["pass"], "failed": counts["fail"], "skipped": counts["skip"]}


def _show(verdicts: list[Verdict], counts: Counter[str], *, title: str) -> None:
    """The verdicts as a table, what is red with what was expected and seen."""
    table = Table(title=title, title_justify="left", expand=True)
    table.add_column("row", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("what it says", ratio=3)
    table.add_column("what was seen", ratio=2)
    for verdict in verdicts:
        color = COLORS[verdict.result]
        seen = (
            f"expected {verdict.expected}; saw {verdict.seen}" if verdict.result == "fail" else verdict.reason
        )
        table.add_row(verdict.id, f"[{color}]{verdict.result}[/{color}]", _plain(verdict.says), _plain(seen))
    console = Console()
    console.print(table)
    console.print(", ".join(f"{count} {name}" for name, count in _counted(counts).items()))


def _plain(text: str) -> str:
    """Brackets are markup to the printer of tables."""
    return text.replace("[", r"\[")
