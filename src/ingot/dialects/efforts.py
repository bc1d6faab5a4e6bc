"""How much a model shall think: words of effort, budgets in tokens, and one table between them.

    none < minimal < low < medium < high < xhigh < max

A budget stands for the largest effort that it can pay for, so a word that becomes a budget comes back as that word.
Decides these figures alone. Knows no dialect: which words one has is handed in.
"""

from collections.abc import Collection

# Each step doubles or more; the first is the least that `messages` takes as a budget.
BUDGETS = {
    "none": 0,
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 65_536,
}
EFFORTS = tuple(BUDGETS)
LEAST_BUDGET = 1024


def budget_of(effort: str, *, most: int | None = None) -> int | None:
    """The tokens that an effort may think with, no more than `most`: what the answer itself needs is not among these.

    0 for `none`; None for a word that is not in the table, and where `most` is less than a budget's least.
    """
    budget = BUDGETS.get(effort)
    if not budget or most is None:
        return budget
    budget = min(budget, most)
    return budget if budget >= LEAST_BUDGET else None


def effort_of(budget: int) -> str:
    """The largest effort that a budget pays for; a small one is still `minimal`."""
    if budget <= 0:
        return "none"
    return next((effort for effort in reversed(EFFORTS) if 0 < BUDGETS[effort] <= budget), "minimal")


def nearest_effort(effort: str, known: Collection[str]) -> str | None:
    """The word of `known` that comes closest, the larger of two that are equally far; None where none is in the table.

    `none` is never rounded to a word that makes the model think, nor the other way round.
    """
    if effort in known or effort not in BUDGETS:
        return effort if effort in known else None
    if effort == "none":
        return None
    wanted = EFFORTS.index(effort)
    steps = [EFFORTS.index(each) for each in known if BUDGETS.get(each)]
    return EFFORTS[min(steps, key=lambda step: (abs(step - wanted), -step))] if steps else None
