"""Money before it is spent: reserves the most that a call should cost, so that calls at once do not spend it twice.

    reserve --lease has enough--> Hold                                          no await, no write
            --too little--> one write for all who wait --> Hold | QuotaExceeded
    settle: `store.balances.charge` in the commit of the ledger row, then `release`

A process takes leases out of balances and budgets (`store.holds`) and spends them on its own. While there is plenty a
lease is larger than its calls, so that a busy organization writes every few seconds; where there is little it is
exactly what the calls need. It is renewed while it is used, shrunk when idle, returned at the end; that of a process
that died is void after its time and collected by whoever needs it. A process never spends from a lease whose time is
over by its own clock, less a margin. Fails closed: without the database nothing new is reserved. Knows no prices.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from msgspec import Struct

from ingot import ids
from ingot.clock import Clock
from ingot.errors import QuotaExceeded
from ingot.logs import Log
from ingot.pricing import usd
from ingot.services.tills import Till, Waiter
from ingot.store.budgets import Budget, next_month, period_start
from ingot.store.database import Database
from ingot.store.faults import StoreError
from ingot.store.holds import Account, Ask, Part, Return, Taken, extend, give_back, take, void_others
from ingot.store.schema import MICROSECOND, micros
from ingot.upkeep import endure

LEASE_SECONDS: Final = 30.0
MARGIN: Final = 1 / 6
"""The part of a lease's time in which it is not spent any more: clocks differ, and a commit takes its time."""
IDLE_SECONDS: Final = 2.0
TICK_SECONDS: Final = 1.0


class Hold(Struct, eq=False):
    """What is reserved for one call. Hand `parts`, `amount` and `prepaid` to its charge, then release it."""

    org_id: str
    amount: int
    prepaid: bool
    parts: tuple[Part, ...] = ()
    released: bool = False


class Payer(Protocol):
    """Who pays, as a Grant tells it: prepaid organizations and those with budgets reserve, others do not."""

    @property
    def prepaid(self) -> bool: ...
    @property
    def budgets(self) -> Collection[Budget]: ...


@dataclass(frozen=True, slots=True)
class Prepaid:
    """A Payer without more to it."""

    prepaid: bool = True
    budgets: tuple[Budget, ...] = ()


PREPAID: Final = Prepaid()


