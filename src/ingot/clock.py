"""Time as a parameter: the core asks a Clock, tests hand it a clock of their own."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamps that people read, monotonic time for durations."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's clock. Bound methods of C functions: no Python frame on the hot path."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told, for tests and simulations."""

    at: float = 1_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        """Moves time forward by `seconds`."""
        self.at += seconds
