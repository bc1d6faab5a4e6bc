"""The worker's part: a heap of events, and what each of them leads to.

asked ----> desk: promise --> queue            refused --> comes again when told
realtime -> target, if it admits asap
ended ----> target, desk and queue learn       failed  --> waits, comes again
again ----> queue
due ------> what fails when it is late leaves the queue
poll -----> once a second: permits, horizon
   after each of them: for every target that has room, `choose`, then its grants begin
"""

import heapq
from collections.abc import Callable, Iterable
from typing import Final

from ingot.scheduling.backlog import NONE, horizon
from ingot.scheduling.backoff import again, pause
from ingot.scheduling.capacity import admits_asap, room
from ingot.scheduling.choice import choose, look
from ingot.scheduling.quotes import Refusal
from ingot.scheduling.simulation.desk import Desk
from ingot.scheduling.simulation.load import Asked, Item, Randomness, drawn, realtime
from ingot.scheduling.simulation.measures import Measures
from ingot.scheduling.simulation.queue import Job, Promise, Queues, Tenant, Waiting
from ingot.scheduling.simulation.report import Report, reported
from ingot.scheduling.simulation.scenario import Scenario
from ingot.scheduling.simulation.target import Called, Target

POLL: Final = 1.0
COMES_WITHIN: Final = 5.0
"""Whoever was told when to come again comes at most so many seconds later."""
RETURNS: Final = 3
"""So often somebody comes again with the same work."""

Event = Callable[[float], None]


def simulate(
    scenario: Scenario,
    source: Randomness,
    *,
    load: Iterable[Asked] | None = None,
    tick: Callable[[float], None] | None = None,
) -> Report:
    """Runs a scenario to its end and reports; `load` is a record in place of what the scenario would draw, `tick`
    hears of every second of virtual time.
    """
    run = _Run(scenario, source, load=load, tick=tick)
    run.play()
    return reported(scenario, run.measures, targets=run.targets)


