"""The store's part: organizations with their counters and what waits of them, and the queries of `scheduling.choice`.

Holds all in memory, yet hands out no more than the queries of a worker would: the heads.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from heapq import heappop, heappush, nsmallest
from typing import Final

from ingot.scheduling.backlog import Backlog, backlog
from ingot.scheduling.choice import Head, Look, Queue
from ingot.scheduling.fairness import charged, floor, lifted, settled
from ingot.scheduling.quotes import Booking, Quote
from ingot.scheduling.rates import Arrivals, Average
from ingot.scheduling.simulation.load import Asked, Item

STEP: Final = 5.0
"""Seconds: due moments are summed in steps of so many, as the store's query does."""


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


class Job:
    """The leased unit: items of one promise that wait. `estimate` is that of each."""

    __slots__ = ("due", "estimate", "items", "key", "lift_at", "name", "prefix", "promise")

    def __init__(
        self, key: int, promise: Promise, items: list[tuple[Item, int]], *, estimate: int, lift_at: float
    ) -> None:
        self.key = key
        self.name = f"{key:08}"
        self.promise = promise
        self.items = items
        self.estimate = estimate
        self.due = promise.due
        self.lift_at = lift_at
        self.prefix = promise.asked.prefix


class Tenant:
    """An organization: its counter, its jobs by due moment, and what was measured of it."""

    __slots__ = (
        "arrivals", "bookings", "counter", "jobs", "name", "ratio", "running", "running_estimate", "steps", "waiting",
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
        self.bookings: list[Booking] = []
        self.ratio = Average()
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
        self._last = 0

    @property
    def waits(self) -> bool:
        """Whether any job does."""
        return bool(self._waiting)

    def put(self, tenant: Tenant, job: Job, *, items: int | None = None) -> None:
        """Queues a job, or so many items of it that come back; an organization that was idle is lifted to the floor."""
        if not tenant.active:
            active = (each.counter or 0 for each in self.tenants.values() if each.active)
            tenant.counter = lifted(tenant.counter, floor(active, last=self._last))
        self._account(tenant, job, len(job.items) if items is None else items)
        if job.name not in self._jobs:
            self._jobs[job.name] = (tenant, job)
            insort(tenant.jobs, (job.due, job.key, job))
            heappush(self._lifts, (job.lift_at, job.key, job.name))
            if tenant.name not in self._waiting:
                self._waiting[tenant.name] = tenant
                self._changed(tenant)

    def peek(self, name: str) -> tuple[Tenant, Job, Item]:
        """The next item of a job."""
        tenant, job = self._jobs[name]
        return tenant, job, job.items[0][0]

    def take(self, name: str) -> tuple[Tenant, Job, tuple[Item, int]]:
        """The next item of a job, charged to its organization."""
        tenant, job = self._jobs[name]
        item = job.items.pop(0)
        tenant.counter = charged(tenant.counter or 0, job.estimate, weight=tenant.weight)
        tenant.warm = job.prefix
        tenant.running += 1
        tenant.running_estimate += job.estimate
        self._account(tenant, job, -1)
        if not job.items:
            self._forget(tenant, job)
        return tenant, job, item

    def settle(self, tenant: Tenant, job: Job, real: int) -> None:
        """Charges what an item really was."""
        tenant.counter = settled(tenant.counter or 0, job.estimate, real=real, weight=tenant.weight)
        tenant.running -= 1
        tenant.running_estimate -= job.estimate
        if not tenant.active:
            self._last = tenant.counter

    def drop(self, promise: Promise) -> int:
        """Takes out all that still waits of a promise, and says how many items it was."""
        dropped = 0
        tenant = self.tenants[promise.asked.organization]
        for _, _, job in [entry for entry in tenant.jobs if entry[2].promise is promise]:
            self._account(tenant, job, -len(job.items))
            dropped += len(job.items)
            job.items.clear()
            self._forget(tenant, job)
        if not tenant.active:
            self._last = tenant.counter or 0
        return dropped

    def heads(self, far: Look, now: float, horizon: float) -> list[Queue]:
        """The union of the three queries, by organization."""
        found: dict[str, dict[str, Job]] = {}
        for tenant in nsmallest(far.organizations, self._waiting.values(), key=_need):
            found[tenant.name] = {job.name: job for _, _, job in tenant.jobs[: far.rows]}
        for name in self._due_for_lift(now, far.rows):
            tenant, job = self._jobs[name]
            found.setdefault(tenant.name, {})[name] = job
        for tenant in self._waiting.values():
            for due, _, job in tenant.jobs[: far.rows]:
                if due > horizon:
                    break
                found.setdefault(tenant.name, {})[job.name] = job
        return [self._queue(self.tenants[name], jobs) for name, jobs in found.items()]

    def earliest(self) -> Job | None:
        """The job that is due first of all that wait."""
        firsts = [tenant.jobs[0] for tenant in self._waiting.values()]
        return min(firsts)[2] if firsts else None

    def everyone(self) -> Backlog:
        """What waits of all, by due moment."""
        steps: dict[float, int] = {}
        for tenant in self._waiting.values():
            for due, service in tenant.steps.items():
                steps[due] = steps.get(due, 0) + service
        return backlog(steps.items())

    def _due_for_lift(self, now: float, rows: int) -> list[str]:
        while self._lifts and self._lifts[0][0] <= now:
            _, key, name = heappop(self._lifts)
            if name in self._jobs:
                insort(self._lifted, (self._jobs[name][1].due, key, name))
        return [name for _, _, name in self._lifted[:rows]]

    def _queue(self, tenant: Tenant, jobs: dict[str, Job]) -> Queue:
        heads = [
            Head(job.name, job.due, job.lift_at, job.estimate, len(job.items), job.prefix)
            for job in sorted(jobs.values(), key=lambda job: (job.due, job.key))
        ]
        return Queue(tenant.name, tenant.counter or 0, tenant.weight, heads, tenant.warm)

    def _forget(self, tenant: Tenant, job: Job) -> None:
        del self._jobs[job.name]
        del tenant.jobs[bisect_left(tenant.jobs, (job.due, job.key))]
        entry = (job.due, job.key, job.name)
        place = bisect_left(self._lifted, entry)
        if place < len(self._lifted) and self._lifted[place] == entry:
            del self._lifted[place]
        if not tenant.jobs:
            del self._waiting[tenant.name]
            self._changed(tenant)

    def _account(self, tenant: Tenant, job: Job, items: int) -> None:
        step = job.due // STEP * STEP
        tenant.waiting += items * job.estimate
        left = tenant.steps.get(step, 0) + items * job.estimate
        if left:
            tenant.steps[step] = left
        else:
            tenant.steps.pop(step, None)


def _need(tenant: Tenant) -> tuple[int, str]:
    return tenant.counter or 0, tenant.name
