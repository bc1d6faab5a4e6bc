"""The part of whoever admits: what was measured becomes Supply and Ahead, and `quotes.admit` decides."""

import math
from collections.abc import Iterator
from typing import Final

from ingot.scheduling.backlog import Backlog
from ingot.scheduling.bookings import claim
from ingot.scheduling.capacity import owned
from ingot.scheduling.grouping import Bounds, Piece, jobs
from ingot.scheduling.quotes import Ahead, Quote, Refusal, Supply, Work, admit, targets
from ingot.scheduling.rates import Arrivals, Average, arrived, flowed, seen
from ingot.scheduling.shares import Neighbour, merged
from ingot.scheduling.simulation.load import Asked
from ingot.scheduling.simulation.queue import Job, Promise, Queues, Tenant, Waiting
from ingot.scheduling.simulation.scenario import Scenario
from ingot.scheduling.simulation.target import Target

EACH: Final = 100.0
"""Service a second of a permit before anything was measured."""
RATIO: Final = 0.5
"""Tokens written as a part of the most that was asked for, before anything was measured."""
MARGIN: Final = 1.5
"""An item is predicted to run so many times as long as its estimate says."""
SPEED_HALF_LIFE: Final = 300.0
PERMITS_HALF_LIFE: Final = 60.0
USUAL_HALF_LIFE: Final = 3600.0
RATIO_HALF_LIFE: Final = 3600.0
ARRIVALS_HALF_LIFE: Final = 600.0
FRESH_SECONDS: Final = 1.0
"""The load of the others is read this often, not for each request."""


