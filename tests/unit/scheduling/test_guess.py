"""Before anything is measured so much is let in as the places would answer, each request in a guessed time."""

import pytest

from ingot.scheduling.guess import Guess, admit
from ingot.scheduling.quotes import Quote, Refusal, Work
from ingot.scheduling.windows import STANDARD

NOW = 1000.0
GUESS = Guess(places=4, seconds=10.0)


def work(items: int) -> Work:
    """Requests in `standard`."""
    return Work(window=STANDARD, service=1.0, items=items, largest=1.0)


@pytest.mark.parametrize(("seconds", "most"), [(0.0, 4), (5.0, 4), (300.0, 120), (86_400.0, 34_560)])
def test_window_has_room_for_what_is_answered_in_it(seconds: float, most: int) -> None:
    """What begins at once fits into any."""
    assert GUESS.most(seconds) == most


def test_work_is_quoted_behind_what_waits() -> None:
    """It starts when the places are through with that, and lasts as long as one request at least."""
    assert admit(work(2), 40, GUESS, most=120, now=NOW) == Quote(1100.0, 1110.0, NOW, 1120.0, 1300.0, 0.5)
    told = admit(work(80), 40, GUESS, most=120, now=NOW)
    assert isinstance(told, Quote)
    assert (told.start, told.finish) == (1100.0, 1300.0)


def test_work_is_refused_until_there_is_room() -> None:
    """It is told when so many are answered as are too many; never, where it is too many by itself."""
    assert admit(work(60), 100, GUESS, most=120, now=NOW) == Refusal("capacity", 100.0)
    assert admit(work(121), 0, GUESS, most=120, now=NOW) == Refusal("size", None)
