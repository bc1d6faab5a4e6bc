"""T-Q-twins: the queue against a model that is a dictionary, on both databases: nothing is lost, and nothing billed twice.

    put         work of one item or of three, with money reserved for it
    claim       a worker of one of two processes leases what comes next
    settle      an item of a lease is answered, in time or by a zombie
    give_back   a lease goes back by who holds it
    lapse       a lease is over; somebody takes the job back
    haunt       who had it writes a result while another has the job
    cancel      waiting work is taken out and ended; what runs is marked

INGOT_EXAMPLES sets how many are tried.
"""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from databases import Place
from ingot.services.jobs import Jobs
from ingot.store.queue import Item, Leased, Rest
from ingot.store.schema import items, jobs, responses
from queuehouse import QueueHouse, open_queue, take

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "100")) // 5 or 1
CREDIT = 10**9
MOST = 90

T = TypeVar("T")

whom = st.sampled_from(["org_a", "org_b"])
processes = st.integers(0, 1)
places = st.integers(0, 10)


@dataclass(slots=True)
class Held:
    """A lease that a worker has, or had."""

    jobs: Jobs
    job: Leased
    items: list[Item]
    zombie: bool = False


@dataclass(slots=True)
class Stage:
    """What all examples share."""

    runner: "asyncio.Runner"
    house: QueueHouse


@dataclass(slots=True)
class Known:
    """What the model knows: the items that wait or run, and those that have ended, by their state."""

    waiting: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)


class Model(RuleBasedStateMachine):
    """The machine; `stage` is set by the test."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.house = self.stage.house
        self.known = Known()
        self.leases: list[Held] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something to its end."""
        return self.stage.runner.run(work)

    @initialize()
    def boot(self) -> None:
        """Two processes."""
        self.processes = [self.house.process() for _ in range(2)]

    def teardown(self) -> None:
        """All that is left is worked off: each item has one result in the end, and all the money is accounted for."""
        self.run(self.house.lapse())
        for _ in range(200):
            self.run(self.processes[0].reclaim())
            taken = self.run(take(self.processes[0], 64))
            if not taken:
                break
            for job in taken:
                for item in self.run(self.processes[0].items(job)):
                    assert self.run(self.house.settle(job, item))
                    self.end(item, "completed")
        assert not self.known.waiting
        self.rows_are_as_the_model_says()
        assert [self.run(self.house.held(org_id)) for org_id in ("org_a", "org_b")] == [0, 0]
        assert self.run(self.house.sound())

    def end(self, item: Item, state: str) -> None:
        """The model's side of a result."""
        self.known.waiting.remove(item.id)
        self.known.ended[item.id] = state

    # ---- what happens

    @rule(org_id=whom, count=st.sampled_from([1, 1, 3]))
    def put(self, org_id: str, count: int) -> None:
        """Work is put in."""
        job = self.run(self.house.put(org_id, count=count, most=MOST))
        ids = [job.batch_id] if count == 1 else [f"{job.batch_id}_{place}" for place in range(count)]
        self.known.waiting.update(ids)

    @rule(number=processes, room=st.integers(1, 4))
    def claim(self, number: int, room: int) -> None:
        """No lease is given of a job that another has."""
        process = self.processes[number]
        for job in self.run(take(process, room)):
            assert all(each.job.id != job.id for each in self.leases if not each.zombie)
            self.leases.append(Held(process, job, self.run(process.items(job))))

    @precondition(lambda self: self.leases)
    @rule(place=places)
    def settle(self, place: int) -> None:
        """A result counts where the lease holds, and only once."""
        held = self.leases[place % len(self.leases)]
        if not held.items:
            return
        item = held.items.pop(0)
        written = self.run(self.house.settle(held.job, item))
        assert written is not held.zombie
        if written:
            self.end(item, "completed")
            if not held.items:
                self.leases.remove(held)

    @precondition(lambda self: self.leases)
    @rule(place=places, kinds=st.integers(1, 3))
    def give_back(self, place: int, kinds: int) -> None:
        """Who holds a job may put it back, its items with tries of so many kinds; a zombie may not."""
        held = self.leases[place % len(self.leases)]
        rests = {item.seq: Rest(tries=item.seq % kinds) for item in held.items}
        assert self.run(held.jobs.give_back(held.job, rests)) is not held.zombie
        self.leases.remove(held)

    @precondition(lambda self: any(not each.zombie for each in self.leases))
    @rule(number=processes)
    def lapse(self, number: int) -> None:
        """All leases are over, and what had them goes on as a zombie."""
        lost = [each for each in self.leases if not each.zombie]
        self.run(self.house.lapse())
        assert self.run(self.processes[number].reclaim()) == len(lost)
        for each in lost:
            each.zombie = True

    @precondition(lambda self: any(each.zombie and each.items for each in self.leases))
    @rule(number=processes)
    def haunt(self, number: int) -> None:
        """While somebody else has its job again, a zombie still writes nothing."""
        self.claim(number, 8)
        for each in self.leases:
            if each.zombie and each.items:
                assert not self.run(self.house.settle(each.job, each.items[0]))

    @precondition(lambda self: self.known.waiting)
    @rule(place=places, number=processes)
    def cancel(self, place: int, number: int) -> None:
        """Waiting work of one item is ended at once; what runs is left to its worker."""
        which = sorted(self.known.waiting)[place % len(self.known.waiting)]
        running = any(not each.zombie and each.job.batch_id == which for each in self.leases)
        process = self.processes[number]
        if which.count("_") > 1:
            return  # one of several
        taken = self.run(process.take_to_end(which))
        assert (taken is None) is running
        if taken is not None:
            for item in self.run(process.items(taken)):
                assert self.run(
                    self.house.settle(taken, item, state="cancelled", billable=False, amount=0, price=None)
                )
                self.end(item, "cancelled")

    # ---- what always holds

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        """Each item waits or has one result, never both and never neither."""
        if not hasattr(self, "processes"):
            return
        ours = [*self.known.waiting, *self.known.ended]
        waiting = set(self.run(self.house.rows(items.c.id, items.c.id.in_(ours))))
        assert waiting == self.known.waiting
        found = self.run(self.house.rows(responses.c.id, responses.c.id.in_(ours)))
        assert sorted(found) == sorted(self.known.ended)

    @invariant()
    def no_job_is_without_items(self) -> None:
        """A job goes with its last item."""
        batches = self.run(self.house.rows(jobs.c.batch_id))
        assert set(batches) <= set(self.run(self.house.rows(items.c.batch_id)))


def test_queue_behaves_like_the_model(backend: Place) -> None:
    """Q03, Q04, Q05, Q08, Q09 and Q17, in any order of events."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        house = runner.run(stack.enter_async_context(open_queue(backend, credit=CREDIT)))
        model = type("Staged", (Model,), {"stage": Stage(runner, house)})
        try:
            run_state_machine_as_test(
                model,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(stack.aclose())