class Desk:
    """Measures, quotes, books."""

    def __init__(self, scenario: Scenario, queues: Queues, targets: list[Target]) -> None:
        self._windows = scenario.windows
        self._asap = scenario.shares.asap
        self._queues = queues
        self._targets = targets
        self._speed = Average()
        self._answers = Average()
        self._permits = Average()
        self._usual = Average()
        self._neighbours: dict[str, Neighbour] = {}
        self._steady: dict[str, Neighbour] = {}
        self._read = -math.inf
        self._batch = min(window.batch_seconds for window in scenario.windows.values() if window.batchable)
        self._everyone: tuple[float, Backlog] = (-math.inf, Backlog())
        self._keys = 0

    @property
    def each(self) -> float:
        """Service a second of a permit; as long as nothing but failures was seen, nothing is known, as in a server."""
        return self._speed.mean or EACH

    @property
    def rate(self) -> float:
        """Service a second that the targets give to queued work."""
        return self.each * self._permits.or_else(1.0)

    def cost(self, seconds: float) -> int:
        """The service of a call that failed after so long."""
        return round(seconds * self._answers.or_else(EACH))

    def ended(self, tenant: Tenant, waited: Waiting, now: float, *, real: int, seconds: float) -> None:
        """Learns from a call: what a permit gives, what such requests come to, and how far off the estimate was."""
        given = 0.0
        if real:
            item = waited.item
            ratio = item.output / max(item.most, item.output, 1)
            tenant.ratio = seen(tenant.ratio, ratio, now=now, half_life=RATIO_HALF_LIFE)
            # In the measure of estimates, by which what comes is summed: as it would be estimated now.
            given = float(item.expected(tenant.ratio.or_else(RATIO)))
            tenant.error = seen(tenant.error, real / given, now=now, half_life=RATIO_HALF_LIFE)
            self._answers = flowed(self._answers, real, seconds=seconds, now=now, half_life=SPEED_HALF_LIFE)
        self._speed = flowed(self._speed, given, seconds=seconds, now=now, half_life=SPEED_HALF_LIFE)

    def look(self, now: float) -> None:
        """Reads how many permits there are, once a second."""
        usable = math.fsum(
            max(target.pace.permits - owned(target.pace.permits, self._asap), 1)
            for target in self._targets
            if target.pace.open(now)
        )
        self._permits = seen(self._permits, usable, now=now, half_life=PERMITS_HALF_LIFE)
        self._usual = seen(self._usual, usable, now=now, half_life=USUAL_HALF_LIFE)

    def ask(self, asked: Asked, key: str, now: float, *, first: bool) -> Quote | Refusal:
        """The promise for what is asked, or the refusal with its booking."""
        tenant = self._queues.tenants[asked.organization]
        work = self._work(tenant, asked, key)
        tenant.bookings.lapse(now)
        booking = tenant.bookings.remove(key)
        claimed = None if booking is None else claim((booking,), key, now)
        ahead = Ahead(
            own=tenant.own(),
            running=tenant.running_estimate,
            shorter=_arriving(tenant, now, below=work.seconds),
            longer=_arriving(tenant, now, above=work.seconds),
            booked=tenant.bookings.before(work.seconds, now, claimed),
            sooner=tenant.bookings.sooner(work.seconds, now),
            others=self._others(tenant, now, batch=asked.batch),
            everyone=self._all(now),
        )
        decided = admit(work, ahead, self._supply(now), now, claimed=claimed)
        if first:
            known = tenant.arrivals.get(work.seconds, Arrivals())
            tenant.arrivals[work.seconds] = arrived(
                known, work.service, now=now, half_life=ARRIVALS_HALF_LIFE
            )
        if isinstance(decided, Refusal) and decided.booking is not None:
            tenant.bookings.add(decided.booking)
        return decided

    def jobs(self, promise: Promise) -> Iterator[tuple[Job, list[Waiting]]]:
        """The jobs of what was let in, cut as a batch is cut, and their items."""
        asked = promise.asked
        tenant = self._queues.tenants[asked.organization]
        window = self._windows[asked.window]
        ratio = tenant.ratio.or_else(RATIO)
        pieces = [
            Piece(place, 4 * item.input, item.expected(ratio), asked.prefix)
            for place, item in enumerate(asked.items)
        ]
        groups = list(jobs(pieces, Bounds()))
        moments = [promise.due]
        if asked.batch:
            moments = targets(
                promise.quote, [float(sum(piece.service for piece in group)) for group in groups]
            )
        for group, target in zip(groups, moments, strict=True):
            self._keys += 1
            longest = MARGIN * max(piece.service for piece in group) / self.each
            lift_at = window.lift_at(promise.at, service=longest, batch=asked.batch)
            job = Job(self._keys, promise, target=target, lift_at=lift_at)
            yield job, [Waiting(asked.items[piece.place], piece.service) for piece in group]

    def _work(self, tenant: Tenant, asked: Asked, key: str) -> Work:
        ratio = tenant.ratio.or_else(RATIO)
        sizes = [item.expected(ratio) for item in asked.items]
        return Work(
            window=self._windows[asked.window],
            service=float(sum(sizes)),
            weight=tenant.weight,
            items=len(sizes),
            largest=float(max(sizes)),
            deviation=tenant.error.deviation / tenant.error.mean if tenant.error.mean > 0.0 else 1.0,
            batch=asked.batch,
            key=key,
        )

    def _supply(self, now: float) -> Supply:
        opens = min((target.pace.paused_until for target in self._targets), default=now)
        permits = self._permits.or_else(1.0)
        return Supply(self.each, self._speed.error, permits, self._usual.or_else(permits), max(opens, now))

    def _others(self, tenant: Tenant, now: float, *, batch: bool) -> tuple[Neighbour, ...]:
        """The others' load. Batches come seldom and large: mostly fewer come beside a batch than on average."""
        if now - self._read >= FRESH_SECONDS:
            self._read = now
            active = [each for each in self._queues.tenants.values() if each.active or each.arrivals]
            self._neighbours = {each.name: _neighbour(each, _arriving(each, now)) for each in active}
            self._steady = {
                each.name: _neighbour(
                    each, (_arriving(each, now) + _arriving(each, now, below=self._batch)) / 2.0
                )
                for each in active
            }
        known = self._steady if batch else self._neighbours
        return merged(each for name, each in known.items() if name != tenant.name)

    def _all(self, now: float) -> Backlog:
        at, known = self._everyone
        if now - at >= FRESH_SECONDS:
            known = self._queues.everyone()
            self._everyone = (now, known)
        return known


def _neighbour(tenant: Tenant, arriving: float) -> Neighbour:
    return Neighbour(float(tenant.weight), float(tenant.waiting + tenant.running_estimate / 2), arriving)


def _arriving(tenant: Tenant, now: float, *, below: float = math.inf, above: float = 0.0) -> float:
    """Service a second that an organization asks for, in windows between these lengths."""
    return math.fsum(
        arrivals.rate(now, half_life=ARRIVALS_HALF_LIFE)
        for seconds, arrivals in tenant.arrivals.items()
        if above < seconds < below
    )
