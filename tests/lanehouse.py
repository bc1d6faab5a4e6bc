"""A lane on a link that does as it is told: `Scene` is a limiter over it, and keeps what it told of its state and logged."""

import asyncio
from collections.abc import Callable, Sequence

from ingot.clock import ManualClock
from ingot.ids import new_id
from ingot.limits.gcra import POINTS
from ingot.limits.lane import Answer, Beat, Command, Lane, LinkFault, Reserve
from ingot.limits.limiter import Claim, Reservation
from ingot.limits.memory import MemoryLimiter
from ingot.limits.places import Renew
from ingot.limits.shared import SharedLimiter
from treasury import Lines

CLAIM = Claim("org", 60, 6000, 30, 100)
NODES = 3
MOMENT = 10**15
LEASE = 30.0
MICROS = 30_000_000


class FakeLink:
    """Admits everything at level 1, or fails while told to; a round waits for the gate."""

    def __init__(self) -> None:
        self.rounds: list[list[Command]] = []
        self.fails = False
        self.misses = 0
        """So many rounds fail first."""
        self.breaks: list[Exception] = []
        """What rounds raise first that no link should raise."""
        self.junk: list[Answer] | None = None
        """What comes in place of the answers."""
        self.given_up = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def exchange(self, commands: Sequence[Command], budget: float) -> list[Answer]:
        """Notes the round; `budget` is not needed, the gate is."""
        assert budget > 0
        self.rounds.append(list(commands))
        await self.gate.wait()
        if self.fails or self.misses > 0:
            self.misses -= 1
            raise LinkFault("It was told to.")
        if self.breaks:
            raise self.breaks.pop(0)
        if self.junk is not None:
            return self.junk[: len(commands)]
        answers: list[Answer] = []
        for command in commands:
            if isinstance(command, Beat):
                answers.append([NODES])
            elif isinstance(command, Reserve):
                answers.append([1, MOMENT, *[POINTS, 100 * POINTS, 1] * len(command.claims)])
            else:
                answers.append([])
        return answers

    async def close(self) -> None:
        """Counts how often."""
        self.given_up += 1

    def sent(self) -> list[Command]:
        """All that was sent but the beats."""
        return [command for round_ in self.rounds for command in round_ if not isinstance(command, Beat)]

    def renewals(self) -> list[list[Renew]]:
        """Of each round that renews, what it renews."""
        found = [[command for command in round_ if isinstance(command, Renew)] for round_ in self.rounds]
        return [renewals for renewals in found if renewals]


class Scene:
    """A limiter on a fake link, and what it told of its state."""

    def __init__(self, *, beat: float = 1000.0) -> None:
        self.clock = ManualClock()
        self.link = FakeLink()
        self.log = Lines()
        self.told: list[tuple[bool, str]] = []
        self.lane = Lane(
            self.link,
            node="n1",
            budget=1.0,
            patience=1.0,
            clock=self.clock,
            log=self.log,
            lease=LEASE,
            rest=0.01,
            beat=beat,
            notify=self.notify,
        )
        self.limiter = SharedLimiter(self.lane, local=MemoryLimiter(self.clock), ids=new_id)

    def notify(self, down: bool, why: str) -> None:  # noqa: FBT001  # the limiters' signature
        """Keeps it."""
        self.told.append((down, why))

    async def reserve(self) -> Reservation:
        """A reservation, which no limit is in the way of."""
        outcome = await self.limiter.reserve((CLAIM,))
        assert isinstance(outcome, Reservation)
        return outcome


async def until(condition: Callable[[], bool]) -> None:
    """Returns once it holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # there is no event for what a test looks at
            await asyncio.sleep(0.001)
