"""The store's part: organizations with their counters and what waits of them, and the queries of `scheduling.choice`.

Holds all in memory, yet hands out no more than the queries of a worker would: the heads.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush, nsmallest
from typing import Final, NamedTuple

from ingot.scheduling.backlog import NONE, Backlog, backlog
from ingot.scheduling.bookings import HELD, Booking
from ingot.scheduling.choice import Head, Look, Queue
from ingot.scheduling.fairness import charged, floor, lifted, settled, virtual
from ingot.scheduling.quotes import Quote
from ingot.scheduling.rates import Arrivals, Average
from ingot.scheduling.simulation.load import Asked, Item

STEP: Final = 5.0
"""Seconds: due moments are summed in steps of so many, as the store's query does."""

BOOKED_STEP: Final = 30.0


class Promise:
    """A request or batch that was let in, and how far it is."""

    __slots__ = ("asked", "at", "due", "expired", "failed", "finished", "left", "quote", "started")

    def __init__(self, asked: Asked, at: float, quote: Quote) -> None:
        self.asked = asked
        self.at = at
        self.due = quote.due
        self.quote = quote
        self.left = len(asked.items)
        self.failed = 0
        self.started: float | None = None
        self.finished: float | None = None
        self.expired = False


class Waiting(NamedTuple):
    """An item that waits: its estimate, and how often it failed."""

    item: Item
    estimate: int
    tries: int = 0


class Job:
    """The leased unit: items of one promise that wait."""

    __slots__ = ("due", "items", "key", "lift_at", "name", "prefix", "promise", "target")

    def __init__(self, key: int, promise: Promise, *, target: float, lift_at: float) -> None:
        self.key = key
        self.name = f"{key:08}"
        self.promise = promise
        self.items: deque[Waiting] = deque()
        self.due = promise.due
        self.target = target
        self.lift_at = lift_at
        self.prefix = promise.asked.prefix


class Bookings:
    """The bookings of one organization, in order of their moments, with their sums."""

    __slots__ = ("_by_key", "_ordered", "_steps")

    def __init__(self) -> None:
        self._by_key: dict[str, Booking] = {}
        self._ordered: dict[float, list[tuple[float, str]]] = {}
        self._steps: dict[float, dict[float, float]] = {}

    def add(self, booking: Booking) -> None:
        """Keeps one, in place of an older one of the same work."""
        self.remove(booking.key)
        self._by_key[booking.key] = booking
        insort(self._ordered.setdefault(booking.seconds, []), (booking.at, booking.key))
        self._account(booking, booking.service)

    def remove(self, key: str) -> Booking | None:
        """Takes one out."""
        booking = self._by_key.pop(key, None)
        if booking is not None:
            ordered = self._ordered[booking.seconds]
            del ordered[bisect_left(ordered, (booking.at, key))]
            self._account(booking, -booking.service)
        return booking

    def lapse(self, now: float) -> None:
        """Forgets those whose time is over."""
        for ordered in self._ordered.values():
            while ordered and self._by_key[ordered[0][1]].until < now:
                self.remove(ordered[0][1])

    def before(self, seconds: float, now: float, claimed: Booking | None) -> Backlog:
        """As `bookings.booked`, from the sums."""
        if claimed is None:
            return backlog(self._held(seconds, now))
        ordered = self._ordered.get(seconds, [])
        earlier = ordered[bisect_left(ordered, (now - HELD,)) : bisect_left(ordered, (claimed.at,))]
        return backlog((at, self._by_key[key].service) for at, key in earlier)

    def sooner(self, seconds: float, now: float) -> Backlog:
        """As `bookings.sooner`, from the sums."""
        return backlog(
            (at + length, service)
            for length in self._steps
            if length < seconds
            for at, service in self._held(length, now)
        )

    def _held(self, seconds: float, now: float) -> list[tuple[float, float]]:
        steps = self._steps.get(seconds, {})
        return [(at, service) for at, service in steps.items() if at + BOOKED_STEP > now - HELD]

    def _account(self, booking: Booking, service: float) -> None:
        steps = self._steps.setdefault(booking.seconds, {})
        step = booking.at // BOOKED_STEP * BOOKED_STEP
        steps[step] = steps.get(step, 0.0) + service
        if steps[step] <= 1e-6:
            del steps[step]


class Tenant:
    """An organization: its counter, its jobs by due moment, and what was measured of it."""

    __slots__ = (
        "arrivals", "bookings", "counter", "error", "jobs", "name", "ratio", "running", "running_estimate", "steps", "waiting",
        "warm", "weight",
    )  # fmt: skip

    def __init__(self, name: str, weight: int) -> None:
        self.name = name
        self.weight = weight
        self.counter: int | None = None
        self.jobs: list[tuple[float, int, Job]] = []
        self.running = 0
        self.running_estimate = 0
        self.waiting = 0
        self.steps: dict[float, int] = {}
        self.arrivals: dict[float, Arrivals] = {}
        self.bookings = Bookings()
        self.ratio = Average()
        self.error = Average()
        self.warm = ""

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return bool(self.jobs) or self.running > 0

    def own(self) -> Backlog:
        """What waits of it, by due moment."""
        return backlog(self.steps.items())


