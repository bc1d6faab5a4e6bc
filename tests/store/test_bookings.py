"""The places of refused work on both databases: sums by the second, one row for who comes back, and a bound."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from databases import Place
from ingot.scheduling.bookings import Booking
from ingot.services import bookings as module
from ingot.services.bookings import FRESH, Bookings
from ingot.store import promises
from queuehouse import QueueHouse, open_queue


def place(
    key: str, *, at: float, service: float = 100.0, seconds: float = 300.0, until: float = 60.0
) -> Booking:
    """A place that lapses so many seconds after its moment."""
    return Booking(key, service, seconds, at, at + until)


@asynccontextmanager
async def open_bookings(backend: Place) -> AsyncIterator[tuple[QueueHouse, Bookings]]:
    """None are kept yet."""
    async with open_queue(backend) as house:
        yield house, Bookings(house.db, clock=house.clock)


async def keep(house: QueueHouse, *booked: Booking, org_id: str = "org_a", model: str = "m") -> None:
    """Another process keeps places."""
    for each in booked:
        await house.db.write(partial(promises.book, org_id=org_id, model=model, booking=each))


def sums(found: list[tuple[str, Booking]]) -> dict[tuple[str, float, float], float]:
    """Service by model, length of the window and second."""
    return {(model, each.seconds, each.at): each.service for model, each in found}


async def test_places_of_one_second_are_one_sum(backend: Place) -> None:
    """By model and window; those of others, and what has lapsed, are in none."""
    async with open_bookings(backend) as (house, bookings):
        now = float(int(house.clock.now()))
        await keep(house, place("a", at=now + 10.2), place("b", at=now + 10.9), place("c", at=now + 11))
        await keep(house, place("d", at=now + 10, seconds=60.0), place("over", at=now - 100))
        await keep(house, place("e", at=now + 10), model="other")
        await keep(house, place("f", at=now + 10), org_id="org_b")
        assert sums(await bookings.of("org_a")) == {
            ("m", 300.0, now + 10): 200.0,
            ("m", 300.0, now + 11): 100.0,
            ("m", 60.0, now + 10): 100.0,
            ("other", 300.0, now + 10): 100.0,
        }
        assert await bookings.own("org_a", "m", "a") == place("a", at=now + 10.2)
        assert [await bookings.own(*each) for each in (("org_b", "m", "a"), ("org_a", "other", "a"), ("org_a", "m", "over"))] == [
            None, None, None,
        ]  # fmt: skip


async def test_own_places_count_at_once_and_those_of_others_within_a_second(backend: Place) -> None:
    """Sums are read no oftener, so what changes here is put in by hand until then."""
    async with open_bookings(backend) as (house, bookings):
        now = float(int(house.clock.now()))
        first = place("a", at=now + 10)
        assert await bookings.of("org_a") == []
        await keep(house, first, place("b", at=now + 10))
        assert await bookings.of("org_a") == []
        bookings.add("org_a", "m", first)
        assert sums(await bookings.of("org_a")) == {("m", 300.0, now + 10): 100.0}
        house.clock.advance(FRESH)
        assert sums(await bookings.of("org_a")) == {("m", 300.0, now + 10): 200.0}
        bookings.remove("org_a", "m", first)
        assert sums(await bookings.of("org_a")) == {("m", 300.0, now + 10): 100.0}


async def test_organization_has_no_more_places_than_its_bound(
    backend: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is refused beyond it is told when to come, and has none."""
    monkeypatch.setattr(module, "MOST", 2)
    async with open_bookings(backend) as (house, bookings):
        now = house.clock.now()
        await keep(house, place("a", at=now + 1))
        assert await bookings.has_room("org_a")
        bookings.add("org_a", "m", place("b", at=now + 2))
        assert not await bookings.has_room("org_a")
        assert await bookings.has_room("org_b")
