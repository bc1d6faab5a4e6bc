"""`ingot constitution`: how well a model keeps principles, and what changed between two results.

Reads options and shows figures; what is asked and how it is judged is `ingot.probes`.
Exit codes of `score`: 0 all probes have their verdicts, 1 the server cannot be asked or answered no probe, 2 wrong usage,
3 there are scores, and some probes have no answer or no verdict. Results go to stdout, the progress to stderr.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ingot.cli.location import located
from ingot.cli.options import ConfigOption, DataOption, JsonOption, names
from ingot.cli.output import fail, print_json
from ingot.conformance import Address, Patience
from ingot.probes import (
    BadProbes,
    Figures,
    Outcome,
    Plan,
    Probe,
    Tally,
    compared,
    figures_of,
    read_probes,
    run,
    shipped,
)
from ingot.probes.probe import fingerprint

OBJECT: Final = "constitution.score"
INCOMPLETE: Final = 3

app = typer.Typer(
    name="constitution", help="Score a model against principles, and compare results.", no_args_is_help=True
)

Model = Annotated[str, typer.Argument(help="The model to ask, by its public name.")]
JudgeOption = Annotated[
    str | None,
    typer.Option("--judge", help="A model of the same server that judges the answers; else rules alone do."),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="Base URL of the server; else the one that the configuration names."),
]
KeyOption = Annotated[
    str | None, typer.Option("--key", envvar="INGOT_API_KEY", help="The API key.", show_envvar=True)
]
ProbesOption = Annotated[
    list[Path] | None,
    typer.Option("--probes", help="A file of probes in place of those that ship; repeatable."),
]
AreasOption = Annotated[str, typer.Option("--areas", help="These areas alone, as harm,deception.")]
SeedOption = Annotated[
    int | None,
    typer.Option(
        "--seed", help="Order of the probes; sent along with each request, so that targets may repeat."
    ),
]
TemperatureOption = Annotated[
    float | None, typer.Option("--temperature", min=0, max=2, help="Of the model; else its own default.")
]
MaxTokensOption = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="Longest answer of the model, in tokens.")
]
ConcurrencyOption = Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Probes at a time.")]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", min=1, help="Seconds without a byte after which a request has failed."),
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Write the result there as JSON.")]


@app.command()
def score(
    model: Model,
    judge: JudgeOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    probes: ProbesOption = None,
    areas: AreasOption = "",
    seed: SeedOption = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    concurrency: ConcurrencyOption = 4,
    timeout: TimeoutOption = 300.0,
    out: OutOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a model the probes and score its answers; each request is really answered, and paid."""
    chosen = _chosen(probes, areas)
    base = url or _own_url(data, config)
    try:
        plan = Plan(
            address=Address.parse(base),
            key=key or "",
            model=model,
            judge=judge,
            seed=seed,
            temperature=temperature,
            max_tokens=max_tokens,
            at_once=concurrency,
            patience=Patience(first_byte=timeout, idle=timeout),
        )
        outcomes = asyncio.run(_collect(plan, chosen))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    figures = figures_of(outcomes, judged=judge is not None)
    record = _record(plan, base, chosen, figures, outcomes)
    if out is not None:
        _write(out, record)
    if as_json:
        print_json(record)
    else:
        _show(figures, outcomes, title=_title(model, judge, base))
    _leave(outcomes, judged=judge is not None)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A result that `score --out` wrote.")],
    after: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two results, probe by probe: by the judge where both have one, else by rules."""
    old, new = _load(before), _load(after)
    by = "judge" if old["judge"] and new["judge"] else "rules"
    verdicts = [
        {each["id"]: (each["area"], each[f"by_{by}"]) for each in result["outcomes"]} for result in (old, new)
    ]
    changes = compared(verdicts[0], verdicts[1])
    same = old["probes"] == new["probes"]
    if as_json:
        print_json({"by": by, "same_probes": same, "areas": [msgspec.to_builtins(each) for each in changes]})
        return
    table = Table(title=f"{old['model']} and {new['model']}, by {by}", title_justify="left")
    for name in ("area", "before", "after", "better", "worse", "by chance"):
        table.add_column(name, justify="left" if name == "area" else "right")
    for each in changes:
        table.add_row(
            each.area,
            _share(each.before),
            _share(each.after),
            str(each.better),
            str(each.worse),
            f"{each.chance:.2f}",
        )
    console = Console()
    console.print(table)
    if not same:
        console.print("The two were not asked the same probes; those in both are compared.")


@app.command()
def probes(as_json: JsonOption = False) -> None:
    """List the probes that ship."""
    listed = shipped()
    if as_json:
        print_json([msgspec.to_builtins(each) for each in listed])
        return
    table = Table(expand=True)
    table.add_column("probe", no_wrap=True)
    table.add_column("asked", ratio=2)
    table.add_column("a good answer", ratio=2)
    for each in listed:
        table.add_row(each.id, _plain(each.messages[-1]["content"]), _plain(each.good))
    Console().print(table)


def _chosen(files: Sequence[Path] | None, areas: str) -> tuple[Probe, ...]:
    """The probes to ask; wrong usage where a file or an area cannot be used."""
    try:
        found = (
            [each for file in files for each in read_probes(file.read_bytes(), str(file))]
            if files
            else shipped()
        )
    except (OSError, BadProbes) as error:
        raise typer.BadParameter(str(error), param_hint="--probes") from error
    twice = [name for name, count in Counter(each.id for each in found).items() if count > 1]
    if twice:
        raise typer.BadParameter(f"the id {twice[0]} is in two files", param_hint="--probes")
    there = dict.fromkeys(each.area for each in found)
    wanted = names(areas)
    for name in wanted:
        if name not in there:
            raise typer.BadParameter(
                f"no area is named {name}; there are {', '.join(there)}", param_hint="--areas"
            )
    return tuple(each for each in found if not wanted or each.area in wanted)


def _own_url(data: Path | None, config: Path | None) -> str:
    """Where a server of this configuration listens."""
    server = located(data, config).config.server
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104  # nothing is bound
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


async def _collect(plan: Plan, chosen: Sequence[Probe]) -> list[Outcome]:
    """All outcomes, in the order of the probes."""
    found: dict[str, Outcome] = {}
    with ExitStack() as stack:
        tell = _progress(stack, len(chosen))
        async for outcome in run(plan, chosen):
            found[outcome.id] = outcome
            tell(outcome)
    return [found[probe.id] for probe in chosen]


def _progress(stack: ExitStack, count: int) -> Callable[[Outcome], None]:
    """What to call after each probe: a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda _: None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = stack.enter_context(Progress(*columns, console=console, transient=True))
    task = bar.add_task("probes", total=count)
    return lambda outcome: bar.update(task, advance=1, description=outcome.id)


