"""A limiter whose counts all processes share, and which counts for itself while their server is away.

    lane up    every decision is the server's; who gets no answer in time asks again, until one comes or the lane is down
    otherwise  this process grants its part of every limit, 1 / live nodes, from buckets of its own

The buckets of its own outlive the outage: one that comes back soon finds them as they were left, so that a
server that comes and goes does not hand out a burst each time. Settling never waits: it is sent before whatever
is reserved later.

What runs is known to the server by name, and its places are leased: see `places`. What was admitted by the buckets
of its own holds its places here alone, also when the server is back.
"""

import asyncio

from ingot.ids import NewId
from ingot.limits.gcra import Level, refusal, standing
from ingot.limits.lane import FIGURES, Answer, GiveBack, Lane, Reserve, Settle
from ingot.limits.limiter import Claim, Refused, Reservation
from ingot.limits.memory import MemoryLimiter

TRIES = 3
"""Rounds that a caller waits for: as many missed in a row are an outage."""


class SharedLimiter:
    """A limiter over a lane."""

    def __init__(self, lane: Lane, *, local: MemoryLimiter, ids: NewId) -> None:
        """`local` counts while the lane is down."""
        self._lane = lane
        self._local = local
        self._ids = ids

    @property
    def degraded(self) -> bool:
        """Whether this process counts for itself."""
        return not self._lane.up

    @property
    def nodes(self) -> int:
        """How many processes shared the limits when last heard of."""
        return self._lane.nodes

    async def start(self) -> None:
        """Connects; a server that is away is tried again later."""
        await self._lane.start()

    async def close(self) -> None:
        """Gives up the connection."""
        await self._lane.close()

    async def reserve(self, claims: tuple[Claim, ...]) -> Reservation | Refused:
        """Charges all claims or none."""
        for _ in range(TRIES):
            if not self._lane.up:
                break
            # A name of its own for each try: what the one before has taken is given back by its name.
            command = Reserve(self._ids("lease"), claims, self._lane.places.lease)
            answer = await self._ask(command)
            if answer is not None:
                if answer[0]:
                    self._lane.places.hold(command.id, claims)
                return _outcome(command, answer)
        return self._local.admit(claims, share=self._lane.nodes)

    async def _ask(self, command: Reserve) -> Answer | None:
        """The server's decision, None where it did not come in time; a caller that leaves takes nothing along."""
        future = self._lane.ask(command)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and (late := future.result()) is not None and late[0]:
                self._lane.owe(Settle(command.id, command.claims, 0))
            raise

    async def settle(self, reservation: Reservation, tokens: int) -> None:
        """Replaces the estimate by the real usage and gives the running place back."""
        if not reservation.shared:
            self._local.finish(reservation, tokens)
        elif reservation.open:
            reservation.open = False
            claims = reservation.claims
            if any(claim.tpm is not None or claim.concurrency is not None for claim in claims):
                self._lane.owe(Settle(reservation.id, claims, tokens))

    async def give_back(self, reservation: Reservation) -> None:
        """Takes the charge back."""
        if not reservation.shared:
            self._local.undo(reservation)
        elif reservation.open:
            reservation.open = False
            self._lane.owe(GiveBack(reservation.id, reservation.claims, reservation.at))


def _outcome(command: Reserve, answer: Answer) -> Reservation | Refused:
    claims = command.claims
    levels = [Level(*answer[at : at + FIGURES]) for at in range(2, 2 + FIGURES * len(claims), FIGURES)]
    if answer[0]:
        return Reservation(command.id, claims, standing(claims, levels), answer[1], shared=True)
    refused = refusal(claims, levels)
    if refused is None:
        raise AssertionError("what the server refused would pass: both must follow the same arithmetic")
    return refused
