"""Places for refused work: who may claim one, and what counts before whom."""

from ingot.scheduling.bookings import HELD, Booking, booked, booking, claim, sooner


def test_claim_when_it_comes_when_told() -> None:
    """The same work within its time, and nothing else; a booking lapses."""
    mine = Booking("fingerprint", 1000.0, 300.0, 50.0, 90.0)
    assert claim([mine], "fingerprint", 60.0) == mine
    assert claim([mine], "other", 60.0) is None
    assert claim([mine], "fingerprint", 49.0) is None
    assert claim([mine], "fingerprint", 91.0) is None


def test_place_can_be_claimed_a_little_early_and_for_a_tenth_of_the_wait() -> None:
    """Clocks differ, and whoever waited for an hour does not come within seconds."""
    assert booking("k", 1.0, 60.0, now=100.0, after=20.0) == Booking("k", 1.0, 60.0, 119.0, 150.0)
    assert booking("k", 1.0, 60.0, now=100.0, after=3600.0).until == 100.0 + 3600.0 + 360.0


def test_booked_counts_what_comes_before() -> None:
    """Of windows of the same length, and earlier than the own booking."""
    own = Booking("own", 5.0, 300.0, 50.0, 90.0)
    others = [
        Booking("before", 10.0, 300.0, 49.0, 90.0),
        Booking("after", 20.0, 300.0, 60.0, 90.0),
        Booking("longer", 40.0, 86_400.0, 49.0, 90.0),
    ]
    assert booked([own, *others], 300.0, 50.0, claimed=own).total == 10.0
    assert booked([own, *others], 300.0, 50.0).total == 35.0


def test_places_of_those_who_did_not_come_count_no_more() -> None:
    """A moment after its time, however long it can still be claimed: else those who do come are sent away for them."""
    gone = [Booking(str(number), 10.0, 20.0, float(number), number + 30.0) for number in range(30)]
    mine = Booking("mine", 5.0, 20.0, 29.5, 60.0)
    assert booked([*gone, mine], 20.0, 30.0, claimed=mine).total == 10.0 * HELD
    assert sooner([*gone, mine], 60.0, 30.0).total == 10.0 * HELD + 5.0
    assert claim(gone, "0", 30.0) == gone[0]


def test_sooner_counts_shorter_windows_by_when_they_will_be_due() -> None:
    """What comes in forty seconds and has twenty is done before what has a minute from now."""
    places = [Booking("a", 10.0, 20.0, 40.0, 90.0), Booking("b", 20.0, 20.0, 41.0, 90.0)]
    found = sooner([*places, Booking("c", 40.0, 60.0, 5.0, 90.0)], 60.0, 0.0)
    assert [found.by(each) for each in (59.0, 60.0, 61.0)] == [0.0, 10.0, 30.0]
    assert sooner(places, 20.0, 0.0).total == 0.0
