"""Places that are kept for refused work: who is told a moment is let in then, before those who come fresh.

    refused --> Booking at that moment --claim, in time--> let in up to a fuller queue
                   |
                   |  booked    counts against what comes fresh in a window of the same length, and against claims of later ones
                   |  sooner    counts against what comes fresh in longer windows, for it will be due before that
                   '- not claimed a moment after its time: counts no more, and can be claimed until it lapses

Not everybody comes again. Were places counted until they lapse, those who do come would be sent away for those who do not, and
each of them is one more who may not come. Decides what counts before whom; refuses to know clocks and tables.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from ingot.scheduling.backlog import Backlog, backlog

HELD: Final = 3.0
"""Seconds after its moment for which a place counts: clients come when they were told, within a moment."""
GRACE_SECONDS: Final = 30.0
GRACE_SHARE: Final = 0.1
"""How long after its moment a booking can be claimed, at least, and as a part of the wait."""


class Booking(Struct, frozen=True):
    """A moment at which refused work is expected again, and after which it is expected no more. `key` is whatever
    tells the work again: a fingerprint of its body; `seconds` the length of its window.
    """

    key: str
    service: float
    seconds: float
    at: float
    until: float


def booking(key: str, service: float, seconds: float, *, now: float, after: float) -> Booking:
    """The place for work that is told to come again after so many seconds; whoever is a little early is not sent away for it."""
    at = now + after
    return Booking(key, service, seconds, at - 1.0, at + max(GRACE_SECONDS, GRACE_SHARE * after))


def claim(bookings: Iterable[Booking], key: str, now: float) -> Booking | None:
    """The booking that this work may come with now."""
    return next((each for each in bookings if each.key == key and each.at <= now <= each.until), None)


def booked(
    bookings: Iterable[Booking], seconds: float, now: float, *, claimed: Booking | None = None
) -> Backlog:
    """What is booked before work in a window of so many seconds, by when it comes: in windows of the same length, and earlier than
    the booking that it comes with, where it has one.
    """
    return backlog(
        (each.at, each.service)
        for each in bookings
        if each.seconds == seconds and each.at >= now - HELD and (claimed is None or each.at < claimed.at)
    )


def sooner(bookings: Iterable[Booking], seconds: float, now: float) -> Backlog:
    """What is booked in shorter windows than that, by when it will be due."""
    return backlog(
        (each.at + each.seconds, each.service)
        for each in bookings
        if each.seconds < seconds and each.at >= now - HELD
    )
