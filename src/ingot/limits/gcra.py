"""The arithmetic of the limits: GCRA as a bucket that fills with what is admitted and drains with time.

    level   points in the bucket; a request or token weighs POINTS, the microseconds of a minute
    rate    the limit: that many points drain in each microsecond, so that everything stays a whole number
    most    the level up to which something is admitted: burst - cost, but never below empty

The burst is max(5, limit / 6) requests, or limit / 6 tokens (at least 1). Something that costs more than the
burst, and at most the limit, passes when the bucket is empty and then overfills it: it waits longer, is never
starved, and is paid in full before anything else passes. So any span of t minutes admits at most
max(burst, the largest single cost) + limit * t. What costs more than the limit never passes.

A refund drains the bucket, at most until it is empty: there is no credit beyond the burst. Real usage above
the estimate overfills it.

A reservation that is given back leaves what it cost, less what may have drained of that since: never less in the
bucket than if it had not been made. So what is kept stays within the bound above, whatever is given back and when.
At the moment of the charge that is all of it, and in a bucket that nobody else uses at any time.

Where processes count for themselves, each multiplies costs by their number (`share`): the same limits, of
which each grants its part. Pure: time comes as a parameter, in whole microseconds.
"""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from ingot.limits.limiter import Claim, LimitName, Refused, Standing

SECOND = 1_000_000
POINTS = 60 * SECOND
CEILING = 9_000_000_000_000_000
"""The most that a level remembers. Below 2**53, hence exact in a double too (Lua): up to 150 million a minute."""
NEVER = -1
ASK_AGAIN = SECOND
"""When to ask again for a running place: it is not known when one ends, and a second is short for an answer."""


class Bucket(Struct, frozen=True, gc=False):
    """What one limit means for one claim; where there is none, everything passes and drains at once."""

    rate: int
    burst: int
    most: int
    cost: int


class Level(Struct, frozen=True, gc=False):
    """How full a partition's buckets are, and what runs there."""

    requests: int
    tokens: int
    running: int = 0


NO_LIMIT = Bucket(rate=CEILING, burst=0, most=CEILING, cost=0)


@lru_cache(4096)
def request_bucket(limit: int | None, share: int) -> Bucket:
    """The bucket of one request."""
    return _bucket(limit, 1, share, least=5)


@lru_cache(4096)
def token_bucket(limit: int | None, tokens: int, share: int) -> Bucket:
    """The bucket of a number of tokens; none at all always pass."""
    if tokens <= 0 and limit is not None:
        return Bucket(rate=rate(limit), burst=_burst(limit, 1), most=CEILING, cost=0)
    return _bucket(limit, tokens, share, least=1)


def _bucket(limit: int | None, units: int, share: int, *, least: int) -> Bucket:
    if limit is None:
        return NO_LIMIT
    burst = _burst(limit, least)
    cost = min(units * share * POINTS, CEILING)
    most = NEVER if units > limit else min(max(burst - cost, 0), CEILING - cost)
    return Bucket(rate=rate(limit), burst=burst, most=most, cost=cost)


