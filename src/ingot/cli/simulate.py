"""`ingot simulate`: what the scheduler would do with a load, on a clock that costs nothing.

Reads options, makes the random sources and shows the report; what is simulated is `ingot.scheduling.simulation`.
Exit codes: 0 every line holds, 1 one does not, 2 wrong usage. The report goes to stdout, the progress to stderr.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import structs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ingot.cli.options import JsonOption
from ingot.cli.output import fail, print_json
from ingot.scheduling.simulation.load import Asked, Randomness, Unreadable, recorded
from ingot.scheduling.simulation.report import Line, Report, joined, lines, never
from ingot.scheduling.simulation.run import simulate as play
from ingot.scheduling.simulation.scenario import (
    DAY_MIX,
    HOUR,
    Model,
    Organization,
    Scenario,
    equal,
    mixed,
    shortened,
    troubled,
)
from ingot.scheduling.simulation.varied import varied
from ingot.scheduling.windows import WINDOWS

CALLS = 64


class Load(StrEnum):
    """How load arrives."""

    POISSON = "poisson"
    BURSTY = "bursty"


class TroubleKind(StrEnum):
    """What goes wrong meanwhile."""

    NONE = "none"
    STORM = "storm"
    OUTAGE = "outage"


LoadOption = Annotated[
    Load, typer.Option("--load", help="How work arrives: poisson, which is steadily at random, or bursty.")
]
OverloadOption = Annotated[
    float,
    typer.Option(
        "--overload", min=0.01, max=100, help="Work offered, as a multiple of what the targets can do."
    ),
]
HoursOption = Annotated[float, typer.Option("--hours", min=0.01, max=168, help="Hours of load.")]
OrganizationsOption = Annotated[
    int, typer.Option("--organizations", min=1, max=1000, help="How many organizations ask.")
]
WeightedOption = Annotated[
    bool, typer.Option("--weighted", help="Every fourth organization has four times the weight and load.")
]
TargetsOption = Annotated[int, typer.Option("--targets", min=1, max=64, help="How many targets there are.")]
CallsOption = Annotated[
    int, typer.Option("--calls", min=1, max=4096, help="Calls that each target bears at once.")
]
BatchHoursOption = Annotated[
    float,
    typer.Option(
        "--batch-hours", min=0.05, max=24, help="Hours until a batch is due, so that an hour shows a day."
    ),
]
TroubleOption = Annotated[
    TroubleKind,
    typer.Option(
        "--trouble",
        help="What goes wrong in the middle: none, storm (of 429), or outage (a target is gone).",
    ),
]
RecordOption = Annotated[
    Path | None,
    typer.Option(
        "--record",
        exists=True,
        dir_okay=False,
        readable=True,
        help="Lines of JSON with the load of a real day, in place of an invented one.",
    ),
]
SmallOption = Annotated[
    bool,
    typer.Option(
        "--small",
        help="A small scenario of any kind for each seed, judged by what must never happen; "
        "options of load and targets do not count.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The first seed.")]
SeedsOption = Annotated[
    int, typer.Option("--seeds", min=1, max=1_000_000, help="How many seeds, one run each.")
]


def simulate(
    load: LoadOption = Load.POISSON,
    overload: OverloadOption = 3.0,
    hours: HoursOption = 1.0,
    organizations: OrganizationsOption = 20,
    weighted: WeightedOption = False,
    targets: TargetsOption = 1,
    calls: CallsOption = CALLS,
    batch_hours: BatchHoursOption = 1.0,
    trouble: TroubleOption = TroubleKind.NONE,
    record: RecordOption = None,
    small: SmallOption = False,
    seed: SeedOption = 1,
    seeds: SeedsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Simulate scheduling: kept windows, fairness, starvation, use and quotes under a load, on a virtual clock."""
    if small and record is not None:
        raise typer.BadParameter("a small scenario has a load of its own; leave --record or --small out")
    scenario = Scenario(
        name="recorded" if record else f"{overload:g}x {load}",
        organizations=mixed(organizations) if weighted else equal(organizations),
        mixes=DAY_MIX,
        hours=hours,
        overload=overload,
        arrival=load.value,
        targets=(Model(calls=calls, ceiling=calls),) * targets,
        windows=shortened(WINDOWS, batch_hours * HOUR),
    )
    asked = None if record is None else read(record)
    if asked is not None:
        scenario = of_record(scenario, asked)
    scenario = troubled(scenario, trouble)
    choose: Callable[[Randomness], Scenario] = varied if small else lambda _: scenario
    report = run(choose, range(seed, seed + seeds), asked)
    judged = [never(report)] if small else lines(report)
    if as_json:
        print_json(document(report, seed, judged))
    else:
        show(report, seed, judged)
    if any(line.holds is False for line in judged):
        raise typer.Exit(1)


