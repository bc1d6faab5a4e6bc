"""Efforts and budgets: one table, read both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.efforts import BUDGETS, EFFORTS, LEAST_BUDGET, budget_of, effort_of, nearest_effort


@pytest.mark.parametrize("effort", EFFORTS)
def test_effort_when_it_becomes_a_budget_and_back(effort: str) -> None:
    """A word survives the way through its budget."""
    budget = budget_of(effort)
    assert budget is not None
    assert effort_of(budget) == effort


@given(budget=st.integers(1, 200_000), more=st.integers(0, 200_000))
def test_effort_when_a_budget_grows(budget: int, more: int) -> None:
    """More tokens are never less effort, and some tokens are never none."""
    low, high = effort_of(budget), effort_of(budget + more)
    assert 1 <= EFFORTS.index(low) <= EFFORTS.index(high)
    assert BUDGETS[low] <= max(budget, LEAST_BUDGET)


@given(effort=st.sampled_from(EFFORTS), most=st.integers(-9_000, 100_000))
def test_budget_when_thoughts_are_bounded(effort: str, most: int) -> None:
    """Thinking takes no more than it may, and is left out where its least does not fit."""
    budget = budget_of(effort, most=most)
    if effort == "none":
        assert budget == 0
    elif most < LEAST_BUDGET:
        assert budget is None
    else:
        assert budget == min(BUDGETS[effort], most)


def test_budget_when_the_word_is_unknown() -> None:
    """A word that the table lacks has no budget."""
    assert budget_of("enormous") is None


@pytest.mark.parametrize(
    ("effort", "known", "nearest"),
    [
        ("high", {"low", "high"}, "high"),
        ("minimal", {"low", "medium", "high"}, "low"),
        ("max", {"low", "medium", "high"}, "high"),
        ("medium", {"low", "high"}, "high"),
        ("none", {"low", "high"}, None),
        ("low", {"none"}, None),
        ("enormous", {"low"}, None),
        ("own-word", {"own-word"}, "own-word"),
    ],
)
def test_nearest_effort_when_a_dialect_has_other_words(
    effort: str, known: set[str], nearest: str | None
) -> None:
    """The closest word is taken, the larger of two; to think or not to think is never rounded."""
    assert nearest_effort(effort, known) == nearest
