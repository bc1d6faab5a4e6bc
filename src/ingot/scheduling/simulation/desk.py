"""The part of whoever admits: what was measured becomes Supply and Ahead, and `quotes.admit` decides."""

import math
from typing import Final

from ingot.scheduling.backlog import Backlog
from ingot.scheduling.grouping import Bounds, Piece, jobs
from ingot.scheduling.quotes import Ahead, Booking, Quote, Refusal, Supply, Work, admit, claim, living
from ingot.scheduling.rates import Arrivals, Average, arrived, flowed, seen
from ingot.scheduling.shares import Neighbour, merged
from ingot.scheduling.simulation.load import Asked, Item
from ingot.scheduling.simulation.queue import Job, Promise, Queues, Tenant
from ingot.scheduling.simulation.scenario import Scenario
from ingot.scheduling.simulation.target import Target

EACH: Final = 100.0
"""Service a second of a permit before anything was measured."""
RATIO: Final = 0.5
"""Real service as a part of what a request could take at most, before anything was measured."""
SPEED_HALF_LIFE: Final = 300.0
PERMITS_HALF_LIFE: Final = 60.0
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
        self._permits = Average()
        self._neighbours: dict[str, tuple[float, tuple[Neighbour, ...]]] = {}
        self._everyone: tuple[float, Backlog] = (-math.inf, Backlog())
        self._keys = 0

    @property
    def each(self) -> float:
        """Service a second of a permit."""
        return self._speed.or_else(EACH)

    @property
    def rate(self) -> float:
        """Service a second that the targets give to queued work."""
        return self.each * self._permits.or_else(1.0)

    def ended(self, tenant: Tenant, item: Item, now: float, *, real: int, seconds: float) -> None:
        """Learns from a call: what a permit gives, and what such requests come to."""
        self._speed = flowed(self._speed, float(real), seconds=seconds, now=now, half_life=SPEED_HALF_LIFE)
        if real:
            tenant.ratio = seen(tenant.ratio, real / item.raw, now=now, half_life=RATIO_HALF_LIFE)

    def look(self, now: float) -> None:
        """Reads how many permits there are, once a second."""
        usable = math.fsum(
            max(target.pace.permits * (1.0 - self._asap), 1.0)
            for target in self._targets
            if target.pace.open(now)
        )
        self._permits = seen(self._permits, usable, now=now, half_life=PERMITS_HALF_LIFE)

    def ask(self, asked: Asked, now: float) -> tuple[Quote | Refusal, Booking | None]:
        """The promise for what is asked, and the booking that it used up."""
        tenant = self._queues.tenants[asked.organization]
        tenant.bookings = list(living(tenant.bookings, now))
        work = self._work(tenant, asked)
        booked = claim(tenant.bookings, work.service, work.seconds, now)
        ahead = Ahead(
            own=tenant.own(),
            running=tenant.running_estimate,
            arriving=_arriving(tenant, now, below=work.seconds),
            bookings=tenant.bookings,
            others=self._others(tenant, now),
            everyone=self._all(now),
        )
        decided = admit(work, ahead, self._supply(now), now, claimed=booked)
        if booked is not None:
            tenant.bookings.remove(booked)
        if isinstance(decided, Refusal):
            if decided.booking is not None:
                tenant.bookings.append(decided.booking)
        else:
            known = tenant.arrivals.get(work.seconds, Arrivals())
            tenant.arrivals[work.seconds] = arrived(
                known, work.service, now=now, half_life=ARRIVALS_HALF_LIFE
            )
        return decided, booked

    def jobs(self, promise: Promise) -> list[Job]:
        """The jobs of what was let in, cut as a batch is cut."""
        asked = promise.asked
        tenant = self._queues.tenants[asked.organization]
        window = self._windows[asked.window]
        pieces = [
            Piece(place, 4 * item.input, self._estimate(tenant, item.raw), asked.prefix)
            for place, item in enumerate(asked.items)
        ]
        found = []
        for group in jobs(pieces, Bounds()):
            estimate = sum(piece.service for piece in group) // len(group)
            self._keys += 1
            lift_at = window.lift_at(promise.at, service=1.5 * estimate / self.each, batch=asked.batch)
            items = [(asked.items[piece.place], 0) for piece in group]
            found.append(Job(self._keys, promise, items, estimate=max(estimate, 1), lift_at=lift_at))
        return found

    def _estimate(self, tenant: Tenant, raw: int) -> int:
        return max(int(raw * tenant.ratio.or_else(RATIO)), 1)

    def _work(self, tenant: Tenant, asked: Asked) -> Work:
        sizes = [self._estimate(tenant, item.raw) for item in asked.items]
        ratio = tenant.ratio
        return Work(
            window=self._windows[asked.window],
            service=float(sum(sizes)),
            weight=tenant.weight,
            items=len(sizes),
            largest=float(max(sizes)),
            deviation=ratio.deviation / ratio.mean if ratio.mean else 1.0,
            batch=asked.batch,
        )

    def _supply(self, now: float) -> Supply:
        opens = min((target.pace.paused_until for target in self._targets), default=now)
        return Supply(self.each, self._speed.error, self._permits.or_else(1.0), max(opens, now))

    def _others(self, tenant: Tenant, now: float) -> tuple[Neighbour, ...]:
        at, known = self._neighbours.get(tenant.name, (-math.inf, ()))
        if now - at < FRESH_SECONDS:
            return known
        found = []
        for other in self._queues.tenants.values():
            if other is tenant:
                continue
            waiting = other.waiting + other.running_estimate / 2
            arriving = _arriving(other, now, below=math.inf)
            if waiting or arriving:
                found.append(Neighbour(float(other.weight), float(waiting), arriving))
        neighbours = merged(found)
        self._neighbours[tenant.name] = (now, neighbours)
        return neighbours

    def _all(self, now: float) -> Backlog:
        at, known = self._everyone
        if now - at >= FRESH_SECONDS:
            known = self._queues.everyone()
            self._everyone = (now, known)
        return known


def _arriving(tenant: Tenant, now: float, *, below: float) -> float:
    """Service a second that is let in of an organization in windows shorter than `below` seconds."""
    return math.fsum(
        arrivals.rate(now, half_life=ARRIVALS_HALF_LIFE)
        for seconds, arrivals in tenant.arrivals.items()
        if seconds < below
    )
