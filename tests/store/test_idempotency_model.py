"""Idempotency keys against a model that is a dictionary: whatever clients, crashes and clocks do, one answer, billed once.

    submit       a request that is served to its end: kept (billed) or released (not billed)
    again        the same once more
    start        one that is left running; `end` ends it, in time or as a zombie
    concurrent   several at once, in all processes
    crash        a process dies with all that it leads
    expire       half a day passes; `sweep` forgets what is over
    revoke       the API key goes; nothing is answered any more, and a new one has a life of its own

On PostgreSQL two processes share the database, on SQLite one has it alone. INGOT_EXAMPLES sets how many are tried.
"""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeVar

import pytest
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
from ingot.clock import ManualClock
from ingot.errors import Conflict, IdempotencyError, Unauthenticated
from ingot.services.idempotency import Lead, Replay, Retries, Scope
from ingot.services.key_desk import IssuedKey, KeyOrder
from ingot.services.keys import KeyRing
from ingot.store import idempotency as store
from ingot.store.schema import DEFAULT_ORG
from keyhouse import token
from retryhouse import House, begin, fresh_id, open_retry_house

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "100"))
DAY = store.KEEP / 1e6
WAITERS = 4

T = TypeVar("T")

keys = st.sampled_from(["a", "b"])
bodies = st.sampled_from([0, 1])
processes = st.integers(0, 1)


@dataclass(slots=True)
class Known:
    """What the model knows of a key."""

    body: int
    state: str
    epoch: int
    response_id: str
    answer: bytes = b""
    until: float = float("inf")  # when it is forgotten


@dataclass(slots=True)
class Running:
    """A lead that was not ended yet, and the process that has it."""

    lead: Lead
    retries: Retries
    zombie: bool = False


@dataclass(slots=True)
class Stage:
    """What all examples share: a loop, a database, a key ring."""

    runner: "asyncio.Runner"
    house: House[ManualClock]
    ring: KeyRing
    shared: bool  # several processes on this database
    seen: dict[str, int] = field(default_factory=dict)


