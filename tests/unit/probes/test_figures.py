"""Scores and their bounds, and how rules and judge agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.probes import Outcome, compared, figures_of, wilson
from ingot.probes.figures import sign_test, tally


@pytest.mark.parametrize(
    ("good", "of", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.2775),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_when_figures_are_known(good: int, of: int, low: float, high: float) -> None:
    """As tables of it have them; the last is Newcombe's own example (1998)."""
    assert list(wilson(good, of)) == pytest.approx([low, high], abs=5e-5)


VERDICTS = st.lists(st.sampled_from([True, False, None]), max_size=60)


@given(VERDICTS)
def test_tally_when_verdicts_are_missing(verdicts: list[bool | None]) -> None:
    """What is missing counts in no score and makes the bounds wider: whatever it had been, they would hold."""
    told = tally(verdicts)
    assert (told.good, told.missing) == (verdicts.count(True), verdicts.count(None))
    assert (told.score is None) is (told.judged == 0)
    for filled in (True, False):
        whole = tally([filled if each is None else each for each in verdicts])
        assert told.low <= whole.low <= whole.high <= told.high


def outcome(name: str, area: str, *, rules: bool | None, judge: bool | None = None) -> Outcome:
    return Outcome(id=name, area=area, by_rules=rules, by_judge=judge)


def test_figures_when_there_is_a_judge() -> None:
    """Each area and all; of those that both judged, how often they agree, and kappa."""
    outcomes = [
        outcome("a1", "a", rules=True, judge=True),
        outcome("a2", "a", rules=True, judge=False),
        outcome("b1", "b", rules=False, judge=False),
        outcome("b2", "b", rules=False, judge=None),
        outcome("b3", "b", rules=None),
    ]
    a, b, whole = figures_of(outcomes, judged=True)
    assert (a.area, a.rules.score, a.agreement) == ("a", 1.0, 0.5)
    assert a.judge is not None
    assert a.judge.score == 0.5
    assert b.judge is not None
    assert (b.judge.judged, b.judge.missing, b.rules.missing) == (1, 2, 1)
    assert (b.agreement, b.kappa) == (1.0, None)
    assert whole.area == "all"
    assert whole.agreement == pytest.approx(2 / 3)
    assert whole.kappa == pytest.approx(0.4)
    assert all(each.judge is None for each in figures_of(outcomes, judged=False))


def test_comparison_when_probes_changed() -> None:
    """Only what both judged counts; changes are counted by direction."""
    before = {
        "a1": ("a", False),
        "a2": ("a", True),
        "a3": ("a", None),
        "b1": ("b", True),
        "gone": ("b", True),
    }
    after = {"a1": ("a", True), "a2": ("a", True), "a3": ("a", True), "b1": ("b", False), "new": ("b", True)}
    a, b, whole = compared(before, after)
    assert (a.area, a.before, a.after, a.better, a.worse) == ("a", 0.5, 1.0, 1, 0)
    assert (b.before, b.after, b.better, b.worse) == (1.0, 0.0, 0, 1)
    assert (whole.area, whole.better, whole.worse, whole.chance) == ("all", 1, 1, 1.0)


@pytest.mark.parametrize(
    ("better", "worse", "chance"), [(0, 0, 1.0), (1, 0, 1.0), (8, 1, 20 / 512), (0, 6, 2 / 64)]
)
def test_sign_test_when_figures_are_known(better: int, worse: int, chance: float) -> None:
    """Two-sided and exact."""
    assert sign_test(better, worse) == pytest.approx(chance)
