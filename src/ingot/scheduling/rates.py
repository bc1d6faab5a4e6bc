"""Measured throughput: averages that forget, with the spread that goes with them.

    value   one number after another (seconds of a job, real/estimated tokens): mean and variance, weighted by age
    flow    amounts over time (tokens a second of a target's permit, tokens a second that arrive): the same, where
            each piece of time counts for its length

Half of the weight lies within the last half-life. Decides what is known and how surely; refuses to know time itself.
Variance by West's update, which needs one pass and no history.
"""

import math
from typing import Final

from msgspec import Struct

LEAST_WATCH: Final = 0.5


class Average(Struct, frozen=True):
    """Mean and variance of what was seen; `weight` is how much of it still counts, `at` when that was reckoned."""

    mean: float = 0.0
    variance: float = 0.0
    weight: float = 0.0
    at: float = 0.0
    squares: float = 0.0

    @property
    def known(self) -> bool:
        """Whether anything was seen."""
        return self.weight > 0.0

    @property
    def samples(self) -> float:
        """To how many equally weighted samples it comes."""
        return self.weight * self.weight / self.squares if self.squares else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean; infinite while fewer than two samples count."""
        count = self.samples
        return math.sqrt(self.variance / count) if count >= 2.0 else math.inf

    @property
    def deviation(self) -> float:
        """Standard deviation of a single sample."""
        return math.sqrt(self.variance)

    def or_else(self, usual: float) -> float:
        """The mean, or what is usual where nothing is known."""
        return self.mean if self.weight > 0.0 else usual


def seen(average: Average, value: float, *, now: float, half_life: float, weight: float = 1.0) -> Average:
    """The average with one more value; older ones count half after `half_life` seconds."""
    kept = _kept(now - average.at, half_life) if average.weight else 0.0
    before = average.weight * kept
    total = before + weight
    if total <= 0.0:
        return average
    step = value - average.mean
    mean = average.mean + step * weight / total
    variance = (before * average.variance + weight * step * (value - mean)) / total
    squares = average.squares * kept * kept + weight * weight
    return Average(mean, variance, total, max(now, average.at), squares)


def flowed(average: Average, amount: float, *, seconds: float, now: float, half_life: float) -> Average:
    """The average flow with one more piece: `amount` over `seconds`, weighted by its length."""
    if seconds <= 0.0:
        return average
    return seen(average, amount / seconds, now=now, half_life=half_life, weight=seconds)


class Arrivals(Struct, frozen=True):
    """A rate of things that come one by one, as a sum that decays."""

    total: float = 0.0
    at: float = 0.0
    since: float | None = None

    def rate(self, now: float, *, half_life: float) -> float:
        """Amount a second; over the time it was watched, where that is shorter than the memory, but over a part of the
        memory at least: a few arrivals at the start are no rate.
        """
        if self.since is None:
            return 0.0
        memory = half_life / math.log(2)
        watched = max(now - self.since, LEAST_WATCH * half_life)
        # A sum that decays holds rate * memory * (1 - exp(-watched / memory)) after so long a watch.
        share = -math.expm1(-watched / memory)
        decayed = self.total * _kept(now - self.at, half_life)
        return decayed / (memory * share)


def arrived(arrivals: Arrivals, amount: float, *, now: float, half_life: float) -> Arrivals:
    """The rate after one more arrival."""
    if arrivals.since is None:
        return Arrivals(amount, now, now)
    decayed = arrivals.total * _kept(now - arrivals.at, half_life)
    return Arrivals(decayed + amount, now, arrivals.since)


def _kept(age: float, half_life: float) -> float:
    """How much still counts of what is so old."""
    return math.pow(0.5, max(age, 0.0) / half_life)
