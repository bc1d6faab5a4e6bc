"""T-B-machine: batches against a model that is a dictionary, on both databases, in any order of what can happen to them.

    make        a batch of a few jobs begins
    claim       a worker of one of two processes leases what comes next
    settle      requests of leases are answered, or fail, in time or by a zombie, all in one commit
    give_back   a lease goes back by who holds it
    lapse       all leases are over, and the jobs are taken back; a second time cuts them up
    cancel      somebody asks for the end of a batch; what waits ends
    expire      the time of a batch is over; what waits ends
    tend        what waits of batches that are to be ended is ended

INGOT_EXAMPLES sets how many are tried.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar

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

from batchqueue import FAILED, billed, counts, look, make, states
from databases import Place
from ingot.services.jobs import Jobs
from ingot.store import batch_ends
from ingot.store.batches import ENDED, BatchRow
from ingot.store.queue import Item, Leased, Rest
from ingot.store.schema import jobs, micros
from queuehouse import QueueHouse, open_queue, take

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "100")) // 10 or 1
CREDIT = 10**9
MOST = 90
ROOM = 1_000
RUNS = frozenset({"pending", "running"})

T = TypeVar("T")
How = Literal["cancelled", "expired"]

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
    """What the model knows of a batch: how each line stands, by its place; its row once it has ended."""

    row: BatchRow
    lines: dict[int, str] = field(default_factory=dict)
    asked: bool = False
    ended: BatchRow | None = None


class Model(RuleBasedStateMachine):
    """The machine; `stage` is set by the test."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.house = self.stage.house
        self.known: dict[str, Known] = {}
        self.leases: list[Held] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something to its end."""
        return self.stage.runner.run(work)

    @initialize()
    def boot(self) -> None:
        """Two processes."""
        self.processes = [self.house.process() for _ in range(2)]

    def teardown(self) -> None:
        """All that is left is worked off: every batch ends, and all the money is accounted for."""
        if not hasattr(self, "processes"):
            return
        self.run(self.house.lapse())
        self.run(self.processes[0].reclaim())
        self.leases = []
        for known in self.known.values():
            known.lines = {seq: "pending" if how in RUNS else how for seq, how in known.lines.items()}
        while taken := self.run(take(self.processes[0], ROOM)):
            for job in taken:
                for item in self.run(self.processes[0].items(job)):
                    assert self.run(self.house.settle(job, item))
                    self.known[job.batch_id].lines[item.seq] = "completed"
        self.counts_are_what_the_lines_say()
        for known in self.known.values():
            row = self.run(look(self.house, known.row.id))
            said = set(known.lines.values())
            expected = "cancelled" if known.asked else "expired" if "expired" in said else "completed"
            assert (row.state, row.left) == (expected, 0)
        assert [self.run(self.house.held(org_id)) for org_id in ("org_a", "org_b")] == [0, 0]
        assert self.run(self.house.sound())

    # ---- what happens

    @rule(org_id=whom, sizes=st.sampled_from([[1], [3], [1, 2], [2, 2, 1]]))
    def make(self, org_id: str, sizes: list[int]) -> None:
        """A batch begins."""
        row = self.run(make(self.house, org_id, sizes=sizes, most=MOST))
        self.known[row.id] = Known(row, dict.fromkeys(range(sum(sizes)), "pending"))

    @rule(number=processes, room=st.integers(1, 6))
    def claim(self, number: int, room: int) -> None:
        """No lease is given of a job that another has."""
        process = self.processes[number]
        for job in self.run(take(process, room)):
            assert all(each.job.id != job.id for each in self.leases if not each.zombie)
            held = Held(process, job, self.run(process.items(job)))
            self.leases.append(held)
            self.mark(held, "running")

    @precondition(lambda self: self.leases)
    @rule(chosen=st.lists(st.tuples(places, st.booleans()), min_size=1, max_size=4))
    def settle(self, chosen: list[tuple[int, bool]]) -> None:
        """Results count where the lease holds, and only once, whatever else is in the commit."""
        work: list[tuple[Held, Item, bool]] = []
        for place, fails in chosen:
            held = self.leases[place % len(self.leases)]
            if held.items:
                work.append((held, held.items.pop(0), fails))

        async def write() -> list[bool]:
            settle = self.house.settle
            return await asyncio.gather(
                *(settle(held.job, item, **(FAILED if fails else {})) for held, item, fails in work)
            )

        written = self.run(write())
        for (held, item, fails), counted in zip(work, written, strict=True):
            assert counted is not held.zombie
            if counted:
                self.known[held.job.batch_id].lines[item.seq] = "failed" if fails else "completed"
        self.leases = [each for each in self.leases if each.items]

    @precondition(lambda self: self.leases)
    @rule(place=places, kinds=st.integers(1, 3))
    def give_back(self, place: int, kinds: int) -> None:
        """Who holds a job may put it back, its items with tries of so many kinds; a zombie may not."""
        held = self.leases[place % len(self.leases)]
        rests = {item.seq: Rest(tries=item.seq % kinds) for item in held.items}
        assert self.run(held.jobs.give_back(held.job, rests)) is not held.zombie
        if not held.zombie:
            self.mark(held, "pending")
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
            self.mark(each, "pending")

    @precondition(lambda self: self.known)
    @rule(place=places)
    def cancel(self, place: int) -> None:
        """The first who asks is told so; what waits has ended when it is over."""
        known = self.chosen(place)
        asked = partial(batch_ends.ask_end, batch=known.row, at=micros(self.house.clock.now()))
        first = self.run(self.house.db.write(asked, locks=(known.row.org_id,)))
        assert first is (not known.asked and known.ended is None)
        known.asked = known.asked or first
        if first:
            self.end_waiting(known, "cancelled")

    @precondition(lambda self: self.known)
    @rule(place=places)
    def expire(self, place: int) -> None:
        """Of one that is to be ended nothing expires: it is cancelled."""
        known = self.chosen(place)
        late = known.row.due_at
        overdue = dict(self.run(self.house.db.read(partial(batch_ends.overdue, now=late))))
        waits = "pending" in known.lines.values()
        assert (known.row.id in overdue) is (waits and not known.asked)
        if known.row.id in overdue:
            self.end_waiting(known, "expired", at=late)

    @rule()
    def tend(self) -> None:
        """What a process would do each second: those that were asked for, and of which something waits."""
        found = dict(self.run(self.house.db.read(batch_ends.to_be_ended)))
        wanted = {
            which for which, each in self.known.items() if each.asked and "pending" in each.lines.values()
        }
        assert wanted == found.keys() & self.known.keys()
        for which in wanted:
            self.end_waiting(self.known[which], "cancelled")

    # ---- the model's side

    def chosen(self, place: int) -> Known:
        """One of the batches."""
        return list(self.known.values())[place % len(self.known)]

    def mark(self, held: Held, how: str) -> None:
        """The lines of a lease that have not ended stand otherwise."""
        lines = self.known[held.job.batch_id].lines
        lines.update((item.seq, how) for item in held.items if lines[item.seq] in RUNS)

    def end_waiting(self, known: Known, how: How, *, at: int | None = None) -> None:
        """Ends what waits of a batch, a job at a time."""
        write = partial(
            batch_ends.end_waiting,
            batch_id=known.row.id,
            how=how,
            at=micros(self.house.clock.now()) if at is None else at,
            most=1,
        )
        while self.run(self.house.db.write(write, locks=(known.row.org_id,)))[0]:
            pass
        known.lines = {seq: how if held == "pending" else held for seq, held in known.lines.items()}

    # ---- what always holds

    @invariant()
    def counts_are_what_the_lines_say(self) -> None:
        """B04 and B07: counts and lines are those of the model, and what completed is billed, and nothing else is."""
        for which, known in self.known.items():
            row, said = self.run(look(self.house, which)), Counter(known.lines.values())
            assert self.run(states(self.house, which)) == said
            assert counts(row) == {name: held for name, held in said.items() if name not in RUNS}
            assert row.left == sum(said[name] for name in RUNS)
            assert self.run(billed(self.house, which)) == said["completed"]
            assert (row.state in ENDED) is (row.left == 0)

    @invariant()
    def nothing_changes_when_a_batch_has_ended(self) -> None:
        """B03: its row stays as it was; no job of it is left."""
        for which, known in self.known.items():
            row = self.run(look(self.house, which))
            assert known.ended in (None, row)
            if row.state in ENDED:
                known.ended = row
                assert not self.run(self.house.rows(jobs.c.id, jobs.c.batch_id == which))


def test_batches_behave_like_the_model(backend: Place) -> None:
    """B03, B04, B05, B06 and B07, in any order of events."""
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
