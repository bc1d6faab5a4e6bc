"""The purse as a state machine: several processes on one balance, with crashes and expiry, against exact numbers.

The model knows what was paid in and what calls cost. After every step the balance is exactly that, what is held is
covered by it, and a call was refused only where the money was not there.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, func, select

from ingot.clock import ManualClock
from ingot.errors import QuotaExceeded
from ingot.services.purse import IDLE_SECONDS, LEASE_SECONDS, Hold, Purse
from ingot.store.engine import open_database
from ingot.store.holds import Account
from ingot.store.schema import holds, micros
from treasury import Treasury

T = TypeVar("T")

ORG = "org_a"
PROCESSES = st.integers(0, 2)
SIZES = st.sampled_from([1, 10, 40, -1, -1, -2, -3, -12])  # below zero: that part of what is there
SHARES = st.sampled_from([None, 0, 30, 100, 100, 110, 500])
PAYMENTS = st.sampled_from([60, 100, 150, 5_000, 50_000])
WAITS = st.sampled_from(
    [0.0, 0.0, 0.5, IDLE_SECONDS, LEASE_SECONDS * 0.7, LEASE_SECONDS * 0.9, LEASE_SECONDS * 2]
)


@dataclass(slots=True, eq=False)
class Running:
    """A call that has its money."""

    hold: Hold
    purse: Purse


class PurseMachine(RuleBasedStateMachine):
    """Three processes, which may die and be started again."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.db = open_database(Path(self.folder.name), clock=self.clock)
        self.treasury = Treasury(self.db, self.clock)
        self.starts = 0
        self.purses = [self._start() for _ in range(3)]
        self.paid = 0
        self.spent = 0
        self.borne = 0
        self.calls: list[Running] = []
        self.run(self.treasury.organization(ORG))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns, and whatever it left in the background is done."""

        async def all_of_it() -> T:
            result = await work
            for purse in self.purses:
                await purse._land()
            return result

        return self.runner.run(all_of_it())

    def _start(self) -> Purse:
        self.starts += 1
        return self.treasury.purse(f"start_{self.starts}")

    @initialize(amount=PAYMENTS)
    def begin(self, amount: int) -> None:
        self.top_up(amount)

    @rule(amount=PAYMENTS)
    def top_up(self, amount: int) -> None:
        self.run(self.treasury.credits.top_up(ORG, amount, actor="test"))
        self.paid += amount

    @rule(which=PROCESSES, size=SIZES, count=st.integers(1, 4), seconds=WAITS)
    def reserve(self, which: int, size: int, count: int, seconds: float) -> None:
        """After a while, as many calls at once; those that fit run. They are small, or a part of all there is."""
        self.clock.advance(seconds)
        purse = self.purses[which]
        there = sum(self._reachable(purse))
        amount = size if size > 0 else max(1, there // -size)

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(
                *(purse.reserve(ORG, amount) for _ in range(count)), return_exceptions=True
            )

        told = self.run(all_at_once())
        good = [Running(each, purse) for each in told if isinstance(each, Hold)]
        assert all(isinstance(each, Hold | QuotaExceeded) for each in told), told
        assert len(good) == min(count, there // amount)
        self.calls += good

    def _reachable(self, purse: Purse) -> tuple[int, int]:
        """What this process has at hand if its lease is still there, and what nobody holds or a dead one did."""
        till = purse._tills.get(Account(ORG))
        now = micros(self.clock.now())

        def look(conn: Connection) -> tuple[bool, int]:
            mine = select(func.count()).where(holds.c.id == (till.lease if till else ""))
            good = select(func.coalesce(func.sum(holds.c.amount), 0)).where(
                (holds.c.until >= now) | (holds.c.id == (till.lease if till else ""))
            )
            return bool(conn.execute(mine).scalar_one()), int(conn.execute(good).scalar_one())

        alive, held = self.run(self.db.read(look))
        balance = self.paid - self.spent + self.borne
        return (till.free if till and alive else 0), balance - held

    @precondition(lambda self: self.calls)
    @rule(places=st.lists(st.integers(0, 20), min_size=1, max_size=4), share=SHARES)
    def end(self, places: list[int], share: int | None) -> None:
        """Calls end, each in a commit of its own: at a part of what was reserved, beyond it, or without a charge."""
        for place in places:
            if self.calls:
                call = self.calls.pop(place % len(self.calls))
                if share is None:
                    self._release(call, 0)
                else:
                    self._settle(call, call.hold.amount * share // 100)

    def _settle(self, call: Running, amount: int) -> None:
        lease = call.hold.parts[0].lease
        there = self.run(
            self.db.read(
                lambda conn: conn.execute(select(func.count()).where(holds.c.id == lease)).scalar_one()
            )
        )
        lost = self.run(self.treasury.settle(self.treasury.call(amount, hold=call.hold)))
        self._release(call, amount)
        self.spent += amount
        self.borne += sum(each.amount for each in lost)
        beyond = max(0, amount - call.hold.amount)
        assert (
            sum(each.amount for each in lost) == beyond
            if there
            else sum(each.amount for each in lost) >= beyond
        )

    def _release(self, call: Running, amount: int) -> None:
        """What a process does after a commit, if it lives to see it."""

        async def release() -> None:
            if call.purse in self.purses:
                call.purse.release(call.hold, amount)

        self.run(release())

    @rule(which=PROCESSES)
    def tick(self, which: int) -> None:
        self.run(self.purses[which].tick())

    @rule(which=PROCESSES, killed=st.booleans())
    def restart(self, which: int, killed: bool) -> None:  # noqa: FBT001  # drawn by name
        """A killed process is gone with all it knew; its calls may have been committed all the same."""
        if not killed:
            self.run(self.purses[which].close())
        self.purses[which] = self._start()

    @invariant()
    def money_adds_up(self) -> None:
        """The balance is what was paid in less what was spent, and holds at least what is reserved."""
        balance, held = self.run(self.treasury.figures(ORG))
        assert balance == self.paid - self.spent + self.borne
        assert 0 <= held <= balance

    @invariant()
    def leases_cover_their_calls(self) -> None:
        """No process has more at hand than its row in the database says."""
        rows = dict(self.run(self.db.read(_amounts)))
        for purse in self.purses:
            for till in purse._tills.values():
                open_calls = sum(
                    each.hold.amount for each in self.calls if each.hold.parts[0].lease == till.lease
                )
                if till.lease in rows:
                    assert till.free + open_calls <= rows[till.lease]

    def teardown(self) -> None:
        """Once all is over and every lease's time too, all the money can be spent."""
        for call in self.calls:
            self._release(call, 0)
        for purse in self.purses:
            self.run(purse.close())
        self.clock.advance(2 * LEASE_SECONDS)
        balance = self.paid - self.spent + self.borne
        if balance:
            assert self.run(self._start().reserve(ORG, balance)).amount == balance
        self.run(self.db.close())
        self.runner.close()
        self.folder.cleanup()


def _amounts(conn: Connection) -> list[tuple[str, int]]:
    return [(row.id, row.amount) for row in conn.execute(select(holds.c.id, holds.c.amount))]


TestPurse = PurseMachine.TestCase
TestPurse.settings = settings(max_examples=30, stateful_step_count=50, deadline=None)
