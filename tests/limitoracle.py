"""What a sequence of reservations must answer, in exact fractions: written from the rules, not from the code.

A bucket is a fraction of units. It drains by limit / 60 each second and never below empty. Something passes if
it fits on top within the burst; if it is larger than the burst, only into an empty bucket; if it is larger than
the limit, never. Claims of one request pass together or not at all. What is given back is what was charged, less
what may have drained of it since; what runs holds its place until it is settled or given back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import strategies as st

from ingot.limits.limiter import Claim

MICRO = Fraction(1, 1_000_000)


@dataclass
class Bucket:
    """Units that have not drained."""

    level: Fraction = Fraction(0)

    def drain(self, limit: int, seconds: Fraction) -> None:
        """Lets time pass."""
        self.level = max(Fraction(0), self.level - seconds * limit / 60)

    def passes(self, limit: int, units: int, least: int) -> bool:
        """Whether `units` fit."""
        if units == 0:
            return True
        burst = max(least, limit // 6)
        return units <= limit and (self.level + units <= burst or (units > burst and self.level == 0))


@dataclass
class Partition:
    """One partition's buckets, and what runs there."""

    requests: Bucket = field(default_factory=Bucket)
    tokens: Bucket = field(default_factory=Bucket)
    running: set[int] = field(default_factory=set)


class Oracle:
    """The model: time is in microseconds and moves by `advance`; reservations are known by a number."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        """`claims` tell the partitions and their limits."""
        self.now = 0
        self.limits = {claim.partition: claim for claim in claims}
        self.partitions = {claim.partition: Partition() for claim in claims}
        self.charged: dict[int, int] = {}

    def advance(self, micros: int) -> None:
        """Lets time pass."""
        self.now += micros
        for name, partition in self.partitions.items():
            limits = self.limits[name]
            partition.requests.drain(limits.rpm or 0, micros * MICRO)
            partition.tokens.drain(limits.tpm or 0, micros * MICRO)

    def reserve(self, number: int, claims: Sequence[Claim]) -> bool:
        """Whether all pass; then all are charged."""
        if not all(self._passes(claim) for claim in claims):
            return False
        self.charged[number] = self.now
        for claim in claims:
            partition = self.partitions[claim.partition]
            if claim.rpm is not None:
                partition.requests.level += 1
            if claim.tpm is not None:
                partition.tokens.level += claim.tokens
            if claim.concurrency is not None:
                partition.running.add(number)
        return True

    def settle(self, number: int, claims: Sequence[Claim], tokens: int) -> None:
        """Replaces the estimate; no credit is left over."""
        for claim in claims:
            partition = self.partitions[claim.partition]
            if claim.tpm is not None:
                level = partition.tokens.level + tokens - claim.tokens
                partition.tokens.level = max(Fraction(0), level)
            partition.running.discard(number)

    def give_back(self, number: int, claims: Sequence[Claim]) -> None:
        """Takes back what time has not."""
        seconds = (self.now - self.charged[number]) * MICRO
        for claim in claims:
            partition = self.partitions[claim.partition]
            for bucket, limit, units in (
                (partition.requests, claim.rpm, 1),
                (partition.tokens, claim.tpm, claim.tokens),
            ):
                if limit is not None:
                    left = max(Fraction(0), units - seconds * limit / 60)
                    bucket.level = max(Fraction(0), bucket.level - left)
            partition.running.discard(number)

    def _passes(self, claim: Claim) -> bool:
        partition = self.partitions[claim.partition]
        return (
            (claim.rpm is None or partition.requests.passes(claim.rpm, 1, least=5))
            and (claim.tpm is None or partition.tokens.passes(claim.tpm, claim.tokens, least=1))
            and (claim.concurrency is None or len(partition.running) < claim.concurrency)
        )


@dataclass(frozen=True)
class Advance:
    """Time passes."""

    micros: int


@dataclass(frozen=True)
class Hit:
    """A request comes, with or without the claim of a key."""

    tokens: int
    with_key: bool


@dataclass(frozen=True)
class Finish:
    """One of the latest reservations is settled, perhaps once more."""

    which: int
    tokens: int


@dataclass(frozen=True)
class Regret:
    """One of the latest reservations is given back, perhaps once more."""

    which: int


@dataclass(frozen=True)
class Return:
    """The one refused last comes again when it was told to, or a microsecond early."""

    early: int


Step = Advance | Hit | Finish | Regret | Return

LIMITS = st.one_of(st.none(), st.integers(1, 12), st.integers(1, 130))
PLACES = st.one_of(st.none(), st.integers(1, 3))
# Limits with the amounts that meet them: fractions of the burst, more than it, more than the limit.
TOKEN_LIMITS = st.sampled_from([None, 1, 7, 60, 1_000, 99_991, 3_000_000])
SHARES = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.16, 0.17, 0.5, 1.0, 1.01])
PAUSES = st.one_of(st.integers(0, 3), st.integers(0, 3_000_000), st.integers(0, 90_000_000))


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Claim, Claim, list[Step]]:
    """The limits of an organization and of a key, and what happens."""
    org, key = (Claim(name, draw(LIMITS), draw(TOKEN_LIMITS), draw(PLACES), 0) for name in ("org", "key"))
    size = org.tpm or key.tpm or 100
    tokens = st.one_of(SHARES.map(lambda share: int(share * size)), st.integers(0, size))
    hit = st.builds(Hit, tokens, st.booleans())
    finish = st.builds(Finish, st.integers(0, 5), tokens)
    regret = st.builds(Regret, st.integers(0, 5))
    wait = st.builds(Advance, PAUSES)
    steps = st.one_of(hit, hit, finish, regret, wait, st.builds(Return, st.integers(0, 1)))
    return org, key, draw(st.lists(steps, max_size=40, min_size=draw(st.integers(0, 30))))
