"""The places that are kept for refused work, as one process knows them: sums of each organization, read once a second.

    read, every second or so --> sums by model, length of window and moment
    booked or claimed here ----> added to them, or taken out, until they are read anew
    own --> one row

Holds sums and no key, so that ten thousand places cost a decision what a hundred do. Decides nothing about promises.
"""

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ingot.clock import Clock
from ingot.scheduling.bookings import Booking
from ingot.store import promises
from ingot.store.database import Database
from ingot.store.promises import Place
from ingot.store.schema import micros

FRESH: Final = 1.0
"""Seconds for which sums are good, at least."""
PART: Final = 20.0
"""So many times as long as it took to read them."""
MOST: Final = 10_000
"""Bookings of an organization; beyond them a refusal tells when to come again, and keeps no place."""
MOST_KNOWN: Final = 1_000
"""Organizations whose sums are held at once."""


@dataclass(slots=True)
class _Sums:
    """Those of one organization, good until a monotonic moment."""

    until: float
    places: dict[Place, float] = field(default_factory=dict)
    count: int = 0

    def change(self, model: str, booking: Booking, sign: int) -> None:
        """One more, or one less."""
        place = Place(model, booking.seconds, math.floor(booking.at))
        self.places[place] = self.places.get(place, 0.0) + sign * booking.service
        self.count += sign


class Bookings:
    """Of one process; belongs to one event loop."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._known: dict[str, _Sums] = {}

    async def own(self, org_id: str, model: str, key: str) -> Booking | None:
        """The place of this work, as long as it is kept."""
        now = micros(self._clock.now())
        return await self._db.read(partial(promises.booking, org_id=org_id, model=model, work=key, now=now))

    async def of(self, org_id: str) -> list[tuple[str, Booking]]:
        """All places of an organization, each with its model: those of one second are one."""
        sums = await self._sums(org_id)
        return [
            (place.model, Booking("", service, place.seconds, float(place.second), math.inf))
            for place, service in sums.places.items()
            if service > 0.0
        ]

    async def has_room(self, org_id: str) -> bool:
        """Whether one more place may be kept for an organization."""
        return (await self._sums(org_id)).count < MOST

    def add(self, org_id: str, model: str, booking: Booking) -> None:
        """A place is kept from now on."""
        self._change(org_id, model, booking, 1)

    def remove(self, org_id: str, model: str, booking: Booking) -> None:
        """It was claimed, or another is kept for its work."""
        self._change(org_id, model, booking, -1)

    def _change(self, org_id: str, model: str, booking: Booking, sign: int) -> None:
        sums = self._known.get(org_id)
        if sums is not None:
            sums.change(model, booking, sign)

    async def _sums(self, org_id: str) -> _Sums:
        began = self._clock.monotonic()
        known = self._known.get(org_id)
        if known is not None and began < known.until:
            return known
        now = micros(self._clock.now())
        places, count = await self._db.read(partial(promises.places, org_id=org_id, now=now))
        read = self._clock.monotonic()
        self._known.pop(org_id, None)
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        found = self._known[org_id] = _Sums(read + max(FRESH, PART * (read - began)), places, count)
        return found
