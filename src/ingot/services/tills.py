"""One account's lease in this process: what may be spent of it without asking the database.

    lease = free + what running calls reserved          in the database: one row of `holds`

Plain bookkeeping over numbers; time is handed in. Knows no database and no request.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ingot.store.holds import SPARE, Account, Taken

FLOW_SECONDS: Final = 2.0
"""A lease is as large as what was reserved in about this time."""


@dataclass(slots=True, eq=False)
class Waiter:
    """A call that waits for its money; its future holds the lease's id."""

    amount: int
    future: asyncio.Future[str]


@dataclass(slots=True, eq=False)
class Till:
    """The lease of one account, and who waits for it to grow."""

    account: Account
    lease: str = ""
    free: int = 0
    good_until: float = -math.inf
    calls: int = 0  # that reserved and did not end yet, of any lease of this account
    touched: float = -math.inf
    scale: int = 0  # what a call reserved last
    scarce: bool = True  # there was little left when money was taken last
    low: int = 0  # below it more is taken in advance
    flow: float = 0.0
    flow_at: float = 0.0
    waiters: deque[Waiter] = field(default_factory=deque)
    flight: asyncio.Task[None] | None = None

    def spend(self, amount: int, *, now: float) -> bool:
        """Takes an amount out of what is free; False where that is too little or its time is over."""
        if self.free < amount or now >= self.good_until:
            return False
        self.free -= amount
        self._note(amount, now)
        return True

    def put_back(self, amount: int, *, lease: str) -> None:
        """What a call reserved and did not need is free again, unless its lease is gone."""
        if lease and lease == self.lease:
            self.free += amount

    def lose(self) -> None:
        """The lease is void, or somebody else's to return."""
        self.lease = ""
        self.free = 0
        self.good_until = -math.inf

    def wanted(self, now: float) -> int:
        """How much should be free for the calls of the next seconds."""
        idle = math.exp((self.flow_at - now) / FLOW_SECONDS)
        return int(self.flow * idle)

    def refill_due(self, now: float) -> bool:
        """Whether more should be taken before somebody has to wait for it."""
        return self.flight is None and not self.scarce and self.free < self.low and now < self.good_until

    def receive(self, taken: Taken, *, good_until: float, now: float) -> None:
        """Takes over what the database gave, less what it was given for."""
        if taken.lease != self.lease:
            self.lose()
        self.lease = taken.lease
        self.free += taken.carried + taken.amount
        self.good_until = good_until
        self.scarce = taken.left // SPARE < max(self.scale, 1)
        self.low = 0 if self.scarce else min(self.wanted(now), self.free) // 2

    def want(self, waiter: Waiter, *, now: float) -> None:
        """Adds one who waits."""
        self.waiters.append(waiter)
        self._note(waiter.amount, now)

    def _note(self, amount: int, now: float) -> None:
        self.flow = self.wanted(now) + amount
        self.flow_at = now
        self.touched = now
        self.scale = amount
