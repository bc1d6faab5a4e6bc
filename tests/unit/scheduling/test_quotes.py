"""Truthful admission: what is promised can be kept, and a refusal tells when it will fit."""

import heapq
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.pricing import Price, rates
from ingot.scheduling.backlog import backlog
from ingot.scheduling.bookings import Booking, booked, sooner
from ingot.scheduling.quotes import (
    Ahead,
    Quote,
    Refusal,
    Supply,
    Work,
    admit,
    price,
    quote,
    targets,
)
from ingot.scheduling.shares import Neighbour
from ingot.scheduling.windows import FLEX, STANDARD, Window

SUPPLY = Supply(each=100.0, error=1.0, permits=10.0)
"""A thousand a second."""
ITEM = Work(STANDARD, 1000.0, largest=1000.0, deviation=0.2, price=77)


def accepted(work: Work, ahead: Ahead, supply: Supply = SUPPLY, *, now: float = 0.0) -> Quote:
    """The quote of work that is let in."""
    decided = admit(work, ahead, supply, now)
    assert isinstance(decided, Quote), decided
    return decided


def refused(work: Work, ahead: Ahead, supply: Supply = SUPPLY, *, now: float = 0.0) -> Refusal:
    """The refusal of work that is not."""
    decided = admit(work, ahead, supply, now)
    assert isinstance(decided, Refusal), decided
    return decided


def test_quote_when_nothing_is_ahead() -> None:
    """It starts at once and runs as long as a permit takes for it."""
    found = accepted(ITEM, Ahead())
    assert found.start == 0.0
    assert found.finish == pytest.approx(10.0)
    assert found.earliest < found.finish < found.latest
    assert found.due == 300.0
    assert found.confidence > 0.99
    assert found.price == 77


def test_quote_when_its_own_organization_waits() -> None:
    """What is due earlier goes first; what is due later does not."""
    found = accepted(ITEM, Ahead(own=backlog([(100.0, 50_000.0), (9000.0, 50_000.0)])))
    assert found.start == pytest.approx(50.0)


def test_quote_when_others_wait_too() -> None:
    """Beside an equal that waits long it gets half, beside one with little that one's work."""
    waiting = backlog([(100.0, 50_000.0)])
    assert accepted(ITEM, Ahead(own=waiting, others=[Neighbour(1.0, 1e9)])).start == pytest.approx(100.0)
    assert accepted(ITEM, Ahead(own=waiting, others=[Neighbour(1.0, 1e4)])).start == pytest.approx(60.0)


def test_refusal_tells_when_the_share_has_room_again() -> None:
    """At the moment that is told, with what was served until then, the same work is let in with its booking."""
    own = backlog([(299.0, 250_000.0)])
    told = refused(ITEM, Ahead(own=own))
    assert told.reason == "share"
    assert told.retry_after is not None
    assert told.booking is not None
    left = 250_000.0 - told.retry_after * SUPPLY.rate
    later = Ahead(own=backlog([(299.0, left)]))
    assert isinstance(admit(ITEM, later, SUPPLY, told.retry_after, claimed=told.booking), Quote)
    early = Ahead(own=backlog([(299.0, 230_000.0)]))
    assert isinstance(admit(ITEM, early, SUPPLY, 20.0, claimed=told.booking), Refusal)


def test_refusal_when_it_would_break_promises_to_others() -> None:
    """Its share has room, the capacity has not: all that is due by then is promised already."""
    told = refused(ITEM, Ahead(everyone=backlog([(290.0, 280_000.0)])))
    assert told.reason == "capacity"
    assert told.retry_after is not None
    assert told.retry_after >= 25