def read(path: Path) -> list[Asked]:
    """The load of a record; ends the command where a line cannot be read."""
    try:
        with path.open("rb") as file:
            return recorded(file, (name for name, window in WINDOWS.items() if window.queued))
    except Unreadable as error:
        fail(f"{path}: {error}")


def of_record(scenario: Scenario, asked: list[Asked]) -> Scenario:
    """The scenario with the record's organizations and length."""
    names = dict.fromkeys(each.organization for each in asked)
    hours = max(asked[-1].at, 1.0) / HOUR
    return structs.replace(scenario, organizations=tuple(Organization(name) for name in names), hours=hours)


def run(choose: Callable[[Randomness], Scenario], seeds: range, asked: list[Asked] | None) -> Report:
    """One run for each seed, and what they come to."""
    reports = []
    with ExitStack() as stack:
        tell = progress(stack, len(seeds))
        for number, seed in enumerate(seeds):
            source = random.Random(seed)  # noqa: S311  # a simulation that can be repeated
            scenario = choose(source)
            whole = scenario.seconds * max(scenario.overload, 1.0)

            def tick(now: float, number: int = number, whole: float = whole) -> None:
                tell(number + min(now / whole, 1.0))

            reports.append(play(scenario, source, load=asked, tick=tick))
    return joined(reports)


def progress(stack: ExitStack, seeds: int) -> Callable[[float], None]:
    """What to call as virtual time passes: a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda _: None
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = stack.enter_context(Progress(*columns, console=console, transient=True))
    task = bar.add_task("simulating", total=seeds)
    return lambda done: bar.update(task, completed=done)


def document(report: Report, seed: int, judged: list[Line]) -> dict[str, Any]:
    """The report as JSON, with the lines that it is judged by."""
    return {
        "seed": seed,
        **msgspec.to_builtins(report),
        "lines": [msgspec.to_builtins(line) for line in judged],
    }


def show(report: Report, seed: int, judged: list[Line]) -> None:
    """The report as tables."""
    console = Console()
    seeds = f"seed {seed}" if report.seeds == 1 else f"seeds {seed} to {seed + report.seeds - 1}"
    table = Table(title=f"{report.scenario}, {seeds}", title_justify="left")
    table.add_column("window")
    for name in ("let in", "refused", "in time", "late", "failed", "hit rate", "wait p50, s", "p95"):
        table.add_column(name, justify="right")
    for each in report.windows:
        rate = each.hit_rate
        counts = (each.accepted, each.refused, each.met, each.missed, each.failed)
        table.add_row(
            each.window,
            *(f"{count:,}" for count in counts),
            "" if rate is None else f"{rate:.2%}",
            *("" if wait is None else f"{wait:,.0f}" for wait in (each.wait_p50, each.wait_p95)),
        )
    console.print(table)
    console.print(
        f"{report.begun:,} items begun, {report.lifted:,} of them lifted; {report.repeats:,} calls repeated; "
        f"targets {report.utilisation:.0%} in use; asap {report.asap_served:,} served, {report.asap_refused:,} refused"
    )
    found = Table(title="What it is to show", title_justify="left")
    found.add_column("")
    found.add_column("found")
    found.add_column("holds")
    for line in judged:
        found.add_row(line.says, line.found, "" if line.holds is None else ("yes" if line.holds else "NO"))
    console.print(found)
