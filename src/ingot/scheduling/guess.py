"""What is promised before anything was measured: what the places would answer within the window, each request in a guessed time.

    due earlier + this work <= places * seconds of the window / seconds of a request --> Quote, of which nobody is sure
                               '--> Refusal: until so many of those that wait are answered; None where this alone is more

Counts requests, for of their sizes nothing is known either. Decides from numbers that are handed in; refuses to know the queue.
"""

import math

from msgspec import Struct

from ingot.scheduling.quotes import Quote, Refusal, Work


class Guess(Struct, frozen=True):
    """How many queued requests run at once, and for how many seconds each."""

    places: int = 64
    seconds: float = 10.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.places / self.seconds

    def most(self, window: float) -> int:
        """Requests that are answered within so many seconds; those that begin at once in any case."""
        return max(math.floor(self.rate * window), self.places)


def admit(work: Work, waiting: int, guess: Guess, *, most: int, now: float) -> Quote | Refusal:
    """The promise for work, or the refusal, where so many requests wait that are due no later, of the `most` that may."""
    if work.items > most:
        return Refusal("size", None)
    excess = waiting + work.items - most
    if excess > 0:
        return Refusal("capacity", float(max(math.ceil(excess / guess.rate), 1)))
    start = now + waiting / guess.rate
    run = max(work.items / guess.rate, guess.seconds)
    finish = start + run
    return Quote(start, finish, now, finish + run, now + work.seconds, 0.5)
