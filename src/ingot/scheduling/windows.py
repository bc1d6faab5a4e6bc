"""Completion windows as rows of data: what each promises, what it costs, and what happens when it is missed.

    window      single item   batch item   lifted before the last moment to start
    asap        at once       refused      never queued
    priority    1 minute      refused      15 s
    standard    5 minutes     24 hours     15 s, 59 minutes in a batch
    flex        24 hours      24 hours     59 minutes

Decides when an item is due, when it must be lifted above work that can wait, and what a missed promise leads to.
Refuses to know deployments, prices in money, and the queue: a deployment names the windows that it is offered in.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

WHOLE: Final = 10**6
"""A price factor of 1, in parts per million."""

OnMiss = Literal["escalate", "refund", "fail"]
"""Keep working on it before all else | the same, for nothing | end it as expired, unbilled."""

RAMP_POWER: Final = 0.56
"""A ramp of minutes**0.56 grows slower than its window: 59 minutes of 24 hours, 25 of five."""
RAMP_SHARE: Final = 0.05
"""The most of a window that is ramp: in a shorter window a longer ramp would lift nearly all work, and order nothing."""


class Window(Struct, frozen=True, kw_only=True):
    """One row. `factor` is in parts per million of the deployment's price; None where the deployment has a price
    for the window. `margin` in seconds; None takes it from the length. `fill` is the part of an organization's
    share until the due time that admitted work may fill: what is left absorbs estimates that were too low.
    """

    name: str
    seconds: float
    batch_seconds: float = 86_400.0
    batchable: bool = True
    factor: int | None = None
    background_only: bool = False
    margin: float | None = None
    fill: float = 0.6
    on_miss: OnMiss = "escalate"
    batch_on_miss: OnMiss = "fail"

    @property
    def queued(self) -> bool:
        """Whether its work enters the queue at all: what is due at once is served by the caller's own connection."""
        return self.seconds > 0

    def length(self, *, batch: bool = False) -> float:
        """Seconds that an item has; ValueError for a batch in a window that takes none."""
        if batch and not self.batchable:
            raise ValueError(f'the window "{self.name}" takes no batches')
        return self.batch_seconds if batch else self.seconds

    def due(self, created: float, *, batch: bool = False) -> float:
        """The moment by which an item is to be finished."""
        return created + self.length(batch=batch)

    def ramp(self, *, batch: bool = False) -> float:
        """Seconds before the last moment to start at which an item is lifted."""
        return ramp(self.length(batch=batch)) if self.margin is None else self.margin

    def lift_at(self, created: float, *, service: float, batch: bool = False) -> float:
        """The moment of lifting for an item that is predicted to run for `service` seconds; not before it is there."""
        return max(created, self.due(created, batch=batch) - service - self.ramp(batch=batch))

    def missed(self, *, batch: bool = False) -> OnMiss:
        """What a missed promise leads to: a batch ends at its due time, a single item is carried on with."""
        return self.batch_on_miss if batch else self.on_miss


def ramp(seconds: float) -> float:
    """The usual margin of a window of this length, in seconds."""
    return min(60.0 * math.pow(seconds / 60.0, RAMP_POWER), seconds * RAMP_SHARE)


ASAP: Final = Window(name="asap", seconds=0.0, batchable=False)
PRIORITY: Final = Window(name="priority", seconds=60.0, batchable=False, margin=15.0, fill=0.4)
STANDARD: Final = Window(name="standard", seconds=300.0)
FLEX: Final = Window(name="flex", seconds=86_400.0, background_only=True, fill=0.5)

WINDOWS: Final[Mapping[str, Window]] = {each.name: each for each in (ASAP, PRIORITY, STANDARD, FLEX)}
"""The rows that ship, by name, shortest first."""


def usual(offered: Sequence[str]) -> str:
    """The window of a request that names none: standard where the deployment has it, else the first it has."""
    return STANDARD.name if STANDARD.name in offered else offered[0]
