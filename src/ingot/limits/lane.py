"""The one way to a server that holds the counts: commands gather while a round is under way, then go together.

    ask --> queue --> worker: a round = all that waits, one exchange on the one connection --> futures
                        |  fails: every caller hears None at once, and asks again while the lane is up
                        |  `misses` in a row: the lane is down; callers no longer wait
                        `--> every `rest` seconds a beat, until one is answered: the lane is up
           breaks, by a fault of ours or of a driver: the same, and the log has it; none of its commands is sent again
    every few seconds a beat, and with it the places that are due to be renewed, a batch a round

Only the worker touches the connection, and a connection whose round did not end well is given up. So a caller
that is cancelled leaves no reply behind for somebody else: its future is gone, its command still answered. What
was admitted for such a caller is given back, and so is a running place whose fate is unknown.

A caller waits for the round under way and for its own: twice the budget, where this process did not stand still itself.
Knows no server by name.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol

from msgspec import Struct

from ingot.clock import Clock
from ingot.limits.limiter import Claim
from ingot.limits.places import LEASE_SECONDS, Places, Renew
from ingot.logs import Log
from ingot.upkeep import endure

ROUND = 64
"""The most commands of a round: one partition is locked for all of it in PostgreSQL."""
OWED = 10_000
FIGURES = 3
"""The numbers of a claim in an answer: its level of requests, of tokens, and what runs."""
LATE = 0.2
"""The part of a budget by which a process looks too late, so that it stood still itself."""
BEAT_SECONDS = 5.0
ALIVE_SECONDS = 15.0


class Reserve(Struct, frozen=True):
    """Charge all claims, or none; what runs is known as `id` for `lease` microseconds."""

    id: str
    claims: tuple[Claim, ...]
    lease: int


class Settle(Struct, frozen=True):
    """Move the levels from the estimate to `tokens` (None: leave them) and free the places of `id`."""

    id: str
    claims: tuple[Claim, ...]
    tokens: int | None


class GiveBack(Struct, frozen=True):
    """Take back what `id` was charged for the claims at the server's moment `at`, and free its places."""

    id: str
    claims: tuple[Claim, ...]
    at: int


class Beat(Struct, frozen=True):
    """The node is alive, and asks how many are."""

    node: str


Owed = Settle | GiveBack
Command = Reserve | Owed | Renew | Beat
Answer = Sequence[int]
"""Of Reserve: 1 or 0 for admitted, the moment, then requests, tokens and running of each claim; of Beat: live nodes."""


class LinkFault(Exception):
    """The server did not answer as it should; the connection is given up."""


class _Broken(LinkFault):
    """Not the server failed but a driver, or something of ours."""


class Link(Protocol):
    """A connection that is made when needed."""

    async def exchange(self, commands: Sequence[Command], budget: float) -> list[Answer]:
        """The answers in order. Connects if need be, all within `budget` seconds; raises LinkFault, and then nothing
        of the connection is used again.
        """
        ...

    async def close(self) -> None:
        """Gives the connection up."""
        ...


Abandon = Callable[["asyncio.Task[list[Answer]]"], Awaitable[None]]
"""Ends what is under way, and gives its connection up."""


async def in_time(
    asking: Coroutine[Any, Any, list[Answer]], budget: float, *, server: str, abandon: Abandon
) -> list[Answer]:
    """The answers of a round; raises LinkFault that names the `server`, and nothing of the connection is used again then."""
    # A task of its own: a driver may answer a cancellation by waiting for the server, which may be what is stuck.
    task = asyncio.create_task(asking)
    try:
        done = await answered(task, budget)
    except asyncio.CancelledError:
        await abandon(task)
        raise
    if not done:
        await abandon(task)
        raise LinkFault(f"{server} did not answer within {budget:g} seconds.")
    if task.cancelled():  # by its driver: passed on, it would look like ours, and end whoever asked
        await abandon(task)
        raise LinkFault(f"{server}: the driver gave the round up.")
    error = task.exception()
    if error is None:
        return task.result()
    await abandon(task)
    raise LinkFault(f"{server}: {_named(error)}") from error


