"""Callers that vanish at random moments: nobody is ever told what was meant for another (L10).

Every caller asks for an amount of its own on a partition of its own, so that a foreign reply shows in the
figures. `INGOT_CHAOS_REQUESTS` sets how many, `INGOT_CHAOS_SEED` when they leave.
"""

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from databases import postgres_url, valkey_url
from ingot.clock import ManualClock
from ingot.ids import new_id
from ingot.limits.lane import Answer, Command, Lane, Link, LinkFault
from ingot.limits.limiter import Claim, Limiter, Refused, Reservation
from ingot.limits.memory import MemoryLimiter
from ingot.limits.postgres import PostgresLink
from ingot.limits.shared import TRIES, SharedLimiter
from ingot.limits.valkey import ValkeyLink
from treasury import Lines

REQUESTS = int(os.environ.get("INGOT_CHAOS_REQUESTS", "1500"))
SEED = int(os.environ.get("INGOT_CHAOS_SEED", "20261121"))
AT_ONCE = 40
TPM = 6_000_000
BURST = TPM // 6
NOW = 1_000_000_000_000
PATIENT = 30.0
LEASE = 600.0


@dataclass
class Tally:
    """What came of the calls."""

    answered: int = 0
    shared: int = 0
    left: int = 0
    foreign: list[object] = field(default_factory=list)


class Moody:
    """A link whose rounds are broken off at random moments, one in three."""

    def __init__(self, link: Link, chance: random.Random) -> None:
        self.link = link
        self.chance = chance
        self.broken = 0
        self.moody = False

    async def exchange(self, commands: Sequence[Command], budget: float) -> list[Answer]:
        """The link's, or a fault."""
        try:
            if self.moody and self.chance.random() < 0.33:
                if self.chance.random() < 0.5:
                    return await self._left(commands, budget)
                budget = self.chance.random() ** 2 * 0.004
            return await self.link.exchange(commands, budget)
        except LinkFault:
            self.broken += 1
            raise

    async def _left(self, commands: Sequence[Command], budget: float) -> list[Answer]:
        """A round that is given up after some turns of the loop: before it is sent, right behind, or once it is answered."""
        task = asyncio.create_task(self.link.exchange(commands, budget))
        for _ in range(self.chance.randrange(1, 8)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise LinkFault("The round was broken off.")
        return task.result()

    async def close(self) -> None:
        """Closes the link."""
        await self.link.close()


def link(kind: str) -> Link:
    """A connection to a server whose time stands still, so that every figure is known beforehand."""
    if kind == "valkey":
        return ValkeyLink(valkey_url(), now=lambda: NOW)
    return PostgresLink(postgres_url(), statement_seconds=PATIENT, now=lambda: NOW)


def limiter(link: Link) -> SharedLimiter:
    """A limiter over the link that never gives up on it."""
    clock = ManualClock()
    lane = Lane(
        link,
        node="only",
        budget=PATIENT,
        patience=PATIENT,
        clock=clock,
        log=Lines(),
        lease=LEASE,
        misses=10**9,
    )
    return SharedLimiter(lane, local=MemoryLimiter(clock), ids=new_id)


def claim(number: int) -> Claim:
    """What a caller asks for, like no other."""
    return Claim(f"org_{number}", 60, TPM, 1, cost(number))


def cost(number: int) -> int:
    """Tokens of a caller's claim: no multiple of it up to `TRIES` is a multiple of another's."""
    return 2 * REQUESTS + number


async def call(asked: Limiter, number: int, tally: Tally) -> None:
    """Reserves, checks that the figures are its own, settles."""
    outcome = await asked.reserve((claim(number),))
    tally.answered += 1
    # What became of a round that was broken off is unknown: its charge stays, and so may its place for the time of a lease.
    blocked = isinstance(outcome, Refused) and outcome.limit == "concurrency"
    figures = {BURST - times * cost(number) for times in range(1, TRIES + 1)}
    if not blocked and outcome.standing.token_remaining not in figures:
        tally.foreign.append((number, outcome))
    if isinstance(outcome, Reservation):
        tally.shared += outcome.shared
        await asked.settle(outcome, cost(number))


async def storm(asked: Limiter, chance: random.Random) -> Tally:
    """All callers, some at once; two in three are cancelled at a random moment, if they are still there."""
    tally = Tally()
    gate = asyncio.Semaphore(AT_ONCE)
    loop = asyncio.get_running_loop()

    async def one(number: int) -> None:
        async with gate:
            task = asyncio.create_task(call(asked, number, tally))
            if chance.random() < 0.67:
                loop.call_later(chance.random() * 0.004, task.cancel)
            try:
                await task
            except asyncio.CancelledError:
                tally.left += 1

    await asyncio.gather(*[one(number) for number in range(REQUESTS)])
    return tally


@pytest.mark.parametrize("kind", ["valkey", "postgres"])
async def test_no_reply_reaches_another_when_callers_vanish(kind: str) -> None:
    """L10: every figure is the caller's own, and what the vanished took is given back."""
    asked = limiter(link(kind))
    await asked.start()
    try:
        tally = await storm(asked, random.Random(SEED))  # noqa: S311  # a seeded storm
        assert tally.foreign == []
        assert tally.shared == tally.answered > 0
        assert tally.left > REQUESTS / 20, "nobody left in the middle: the storm tests nothing"
        # One place each: it is free again, whoever held it and however that ended.
        again = [await asked.reserve((claim(number),)) for number in range(0, REQUESTS, 7)]
        assert all(isinstance(outcome, Reservation) and outcome.shared for outcome in again)
    finally:
        await asked.close()


@pytest.mark.parametrize("kind", ["valkey", "postgres"])
async def test_no_reply_reaches_another_when_rounds_are_broken_off(kind: str) -> None:
    """L10: the same where rounds end in the middle and connections are given up all the time."""
    moody = Moody(link(kind), random.Random(SEED))  # noqa: S311  # a seeded storm
    asked = limiter(moody)
    await asked.start()
    moody.moody = True
    try:
        tally = await storm(asked, random.Random(SEED + 1))  # noqa: S311  # as above
        assert tally.foreign == []
        assert tally.shared > 0
        assert moody.broken > 0
    finally:
        await asked.close()
