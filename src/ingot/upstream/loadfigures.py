"""What the samples of a load test add up to. Pure: no clock, no input, no output.

time to first token     from sending the request to the first delta that holds a token
inter-token latency     between two such deltas of one answer, all answers pooled
tokens/s a stream       of one answer after its first token; without a stream, of the whole answer
tokens/s                of all answers over the wall time of the level
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; times in seconds. `counted` tells that the server's usage gave the tokens, not our counting."""

    seconds: float
    first: float | None = None
    gaps: tuple[float, ...] = ()
    tokens: int = 0
    prompt_tokens: int = 0
    counted: bool = False
    error: str | None = None
    detail: str = ""

    @property
    def tokens_per_second(self) -> float | None:
        """The speed of this answer, None where it is too short to have one."""
        if self.first is None:
            return self.tokens / self.seconds if self.tokens and self.seconds else None
        span = sum(self.gaps)
        return (self.tokens - 1) / span if span and self.tokens > 1 else None


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure's distribution, in milliseconds unless said otherwise."""

    mean: float
    p50: float
    p95: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True)
class Level:
    """The figures of one concurrency."""

    concurrency: int
    requests: int
    succeeded: int
    errors: dict[str, int]
    seconds: float
    requests_per_second: float
    tokens: int
    prompt_tokens: int
    tokens_from_usage: bool
    tokens_per_second: float
    stream_tokens_per_second: Spread | None  # tokens a second
    latency_ms: Spread | None
    first_token_ms: Spread | None
    inter_token_ms: Spread | None


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of an ordered sequence lies, interpolated between neighbours."""
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values: Iterable[float], *, scale: float = 1.0) -> Spread | None:
    """The distribution of values, each times `scale`; None of nothing."""
    ordered = sorted(value * scale for value in values)
    if not ordered:
        return None
    at: Callable[[float], float] = lambda share: percentile(ordered, share)  # noqa: E731 - three calls below
    return Spread(fmean(ordered), at(0.5), at(0.95), at(0.99), ordered[-1])


def summarise(samples: Sequence[Sample], *, concurrency: int, seconds: float) -> Level:
    """The figures of a level that took `seconds` of wall time."""
    good = [sample for sample in samples if sample.error is None]
    tokens = sum(sample.tokens for sample in good)
    span = seconds or float("inf")
    return Level(
        concurrency=concurrency,
        requests=len(samples),
        succeeded=len(good),
        errors=dict(Counter(sample.error for sample in samples if sample.error is not None).most_common()),
        seconds=seconds,
        requests_per_second=len(good) / span,
        tokens=tokens,
        prompt_tokens=sum(sample.prompt_tokens for sample in good),
        tokens_from_usage=all(sample.counted for sample in good),
        tokens_per_second=tokens / span,
        stream_tokens_per_second=spread(speed for s in good if (speed := s.tokens_per_second) is not None),
        latency_ms=spread((sample.seconds for sample in good), scale=1e3),
        first_token_ms=spread((s.first for s in good if s.first is not None), scale=1e3),
        inter_token_ms=spread((gap for sample in good for gap in sample.gaps), scale=1e3),
    )
