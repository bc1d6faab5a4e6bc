"""What work meets when it comes: all that waits and runs, by lane and organization, summed; and what keeps arriving.

    read, every second or so --> Loads.renew          the sums of the database
    let in here since ---------> Loads.add            until the next sums have it
    asked for -----------------> Loads.arrive         a rate, by organization and length of its window

Holds sums and no job. Decides nothing about promises.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from ingot.scheduling.backlog import Backlog, backlog
from ingot.scheduling.bookings import Booking, booked, sooner
from ingot.scheduling.quotes import Ahead
from ingot.scheduling.rates import Arrivals, arrived
from ingot.scheduling.shares import Neighbour, merged
from ingot.store.backlog import STEP, Runs, Waits

ARRIVALS_HALF_LIFE: Final = 600.0
QUIET: Final = 3600.0
"""Seconds after which an organization that asks for nothing is forgotten."""
MOST_TOLD: Final = 32
"""Organizations of a lane of which other nodes are told."""

Told = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Service a second that is asked for, by lane, organization and seconds of the window."""


class Added(Struct, frozen=True):
    """Work that was let in: whose it is, when it is due, and by when its half is to be done."""

    at: float
    org_id: str
    weight: int
    due: float
    target: float
    service: float
    items: int


@dataclass(slots=True)
class Tenant:
    """An organization in a lane."""

    weight: int = 1
    waiting: float = 0.0
    running: float = 0.0
    steps: dict[float, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(slots=True)
class Lane:
    """All that waits for the targets of a lane."""

    tenants: dict[str, Tenant] = field(default_factory=lambda: defaultdict(Tenant))
    due: dict[float, float] = field(default_factory=lambda: defaultdict(float))
    items: dict[float, int] = field(default_factory=lambda: defaultdict(int))
    running: int = 0
    _whole: Backlog | None = None

    def add(self, added: Added) -> None:
        """Counts work that waits."""
        tenant = self.tenants[added.org_id]
        tenant.weight = added.weight
        tenant.waiting += added.service
        tenant.steps[_step(added.target)] += added.service
        self.due[_step(added.due)] += added.service
        self.items[_step(added.due)] += added.items
        self._whole = None

    @property
    def everyone(self) -> Backlog:
        """What waits of all, by due moment."""
        if self._whole is None:
            self._whole = backlog(self.due.items())
        return self._whole

    @property
    def calls(self) -> int:
        """How many items wait or run."""
        return self.running + sum(self.items.values())

    def items_by(self, moment: float) -> int:
        """How many items that wait are due by then."""
        return sum(items for step, items in self.items.items() if step <= moment)


class Loads:
    """The lanes of one process."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._recent: dict[str, list[Added]] = defaultdict(list)
        self._arrivals: dict[tuple[str, str], dict[float, Arrivals]] = {}
        self._told: list[Told] = []

    def lane(self, name: str) -> Lane:
        """What waits in a lane."""
        return self._lanes.setdefault(name, Lane())

    def renew(
        self,
        waits: Iterable[Waits],
        runs: Sequence[Runs],
        *,
        lane_of: Callable[[str], str],
        places: Callable[[str], float],
        began: float,
    ) -> None:
        """Takes new sums, whose reading began then; what was let in since stays beside them. `places` are those of a lane:
        what is leased beyond them waits as well, before all that is not.
        """
        lanes: dict[str, Lane] = defaultdict(Lane)
        for each in waits:
            lanes[lane_of(each.model)].add(
                Added(began, each.org_id, each.weight, each.due, each.target, float(each.service), each.items)
            )
        leased: dict[str, int] = defaultdict(int)
        for run in runs:
            leased[lane_of(run.model)] += run.items
        for run in runs:
            name = lane_of(run.model)
            part = min(places(name) / leased[name], 1.0)
            rest = (1.0 - part) * run.service
            items = run.items - math.ceil(part * run.items)
            lanes[name].add(Added(began, run.org_id, run.weight, run.due, began, rest, items))
            lanes[name].tenants[run.org_id].running += part * run.service
            lanes[name].running += run.items - items
        for name, recent in self._recent.items():
            self._recent[name] = [each for each in recent if each.at >= began]
            for added in self._recent[name]:
                lanes[name].add(added)
        self._lanes = dict(lanes)

    def add(self, lane: str, added: Added) -> None:
        """Counts work that was let in here."""
        self.lane(lane).add(added)
        self._recent[lane].append(added)

    # ---- what arrives

    def arrive(self, lane: str, org_id: str, service: float, *, seconds: float, now: float) -> None:
        """Somebody asks for work for the first time."""
        known = self._arrivals.setdefault((lane, org_id), {})
        known[seconds] = arrived(
            known.get(seconds, Arrivals()), service, now=now, half_life=ARRIVALS_HALF_LIFE
        )

    def forget(self, now: float) -> None:
        """Lets go of organizations that asked for nothing for long."""
        over = [
            key
            for key, known in self._arrivals.items()
            if all(now - each.at > QUIET for each in known.values())
        ]
        for key in over:
            del self._arrivals[key]

    def tell(self, now: float) -> Told:
        """What other nodes are told of arrivals: of those who ask for most."""
        found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
        for (lane, org_id), known in self._arrivals.items():
            found[lane][org_id] = {
                f"{seconds:g}": each.rate(now, half_life=ARRIVALS_HALF_LIFE)
                for seconds, each in known.items()
            }
        return {
            lane: dict(sorted(own.items(), key=lambda item: -math.fsum(item[1].values()))[:MOST_TOLD])
            for lane, own in found.items()
        }

    def hear(self, told: list[Told]) -> None:
        """Takes what living nodes tell of arrivals."""
        self._told = told

    def arriving(
        self, lane: str, org_id: str, now: float, *, below: float = math.inf, above: float = 0.0
    ) -> float:
        """Service a second that an organization asks for on all nodes, in windows between these lengths."""
        own = self._arrivals.get((lane, org_id), {})
        rates = [(seconds, each.rate(now, half_life=ARRIVALS_HALF_LIFE)) for seconds, each in own.items()]
        for told in self._told:
            rates += [(float(name), rate) for name, rate in told.get(lane, {}).get(org_id, {}).items()]
        return math.fsum(rate for seconds, rate in rates if above < seconds < below)

    # ---- together

    def ahead(
        self,
        lane: str,
        org_id: str,
        bookings: Sequence[Booking],
        *,
        seconds: float,
        now: float,
        steady: float | None,
        claimed: Booking | None = None,
    ) -> Ahead:
        """What work of an organization meets, in a window of so many seconds. `steady` is the length of windows of which
        arrivals count half: batches come seldom and large, so beside one mostly fewer come than on average.
        """
        found = self.lane(lane)
        own = found.tenants.get(org_id, Tenant())
        names = found.tenants.keys() | {org for name, org in self._arrivals if name == lane}
        for told in self._told:
            names |= told.get(lane, {}).keys()
        return Ahead(
            own=backlog(own.steps.items()),
            running=own.running,
            shorter=self.arriving(lane, org_id, now, below=seconds),
            longer=self.arriving(lane, org_id, now, above=seconds),
            booked=booked(bookings, seconds, now, claimed=claimed),
            sooner=sooner(bookings, seconds, now),
            others=merged(self._neighbour(lane, name, now, steady) for name in names if name != org_id),
            everyone=found.everyone,
        )

    def _neighbour(self, lane: str, org_id: str, now: float, steady: float | None) -> Neighbour:
        tenant = self.lane(lane).tenants.get(org_id, Tenant())
        arriving = self.arriving(lane, org_id, now)
        if steady is not None:
            arriving = (arriving + self.arriving(lane, org_id, now, below=steady)) / 2.0
        return Neighbour(float(tenant.weight), tenant.waiting + tenant.running / 2.0, arriving)


def _step(moment: float) -> float:
    return moment // STEP * STEP
