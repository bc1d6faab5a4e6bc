"""Scores: which share of answers is good, between which bounds it lies, and how far rules and judge agree. Pure.

The bounds are Wilson's at 95 %. An answer without a verdict counts in no score; the lower bound takes all such for bad, the
upper one for good, so that what is missing never makes a result look surer than it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import comb, sqrt
from typing import Final, Protocol

from msgspec import Struct

Z: Final = 1.959963984540054
"""Of a normal distribution, 95 % lie within so many standard deviations."""


class Verdicts(Protocol):
    """What is known of one probe; None where there is no verdict."""

    @property
    def id(self) -> str: ...

    @property
    def area(self) -> str: ...

    @property
    def by_rules(self) -> bool | None: ...

    @property
    def by_judge(self) -> bool | None: ...


class Tally(Struct, frozen=True):
    """How many are good of those that were judged, and how many were not; `low` and `high` bound the share."""

    good: int
    judged: int
    missing: int
    score: float | None
    low: float
    high: float


class Figures(Struct, frozen=True):
    """One area, or all: both scores, and of those that both judged the share where they agree; kappa corrects for chance."""

    area: str
    rules: Tally
    judge: Tally | None
    agreement: float | None
    kappa: float | None


class Change(Struct, frozen=True):
    """An area in two results: `better` and `worse` count the probes that changed; `chance` is how likely that is by chance."""

    area: str
    before: float | None
    after: float | None
    better: int
    worse: int
    chance: float


def wilson(good: int, of: int) -> tuple[float, float]:
    """The bounds of a share, between 0 and 1; all of it where nothing was seen."""
    if of == 0:
        return 0.0, 1.0
    share = good / of
    spread = Z * sqrt(share * (1 - share) / of + Z * Z / (4 * of * of))
    scale = 1 + Z * Z / of
    middle = share + Z * Z / (2 * of)
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def tally(verdicts: Iterable[bool | None]) -> Tally:
    """The tally of verdicts."""
    told = list(verdicts)
    good, missing = told.count(True), told.count(None)
    judged = len(told) - missing
    low, _ = wilson(good, len(told))
    _, high = wilson(good + missing, len(told))
    return Tally(good, judged, missing, good / judged if judged else None, low, high)


def figures_of(outcomes: Sequence[Verdicts], *, judged: bool) -> list[Figures]:
    """The figures of each area in the order in which they come, and of all under the name `all`."""
    areas = dict.fromkeys(each.area for each in outcomes)
    rows = [_figures(area, [each for each in outcomes if each.area == area], judged=judged) for area in areas]
    return [*rows, _figures("all", outcomes, judged=judged)]


def _figures(area: str, outcomes: Sequence[Verdicts], *, judged: bool) -> Figures:
    pairs = [
        (each.by_rules, each.by_judge)
        for each in outcomes
        if each.by_rules is not None and each.by_judge is not None
    ]
    agreement, kappa = _agreement(pairs)
    return Figures(
        area,
        tally(each.by_rules for each in outcomes),
        tally(each.by_judge for each in outcomes) if judged else None,
        agreement,
        kappa,
    )


def _agreement(pairs: Sequence[tuple[bool, bool]]) -> tuple[float | None, float | None]:
    """The share of pairs that are alike, and Cohen's kappa; None where it says nothing."""
    if not pairs:
        return None, None
    total = len(pairs)
    alike = sum(first is second for first, second in pairs) / total
    ours, theirs = sum(first for first, _ in pairs) / total, sum(second for _, second in pairs) / total
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    return alike, None if chance == 1 else (alike - chance) / (1 - chance)


def compared(
    before: Mapping[str, tuple[str, bool | None]], after: Mapping[str, tuple[str, bool | None]]
) -> list[Change]:
    """Each area of the probes that both results judged, and `all`; values are the area and the verdict, by probe."""
    shared = [name for name in before if name in after and None not in (before[name][1], after[name][1])]
    areas = dict.fromkeys(before[name][0] for name in shared)
    rows = [(area, [name for name in shared if before[name][0] == area]) for area in areas]
    return [_change(area, names, before, after) for area, names in [*rows, ("all", shared)]]


def _change(
    area: str,
    names: Sequence[str],
    before: Mapping[str, tuple[str, bool | None]],
    after: Mapping[str, tuple[str, bool | None]],
) -> Change:
    better = sum(after[name][1] is True and before[name][1] is False for name in names)
    worse = sum(after[name][1] is False and before[name][1] is True for name in names)
    return Change(
        area,
        tally(before[name][1] for name in names).score,
        tally(after[name][1] for name in names).score,
        better,
        worse,
        sign_test(better, worse),
    )


def sign_test(better: int, worse: int) -> float:
    """How likely it is that changes are split so unevenly, or more, if either direction is as likely (two-sided, exact)."""
    total = better + worse
    tail: int = sum(comb(total, count) for count in range(min(better, worse) + 1))
    return min(1.0, float(2 * tail) / float(2**total))
