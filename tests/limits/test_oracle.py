"""Every limiter decides as the exact model does, and all of them say the same (L02, L04, L08).

`INGOT_EXAMPLES` sets how many sequences are tried on each.
"""

import asyncio
import copy
import itertools
import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from databases import postgres_url, valkey_url
from ingot.clock import ManualClock
from ingot.ids import new_id
from ingot.limits.gcra import POINTS
from ingot.limits.limiter import Claim, Limiter, Refused, Reservation
from ingot.limits.memory import MemoryLimiter
from ingot.limits.postgres import postgres_limiter
from ingot.limits.valkey import valkey_limiter
from limitoracle import Advance, Finish, Hit, Oracle, Regret, Return, Step, scenes
from treasury import Lines

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "200"))
START = 1_000_000
PATIENT = 30.0
"""Seconds for a round: a slow machine must not make the limiter count for itself here."""
LEASE = 1e6
"""Seconds: longer than any example; what leases do is seen in `test_places`."""

Scene = tuple[Claim, Claim, list[Step]]
tried = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
numbers = itertools.count()


class Stage:
    """A limiter under test, and the clock that it sees."""

    def __init__(self, kind: str) -> None:
        self.clock = ManualClock()
        self.micros = 0
        self.limiter: Limiter = MAKERS[kind](self)

    def set(self, micros: int) -> None:
        """The time, in microseconds since the start of an example."""
        self.micros = START * 1_000_000 + micros
        self.clock.at = START + micros / 1_000_000

    def now(self) -> int:
        """The time that servers are given."""
        return self.micros


def _told(stage: Stage) -> dict[str, Any]:
    """What a limiter over any server is made with."""
    return {
        "clock": stage.clock,
        "ids": new_id,
        "node": "only",
        "log": Lines(),
        "lease": LEASE,
        "budget": PATIENT,
        "now": stage.now,
    }


def _memory(stage: Stage) -> Limiter:
    return MemoryLimiter(stage.clock)


def _valkey(stage: Stage) -> Limiter:
    return valkey_limiter(valkey_url(), **_told(stage))


def _postgres(stage: Stage) -> Limiter:
    return postgres_limiter(postgres_url(), **_told(stage))


MAKERS: dict[str, Callable[[Stage], Limiter]] = {
    "memory": _memory,
    "valkey": _valkey,
    "postgres": _postgres,
}


@pytest.mark.parametrize("kind", list(MAKERS))
def test_decisions_are_those_of_the_exact_model(kind: str) -> None:
    """L02, L04, L08: whatever comes in whatever order, the same pass; a refusal charges nothing, its wait is exact."""
    stage = Stage(kind)
    with asyncio.Runner() as runner:
        runner.run(stage.limiter.start())

        @tried
        @given(scenes())
        def compare(scene: Scene) -> None:
            runner.run(Play(stage, *scene[:2]).run(scene[2]))

        try:
            compare()
            assert not stage.limiter.degraded
        finally:
            runner.run(stage.limiter.close())


class Play:
    """A scene on the limiter, on a fresh one in memory and on the model."""

    def __init__(self, stage: Stage, org: Claim, key: Claim) -> None:
        prefix = f"{next(numbers)}-"
        self.org, self.key = (
            msgspec.structs.replace(claim, partition=prefix + claim.partition) for claim in (org, key)
        )
        self.stage = stage
        self.stage.set(0)
        self.oracle = Oracle([self.org, self.key])
        self.twin = MemoryLimiter(stage.clock)
        self.made: list[tuple[int, Reservation, Reservation]] = []
        self.refused: tuple[Hit, int] | None = None

    async def run(self, steps: list[Step]) -> None:
        """All steps."""
        for number, step in enumerate(steps):
            if isinstance(step, Advance):
                self.advance(step.micros)
            elif isinstance(step, Hit):
                await self.hit(number, step)
            elif isinstance(step, Return) and self.refused is not None:
                hit, at = self.refused
                self.advance(max(at - step.early - self.oracle.now, 0))
                await self.hit(number, hit)
            elif isinstance(step, Finish) and self.made:
                await self.finish(self.made[-1 - step.which % len(self.made)], step.tokens)
            elif isinstance(step, Regret) and self.made:
                await self.give_back(self.made[-1 - step.which % len(self.made)])

    def advance(self, micros: int) -> None:
        """Time passes for all."""
        self.oracle.advance(micros)
        self.stage.set(self.oracle.now)

    async def hit(self, number: int, hit: Hit) -> None:
        """A request: all decide alike, and tell the same."""
        asked = [self.org, self.key] if hit.with_key else [self.org]
        claims = tuple(msgspec.structs.replace(claim, tokens=hit.tokens) for claim in asked)
        found = await self.stage.limiter.reserve(claims)
        other = await self.twin.reserve(claims)
        before = copy.deepcopy(self.oracle)
        admitted = self.oracle.reserve(number, claims)
        assert isinstance(found, Reservation) is admitted, (found, before)
        if isinstance(found, Reservation):
            assert isinstance(other, Reservation)
            assert found.standing == other.standing
            self.made.append((number, found, other))
            assert_figures(found, self.oracle)
        else:
            assert found == other
            assert_wait(found, before, claims)
            self.refused = hit, self.oracle.now + found.wait

    async def finish(self, made: tuple[int, Reservation, Reservation], tokens: int) -> None:
        """Settles everywhere; the model only the first time."""
        number, found, other = made
        if found.open:
            self.oracle.settle(number, found.claims, tokens)
        await self.stage.limiter.settle(found, tokens)
        await self.twin.settle(other, tokens)
        await self.sent()

    async def give_back(self, made: tuple[int, Reservation, Reservation]) -> None:
        """Gives back everywhere; the model only what is not settled."""
        number, found, other = made
        if found.open:
            self.oracle.give_back(number, found.claims)
        await self.stage.limiter.give_back(found)
        await self.twin.give_back(other)
        await self.sent()

    async def sent(self) -> None:
        """What is owed goes out with what is asked next: here, before the time moves on."""
        await self.stage.limiter.reserve((Claim("nobody", None, None, None, 0),))


