"""What comes of a simulation, and whether it is good enough."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from ingot.scheduling.simulation.measures import CLOSE, Measures
from ingot.scheduling.simulation.scenario import Scenario
from ingot.scheduling.simulation.target import Target

HIT_RATE: Final = 0.99
GAP: Final = 2.0
CLOSE_QUOTES: Final = 0.9
KEPT_RETRIES: Final = 0.9


class WindowReport(Struct, frozen=True):
    """Of one window: promises by outcome, seconds until their first item began, and until the last one had ended."""

    window: str
    accepted: int
    refused: int
    met: int
    missed: int
    failed: int
    wait_p50: float | None
    wait_p95: float | None
    turn_p50: float | None
    turn_p95: float | None

    @property
    def hit_rate(self) -> float | None:
        """Part of what ended that was in time."""
        ended = self.met + self.missed
        return self.met / ended if ended else None


class Report(Struct, frozen=True):
    """All figures. Gaps are in largest items: `gap` over all work, `fair_gap` between times in which promises went
    first; `in_flight` is the most that ran of one organization, likewise. `lost`, `passed_over` and `idle` must be 0:
    promises that never ended, items that began although late work waited, moments with a free permit beside work that
    could have had it.
    """

    scenario: str
    seeds: int
    windows: tuple[WindowReport, ...]
    gap: float
    fair_gap: float
    largest: float
    in_flight: float
    begun: int
    lifted: int
    repeats: int
    lost: int
    passed_over: int
    idle: int
    utilisation: float
    quotes: int
    close_quotes: int
    covered_quotes: int
    told: int
    came: int
    kept: int
    never: int
    asap_served: int
    asap_refused: int
    places: dict[str, float]
    """Seconds for which each organization had places, while load came."""

    @property
    def met(self) -> int:
        """Promises kept, in all windows."""
        return sum(each.met for each in self.windows)

    @property
    def missed(self) -> int:
        """Promises broken, in all windows."""
        return sum(each.missed for each in self.windows)


class Line(Struct, frozen=True):
    """One thing that a run is to show: what it says, what it found, and whether that is enough; None: nothing found."""

    says: str
    found: str
    holds: bool | None


def reported(scenario: Scenario, measures: Measures, *, targets: Sequence[Target]) -> Report:
    """The report of a run that ended."""
    windows = tuple(
        WindowReport(
            window=name,
            accepted=counts.accepted,
            refused=counts.refused,
            met=counts.met,
            missed=counts.missed,
            failed=counts.failed,
            wait_p50=quantile(counts.waits, 0.5),
            wait_p95=quantile(counts.waits, 0.95),
            turn_p50=quantile(counts.turns, 0.5),
            turn_p95=quantile(counts.turns, 0.95),
        )
        for name, counts in sorted(measures.windows.items())
    )
    largest = measures.largest or 1.0
    calls = sum(target.model.calls for target in targets)
    busy = sum(target.busy for target in targets)
    return Report(
        scenario=scenario.name,
        seeds=1,
        windows=windows,
        gap=measures.gaps.most / largest,
        fair_gap=measures.fair.most / largest,
        largest=measures.largest,
        in_flight=measures.in_flight / largest,
        begun=measures.begun,
        lifted=measures.lifted,
        repeats=measures.repeats,
        lost=measures.lost,
        passed_over=measures.passed_over,
        idle=measures.idle,
        utilisation=busy / (calls * scenario.seconds),
        quotes=len(measures.errors),
        close_quotes=sum(abs(error) <= CLOSE for error in measures.errors),
        covered_quotes=measures.covered,
        told=measures.told,
        came=measures.came,
        kept=measures.kept,
        never=measures.never,
        places=dict(measures.places),
        asap_served=measures.asap_served,
        asap_refused=measures.asap_refused,
    )


def joined(reports: Sequence[Report]) -> Report:
    """Several runs as one: counts add up, of gaps the worst, of use the mean, of waits the worst run's."""
    first = reports[0]
    names = sorted({window.window for report in reports for window in report.windows})
    windows = tuple(
        _window(name, [window for report in reports for window in report.windows if window.window == name])
        for name in names
    )
    total = {
        name: sum(getattr(report, name) for report in reports)
        for name in (
            "begun", "lifted", "repeats", "lost", "passed_over", "idle", "quotes", "close_quotes", "covered_quotes",
            "told", "came", "kept", "never", "asap_served", "asap_refused",
        )
    }  # fmt: skip
    return Report(
        scenario=first.scenario,
        seeds=sum(report.seeds for report in reports),
        windows=windows,
        gap=max(report.gap for report in reports),
        fair_gap=max(report.fair_gap for report in reports),
        largest=max(report.largest for report in reports),
        in_flight=max(report.in_flight for report in reports),
        utilisation=sum(report.utilisation for report in reports) / len(reports),
        places={
            name: sum(report.places.get(name, 0.0) for report in reports)
            for name in sorted({name for report in reports for name in report.places})
        },
        **total,
    )


def lines(report: Report) -> list[Line]:
    """What a run is to show."""
    ended = report.met + report.missed
    return [
        _line("accepted work that met its window", report.met, ended, HIT_RATE),
        Line(
            "most by which two that waited differ, in largest items",
            f"{report.gap:.2f} (at most {GAP:g})",
            report.gap <= GAP,
        ),
        never(report),
        _line(
            "batches that finished within 20 % of their quote",
            report.close_quotes,
            report.quotes,
            CLOSE_QUOTES,
        ),
        _line("refused work let in when told", report.kept, report.came, KEPT_RETRIES),
    ]


def never(report: Report) -> Line:
    """What must not happen once, whatever the load and the trouble."""
    return Line(
        "promises lost, late work passed over, permits idle beside work",
        f"{report.lost}, {report.passed_over}, {report.idle} (none)",
        not (report.lost or report.passed_over or report.idle),
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which this share lies."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _line(says: str, good: int, of: int, least: float) -> Line:
    if not of:
        return Line(says, "none", None)
    share = good / of
    return Line(says, f"{share:.2%} of {of:,} (at least {least:.0%})", share >= least)


def _window(name: str, found: Sequence[WindowReport]) -> WindowReport:
    return WindowReport(
        window=name,
        accepted=sum(each.accepted for each in found),
        refused=sum(each.refused for each in found),
        met=sum(each.met for each in found),
        missed=sum(each.missed for each in found),
        failed=sum(each.failed for each in found),
        wait_p50=_worst(each.wait_p50 for each in found),
        wait_p95=_worst(each.wait_p95 for each in found),
        turn_p50=_worst(each.turn_p50 for each in found),
        turn_p95=_worst(each.turn_p95 for each in found),
    )


def _worst(found: Iterable[float | None]) -> float | None:
    return max((each for each in found if each is not None), default=None)
