"""What is watched while a simulation runs: fairness, starvation, promises, quotes, waits and use.

gap of two organizations    over every stretch of time in which both waited all along: the most by which what was
                            begun for one of them, divided by its weight, ran ahead of the other's
passed over                 an item began although another, due earlier and overdue already, waited
"""

from typing import Final

from ingot.scheduling.hits import NOTHING, Hits, Outcome, noted
from ingot.scheduling.simulation.queue import Promise, Tenant

CLOSE: Final = 0.2
"""A quote is close where the finish is off by at most so much of the time that it said."""


class Gaps:
    """The largest difference of weighted service between any two that wait, exactly, in O(waiting) an item."""

    __slots__ = ("_open", "_served", "_since", "_waiting", "most")

    def __init__(self) -> None:
        self.most = 0.0
        self._open = True
        self._served: dict[str, float] = {}
        self._waiting: dict[str, None] = {}
        self._since: dict[tuple[str, str], list[float]] = {}

    def changed(self, tenant: Tenant) -> None:
        """An organization begins or stops to wait."""
        name = tenant.name
        if tenant.jobs:
            for other in self._waiting:
                self._begin(name, other)
            self._waiting[name] = None
        else:
            self._waiting.pop(name, None)

    def served(self, tenant: Tenant, real: int) -> None:
        """An item of an organization begins, or was for nothing: then `real` is negative."""
        name = tenant.name
        self._served[name] = mine = self._served.get(name, 0.0) + real / tenant.weight
        if name not in self._waiting or not self._open:
            return
        served, pairs = self._served, self._since
        for other in self._waiting:
            if other == name:
                continue
            ahead = mine - served.get(other, 0.0)
            if name < other:
                since = pairs[name, other]
            else:
                since = pairs[other, name]
                ahead = -ahead
            if ahead > since[1]:
                since[1] = ahead
            elif ahead < since[0]:
                since[0] = ahead
            else:
                continue
            self.most = max(self.most, since[1] - since[0])

    def restart(self) -> None:
        """Forgets what was: a promise was kept by going before others, which is no matter of fairness."""
        names = list(self._waiting)
        for place, name in enumerate(names):
            for other in names[place + 1 :]:
                self._begin(name, other)

    def close(self) -> None:
        """Measures no more."""
        self._open = False

    def reset(self) -> None:
        """Begins anew."""
        self.restart()
        self.most = 0.0

    def _begin(self, name: str, other: str) -> None:
        pair = (name, other) if name < other else (other, name)
        ahead = self._served.get(pair[0], 0.0) - self._served.get(pair[1], 0.0)
        self._since[pair] = [ahead, ahead]


class WindowCounts:
    """Of one window: what was let in and refused, and how what was let in ended."""

    __slots__ = ("accepted", "failed", "hits", "met", "missed", "refused", "turns", "waits")

    def __init__(self) -> None:
        self.accepted = 0
        self.refused = 0
        self.met = 0
        self.missed = 0
        self.failed = 0
        self.waits: list[float] = []
        self.turns: list[float] = []
        self.hits: Hits = NOTHING


class Measures:
    """All counts of a run."""

    def __init__(self, *, warm: float, until: float) -> None:
        self.warm = warm
        self.until = until
        self.gaps = Gaps()
        self.fair = Gaps()
        self.windows: dict[str, WindowCounts] = {}
        self.served: dict[str, int] = {}
        self.places: dict[str, float] = {}
        self.largest = 0.0
        self.in_flight = 0.0
        self.begun = 0
        self.lifted = 0
        self.passed_over = 0
        self.idle = 0
        self.lost = 0
        self.errors: list[float] = []
        self.covered = 0
        self.told = self.came = self.kept = self.never = 0
        self.asap_served = self.asap_refused = 0
        self.repeats = 0

    def changed(self, tenant: Tenant) -> None:
        """An organization begins or stops to wait."""
        self.gaps.changed(tenant)
        self.fair.changed(tenant)

    def cooled(self) -> None:
        """No more load comes: fairness is no longer judged."""
        self.gaps.close()
        self.fair.close()

    def warmed(self) -> None:
        """What was measured is known from here on: fairness and quotes are judged."""
        self.gaps.reset()
        self.fair.reset()

    def window(self, name: str, *, batch: bool) -> WindowCounts:
        """The counts of a window; batches are counted apart, for they have another length."""
        return self.windows.setdefault(f"{name} batch" if batch else name, WindowCounts())

    def started(self, tenant: Tenant, promise: Promise, real: int, *, now: float, lifted: bool) -> None:
        """An item begins."""
        self.begun += 1
        self.lifted += lifted
        self.largest = max(self.largest, real / tenant.weight)
        self.in_flight = max(self.in_flight, (tenant.running_estimate + real) / tenant.weight)
        self.served[tenant.name] = self.served.get(tenant.name, 0) + real
        self.gaps.served(tenant, real)
        self.fair.served(tenant, real)
        if lifted:
            self.fair.restart()
        if promise.started is None:
            promise.started = now
            asked = promise.asked
            self.window(asked.window, batch=asked.batch).waits.append(now - promise.at)

    def held(self, tenant: Tenant, *, began: float, now: float) -> None:
        """A place was an organization's for so long."""
        if began >= self.warm and now <= self.until:
            self.places[tenant.name] = self.places.get(tenant.name, 0.0) + now - began

    def in_vain(self, tenant: Tenant, real: int, *, used: int) -> None:
        """A call gave nothing, and counts for what its place was worth; its item will begin again."""
        self.repeats += 1
        self.gaps.served(tenant, used - real)
        self.fair.served(tenant, used - real)

    def ended(self, promise: Promise, now: float) -> None:
        """A promise ends, kept or not; one whose upstream refused it for good is neither."""
        promise.finished = now
        asked = promise.asked
        counts = self.window(asked.window, batch=asked.batch)
        if promise.failed:
            counts.failed += 1
            return
        outcome: Outcome = "met" if now <= promise.due and not promise.expired else "missed"
        if outcome == "met":
            counts.met += 1
        else:
            counts.missed += 1
        counts.hits = noted(counts.hits, outcome, now)
        counts.turns.append(now - promise.at)
        quote = promise.quote
        if asked.batch and promise.at >= self.warm and quote.finish <= self.until:
            self.errors.append((now - quote.finish) / max(quote.finish - promise.at, 1.0))
            self.covered += quote.earliest <= now <= quote.latest
