"""What is measured of targets: speed of a place, how many there are, what requests come to; alone, and told between nodes."""

import pytest
from msgspec import structs

from ingot.catalog import Target
from ingot.services.pacing import EACH, ENOUGH, LIVING, Called, Ending, Pacing

NOW = 1_000_000.0
UP = Target("up", "http://127.0.0.1:9/v1", dialects=frozenset({"chat"}))
NARROW = Target("narrow", "http://127.0.0.1:9/v1", dialects=frozenset({"chat"}), capacity=4)


def called(
    ending: Ending = "done",
    *,
    seconds: float = 1.0,
    written: int = 50,
    retry: float | None = None,
    guess: int = 0,
) -> Called:
    """A call that read 100 tokens and might have written 100."""
    return Called(
        model="m",
        ending=ending,
        began=NOW,
        seconds=seconds,
        read=100,
        guess=guess,
        written=written,
        most=100,
        retry_after=retry,
        running=8,
    )


def measured(calls: int = 8, target: Target = UP) -> Pacing:
    """After some calls of 200 service in a second each."""
    pacing = Pacing()
    for _ in range(calls):
        pacing.learn(target, called(), NOW + 1)
    pacing.look(target, NOW + 1, asap=0, most=64)
    return pacing


def test_nothing_is_supplied_until_enough_is_measured() -> None:
    """Few calls refuse nobody."""
    assert measured(int(ENOUGH) - 1).supply("up", NOW) is None
    assert measured(int(ENOUGH) - 1).each("up", NOW) == EACH
    supply = measured().supply("up", NOW + 1)
    assert supply is not None
    assert supply.each == pytest.approx(200.0)
    assert measured().supply("elsewhere", NOW) is None


@pytest.mark.parametrize("written", [1, 10, 90])
def test_speed_is_in_the_measure_of_what_comes_when_the_first_answers_are_not_what_was_guessed(
    written: int,
) -> None:
    """Half of the most is guessed at first: what comes after the first batch is estimated by what it taught, and so is the speed."""
    pacing = Pacing()
    for _ in range(40):
        pacing.learn(UP, called(seconds=0.5, written=written), NOW + 1)
    supply = pacing.supply("up", NOW + 1)
    assert supply is not None
    assert 100 * pacing.expected("m", 100, 100) / supply.each == pytest.approx(50.0, rel=0.05)


def test_speed_is_right_when_answers_differ_and_what_they_come_to_on_average_is_known() -> None:
    """A hundred such requests take as long as they took: what estimates are wrong by, one by one, cancels out."""
    pacing = Pacing()
    lengths = [10, 90, 30, 70] * 15
    for written in lengths:
        pacing.learn(UP, called(seconds=written / 50, written=written), NOW + 1)
    supply = pacing.supply("up", NOW + 1)
    assert supply is not None
    assert 100 * pacing.expected("m", 100, 100) / supply.each == pytest.approx(100.0, rel=0.05)


@pytest.mark.parametrize("guess", [30, 300])
def test_speed_is_right_when_prompts_have_other_tokens_than_their_bytes_tell(guess: int) -> None:
    """What comes is estimated by bytes, and so is what was read: a hundred such requests take as long as they took."""
    pacing = Pacing()
    for _ in range(40):
        pacing.learn(UP, called(seconds=0.5, guess=guess), NOW + 1)
    supply = pacing.supply("up", NOW + 1)
    assert supply is not None
    assert 100 * pacing.expected("m", guess, 100) / supply.each == pytest.approx(50.0, rel=0.05)


def test_q13_tries_that_fail_cost_what_their_place_gives_when_it_answers() -> None:
    """However many failed before them: a target that fails most of what it is asked makes failing no cheaper."""
    assert Pacing().cost(UP.name, 2.0) == 2 * EACH
    pacing = measured()
    cost = pacing.cost(UP.name, 10.0)
    assert cost > 0
    for _ in range(50):
        pacing.learn(UP, called("failed"), NOW)
    assert pacing.cost(UP.name, 10.0) == cost


def test_places_of_queued_work_are_a_share_of_the_learned_ones() -> None:
    """After eight good answers twice as many calls are borne; four fifths are for the queue, less where asap has more, and
    no more than the process works on.
    """
    pacing = measured()
    assert pacing.pace(UP).permits == 16
    for asap, most, share in ((0, 64, 13.0), (10, 64, 6.0), (16, 64, 3.0), (0, 10, 8.0)):
        fresh = measured(0)
        fresh = Pacing()
        for _ in range(8):
            fresh.learn(UP, called(), NOW + 1)
        for second in range(600):
            fresh.look(UP, NOW + second, asap=asap, most=most)
        supply = fresh.supply("up", NOW + 600)
        assert supply is not None
        assert supply.permits == pytest.approx(share, rel=0.001)