def test_refusal_when_it_never_fits() -> None:
    """More than the window holds for its organization: waiting does not help, and nothing is booked."""
    assert refused(Work(STANDARD, 200_000.0), Ahead()) == Refusal("size", None)
    share = Ahead(own=backlog([(9.0, 1e5)]), others=[Neighbour(9.0, 1e9)])
    assert refused(Work(STANDARD, 50_000.0, items=50, largest=1000.0), share) == Refusal("size", None)
    assert refused(Work(STANDARD, 50_000.0, largest=50_000.0), Ahead()) == Refusal("size", None)


def test_refusal_when_a_target_is_closed_for_longer_than_the_window() -> None:
    """It comes again when the target opens."""
    told = refused(ITEM, Ahead(), Supply(100.0, 1.0, 10.0, opens=400.0))
    assert (told.reason, told.retry_after) == ("capacity", 400.0)


def test_work_is_let_in_when_what_is_left_of_the_targets_suffices() -> None:
    """A worker that died, or a target that timed out once, refuses nobody whom the rest can serve in time."""
    poor = Supply(each=100.0, error=1.0, permits=2.0, usual=10.0)
    assert poor.ill
    accepted(ITEM, Ahead(), poor)


def test_long_window_bears_an_outage() -> None:
    """Of a day a minute is nothing: its work waits until the targets are well, and begins no sooner."""
    dead = Supply(each=100.0, error=1.0, permits=0.0, usual=10.0)
    found = accepted(Work(FLEX, 1000.0, largest=1000.0), Ahead(), dead, now=5.0)
    assert found.start >= 65.0
    assert isinstance(admit(ITEM, Ahead(), dead, 5.0), Refusal)


def test_refusal_while_targets_are_ill() -> None:
    """What is measured in an outage says little: work comes again after a minute, and is not told that it never fits."""
    told = refused(
        Work(STANDARD, 100_000.0, items=100, largest=1000.0), Ahead(), Supply(100.0, 1.0, 1.0, usual=10.0)
    )
    assert (told.reason, told.retry_after) == ("capacity", 120.0)


def test_bookings_make_the_next_one_wait_longer() -> None:
    """Who is refused next is told a later moment, by what the first one takes."""
    own = backlog([(299.0, 250_000.0)])
    first = refused(Work(STANDARD, 20_000.0, items=20, largest=1000.0), Ahead(own=own))
    assert first.booking is not None
    assert first.retry_after is not None
    ahead = Ahead(own=own, booked=booked([first.booking], 300.0, 0.0))
    second = refused(Work(STANDARD, 20_000.0, items=20, largest=1000.0), ahead)
    assert second.retry_after is not None
    assert 15 <= second.retry_after - first.retry_after <= 30


def test_places_in_shorter_windows_are_kept_from_longer_ones() -> None:
    """What is expected again and will be due first leaves less to fresh work, and takes it in later."""
    short = [Booking(str(at), 5_000.0, 60.0, float(at), at + 30.0) for at in range(0, 230, 10)]
    free, ahead = Ahead(), Ahead(sooner=sooner(short, 300.0, 0.0))
    large = Work(STANDARD, 90_000.0, items=90, largest=1000.0)
    assert accepted(large, free).confidence > 0.5
    told = refused(large, ahead)
    assert (told.reason, told.booking is not None) == ("share", True)
    assert accepted(Work(STANDARD, 30_000.0, items=30, largest=1000.0), ahead).due == 300.0


@given(
    st.lists(st.tuples(st.floats(1.0, 2000.0), st.floats(0.0, 1e5)), max_size=6),
    st.floats(10.0, 5e4),
    st.lists(
        st.builds(Neighbour, st.floats(0.5, 4.0), st.floats(0.0, 1e6), st.floats(0.0, 900.0)), max_size=4
    ),
)
def test_what_is_let_in_fits(
    steps: list[tuple[float, float]], service: float, others: list[Neighbour]
) -> None:
    """A quote never promises more than the organization's share gives by the due moment; a refusal tells a time."""
    work = Work(STANDARD, service, items=max(int(service / 1000), 1), largest=min(service, 1000.0))
    ahead = Ahead(own=backlog(steps), others=others, everyone=backlog(steps))
    decided = admit(work, ahead, SUPPLY, 0.0)
    if isinstance(decided, Quote):
        needed = ahead.own.by(decided.due) + service
        assert needed <= SUPPLY.rate * work.seconds * STANDARD.fill
        assert decided.start <= decided.finish
        assert decided.earliest <= decided.finish <= decided.latest
        assert 0.0 <= decided.confidence <= 1.0
    elif decided.retry_after is not None:
        assert decided.retry_after >= 1
        assert math.isfinite(decided.retry_after)
        assert decided.booking is not None
        assert decided.booking.at < decided.retry_after < decided.booking.until