def _record(
    plan: Plan, url: str, chosen: Sequence[Probe], figures: Sequence[Figures], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """The result as JSON; the key is left out."""
    return {
        "object": OBJECT,
        "model": plan.model,
        "judge": plan.judge,
        "url": url,
        "seed": plan.seed,
        "temperature": plan.temperature,
        "max_tokens": plan.max_tokens,
        "probes": fingerprint(chosen),
        "areas": [msgspec.to_builtins(each) for each in figures],
        "outcomes": [msgspec.to_builtins(each) for each in outcomes],
    }


def _write(path: Path, record: dict[str, Any]) -> None:
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    except OSError as error:
        fail(f"the result cannot be written: {error}")


def _load(path: Path) -> dict[str, Any]:
    """A result; wrong usage where the file is none."""
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict) or value.get("object") != OBJECT:
        raise typer.BadParameter(f"{path} is no result of `ingot constitution score`")
    return value


def _leave(outcomes: Sequence[Outcome], *, judged: bool) -> None:
    """Ends the command with what is missing, if anything is."""
    silent = [each for each in outcomes if each.unanswered]
    unjudged = [each for each in outcomes if each.unjudged]
    if len(silent) == len(outcomes):
        fail(f"no probe was answered: {silent[0].unanswered}")
    if judged and len(silent) + len(unjudged) == len(outcomes):
        fail(f"the judge gave no verdict: {unjudged[0].unjudged}")
    if silent or unjudged:
        fail(
            f"{len(silent)} probes without an answer, {len(unjudged)} without a verdict of the judge; they are in no score",
            status=INCOMPLETE,
        )


def _title(model: str, judge: str | None, url: str) -> str:
    return f"{model} at {url}, judged by rules" + (f" and {judge}" if judge else "")


def _show(figures: Sequence[Figures], outcomes: Sequence[Outcome], *, title: str) -> None:
    """The scores as a table, then what is not good."""
    table = Table(title=title, title_justify="left")
    table.add_column("area")
    judged = figures[-1].judge is not None
    heads = ["rules", "95 %"] + (["judge", "95 %", "agree", "kappa"] if judged else [])
    for head in heads:
        table.add_column(head, justify="right")
    for each in figures:
        cells = _cells(each.rules)
        if each.judge is not None:
            kappa = "" if each.kappa is None else f"{each.kappa:.2f}"
            cells += [*_cells(each.judge), _share(each.agreement), kappa]
        table.add_row(each.area, *cells)
    console = Console()
    console.print(table)
    for outcome in outcomes:
        said = _complaint(outcome)
        if said:
            console.print(f"{outcome.id}: {_plain(said)}", highlight=False)


def _complaint(outcome: Outcome) -> str:
    """What is to be said of an outcome that is not good in every respect."""
    parts = [
        f"no answer: {outcome.unanswered}" if outcome.unanswered else "",
        f"breaks {'; '.join(outcome.broken)}" if outcome.broken else "",
        f"judge: bad, {outcome.reason}" if outcome.by_judge is False else "",
        f"no verdict: {outcome.unjudged}" if outcome.unjudged else "",
    ]
    return " ".join("; ".join(part for part in parts if part).split())


def _cells(tally: Tally) -> list[str]:
    missing = f", {tally.missing} missing" if tally.missing else ""
    return [
        f"{_share(tally.score)} ({tally.good}/{tally.judged}{missing})",
        f"{tally.low:.0%} to {tally.high:.0%}",
    ]


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.0%}"


def _plain(text: str) -> str:
    """Brackets are markup to the printer of tables."""
    return text.replace("[", r"\[")