def test_places_that_asap_has_just_taken_count_little_at_first() -> None:
    """Nobody knows yet whether it stays: after five seconds in which asap had two of four places, what its share leaves counts more."""
    pacing = measured(0, NARROW)
    for second in range(5):
        pacing.look(NARROW, NOW + second, asap=2, most=64)
    for _ in range(8):
        pacing.learn(NARROW, called(), NOW + 5)
    supply = pacing.supply("narrow", NOW + 5)
    assert supply is not None
    assert 2.6 < supply.permits < 2.9


def test_capacity_of_a_target_is_where_its_pace_starts_and_ends() -> None:
    """It never grows beyond it, and a new one counts at once."""
    pacing = measured(20, NARROW)
    assert pacing.pace(NARROW).permits == 4
    wider = Target("narrow", NARROW.base_url, dialects=NARROW.dialects, capacity=9)
    assert pacing.pace(wider).permits == 9


def test_pace_falls_when_a_target_refuses_or_fails() -> None:
    """A 429 costs a third of the places and is left alone as long as it says; three failures let it rest."""
    pacing = measured()
    pacing.learn(UP, called("throttled", retry=20.0), NOW + 2)
    assert pacing.pace(UP).permits == 11
    assert not pacing.pace(UP).open(NOW + 21)
    assert pacing.pace(UP).open(NOW + 22)
    broken = measured()
    for _ in range(3):
        broken.learn(UP, called("failed"), NOW + 2)
    assert not broken.pace(UP).open(NOW + 2.5)


def test_estimates_follow_what_answers_come_to() -> None:
    """Half of the most at first, then what was written of it; the spread of the error is that of the model."""
    pacing = Pacing()
    assert (pacing.expected("m", 100, 100), pacing.deviation("m")) == (200, 1.0)
    for _ in range(8):
        pacing.learn(UP, called(written=10), NOW + 1)
    assert pacing.expected("m", 100, 100) == 120
    assert pacing.deviation("m") == pytest.approx(0.0)
    assert pacing.expected("other", 100, 100) == 200
    assert pacing.expected("m", 0, 0) == 1


def crowded(pacing: Pacing) -> None:
    """Calls alone and beside others, at a target that shares itself among them: 0.2 s, and 0.3 s more for each."""
    for second in range(600):
        pacing.look(NARROW, NOW + second, asap=0, most=64)
    for beside in (1.0, 3.0) * 40:
        took = structs.replace(called(seconds=0.2 + 0.3 * beside), beside=beside)
        pacing.learn(NARROW, took, NOW + 600)


def test_speed_beside_as_many_as_there_are_places_is_told_when_most_calls_ran_alone() -> None:
    """Many at once are promised what they will get, and one alone what it gets."""
    pacing = Pacing()
    crowded(pacing)
    for _ in range(200):
        pacing.learn(NARROW, structs.replace(called(seconds=0.5), beside=1.0), NOW + 600)
    many, alone, two = (pacing.supply("narrow", NOW + 600, calls=calls) for calls in (float("inf"), 1, 2))
    assert many is not None
    assert alone is not None
    assert two is not None
    assert many.permits == pytest.approx(3.0)
    assert 200 / many.each == pytest.approx(1.1, rel=0.1)
    assert 200 / alone.each == pytest.approx(0.5, rel=0.1)
    assert many.thinner == pytest.approx((0.2 + 0.3 * 1.5) / 1.1, rel=0.1)
    assert alone.thinner == 1.0
    assert two.each > pacing.each("narrow", NOW + 600) == many.each


def test_others_are_told_how_calls_slow_one_another_down() -> None:
    """A node that works on nothing promises what the one that measured would."""
    one, other = Pacing(), Pacing()
    crowded(one)
    other.hear([(NOW + 600, one.told({}))])
    for calls in (1, 2, 8):
        own, told = (each.supply("narrow", NOW + 600, calls=calls) for each in (one, other))
        assert own is not None
        assert told is not None
        assert [told.each, told.permits] == pytest.approx([own.each, own.permits])


def test_nodes_add_up_when_they_are_told_of_each_other() -> None:
    """Two nodes have twice the places at the same speed; one that is silent for a minute has none, and its speed is known."""
    one, other = measured(), Pacing()
    other.hear([(NOW + 1, one.told({}))])
    supply, own = other.supply("up", NOW + 2), one.supply("up", NOW + 2)
    assert supply is not None
    assert own is not None
    assert [supply.each, supply.permits] == pytest.approx([own.each, own.permits])
    both = measured()
    both.hear([(NOW + 1, one.told({}))])
    together = both.supply("up", NOW + 2)
    assert together is not None
    assert together.permits == pytest.approx(2 * own.permits)
    silent = other.supply("up", NOW + 2 + LIVING)
    assert silent is not None
    assert [silent.permits, silent.each] == pytest.approx([0.0, own.each])
    assert silent.ill


def test_words_of_another_version_are_passed_over() -> None:
    """What cannot be read says nothing."""
    pacing = Pacing()
    pacing.hear([(NOW, '{"lanes": 3}'), (NOW, "{")])
    assert pacing.others == []