class Purse:
    """The leases of one process on one database. Belongs to one event loop."""

    def __init__(
        self,
        db: Database,
        owner: str,
        *,
        clock: Clock,
        log: Log,
        alone: bool,
        status: int = 402,
        lease_seconds: float = LEASE_SECONDS,
        new_id: ids.NewId = ids.new_id,
    ) -> None:
        """`owner` names this start of the process; `alone`: no other process serves on this database.

        `status` is what QuotaExceeded carries, 402 or 403, as the preset says. `refusals` counts, for the metrics, what a
        balance or a budget did not cover.
        """
        self._db = db
        self._owner = owner
        self._clock = clock
        self._monotonic = clock.monotonic
        self._log = log
        self._alone = alone
        self._status = status
        self._seconds = lease_seconds
        self._new_id = new_id
        self._tills: dict[Account, Till] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._month = (0, 0)
        self.refusals: defaultdict[str, int] = defaultdict(int)

    async def start(self) -> None:
        """Ends the leases that earlier starts left, where nobody else can own any; then keeps the own ones."""
        if self._alone:
            await self._db.write(partial(void_others, owner=self._owner))
        self._keeper = asyncio.get_running_loop().create_task(
            endure(self._keep, name="leases", log=self._log)
        )

    async def close(self) -> None:
        """Gives everything back that no running call has reserved; call it before the database's."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._land()
        await self._return(
            self._leave(till) if not till.calls else self._surplus(till, keep=0)
            for till in list(self._tills.values())
        )

    # ---- for each call

    def draw(self, org_id: str, amount: int, *, payer: Payer) -> Hold | None:
        """As `reserve`, at once, where one lease at hand covers it; None where more has to be looked at."""
        if amount <= 0 or payer.budgets or not payer.prepaid:
            return None
        till = self._tills.get(Account(org_id))
        now = self._monotonic()
        if till is None or not till.spend(amount, now=now):
            return None
        till.calls += 1
        if till.refill_due(now):
            self._fly(till)
        return Hold(org_id, amount, True, (Part(till.account, till.lease),))

    async def reserve(self, org_id: str, amount: int, *, payer: Payer = PREPAID) -> Hold:
        """Reserves `amount` of the balance, if prepaid, and of each budget: all or nothing.

        Raises QuotaExceeded where one of them has less, StoreError where the database cannot say.
        """
        if amount <= 0 or not (payer.prepaid or payer.budgets):
            return Hold(org_id, 0, payer.prepaid)
        drawn = self.draw(org_id, amount, payer=payer)
        if drawn is not None:
            return drawn
        known = self._tills
        tills = [
            known.get(each) or known.setdefault(each, Till(each)) for each in self.accounts(org_id, payer)
        ]
        parts: list[Part] = []
        for till in tills:
            till.calls += 1
        try:
            for till in tills:
                spent = till.spend(amount, now=self._monotonic())
                lease = till.lease if spent else await self._obtain(till, amount)
                parts.append(Part(till.account, lease))
        except BaseException:
            for part in parts:
                self._tills[part.account].put_back(amount, lease=part.lease)
            for till in tills:
                till.calls -= 1
            raise
        for till in tills:
            if till.refill_due(self._monotonic()):
                self._fly(till)
        return Hold(org_id, amount, payer.prepaid, tuple(parts))

    def release(self, hold: Hold, spent: int = 0) -> None:
        """Ends a hold after its charge was committed, or 0 if nothing was charged; again is no error."""
        if hold.released:
            return
        hold.released = True
        left = max(0, hold.amount - spent)
        for part in hold.parts:
            till = self._tills[part.account]
            till.calls -= 1
            till.put_back(left, lease=part.lease)
            if till.scarce and not self._alone and till.free and till.flight is None:
                # Somebody else may need it, and there is little.
                self._in_background(self._return([self._surplus(till, keep=0)]))

    async def spare(self, org_id: str) -> None:
        """Gives back what this process took of a balance in advance, so that nothing is held but for calls that run."""
        till = self._tills.get(Account(org_id))
        if till is None:
            return
        if till.flight is not None:
            await asyncio.gather(till.flight, return_exceptions=True)
        await self._return([self._surplus(till, keep=0) if till.calls else self._leave(till)])

    # ---- in the background

    async def tick(self) -> None:
        """Renews leases in use and gives back what is not needed; call it about every second."""
        await self._land()
        now = self._monotonic()
        await self._renew(now)
        returns: list[Return | None] = []
        for till in list(self._tills.values()):
            if till.flight is not None:
                continue
            if now - till.touched >= IDLE_SECONDS:
                returns.append(self._surplus(till, keep=0) if till.calls else self._leave(till))
            elif till.free > 2 * till.wanted(now):
                returns.append(self._surplus(till, keep=till.wanted(now)))
        await self._return(returns)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.tick()
            except StoreError as error:
                self._log.warning("leases_not_kept", error=error.message)

    async def _land(self) -> None:
        """Waits for what is on its way to the database."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _renew(self, now: float) -> None:
        """Lengthens the leases of which a third of the time is over."""
        due = now + self._seconds * (2 / 3 - MARGIN)
        tills = [till for till in self._tills.values() if till.lease and till.good_until <= due]
        if not tills:
            return
        leases = {till.lease: till for till in tills}
        length, at = round(self._seconds * MICROSECOND), micros(self._clock.now())
        alive = await self._db.write(partial(extend, leases=tuple(leases), micros=length, now=at))
        for lease, till in leases.items():
            if till.lease != lease:
                continue
            if lease in alive:
                till.good_until = max(till.good_until, now + self._seconds * (1 - MARGIN))
            else:
                till.lose()

    def _leave(self, till: Till) -> Return | None:
        """Forgets an account that nobody uses; what has to be given back."""
        if till.waiters or till.flight is not None:
            return None
        del self._tills[till.account]
        lease = till.lease
        till.lose()
        return Return(till.account, lease, None) if lease else None

    def _surplus(self, till: Till, *, keep: int) -> Return | None:
        """Takes out of a lease what is more than `keep`; what has to be given back."""
        more = till.free - keep
        if more <= 0 or not till.lease:
            return None
        # Whatever comes of the write, it is not spent any more.
        till.free -= more
        return Return(till.account, till.lease, more)

    async def _return(self, returns: "Iterable[Return | None]") -> None:
        given = tuple(each for each in returns if each is not None)
        if not given:
            return
        try:
            await self._db.write(
                partial(give_back, returns=given), locks={each.account.org_id for each in given}
            )
        except StoreError as error:
            # Their rows are void when their time is over.
            self._log.warning("leases_not_returned", leases=len(given), error=error.message)

    # ---- when a lease has too little

    async def _obtain(self, till: Till, amount: int) -> str:
        """The lease that covers an amount, once the database gave it."""
        waiter = Waiter(amount, asyncio.get_running_loop().create_future())
        till.want(waiter, now=self._monotonic())
        if till.flight is None:
            self._fly(till)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            # Whoever leaves at the very moment must not take the money along.
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                till.put_back(amount, lease=waiter.future.result())
            raise

    def _fly(self, till: Till) -> None:
        till.flight = self._in_background(self._fill(till))

    async def _fill(self, till: Till) -> None:
        """Asks the database for all who wait, until nobody does."""
        try:
            await self._fill_once(till)
            while till.waiters:
                await self._fill_once(till)
        finally:
            till.flight = None

    async def _fill_once(self, till: Till) -> None:
        batch = [waiter for waiter in till.waiters if not waiter.future.done()]
        till.waiters.clear()
        # What is free goes along, so that it can be joined with what the account has left.
        carried, till.free = (till.free, 0) if batch else (0, till.free)
        lease = till.lease
        started = self._monotonic()
        ask = Ask(
            account=till.account,
            owner=self._owner,
            lease=lease,
            fresh=self._new_id("hold"),
            needs=tuple(waiter.amount for waiter in batch),
            carried=carried,
            extra=till.wanted(started),
            scale=till.scale,
            micros=round(self._seconds * MICROSECOND),
            now=micros(self._clock.now()),
        )
        try:
            taken = await self._db.write(partial(take, ask=ask), locks=(till.account.org_id,))
        except BaseException as error:
            # A lease only grows here: whether or not that happened, what was free of it still is.
            till.put_back(carried, lease=lease)
            for waiter in batch:
                if not waiter.future.done():
                    waiter.future.set_exception(_apart(error))
            if not isinstance(error, Exception):
                raise
            self._log.error("balance_not_asked", org=till.account.org_id, error=str(error))
            return
        till.receive(taken, good_until=started + self._seconds * (1 - MARGIN), now=started)
        self._hand_out(till, batch, taken)

    def _hand_out(self, till: Till, batch: list[Waiter], taken: Taken) -> None:
        for waiter, granted in zip(batch, taken.granted, strict=True):
            if granted and not taken.unlimited:
                till.free -= waiter.amount
            if waiter.future.done():  # whoever waited has left
                if granted and not taken.unlimited:
                    till.free += waiter.amount
            elif granted:
                waiter.future.set_result(taken.lease)
            else:
                waiter.future.set_exception(self.refusal(till.account, waiter.amount, taken))

    def refusal(self, account: Account, amount: int, taken: Taken) -> QuotaExceeded:
        """What a client is told whose call an account does not cover."""
        held = taken.total - taken.left
        # A process sets money aside in advance, so that nothing may run that holds it.
        aside = f" ({usd(held)} USD more are set aside for requests that run or may come)" if held > 0 else ""
        need = f"This request may cost up to {usd(amount)} USD, and {usd(max(0, taken.left))} USD are left{aside}."
        self.refusals["balance" if account.budget_id is None else "budget"] += 1
        if account.budget_id is None:
            text = f"Your organization has too little credit. {need} Add credit, or lower max_tokens."
        else:
            when = "The next month begins with a new one" if account.period_start else "It does not renew"
            text = f"A budget of your key or organization is used up. {need} {when}; whoever set it can raise it."
        return QuotaExceeded(text, status=self._status)

    def accounts(self, org_id: str, payer: Payer) -> list[Account]:
        """What a call is paid from."""
        accounts = [Account(org_id)] if payer.prepaid else []
        if payer.budgets:
            month = self._month_start()
            accounts += [
                Account(org_id, each.id, month if each.period == "month" else 0) for each in payer.budgets
            ]
        return accounts

    def _month_start(self) -> int:
        now = micros(self._clock.now())
        if not self._month[0] <= now < self._month[1]:
            start = period_start("month", now)
            self._month = (start, next_month(start))
        return self._month[0]

    def _in_background(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _apart(error: BaseException) -> BaseException:
    """An error for one of several who wait; each needs its own, as a traceback grows while it travels."""
    if isinstance(error, StoreError):
        own = type(error)(error.message)
        own.__cause__ = error
        return own
    return StoreError(f"The balance could not be asked: {error!r}.")