def _burst(limit: int, least: int) -> int:
    return max(least, limit // 6) * POINTS


def terms(claim: Claim) -> tuple[int, int, int, int, int, int, int]:
    """A claim for a server that only drains, compares and adds: rate, most and cost of its requests, the same of
    its tokens, and how many may run at once (-1: any number).
    """
    requests = request_bucket(claim.rpm, 1)
    tokens = token_bucket(claim.tpm, claim.tokens, 1)
    running = -1 if claim.concurrency is None else places(claim.concurrency, 1)
    return requests.rate, requests.most, requests.cost, tokens.rate, tokens.most, tokens.cost, running


def costs(claim: Claim) -> tuple[int, int, int, int]:
    """A claim that is given back, for a server: rate and cost of its requests, the same of its tokens."""
    requests = request_bucket(claim.rpm, 1)
    tokens = token_bucket(claim.tpm, claim.tokens, 1)
    return requests.rate, requests.cost, tokens.rate, tokens.cost


@lru_cache(4096)
def rate(limit: int | None) -> int:
    """How many points drain in a microsecond; without a limit all of them."""
    return CEILING if limit is None else max(limit, 1)


def places(limit: int, share: int) -> int:
    """How many may run at once here."""
    return max(1, limit // share) if limit > 0 else 0


def drained(level: int, rate: int, elapsed: int) -> int:
    """The level after `elapsed` microseconds; a clock that went back drains nothing."""
    left = level - elapsed * rate if elapsed > 0 else level
    return left if left > 0 else 0  # noqa: FURB136  (measured: 10 ns; max() takes 90, four times a request)


def settled(level: int, change: int) -> int:
    """The level after a refund (negative) or a supplement."""
    return min(max(level + change, 0), CEILING)


def returned(level: int, bucket: Bucket, elapsed: int) -> int:
    """The level after the cost of a bucket is given back, `elapsed` microseconds after it was charged."""
    return max(level - drained(bucket.cost, bucket.rate, elapsed), 0)


def change(claim: Claim, tokens: int, share: int = 1) -> int:
    """By how many points real usage moves the level of tokens."""
    if claim.tpm is None:
        return 0
    points = (max(tokens, 0) - claim.tokens) * share * POINTS
    return min(max(points, -CEILING), CEILING)


Figures = tuple[int | None, int, int]
"""A limit, how many units would pass at once, microseconds until full."""
NOTHING: Figures = (None, 0, 0)


def figures(limit: int, level: int, bucket: Bucket, share: int = 1) -> Figures:
    """What headers tell of a limit at a level."""
    room = bucket.burst - level
    return limit, (room // (POINTS * share) if room > 0 else 0), -(-level // bucket.rate)


def tighter(one: Figures, other: Figures) -> Figures:
    """The figures that leave less."""
    return one if one[0] is not None and one[1] <= other[1] else other


def standing(claims: Sequence[Claim], levels: Sequence[Level], share: int = 1) -> Standing:
    """The tightest figures of all claims."""
    requests = tokens = NOTHING
    for claim, level in zip(claims, levels, strict=True):
        rpm, tpm = claim.rpm, claim.tpm
        if rpm is not None:
            requests = tighter(requests, figures(rpm, level.requests, request_bucket(rpm, share), share))
        if tpm is not None:
            bucket = token_bucket(tpm, claim.tokens, share)
            tokens = tighter(tokens, figures(tpm, level.tokens, bucket, share))
    return Standing(*requests, *tokens)


def refusal(claims: Sequence[Claim], levels: Sequence[Level], share: int = 1) -> Refused | None:
    """What stands longest in the way of the claims at these levels; None where all pass."""
    worst: tuple[bool, int, LimitName, Claim, int] | None = None
    for claim, level in zip(claims, levels, strict=True):
        for name, limit, beyond, wait in _waits(claim, level, share):
            if wait > 0 and (worst is None or (beyond, wait) > worst[:2]):
                worst = (beyond, wait, name, claim, limit)
    if worst is None:
        return None
    beyond, wait, name, claim, limit = worst
    return Refused(
        limit=name,
        partition=claim.partition,
        allowed=limit,
        wait=wait,
        beyond=beyond,
        standing=standing(claims, levels, share),
    )


def _waits(claim: Claim, level: Level, share: int) -> list[tuple[LimitName, int, bool, int]]:
    """For each limit of a claim: its name, itself, whether it never passes, and microseconds until it does."""
    found: list[tuple[LimitName, int, bool, int]] = []
    if claim.rpm is not None:
        bucket = request_bucket(claim.rpm, share)
        found.append(("requests", claim.rpm, bucket.most == NEVER, _wait(bucket, level.requests)))
    if claim.tpm is not None:
        bucket = token_bucket(claim.tpm, claim.tokens, share)
        found.append(("tokens", claim.tpm, bucket.most == NEVER, _wait(bucket, level.tokens)))
    if claim.concurrency is not None and level.running >= places(claim.concurrency, share):
        found.append(("concurrency", claim.concurrency, claim.concurrency <= 0, ASK_AGAIN))
    return found


def _wait(bucket: Bucket, level: int) -> int:
    if bucket.most == NEVER:
        return POINTS
    over = level - bucket.most
    return -(-over // bucket.rate) if over > 0 else 0
