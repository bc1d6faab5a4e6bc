"""What answers would be estimated at by now: the first ones count by what the later ones taught, each model by itself."""

import pytest

from ingot.scheduling.fairness import service
from ingot.scheduling.mix import Mix, told


def after(*written: int, model: str = "m", mix: Mix | None = None, guess: int = 20, most: int = 100) -> Mix:
    """After answers of so many tokens to prompts of 20."""
    found = mix or Mix()
    for each in written:
        found = told(found, model, read=20, written=each, guess=guess, most=most, now=0.0, half_life=300.0)
    return found


def test_nothing_is_turned_before_anything_was_answered() -> None:
    """A speed that nobody measured is in no measure."""
    assert Mix().part(lambda _: 0.5) == 1.0


def test_answers_are_what_the_ratio_of_now_makes_of_them() -> None:
    """However short the first ones were: where it is that of all of them, estimates come to what was answered."""
    mix = after(1, 1, 1, 97)
    assert mix.part(lambda _: 0.25) == pytest.approx(1.0)
    assert mix.part(lambda _: 0.5) == pytest.approx((4 * 20 + 2 * 200) / (4 * 20 + 2 * 100))


def test_each_model_has_its_own_ratio() -> None:
    """Models that share a target differ in what they write of what they may."""
    mix = after(90, 90, mix=after(10, 10), model="long")
    ratios = {"m": 0.1, "long": 0.9}
    assert mix.part(ratios.__getitem__) == pytest.approx(1.0)


def test_prompts_count_as_they_were_estimated() -> None:
    """By bytes: what that is wrong by is in what comes as well."""
    mix = after(50, guess=120)
    assert mix.part(lambda _: 0.5) == pytest.approx(service(120, 50) / service(20, 50))


def test_where_nobody_says_how_much_may_come_an_answer_is_its_own_estimate() -> None:
    """There is no ratio of it."""
    assert after(50, most=0).part(lambda _: 7.0) == pytest.approx(1.0)


def test_old_answers_count_less() -> None:
    """Half after the half-life."""
    old = after(10)
    mix = told(old, "m", read=20, written=90, guess=20, most=100, now=300.0, half_life=300.0)
    assert mix.real == pytest.approx(service(20, 10) / 2 + service(20, 90))
    assert mix.known["m"] == pytest.approx((30.0, 150.0))
