"""The metrics page: what `services.measures` counted, in Prometheus' text form.

Base units are seconds and tokens. Labels are surface, model, target, status, code and kind: never a key, a
request id or anything else that a client can make up without bound.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ingot.services.measures import DeploymentMeasures, Histogram
from ingot.services.runtime import Runtime
from ingot.store.database import Tally

_WHERE = ("surface", "model")
_BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


class IngotCollector(Collector):
    """Reads the counts when asked."""

    def __init__(self, runtime: Runtime, tally: Tally) -> None:
        self._measures = runtime.measures
        self._fleet = runtime.fleet
        self._clock = runtime.clock
        self._gate = runtime.gate
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        """All families, in a stable order."""
        self._measures.settle()
        yield from self._traffic()
        yield from self._times()
        yield from self._trouble()
        yield from self._targets()
        yield from self._limits()
        yield from self._storage()

    def _series(self) -> Iterator[tuple[tuple[str, str], DeploymentMeasures]]:
        return iter(sorted(self._measures.deployments.items(), key=lambda item: item[0]))

    def _traffic(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "ingot_requests", "Requests by final status.", labels=(*_WHERE, "status")
        )
        tokens = CounterMetricFamily("ingot_tokens", "Tokens by kind.", labels=(*_WHERE, "kind"))
        in_flight = GaugeMetricFamily("ingot_requests_in_flight", "Requests being served now.", labels=_WHERE)
        for where, series in self._series():
            for status, count in sorted(series.requests.items()):
                requests.add_metric((*where, str(status)), count)
            tokens.add_metric((*where, "input"), series.input_tokens)
            tokens.add_metric((*where, "cached_input"), series.cached_tokens)
            tokens.add_metric((*where, "output"), series.output_tokens)
            in_flight.add_metric(where, series.in_flight)
        yield from (requests, tokens, in_flight)

    def _times(self) -> Iterator[Metric]:
        duration = HistogramMetricFamily("ingot_request_seconds", "From request to last byte.", labels=_WHERE)
        first = HistogramMetricFamily(
            "ingot_time_to_first_token_seconds", "Streams: to first token.", labels=_WHERE
        )
        gap = HistogramMetricFamily("ingot_inter_token_seconds", "Streams: between pieces.", labels=_WHERE)
        for where, series in self._series():
            _add(duration, where, series.duration)
            _add(first, where, series.first_token)
            _add(gap, where, series.gap)
        yield from (duration, first, gap)

    def _trouble(self) -> Iterator[Metric]:
        refusals = CounterMetricFamily(
            "ingot_refusals", "Requests answered with an error.", labels=("surface", "code")
        )
        for (surface, code), count in sorted(self._measures.refusals.items()):
            refusals.add_metric((surface, code), count)
        errors = CounterMetricFamily(
            "ingot_upstream_errors", "Failed tries at targets.", labels=("target", "kind")
        )
        for (target, kind), count in sorted(self._measures.upstream_errors.items()):
            errors.add_metric((target, kind), count)
        left = CounterMetricFamily(
            "ingot_client_departures", "Clients that left before their answer.", labels=("surface",)
        )
        for surface, count in sorted(self._measures.departures.items()):
            left.add_metric((surface,), count)
        jobs = CounterMetricFamily(
            "ingot_queue",
            "Queued work: jobs leased here, and what became of tries: ended, again, later, unkept, lost.",
            labels=("event",),
        )
        for event, count in sorted(self._measures.jobs.items()):
            jobs.add_metric((event,), count)
        yield from (refusals, errors, left, jobs)

    def _targets(self) -> Iterator[Metric]:
        in_flight = GaugeMetricFamily("ingot_target_in_flight", "Calls at a target now.", labels=("target",))
        breaker = GaugeMetricFamily(
            "ingot_target_breaker", "0 closed, 1 half open, 2 open.", labels=("target",)
        )
        now = self._clock.monotonic()
        for name, link in sorted(self._fleet.links.items()):
            in_flight.add_metric((name,), link.in_flight)
            breaker.add_metric((name,), _BREAKER_STATES[link.breaker.state(now)])
        connections = GaugeMetricFamily("ingot_upstream_connections", "Open connections to targets.")
        connections.add_metric((), self._fleet.client.open_connections)
        yield from (in_flight, breaker, connections)

    def _limits(self) -> Iterator[Metric]:
        degraded = GaugeMetricFamily(
            "ingot_limiter_degraded", "1 while shared limits are out of reach and this process counts alone."
        )
        degraded.add_metric((), self._gate.limiter.degraded)
        refused = CounterMetricFamily(
            "ingot_purse_refusals", "Calls that a balance or budget did not cover.", labels=("account",)
        )
        for account in ("balance", "budget"):
            refused.add_metric((account,), self._gate.purse.refusals[account])
        yield from (degraded, refused)

    def _storage(self) -> Iterator[Metric]:
        tally = self._tally
        commits = CounterMetricFamily(
            "ingot_store_commits", "Transactions that wrote; each is a group of writes."
        )
        commits.add_metric((), tally.commits)
        writes = CounterMetricFamily("ingot_store_writes", "Writes in them; by commits, the size of a group.")
        writes.add_metric((), tally.writes)
        seconds = CounterMetricFamily(
            "ingot_store_commit_seconds", "Time that they took, their syncs included."
        )
        seconds.add_metric((), tally.seconds)
        last = GaugeMetricFamily("ingot_store_last_commit_seconds", "Time of the last one.")
        last.add_metric((), tally.last_seconds)
        reads = CounterMetricFamily("ingot_store_reads", "Reads that were asked.")
        reads.add_metric((), tally.reads)
        yield from (commits, writes, seconds, last, reads)


def _add(family: HistogramMetricFamily, labels: tuple[str, str], histogram: Histogram) -> None:
    buckets = []
    running = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        running += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), float(running)))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.total)


def registry(runtime: Runtime, tally: Tally) -> CollectorRegistry:
    """Our series and the process's own (CPU, memory, file descriptors)."""
    result = CollectorRegistry()
    result.register(IngotCollector(runtime, tally))
    ProcessCollector(registry=result)
    PlatformCollector(registry=result)
    GCCollector(registry=result)
    return result


def render(source: CollectorRegistry) -> bytes:
    """The page."""
    return generate_latest(source)
