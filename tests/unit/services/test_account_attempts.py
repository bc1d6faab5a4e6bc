"""The sliding window that counts tries."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.clock import ManualClock
from ingot.services.accounts.attempts import Attempts, Logins


def test_next_try_waits_when_the_window_is_full() -> None:
    """It is free again when the oldest is out of the window, and says when that is."""
    clock = ManualClock()
    attempts = Attempts(clock, most=2, seconds=60)
    assert attempts.take("ada") is None
    clock.advance(10)
    assert attempts.take("ada") is None
    assert attempts.take("ada") == 50
    assert attempts.take("bob") is None
    clock.advance(50)
    assert attempts.take("ada") is None
    assert attempts.take("ada") == 10


def test_tries_are_forgotten_when_forgiven() -> None:
    """The right password clears the account's."""
    attempts = Attempts(ManualClock(), most=1, seconds=60)
    assert attempts.take("ada") is None
    attempts.forgive("ada")
    attempts.forgive("nobody")
    assert attempts.take("ada") is None


def test_quiet_names_go_first_when_there_are_too_many() -> None:
    """Memory is bounded, and who is still at it is not forgotten."""
    attempts = Attempts(ManualClock(), most=2, seconds=60, names=2)
    attempts.take("ada")
    attempts.take("bob")
    attempts.take("ada")
    attempts.take("eve")
    assert attempts.take("ada") is not None
    assert attempts.take("bob") is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=50), max_size=60))
def test_no_window_holds_more_than_it_may(gaps: list[float]) -> None:
    """In any 60 seconds, however the tries fall."""
    clock = ManualClock()
    attempts = Attempts(clock, most=3, seconds=60)
    taken: list[float] = []
    for gap in gaps:
        clock.advance(gap)
        if attempts.take("ada") is None:
            taken.append(clock.now())
    assert all(later - earlier >= 60 for earlier, later in zip(taken, taken[3:], strict=False))


def test_strangers_bar_themselves_and_not_the_owner() -> None:
    """A place has its own tries; all together have more; where the password was right the others do not count."""
    clock = ManualClock()
    logins = Logins(clock, most=2, overall=4, seconds=60)
    assert logins.take("ada", "home") is None
    logins.succeed("ada", "home")
    for place in ("a", "a", "b", "b"):
        assert logins.take("ada", place) is None
    assert logins.take("ada", "a") == 60
    assert logins.take("ada", "c") == 60
    assert logins.take("bob", "c") is None
    assert logins.take("ada", "home") is None
    logins.succeed("ada", "home")
    assert logins.take("ada", "c") == 60
    logins.forgive("ada", "c")
    assert logins.take("ada", "c") is None


def test_places_are_forgotten_when_there_are_too_many() -> None:
    """Memory is bounded; the place that was quiet for longest is a stranger again."""
    logins = Logins(ManualClock(), most=9, overall=1, seconds=60, names=1)
    for place in ("old", "new"):
        assert logins.take("ada", place) is None
        logins.succeed("ada", place)
    assert logins.take("ada", "elsewhere") is None
    assert logins.take("ada", "old") == 60
    assert logins.take("ada", "new") is None