class _Run:
    """All that changes in a simulation."""

    def __init__(
        self,
        scenario: Scenario,
        source: Randomness,
        *,
        load: Iterable[Asked] | None,
        tick: Callable[[float], None] | None,
    ) -> None:
        self.scenario = scenario
        self.source = source
        self.measures = Measures(warm=scenario.warm_seconds, until=scenario.seconds)
        self.targets = [
            Target(
                model,
                tuple(each for each in scenario.troubles if each.target == place),
                until=scenario.seconds,
            )
            for place, model in enumerate(scenario.targets)
        ]
        self.queues = Queues(
            ((each.name, each.weight) for each in scenario.organizations), self.measures.changed
        )
        self.desk = Desk(scenario, self.queues, self.targets)
        self.horizon = NONE
        self._tick = tick
        self._load = iter(drawn(scenario, source) if load is None else load)
        self._realtime = realtime(scenario, source)
        self._events: list[tuple[float, int, Event]] = []
        self._failing = {each.name: each.failing for each in scenario.organizations}
        self._number = 0
        self._open = 0
        self._coming = 0

    def play(self) -> None:
        """From the first event to the last promise."""
        self._next_asked()
        self._next_realtime()
        self._at(0.0, self._poll)
        self._at(self.scenario.warm_seconds, lambda _: self.measures.warmed())
        self._at(self.scenario.seconds, lambda _: self.measures.cooled())
        last = self.scenario.seconds + self.scenario.drain_hours * 3600.0
        while self._events:
            now, _, event = heapq.heappop(self._events)
            if now > last:
                break
            event(now)
            self._serve(now)
        self.measures.lost = self._open

    def _at(self, moment: float, event: Event) -> None:
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, event))

    # ---- what comes

    def _next_asked(self) -> None:
        asked = next(self._load, None)
        if asked is not None:
            self._coming += 1
            self._at(asked.at, lambda now: self._asked(asked, now))

    def _asked(self, asked: Asked, now: float) -> None:
        self._next_asked()
        self._coming -= 1
        self._number += 1
        self._offer(asked, str(self._number), now, times=0)

    def _offer(self, asked: Asked, key: str, now: float, *, times: int) -> None:
        """Somebody comes with work, for the first time or when told."""
        decided = self.desk.ask(asked, key, now, first=not times)
        counts = self.measures.window(asked.window, batch=asked.batch)
        if times:
            self.measures.came += 1
        if isinstance(decided, Refusal):
            counts.refused += not times
            if decided.retry_after is None:
                self.measures.never += 1
            elif times < RETURNS:
                self.measures.told += 1
                self._coming += 1
                delay = decided.retry_after + self.source.random() * COMES_WITHIN
                self._at(now + delay, lambda later: self._returns(asked, key, later, times=times + 1))
            return
        self.measures.kept += bool(times)
        counts.accepted += 1
        promise = Promise(asked, now, decided)
        self._open += 1
        tenant = self.queues.tenants[asked.organization]
        for job, items in self.desk.jobs(promise):
            self.queues.put(tenant, job, items)
        if self.scenario.windows[asked.window].missed(batch=asked.batch) == "fail":
            self._at(promise.due, lambda later: self._due(promise, later))

    def _returns(self, asked: Asked, key: str, now: float, *, times: int) -> None:
        self._coming -= 1
        self._offer(asked, key, now, times=times)

    def _next_realtime(self) -> None:
        coming = next(self._realtime, None)
        if coming is not None:
            at, item = coming
            self._at(at, lambda now: self._asap(item, now))

    def _asap(self, item: Item, now: float) -> None:
        self._next_realtime()
        waiting = self.queues.waits
        target = min(self.targets, key=lambda each: each.running / max(each.pace.permits, 1))
        if not target.pace.open(now) or not admits_asap(target.lane(waiting=waiting), self.scenario.shares):
            self.measures.asap_refused += 1
            return
        self.measures.asap_served += 1
        target.enter(now, asap=True)
        called = target.call(item, now, self.source)

        def ended(later: float) -> None:
            target.leave(later, asap=True)
            target.learn(called, later, began=now, tokens=item.output)

        self._at(now + called.seconds, ended)

    def _poll(self, now: float) -> None:
        if self._tick is not None:
            self._tick(now)
        self.desk.look(now)
        self.horizon = horizon(self.queues.everyone(), now, rate=self.desk.rate)
        if self._open or self._coming:
            self._at(now + POLL, self._poll)

    # ---- what is done

    def _serve(self, now: float) -> None:
        """Gives out every permit that the rules give."""
        for target in self.targets:
            if not target.pace.open(now):
                continue
            while self.queues.waits:
                free = room(target.lane(waiting=True), self.scenario.shares)
                if not free.lifted:
                    break
                heads = self.queues.heads(look(free), now, self.horizon)
                grants = choose(heads, free, now, horizon=self.horizon)
                for grant in grants:
                    for _ in range(grant.items):
                        self._begin(target, grant.job, now, lifted=grant.lifted)
                if not grants:
                    break
        self._watch(now)

    def _begin(self, target: Target, name: str, now: float, *, lifted: bool) -> None:
        tenant, job, waited = self.queues.peek(name)
        first = self.queues.earliest()
        if first is not None and first is not job and first.due < min(now, job.due):
            self.measures.passed_over += 1
        self.measures.started(tenant, job.promise, waited.item.real, now=now, lifted=lifted)
        self.queues.take(name)
        target.enter(now, asap=False)
        called = target.call(waited.item, now, self.source)
        failing = self._failing.get(tenant.name, 0.0)
        if failing and called.ending == "done" and self.source.random() < failing:
            called = called._replace(ending="failed")
        self._at(
            now + called.seconds,
            lambda later: self._ended(target, tenant, job, waited, called=called, began=now, now=later),
        )

    def _ended(
        self,
        target: Target,
        tenant: Tenant,
        job: Job,
        waited: Waiting,
        *,
        called: Called,
        began: float,
        now: float,
    ) -> None:
        target.leave(now, asap=False)
        target.learn(called, now, began=began, tokens=waited.item.output)
        real = waited.item.real if called.ending == "done" else 0
        # A refusal for too many calls took no place from anybody.
        used = self.desk.cost(now - began) if called.ending == "failed" else real
        self.queues.settle(tenant, waited.estimate, real=used)
        self.measures.held(tenant, began=began, now=now)
        self.desk.ended(tenant, waited, now, real=real, seconds=now - began)
        promise = job.promise
        if called.ending != "done":
            self.measures.in_vain(tenant, waited.item.real, used=used)
            wait = pause(waited.tries + 1, self.source.random(), retry_after=called.retry_after)
            # A refusal for too many calls is no failed try: the item was not looked at.
            tries = waited.tries + (called.ending == "failed")
            if not promise.expired and again(tries, at=now + wait, due=promise.due, service=0.0):
                self._at(now + wait, lambda _: self._again(tenant, job, waited._replace(tries=tries)))
                return
            promise.failed += not promise.expired
        self._count(promise, now)

    def _again(self, tenant: Tenant, job: Job, waited: Waiting) -> None:
        if job.promise.expired:
            self._count(job.promise, job.promise.due)
        else:
            self.queues.put(tenant, job, [waited])

    def _due(self, promise: Promise, now: float) -> None:
        """A promise whose window ends it: what waits is dropped, what runs may finish."""
        if promise.finished is None:
            promise.expired = True
            self._count(promise, now, items=self.queues.drop(promise))

    def _count(self, promise: Promise, now: float, *, items: int = 1) -> None:
        promise.left -= items
        if not promise.left and promise.finished is None:
            self._open -= 1
            self.measures.ended(promise, now)

    def _watch(self, now: float) -> None:
        """Sees a permit that is free beside work that may have it."""
        if self.queues.waits and any(
            target.pace.open(now) and room(target.lane(waiting=True), self.scenario.shares).ordinary
            for target in self.targets
        ):
            self.measures.idle += 1
