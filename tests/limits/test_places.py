"""Running places on Valkey and PostgreSQL: leased, renewed while their process lives, free when it does not."""

import asyncio
import itertools
import os
from collections.abc import Callable

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from databases import postgres_url, valkey_url
from ingot.clock import ManualClock
from ingot.ids import new_id
from ingot.limits.lane import Command, GiveBack, Link, Reserve, Settle
from ingot.limits.limiter import Claim, Refused, Reservation
from ingot.limits.places import Renew
from ingot.limits.postgres import PostgresLink, postgres_limiter
from ingot.limits.shared import SharedLimiter
from ingot.limits.valkey import ValkeyLink, valkey_limiter
from treasury import Lines

EXAMPLES = int(os.environ.get("INGOT_EXAMPLES", "100"))
KINDS = ["valkey", "postgres"]
PATIENT = 30.0
START = 10**15
PLACES = 3
LEASE = 0.6
"""Seconds of a clock that the tests move; small, so that the limiter beats often."""
LEASE_MICROS = 600_000
CLAIM = Claim("org", None, None, PLACES, 0)

numbers = itertools.count()


class Stage:
    """An empty server whose time the test moves, and the process clock of those who ask it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.url = valkey_url() if kind == "valkey" else postgres_url()
        self.clock = ManualClock()
        self.micros = START

    def advance(self, micros: int) -> None:
        """Time passes, for the server and for the processes."""
        self.micros += micros
        self.clock.advance(micros / 1_000_000)

    def now(self) -> int:
        """The server's time."""
        return self.micros

    def link(self) -> Link:
        """A connection of its own."""
        if self.kind == "valkey":
            return ValkeyLink(self.url, now=self.now)
        return PostgresLink(self.url, statement_seconds=PATIENT, now=self.now)

    def limiter(self, node: str) -> SharedLimiter:
        """A process's limiter."""
        make = valkey_limiter if self.kind == "valkey" else postgres_limiter
        return make(
            self.url,
            clock=self.clock,
            ids=new_id,
            node=node,
            log=Lines(),
            lease=LEASE,
            budget=PATIENT,
            now=self.now,
        )

    def ends(self) -> list[int]:
        """When the leases of the organization end, read past our own code."""
        if self.kind == "valkey":
            with redis.Redis.from_url(self.url) as client:
                found = client.zrange("ingot:limits:{org}:org:leases", 0, -1, withscores=True)
            return [int(score) for _, score in found]
        with psycopg.connect(self.url, autocommit=True) as conn:
            rows = conn.execute("SELECT until FROM limit_leases WHERE partition = 'org' ORDER BY until")
            return [int(row[0]) for row in rows]


async def until(condition: Callable[[], bool]) -> None:
    """Returns once it holds."""
    async with asyncio.timeout(PATIENT):
        while not condition():  # noqa: ASYNC110  # there is no event for what a test looks at
            await asyncio.sleep(0.01)


NAMES = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), NAMES),
        st.tuples(st.just("reserve"), NAMES),
        st.tuples(st.just("renew"), st.sets(NAMES, min_size=1)),
        st.tuples(st.just("settle"), NAMES),
        st.tuples(st.just("give back"), NAMES),
        st.tuples(st.just("wait"), st.sampled_from([1, 200_000, LEASE_MICROS - 1, LEASE_MICROS])),
    ),
    max_size=30,
)


@pytest.mark.parametrize("kind", KINDS)
def test_places_are_those_of_the_model(kind: str) -> None:
    """L01, L08: a place counts until its lease ends; a renewal counts it for another one, also when it had run out;
    whoever ends is not counted, and who asks hears how many run.
    """
    stage = Stage(kind)
    link = stage.link()
    with asyncio.Runner() as runner:

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(STEPS)
        def compare(steps: list[tuple[str, int | set[int]]]) -> None:
            claims = (Claim(f"org-{next(numbers)}", None, None, PLACES, 0),)
            ends: dict[str, int] = {}
            for action, what in steps:
                if action == "wait":
                    assert isinstance(what, int)
                    stage.advance(what)
                    continue
                names = [str(name) for name in (sorted(what) if isinstance(what, set) else [what])]
                command = _command(action, names, claims, now=stage.now())
                (answer,) = runner.run(link.exchange([command], PATIENT))
                ends = {name: end for name, end in ends.items() if end > stage.now()}
                if action == "reserve":
                    passes = len(ends) < PLACES
                    assert list(answer[:2]) == [passes, stage.now()]
                    assert answer[0] or answer[4] == len(ends)
                if action == "renew" or (action == "reserve" and answer[0]):
                    ends |= dict.fromkeys(names, stage.now() + LEASE_MICROS)
                if action in ("settle", "give back"):
                    ends.pop(names[0], None)

        try:
            compare()
        finally:
            runner.run(link.close())


