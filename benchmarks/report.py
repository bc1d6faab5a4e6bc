"""From load runs to one table: medians over the rounds, and the ratios that the project promises something about."""

import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import CHUNKS, Run
from benchmarks.pace import Paced

Figures = dict[str, dict[str, float | None]]  # figure -> gateway -> value; None: no answer came to its end


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise: `figure` of one gateway is at most `most` times that of another, or `most` where there is none."""

    figure: str
    most: float
    against: str | None = None
    of: str = "ingot"

    def judge(self, figures: Figures) -> str | None:
        """One line that says whether it holds; None where a figure is missing."""
        mine = figures.get(self.figure, {}).get(self.of)
        other = figures.get(self.figure, {}).get(self.against) if self.against else 1.0
        if mine is None or not other:
            return None
        ratio = mine / other
        unit = f" times {self.against}'s" if self.against else ""
        verdict = "met" if ratio <= self.most else "NOT met"
        return f"{self.figure}, {self.of}: {ratio:.3g}{unit}, at most {self.most:.3g}: {verdict}"


GOALS = (
    Goal("plain: CPU us a request", 110),
    Goal("plain: CPU us a request", 4.5, "nginx", of="relay"),
    Goal("plain: CPU us a request", 0.01, "litellm", of="relay"),
    Goal("100 streams: CPU us a chunk", 2.0, "nginx"),
    Goal("400 streams: CPU us a chunk", 2.0, "nginx"),
    Goal("400 streams: stretch", 1.1),
    Goal("100 streams: CPU us a chunk", 1.15, "relay"),
    Goal("400 streams: CPU us a chunk", 1.15, "relay"),
    Goal("paced: added p50 ms", 1.0),
    Goal("paced: added p99 ms", 5.0),
)


def median(values: Iterable[float | None]) -> float | None:
    """The median of a figure over the rounds that have it."""
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def plain_figures(runs: Mapping[str, Sequence[Run]]) -> Figures:
    """The rows of the plain requests."""
    rows: dict[str, Callable[[Run], float | None]] = {
        "plain: requests/s": lambda run: run.rate,
        "plain: p50 ms": lambda run: run.p50 * 1e3,
        "plain: p99 ms": lambda run: run.p99 * 1e3,
        "plain: CPU us a request": lambda run: run.cpu * 1e6 / run.requests if run.requests else None,
        "plain: RSS MB": lambda run: run.rss,
    }
    figures = {
        row: {name: median(map(value, mine)) for name, mine in runs.items()} for row, value in rows.items()
    }
    return {**figures, "plain: errors": errors(runs)}


def errors(runs: Mapping[str, Sequence[Run]]) -> dict[str, float | None]:
    """All that went wrong in all rounds."""
    return {name: sum(run.errors for run in mine) for name, mine in runs.items()}


def stream_figures(level: int, runs: Mapping[str, Sequence[Run]], stream_bytes: Mapping[str, int]) -> Figures:
    """The rows of one number of streams. Chunks are counted by bytes, so that unfinished streams count too."""
    duration = median(run.p50 or None for run in runs["direct"])

    def chunks(name: str, run: Run) -> float:
        return run.received / stream_bytes[name] * CHUNKS

    def row(value: Callable[[str, Run], float | None]) -> dict[str, float | None]:
        return {name: median(value(name, run) for run in mine) for name, mine in runs.items()}

    def stretch(_: str, run: Run) -> float | None:
        return run.p50 / duration if duration and run.requests else None

    def cost(name: str, run: Run) -> float | None:
        # Below a few chunks for each stream the figure would be the price of opening streams.
        return run.cpu * 1e6 / chunks(name, run) if chunks(name, run) > 5 * level else None

    return {
        f"{level} streams: stretch": row(stretch),
        f"{level} streams: chunks/s": row(lambda name, run: chunks(name, run) / run.seconds),
        f"{level} streams: CPU us a chunk": row(cost),
        f"{level} streams: RSS MB": row(lambda _, run: run.rss),
        f"{level} streams: errors": errors(runs),
    }


def paced_figures(runs: Mapping[str, Sequence[Paced]], *, disk_sync_ms: float) -> Figures:
    """The rows of the paced runs; the disk's own time for a sync stands beside them."""

    def row(value: Callable[[Paced], float]) -> dict[str, float | None]:
        return {name: median(map(value, mine)) for name, mine in runs.items()}

    figures: Figures = {
        "paced: p50 ms": row(lambda run: run.p50 * 1e3),
        "paced: p99 ms": row(lambda run: run.p99 * 1e3),
        "paced: errors": {name: sum(run.errors for run in mine) for name, mine in runs.items()},
    }
    for part in ("p50", "p99"):
        figures[f"paced: added {part} ms"] = {
            name: None if value is None else value - (figures[f"paced: {part} ms"]["direct"] or 0)
            for name, value in figures[f"paced: {part} ms"].items()
            if name != "direct"
        }
    figures["the disk's own sync ms"] = {"direct": disk_sync_ms}
    return figures


def shown(value: float | None) -> str:
    """A figure with three digits that mean something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def ratio(row: Mapping[str, float | None], over: str, under: str) -> str:
    """One gateway's figure as a multiple of another's."""
    top, bottom = row.get(over), row.get(under)
    return f"{top / bottom:.3g}" if top is not None and bottom else "-"


def machine() -> str:
    """The processor and the kernel."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"


def markdown(
    figures: Figures, *, versions: Mapping[str, str], skipped: Mapping[str, str], setting: str
) -> str:
    """The report."""
    names = list(versions)
    ratios = [
        pair
        for pair in (("ingot", "nginx"), ("ingot", "relay"), ("litellm", "nginx"), ("litellm", "ingot"))
        if {*pair} <= {*names}
    ]
    titles = [f"{name} {versions[name]}".strip() for name in names] + [
        f"{over} : {under}" for over, under in ratios
    ]
    lines = ["# Benchmark", "", f"{machine()}. {setting}", ""]
    lines += [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for figure, row in figures.items():
        cells = [shown(row.get(name)) for name in names]
        plain_count = figure.endswith("errors")
        cells += ["" if plain_count else ratio(row, over, under) for over, under in ratios]
        lines.append(f"| {figure} | {' | '.join(cells)} |")
    lines += ["", "`-`: no answer came to its end within the run, or there is nothing to compare."]
    judged = [line for goal in GOALS if (line := goal.judge(figures))]
    if judged:
        lines += ["", "## Goals", "", *(f"- {line}" for line in judged)]
    if skipped:
        lines += ["", "## Not measured", "", *(f"- {name}: {reason}" for name, reason in skipped.items())]
    return "\n".join(lines) + "\n"


def record(
    figures: Figures, *, versions: Mapping[str, str], skipped: Mapping[str, str], setting: str
) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "machine": machine(),
        "setting": setting,
        "versions": dict(versions),
        "skipped": dict(skipped),
        "figures": figures,
    }