class Queues:
    """All organizations; `changed` hears of one that begins or stops to wait."""

    def __init__(self, weights: Iterable[tuple[str, int]], changed: Callable[[Tenant], None]) -> None:
        self.tenants = {name: Tenant(name, weight) for name, weight in weights}
        self._waiting: dict[str, Tenant] = {}
        self._changed = changed
        self._jobs: dict[str, tuple[Tenant, Job]] = {}
        self._lifts: list[tuple[float, int, str]] = []
        self._lifted: list[tuple[float, int, str]] = []
        self._by_due: list[tuple[float, int, str]] = []
        self._steps: dict[float, int] = {}
        self._last = 0

    @property
    def waits(self) -> bool:
        """Whether any job does."""
        return bool(self._waiting)

    def put(self, tenant: Tenant, job: Job, items: Sequence[Waiting]) -> None:
        """Queues items of a job, new ones or some that come back; who did not wait is lifted to the floor."""
        if not tenant.jobs:
            waiting = (
                (each.counter or 0) - virtual(each.running_estimate, each.weight)
                for each in self._waiting.values()
            )
            tenant.counter = lifted(tenant.counter, floor(waiting, last=self._last))
        job.items.extend(items)
        self._account(tenant, job, sum(each.estimate for each in items))
        if job.name not in self._jobs:
            self._jobs[job.name] = (tenant, job)
            insort(tenant.jobs, (job.target, job.key, job))
            insort(self._by_due, (job.due, job.key, job.name))
            heappush(self._lifts, (job.lift_at, job.key, job.name))
            if tenant.name not in self._waiting:
                self._waiting[tenant.name] = tenant
                self._changed(tenant)

    def peek(self, name: str) -> tuple[Tenant, Job, Waiting]:
        """The next item of a job."""
        tenant, job = self._jobs[name]
        return tenant, job, job.items[0]

    def take(self, name: str) -> None:
        """Takes the next item of a job, and charges it to its organization."""
        tenant, job = self._jobs[name]
        estimate = job.items.popleft().estimate
        tenant.counter = charged(tenant.counter or 0, estimate, weight=tenant.weight)
        tenant.warm = job.prefix
        tenant.running += 1
        tenant.running_estimate += estimate
        self._account(tenant, job, -estimate)
        if not job.items:
            self._forget(tenant, job)

    def settle(self, tenant: Tenant, estimate: int, *, real: int) -> None:
        """Charges what an item really was."""
        tenant.counter = settled(tenant.counter or 0, estimate, real=real, weight=tenant.weight)
        tenant.running -= 1
        tenant.running_estimate -= estimate

    def drop(self, promise: Promise) -> int:
        """Takes out all that still waits of a promise, and says how many items it was."""
        dropped = 0
        tenant = self.tenants[promise.asked.organization]
        for _, _, job in [entry for entry in tenant.jobs if entry[2].promise is promise]:
            self._account(tenant, job, -sum(each.estimate for each in job.items))
            dropped += len(job.items)
            job.items.clear()
            self._forget(tenant, job)
        return dropped

    def heads(self, far: Look, now: float, horizon: float) -> list[Queue]:
        """The union of the three queries, by organization."""
        found: dict[str, dict[str, Job]] = {}
        lifted_now = self._due_for_lift(now, far.rows)
        if not (far.organizations or lifted_now or horizon > NONE):
            return []
        for tenant in nsmallest(far.organizations, self._waiting.values(), key=_need):
            found[tenant.name] = {job.name: job for _, _, job in tenant.jobs[: far.rows]}
        for name in lifted_now:
            tenant, job = self._jobs[name]
            found.setdefault(tenant.name, {})[name] = job
        if horizon > NONE:
            for due, _, name in self._by_due[: far.rows]:
                if due > horizon:
                    break
                tenant, job = self._jobs[name]
                found.setdefault(tenant.name, {})[name] = job
        return [self._queue(self.tenants[name], jobs) for name, jobs in found.items()]

    def earliest(self) -> Job | None:
        """The job that is due first of all that wait."""
        return self._jobs[self._by_due[0][2]][1] if self._by_due else None

    def everyone(self) -> Backlog:
        """What waits of all, by due moment."""
        return backlog(self._steps.items())

    def _due_for_lift(self, now: float, rows: int) -> list[str]:
        while self._lifts and self._lifts[0][0] <= now:
            _, key, name = heappop(self._lifts)
            if name not in self._jobs:
                continue
            entry = (self._jobs[name][1].due, key, name)
            place = bisect_left(self._lifted, entry)
            # A job that failed and came back stands in the heap twice.
            if self._lifted[place : place + 1] != [entry]:
                self._lifted.insert(place, entry)
        return [name for _, _, name in self._lifted[:rows]]

    def _queue(self, tenant: Tenant, jobs: dict[str, Job]) -> Queue:
        heads = [
            Head(
                job.name, job.due, job.lift_at, job.items[0].estimate, len(job.items), job.prefix, job.target
            )
            for job in sorted(jobs.values(), key=lambda job: (job.target, job.key))
        ]
        return Queue(tenant.name, tenant.counter or 0, tenant.weight, heads, tenant.warm)

    def _forget(self, tenant: Tenant, job: Job) -> None:
        del self._jobs[job.name]
        del tenant.jobs[bisect_left(tenant.jobs, (job.target, job.key))]
        entry = (job.due, job.key, job.name)
        del self._by_due[bisect_left(self._by_due, entry)]
        place = bisect_left(self._lifted, entry)
        if place < len(self._lifted) and self._lifted[place] == entry:
            del self._lifted[place]
        if not tenant.jobs:
            del self._waiting[tenant.name]
            self._last = tenant.counter or 0
            self._changed(tenant)

    def _account(self, tenant: Tenant, job: Job, service: int) -> None:
        tenant.waiting += service
        for steps, moment in ((tenant.steps, job.target), (self._steps, job.due)):
            step = moment // STEP * STEP
            left = steps.get(step, 0) + service
            if left:
                steps[step] = left
            else:
                del steps[step]


def _need(tenant: Tenant) -> tuple[int, str]:
    return tenant.counter or 0, tenant.name