def _command(action: str, names: list[str], claims: tuple[Claim, ...], *, now: int) -> Command:
    if action == "reserve":
        return Reserve(names[0], claims, LEASE_MICROS)
    if action == "renew":
        return Renew(claims[0].partition, claims[0].partition, tuple(names), LEASE_MICROS)
    if action == "settle":
        return Settle(names[0], claims, 0)
    return GiveBack(names[0], claims, now)


@pytest.mark.parametrize("kind", KINDS)
async def test_places_stay_taken_when_their_requests_run_for_long(kind: str) -> None:
    """Ten leases long the owner renews them, and others are refused; a request that ends makes room for one."""
    stage = Stage(kind)
    owner, other = stage.limiter("n1"), stage.limiter("n2")
    await owner.start()
    await other.start()
    running = [await owner.reserve((CLAIM,)) for _ in range(PLACES)]
    for _ in range(30):
        stage.advance(LEASE_MICROS // 3 + 1)
        await until(lambda: stage.ends() == [stage.now() + LEASE_MICROS] * PLACES)
        assert isinstance(await other.reserve((CLAIM,)), Refused)
    assert isinstance(running[0], Reservation)
    await owner.settle(running[0], 0)
    await owner.reserve((Claim("nobody", None, None, None, 0),))
    outcomes = [await other.reserve((CLAIM,)) for _ in range(2)]
    assert [isinstance(outcome, Reservation) for outcome in outcomes] == [True, False]
    await owner.close()
    await other.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_places_are_free_when_nobody_renews_them(kind: str) -> None:
    """A process that is gone leaves them for a lease and no longer."""
    stage = Stage(kind)
    owner, other = stage.limiter("n1"), stage.limiter("n2")
    await owner.start()
    await other.start()
    for _ in range(PLACES):
        assert isinstance(await owner.reserve((CLAIM,)), Reservation)
    await owner.close()
    stage.advance(LEASE_MICROS - 1)
    assert isinstance(await other.reserve((CLAIM,)), Refused)
    stage.advance(1)
    outcomes = [await other.reserve((CLAIM,)) for _ in range(PLACES + 1)]
    assert [isinstance(outcome, Reservation) for outcome in outcomes] == [True] * PLACES + [False]
    await other.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_places_are_counted_again_when_their_owner_comes_back_late(kind: str) -> None:
    """Others had them meanwhile: for that long more run than the limit, and then nobody is admitted."""
    stage = Stage(kind)
    owner, other = stage.limiter("n1"), stage.limiter("n2")
    await owner.start()
    await other.start()
    running = await owner.reserve((CLAIM,))
    assert isinstance(running, Reservation)
    stage.micros += LEASE_MICROS  # the owner stands still
    outcomes = [await other.reserve((CLAIM,)) for _ in range(PLACES + 1)]
    assert [isinstance(outcome, Reservation) for outcome in outcomes] == [True] * PLACES + [False]
    stage.clock.advance(LEASE)  # and goes on
    await until(lambda: len(stage.ends()) == PLACES + 1)
    assert isinstance(outcomes[0], Reservation)
    await other.settle(outcomes[0], 0)
    assert isinstance(await other.reserve((CLAIM,)), Refused)
    await owner.settle(running, 0)
    await owner.reserve((Claim("nobody", None, None, None, 0),))
    assert isinstance(await other.reserve((CLAIM,)), Reservation)
    await owner.close()
    await other.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_reservation_is_given_back_whole_at_its_moment(kind: str) -> None:
    """L08: request, tokens and place of both claims: as many as one likes may be made and given back."""
    stage = Stage(kind)
    limiter = stage.limiter("n1")
    await limiter.start()
    claims = (Claim("org", 5, 6000, 1, 1000), Claim("key", 5, None, 1, 0))
    standings = set()
    for _ in range(20):
        outcome = await limiter.reserve(claims)
        assert isinstance(outcome, Reservation)
        standings.add((outcome.standing.request_remaining, outcome.standing.token_remaining))
        await limiter.give_back(outcome)
    assert standings == {(4, 0)}
    await limiter.close()