def test_quote_of_a_batch_beside_its_own_traffic_is_paced() -> None:
    """Traffic that would take the whole share gets half of it: the batch ends in twice the time, not at its due moment."""
    batch = Work(FLEX, 100_000.0, items=100, largest=1000.0, batch=True)
    alone = quote(batch, Ahead(), SUPPLY, 0.0)
    beside = quote(batch, Ahead(shorter=5000.0), SUPPLY, 0.0)
    assert alone.finish == pytest.approx(100.0, rel=0.1)
    assert beside.finish == pytest.approx(200.0, rel=0.1)


LENGTHS: dict[str, tuple[float, Callable[[random.Random], float]]] = {
    "equal": (0.0, lambda _: 1.0),
    "even": (0.577, lambda draw: draw.uniform(0.0, 2.0)),
    "skewed": (0.7, lambda draw: draw.lognormvariate(-0.2, 0.632)),
    "exponential": (1.0, lambda draw: draw.expovariate(1.0)),
}
"""Of items whose mean is one, with their standard deviation."""


def played(items: int, places: int, length: Callable[[random.Random], float], draw: random.Random) -> float:
    """When the last item ends, where each begins as soon as there is a place."""
    free = [0.0] * places
    for _ in range(items):
        heapq.heapreplace(free, free[0] + length(draw))
    return max(free)


@pytest.mark.parametrize("places", [4, 6, 16, 51])
@pytest.mark.parametrize("items", [1, 20, 60, 110, 400])
@pytest.mark.parametrize("kind", LENGTHS)
def test_quote_is_near_what_places_really_come_to(kind: str, items: int, places: int) -> None:
    """Items of any length, few or many for the places: the quote is off the mean of many runs by three tenths at most."""
    deviation, length = LENGTHS[kind]
    draw = random.Random(1)  # noqa: S311  # a seeded draw
    mean = sum(played(items, places, length, draw) for _ in range(100)) / 100
    work = Work(FLEX, 100.0 * items, items=items, largest=100.0, deviation=deviation, batch=True)
    told = quote(work, Ahead(), Supply(each=100.0, error=1.0, permits=float(places)), 0.0)
    assert told.finish == pytest.approx(mean, rel=0.3)


def test_targets_are_spread_evenly_up_to_the_finish() -> None:
    """A job is aimed at when its part of the whole is done."""
    spread = Quote(start=100.0, finish=200.0, earliest=190.0, latest=210.0, due=900.0, confidence=1.0)
    assert targets(spread, [10.0, 30.0, 60.0]) == pytest.approx([110.0, 140.0, 200.0])


def test_price_is_the_windows_own_or_at_its_factor() -> None:
    """Half the price in flex by its factor, unless the deployment has a price for flex."""
    cheap = Window(name="flex", seconds=86_400.0, factor=500_000)
    base = rates(1000, 2000)
    assert price(Price(base), cheap, input_tokens=10, output_tokens=5) == 10_000
    assert price(Price(base), STANDARD, input_tokens=10, output_tokens=5) == 20_000
    own = Price(base, (("flex", rates(1, 1)),))
    assert price(own, cheap, input_tokens=10, output_tokens=5) == 15
    assert price(Price(base), cheap, input_tokens=10, output_tokens=5, factor=500_000) == 5000