async def answered(task: "asyncio.Task[list[Answer]]", budget: float) -> bool:
    """Whether a task is done within `budget` seconds; where this very process stood still meanwhile, within as many again.

    After a pause of ours the answer may have come and only not been read: that says nothing of the server.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + budget
    done, _ = await asyncio.wait({task}, timeout=budget)
    if not done and loop.time() - due > budget * LATE:
        done, _ = await asyncio.wait({task}, timeout=budget)
    return bool(done)


class _Ask(Struct):
    command: Reserve | Beat
    future: "asyncio.Future[Answer | None]"


class Lane:
    """The queue in front of one link, and the breaker."""

    def __init__(
        self,
        link: Link,
        *,
        node: str,
        budget: float,
        patience: float,
        clock: Clock,
        log: Log,
        lease: float = LEASE_SECONDS,
        misses: int = 3,
        rest: float = 5.0,
        beat: float = BEAT_SECONDS,
        notify: Callable[[bool, str], None] | None = None,
    ) -> None:
        """`budget` bounds a round, `patience` the first connection and those tried while the lane is down; `lease` is
        for how many seconds a running place counts unless it is renewed, and a sixth of it the longest `beat`;
        `notify` hears of going down (True) and coming back (False), with the reason.
        """
        self.up = False
        self.nodes = 1
        self.places = Places(lease_seconds=lease, monotonic=clock.monotonic)
        self._link = link
        self._beat = Beat(node)
        self._budget = budget
        self._patience = patience
        self._limit = misses
        self._rest = rest
        self._pause = min(beat, lease / 6)
        self._renewing = False
        self._notify = notify
        self._log = log
        self._missed = 0
        self._queue: deque[_Ask] = deque()
        self._asked: list[_Ask] = []
        """Those of the last round."""
        self._owed: deque[Owed] = deque(maxlen=OWED)
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connects and announces the node; where that fails the lane starts down."""
        try:
            await self._announce()
        except LinkFault as fault:
            self._go_down(str(fault))
        self._tasks = [
            asyncio.create_task(endure(work, name="limits", log=self._log, pause=self._rest))
            for work in (self._serve, self._keep_beating)
        ]

    async def close(self) -> None:
        """Sends what is owed, if that works at once; whoever still waits counts for itself."""
        up, self.up = self.up, False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._dismiss()
        if up and self._owed:
            with suppress(LinkFault):
                await self._exchange(list(self._owed), self._budget)
        await self._link.close()

    def ask(self, command: Reserve | Beat) -> "asyncio.Future[Answer | None]":
        """The answer, or None where there is none in time; only while the lane is up."""
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Ask(command, future))
        self._wake.set()
        return future

    def owe(self, owed: Owed) -> None:
        """Sends it before whatever is asked later, as soon as the lane is up; nobody waits for it."""
        self.places.release(owed.id)
        self._owed.append(owed)
        self._wake.set()

    async def _serve(self) -> None:
        """The worker; where it fails nobody waits for it, and each counts for itself until it works again."""
        try:
            await self._work()
        except Exception as error:
            self._dismiss()
            self._go_down(_named(error))
            raise

    async def _work(self) -> None:
        while True:
            if not self.up:
                await self._recover()
            await self._wake.wait()
            owed, asks = self._take()
            # Made in the moment of sending: what has ended by now must not be counted again.
            at, renewals = self.places.due() if self._renewing else (0.0, [])
            self._renewing = bool(renewals)
            if not owed and not asks and not renewals:
                self._wake.clear()
                continue
            commands: list[Command] = [*owed, *renewals, *(ask.command for ask in asks)]
            try:
                answers = await self._exchange(commands, self._budget)
            except _Broken as fault:
                # One of its commands may be what fails: none is sent again, and their places run out by themselves.
                self._miss(str(fault))
            except LinkFault as fault:
                self._free([*owed, *(ask.command for ask in asks)])
                self._miss(str(fault))
            else:
                self._missed = 0
                self.places.renewed(at, renewals)
                self._deliver(asks, answers[len(owed) + len(renewals) :])

    async def _exchange(self, commands: list[Command], budget: float) -> list[Answer]:
        """The answers, as many and as long as they have to be; raises LinkFault, and logs what no link should raise."""
        try:
            answers = await self._link.exchange(commands, budget)
            _check(commands, answers)
        except LinkFault:
            raise
        except Exception as error:
            self._log.error("upkeep_failed", work="limits", exc_info=error)
            with suppress(Exception):  # it is given up, and may be what fails
                await self._link.close()
            raise _Broken(_named(error)) from error
        return answers

    def _take(self) -> tuple[list[Owed], list[_Ask]]:
        """The next round: some of what is owed, then those who wait and are still there."""
        owed = [self._owed.popleft() for _ in range(min(len(self._owed), ROUND))]
        asks = [self._queue.popleft() for _ in range(min(len(self._queue), ROUND))]
        self._asked = [ask for ask in asks if not ask.future.cancelled()]
        return owed, self._asked

    def _deliver(self, asks: list[_Ask], answers: Sequence[Answer]) -> None:
        for ask, answer in zip(asks, answers, strict=True):
            if not ask.future.cancelled():
                ask.future.set_result(answer)
            elif isinstance(ask.command, Reserve) and answer[0]:
                self.owe(Settle(ask.command.id, ask.command.claims, 0))

    def _free(self, lost: list[Command]) -> None:
        """Whether a command was carried out is unknown: a charge is not taken back, it drains; but a place must not stay
        taken.
        """
        for command in lost:
            if isinstance(command, Reserve | Owed) and any(
                claim.concurrency is not None for claim in command.claims
            ):
                self.owe(Settle(command.id, command.claims, None))

    def _miss(self, reason: str) -> None:
        """Everybody goes on without an answer. What was to be renewed is due with the next beat."""
        self._missed += 1
        self._renewing = False
        self._dismiss()
        self._wake.clear()  # what is owed goes with what is asked next: alone it would be a miss of its own
        if self._missed >= self._limit:
            self._go_down(reason)

    def _dismiss(self) -> None:
        """Nobody waits any more: neither those of the last round nor those behind them."""
        for ask in (*self._asked, *self._queue):
            if not ask.future.done():
                ask.future.set_result(None)
        self._asked = []
        self._queue.clear()

    def _go_down(self, reason: str) -> None:
        self.up = False
        if self._notify is not None:
            self._notify(True, reason)

    async def _recover(self) -> None:
        """Returns once the server answers again."""
        while not self.up:
            await asyncio.sleep(self._rest)
            with suppress(LinkFault):
                await self._announce()
        self.places.doubt()
        self._renewing = True
        self._wake.set()  # for what is owed, and what runs
        if self._notify is not None:
            self._notify(False, "The server of the limits answers again.")

    async def _announce(self) -> None:
        """Connects, which may take long, and sees that a round does not."""
        await self._exchange([self._beat], self._patience)
        (answer,) = await self._exchange([self._beat], self._budget)
        self.nodes = max(answer[0], 1)
        self._missed = 0
        self.up = True

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            if self.up:
                self._renewing = True
                answer = await self.ask(self._beat)
                if answer is not None:
                    self.nodes = max(answer[0], 1)


def _check(commands: Sequence[Command], answers: Sequence[Answer]) -> None:
    if len(answers) != len(commands):
        raise ValueError(f"{len(commands)} commands had {len(answers)} answers.")
    for command, answer in zip(commands, answers, strict=True):
        if isinstance(command, Reserve):
            due = 2 + FIGURES * len(command.claims)
        elif isinstance(command, Beat):
            due = 1
        else:
            continue
        if len(answer) != due:
            raise ValueError(
                f"{type(command).__name__} had {len(answer)} numbers as its answer; it needs {due}."
            )


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