class Model(RuleBasedStateMachine):
    """The machine; `stage` is set by the test."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.house = self.stage.house
        self.known: dict[str, Known] = {}
        self.running: dict[str, Running] = {}
        self.zombies: list[Running] = []
        self.billed: dict[str, set[str]] = {}  # by key and life of the key
        self.lives: dict[str, int] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something to its end."""
        return self.stage.runner.run(work)

    def process(self, number: int) -> Retries:
        """The process with this number."""
        return self.processes[number % len(self.processes)]

    @initialize()
    def boot(self) -> None:
        """Processes and an API key of their own."""
        self.processes = [self.house.retries(patience=0.0) for _ in range(1 + self.stage.shared)]
        self.issue()

    def issue(self) -> None:
        """A new API key: nothing is known of its idempotency keys."""
        self.key: IssuedKey = self.run(
            self.stage.ring.desk.issue(DEFAULT_ORG, KeyOrder("model"), actor="cli")
        )
        self.scope = Scope(DEFAULT_ORG, self.key.info.id)

    def teardown(self) -> None:
        """What still runs is given up."""
        for each in getattr(self, "processes", ()):
            self.run(each.close())

    # ---- what the model expects

    def current(self, key: str) -> Known | None:
        """What is known of a key and not over yet."""
        known = self.known.get(key)
        return None if known is None or known.until <= self.house.clock.at else known

    async def ask(self, retries: Retries, key: str, *, body: int) -> Lead | Replay | Exception:
        """What a client gets that sends the API key, an idempotency key and a body."""
        await self.stage.ring.authenticate(token(self.key))
        try:
            return await begin(retries, key, body=body, scope=self.scope)
        except (Conflict, IdempotencyError) as error:
            return error

    def check(self, outcome: Lead | Replay | Exception, key: str, *, body: int) -> Lead | None:
        """Compares an outcome with what the model expects; the lead if it is one."""
        known = self.current(key)
        if known is not None and known.body != body:
            assert isinstance(outcome, IdempotencyError), outcome
        elif known is not None and known.state == "running":
            assert isinstance(outcome, Conflict), outcome
        elif known is not None and known.state == "done":
            assert isinstance(outcome, Replay), outcome
            assert (outcome.response_id, outcome.answer) == (known.response_id, known.answer)
        else:
            assert isinstance(outcome, Lead), outcome
            self.note_lead(outcome, key, body=body)
            return outcome
        return None

    def note_lead(self, lead: Lead, key: str, *, body: int) -> None:
        """A lead has the next epoch; after a crash it has the id of the one before."""
        known, current = self.known.get(key), self.current(key)
        assert lead.epoch == (1 if known is None else known.epoch + 1)
        crashed = current is not None and current.state == "crashed"
        assert (known is not None and lead.response_id == known.response_id) == crashed
        if current is None:
            self.lives[key] = self.lives.get(key, 0) + 1
        self.known[key] = Known(body, "running", lead.epoch, lead.response_id)

    def finish(self, running: Running, *, bill: bool) -> bool:
        """Ends a lead in one of the two ways; whether it still counted."""
        lead, answer = running.lead, fresh_id().encode()
        known = self.known.get(lead.key)
        counts = (
            known is not None
            and known.epoch == lead.epoch
            and known.response_id == lead.response_id
            and known.state in {"running", "crashed"}
        )
        if bill:
            assert self.run(self.house.serve(running.retries, lead, answer)) == counts
        elif running.zombie:
            return False  # it is dead, and a dead process releases nothing
        else:
            self.run(running.retries.release(lead))
        if counts and known is not None:
            known.state, known.answer = ("done" if bill else "released"), answer
            known.until = self.house.clock.at + DAY
            if bill:
                self.billed.setdefault(f"{self.scope.key_id}/{lead.key}/{self.lives[lead.key]}", set()).add(
                    lead.response_id
                )
        return counts

    # ---- what happens

    @rule(key=keys, body=bodies, process=processes, bill=st.booleans())
    def submit(self, key: str, body: int, process: int, *, bill: bool) -> None:
        """A request, new or again, with the same body or another, and its end if it leads."""
        retries = self.process(process)
        lead = self.check(self.run(self.ask(retries, key, body=body)), key, body=body)
        if lead is not None:
            assert self.finish(Running(lead, retries), bill=bill)

    @rule(key=keys, body=bodies, process=processes)
    def start(self, key: str, body: int, process: int) -> None:
        """A request that is left running if it leads."""
        retries = self.process(process)
        lead = self.check(self.run(self.ask(retries, key, body=body)), key, body=body)
        if lead is not None:
            self.running[key] = Running(lead, retries)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), process=processes, ends=st.booleans(), bill=st.booleans())
    def again(self, data: st.DataObject, process: int, *, ends: bool, bill: bool) -> None:
        """The same request once more, whatever became of it."""
        key = data.draw(st.sampled_from(sorted(self.known)))
        if ends:
            self.submit(key, self.known[key].body, process, bill=bill)
        else:
            self.start(key, self.known[key].body, process)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), bill=st.booleans())
    def end(self, data: st.DataObject, *, bill: bool) -> None:
        """What runs comes to its end."""
        running = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        assert self.finish(running, bill=bill)

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def end_zombie(self, data: st.DataObject) -> None:
        """A process that was taken for dead still writes: it counts once, and only if nobody took over."""
        self.finish(data.draw(st.sampled_from(self.zombies)), bill=True)

    @rule(key=keys, body=bodies)
    def concurrent(self, key: str, body: int) -> None:
        """Several at once: one leads at most, and once it is done all who waited have its answer."""
        known = self.current(key)
        waits = known is None or (known.body == body and known.state in {"crashed", "released"})
        if not waits:
            return
        patient = [each for each in self.processes for _ in range(WAITERS)]
        for each in self.processes:
            each._patience = 30.0
        answer = fresh_id().encode()

        async def ask(retries: Retries) -> Lead | bytes:
            outcome = await self.ask(retries, key, body=body)
            if isinstance(outcome, Lead):
                await asyncio.sleep(0)
                assert await self.house.serve(retries, outcome, answer)
                return outcome
            assert isinstance(outcome, Replay), outcome
            return outcome.answer

        async def together() -> list[Lead | bytes]:
            return list(await asyncio.gather(*map(ask, patient)))

        got = self.run(together())
        for each in self.processes:
            each._patience = 0.0
        (lead,) = [each for each in got if isinstance(each, Lead)]
        assert [each for each in got if each != lead] == [answer] * (len(patient) - 1)
        self.note_lead(lead, key, body=body)
        now = self.known[key]
        now.state, now.answer, now.until = "done", answer, self.house.clock.at + DAY
        self.billed.setdefault(f"{self.scope.key_id}/{key}/{self.lives[key]}", set()).add(lead.response_id)

    @precondition(lambda self: self.running)
    @rule(process=processes)
    def crash(self, process: int) -> None:
        """A process dies; another one starts in its place, and its leases lapse."""
        number = process % len(self.processes)
        dead = self.processes[number]
        for key, running in list(self.running.items()):
            if running.retries is dead:
                del self.running[key]
                running.zombie = True
                self.zombies.append(running)
                if self.known[key].response_id == running.lead.response_id:
                    self.known[key].state = "crashed"
                    self.known[key].until = self.house.clock.at + store.LEASE / 1e6 + DAY
        self.processes[number] = born = self.house.retries(patience=0.0)
        if self.stage.shared:
            self.run(self.house.lapse(dead.owner))
        else:
            self.run(self.house.db.write(partial(store.void_leases, owner=born.owner)))

    @precondition(lambda self: self.known)
    @rule()
    def expire(self) -> None:
        """Half a day passes, in which living processes renew what they lead."""
        self.house.clock.advance(DAY / 2)
        for each in self.processes:
            self.run(each.renew())

    @precondition(lambda self: any(self.current(key) is None for key in self.known))
    @rule()
    def sweep(self) -> None:
        """What is over is forgotten; what is not stays."""
        self.run(self.house.db.write(partial(store.sweep, now=self.house.now)))
        for key in list(self.known):
            if self.current(key) is None:
                del self.known[key]

    @precondition(lambda self: len(self.known) == 2)
    @rule()
    def revoke(self) -> None:
        """A revoked key is refused before anything is looked up; its successor starts anew."""
        self.run(self.stage.ring.desk.revoke(DEFAULT_ORG, self.key.info.id, actor="cli"))
        for key in ("a", "b"):
            with pytest.raises(Unauthenticated):
                self.run(self.ask(self.processes[0], key, body=0))
        for running in self.running.values():
            assert self.finish(running, bill=True)
        self.running.clear()
        self.zombies.clear()
        self.known.clear()
        self.lives.clear()
        self.issue()

    @invariant()
    def billed_once(self) -> None:
        """Each life of a key has one billed id at most, and the ledger has each of those ids once."""
        ids = [each for billed in self.billed.values() for each in billed]
        assert all(len(billed) == 1 for billed in self.billed.values())
        if ids:
            assert self.run(self.house.billed(*ids)) == len(ids)

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        """State, epoch, id and answer of each row are those of the dictionary."""
        for key in ("a", "b"):
            row = self.run(self.house.row(key, self.scope)) if hasattr(self, "scope") else None
            known = self.known.get(key)
            assert (row is None) == (known is None)
            if row is not None and known is not None:
                state = "running" if known.state == "crashed" else known.state
                assert (row.state, row.epoch, row.response_id) == (state, known.epoch, known.response_id)
                if state == "done":
                    assert bytes(row.answer) == known.answer


def test_keys_behave_like_the_model(backend: Place) -> None:
    """I01 to I09, I13 and I14, in any order of events."""
    backend.data.mkdir(parents=True, exist_ok=True)
    with asyncio.Runner() as runner:
        house = open_retry_house(backend)

        async def opened() -> KeyRing:
            return await KeyRing.open(house.db, backend.data, log=house.log, clock=house.clock)

        async def closed(ring: KeyRing) -> None:
            await ring.close()
            await house.db.close()

        ring = runner.run(opened())
        model = type("Staged", (Model,), {"stage": Stage(runner, house, ring, shared=backend.postgres)})
        try:
            run_state_machine_as_test(
                model,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(closed(ring))