def assert_figures(found: Reservation, oracle: Oracle) -> None:
    """The headers tell what is left, of the tightest claim."""
    standing = found.standing
    requests, tokens = [], []
    for claim in found.claims:
        partition = oracle.partitions[claim.partition]
        if claim.rpm is not None:
            requests.append(max(Fraction(0), max(5, claim.rpm // 6) - partition.requests.level))
        if claim.tpm is not None:
            tokens.append(max(Fraction(0), max(1, claim.tpm // 6) - partition.tokens.level))
    assert standing.request_remaining == (int(min(requests)) if requests else 0)
    assert standing.token_remaining == (int(min(tokens)) if tokens else 0)
    assert standing.request_reset >= 0
    assert standing.token_reset >= 0


def assert_wait(found: Refused, before: Oracle, claims: tuple[Claim, ...]) -> None:
    """After the wait the same claims pass, and a microsecond before they do not."""
    assert found.wait > 0
    if found.beyond or found.limit == "concurrency":
        return
    early, late = copy.deepcopy(before), copy.deepcopy(before)
    early.advance(found.wait - 1)
    late.advance(found.wait)
    assert not early.reserve(-1, claims)
    running = any(claim.concurrency is not None for claim in claims)
    assert running or late.reserve(-1, claims)


@tried
@given(
    st.integers(1, 400),
    st.lists(st.tuples(st.integers(0, 30_000_000), st.integers(0, 500), st.integers(0, 500)), max_size=40),
)
def test_no_span_admits_more_than_burst_and_rate(limit: int, hits: list[tuple[int, int, int]]) -> None:
    """L02, L04: tokens charged less tokens refunded, over any span, stay within the burst and what drained."""
    clock = ManualClock()
    limiter = MemoryLimiter(clock)
    moves: list[tuple[int, Fraction | int]] = []
    largest = max(1, limit // 6)
    now = 0
    for pause, tokens, used in hits:
        now += pause
        clock.at = START + now / 1_000_000
        claim = Claim("org", None, limit, None, tokens)
        outcome = limiter.admit((claim,))
        if isinstance(outcome, Refused):
            continue
        largest = max(largest, tokens)
        moves.append((now, tokens))
        level = limiter.snapshot().get("org", (0, 0, 0))[1]
        limiter.finish(outcome, min(used, tokens))
        left = limiter.snapshot().get("org", (0, 0, 0))[1]
        moves.append((now, Fraction(left - level, POINTS)))
    for first in range(len(moves)):
        total = Fraction(0)
        for at, units in moves[first:]:
            total += units
            assert total <= largest + Fraction(limit * (at - moves[first][0]), 60_000_000)


HITS = st.integers(1, 8)
DRAINS = st.sampled_from([0.001, 0.5, 0.999, 1.0, 1.5, 4.0, 8.0]).map(lambda share: ("wait", share))


@tried
@given(
    st.integers(1, 60),
    st.integers(0, 12),
    st.lists(
        st.one_of(
            st.tuples(st.just("hit"), HITS),
            DRAINS,
            st.tuples(st.just("regret"), st.integers(0, 12)),
        ),
        max_size=30,
    ),
)
@example(5, 0, [("hit", 1), ("wait", 1.0), ("hit", 5), ("regret", 0), ("hit", 1)])
@example(60, 6, [("hit", 4), ("wait", 8.0), ("hit", 5), ("regret", 0), ("regret", 0), ("hit", 5)])
def test_what_is_kept_stays_within_the_limit_when_others_are_given_back(
    limit: int, tokens: int, steps: list[tuple[str, float]]
) -> None:
    """L02: over any span, requests and tokens that were kept are at most the burst and what drained, whatever was
    given back before, in between and after; what drained before it was given back is no second credit.
    """
    clock = ManualClock()
    limiter = MemoryLimiter(clock)
    claims = (Claim("org", limit, limit * 3, None, tokens),)
    made: list[tuple[int, Reservation]] = []
    now = 0
    for kind, amount in steps:
        if kind == "wait":
            now += int(amount * 60_000_000 / limit)  # the time in which so many requests drain
            clock.at = START + now / 1_000_000
        elif kind == "regret" and made:
            limiter.undo(made.pop(int(amount) % len(made))[1])
        elif kind == "hit":
            outcomes = [limiter.admit(claims) for _ in range(int(amount))]
            made += [(now, outcome) for outcome in outcomes if isinstance(outcome, Reservation)]
    most = max(tokens, limit * 3 // 6, 1)
    for first, (began, _) in enumerate(made):
        for count, (at, _) in enumerate(made[first:], 1):
            drained = Fraction(limit * (at - began), 60_000_000)
            assert count <= max(5, limit // 6) + drained
            assert count * tokens <= most + 3 * drained
