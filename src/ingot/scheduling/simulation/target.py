"""The upstream's part: how long a call takes, what is refused and what fails; and the permits learned from that."""

from typing import Final, Literal, NamedTuple

from ingot.scheduling import pace
from ingot.scheduling.capacity import Lane
from ingot.scheduling.simulation.load import Item, Randomness
from ingot.scheduling.simulation.scenario import Model, Trouble

REFUSED_AFTER: Final = 0.05
FULL_RETRY_AFTER: Final = 2.0
FAILED_AFTER: Final = 1.0

Ending = Literal["done", "throttled", "failed"]


class Called(NamedTuple):
    """How a call ends, after how many seconds, and the Retry-After that it is told."""

    ending: Ending
    seconds: float
    retry_after: float | None = None


class Target:
    """One target at work; `busy` are the seconds of all calls while load came."""

    __slots__ = ("asap", "asap_in_a_row", "busy", "last", "model", "pace", "queued", "troubles", "until")

    def __init__(self, model: Model, troubles: tuple[Trouble, ...], *, until: float) -> None:
        self.model = model
        self.troubles = troubles
        self.pace = pace.started(model.bounds)
        self.asap = 0
        self.queued = 0
        self.asap_in_a_row = 0
        self.busy = 0.0
        self.last = 0.0
        self.until = until

    @property
    def running(self) -> int:
        """Calls under way."""
        return self.asap + self.queued

    def lane(self, *, waiting: bool) -> Lane:
        """The target as `scheduling.capacity` sees it."""
        return Lane(self.pace.permits, self.asap, self.queued, self.asap_in_a_row, waiting)

    def enter(self, now: float, *, asap: bool) -> None:
        """A call begins."""
        self._count(now)
        if asap:
            self.asap += 1
            self.asap_in_a_row += 1
        else:
            self.queued += 1
            self.asap_in_a_row = 0

    def leave(self, now: float, *, asap: bool) -> None:
        """A call ends."""
        self._count(now)
        if asap:
            self.asap -= 1
        else:
            self.queued -= 1

    def call(self, item: Item, now: float, source: Randomness) -> Called:
        """How a call that has just entered will end."""
        model = self.model
        calls, retry_after = float(model.calls), FULL_RETRY_AFTER
        for trouble in self.troubles:
            if trouble.start <= now < trouble.end:
                if trouble.kind == "outage" and source.random() < trouble.part:
                    return Called("failed", FAILED_AFTER)
                if trouble.kind == "storm":
                    calls, retry_after = calls * (1.0 - trouble.part), trouble.retry_after
        if self.running > calls:
            return Called("throttled", REFUSED_AFTER, retry_after)
        crowd = max(self.running / model.calls - model.knee, 0.0) / (1.0 - model.knee)
        work = model.read * item.input + model.write * item.output
        return Called("done", model.overhead + work * (1.0 + model.crowd * crowd))

    def learn(self, called: Called, now: float, *, began: float, tokens: int) -> None:
        """What the ending of a call says of the target."""
        if called.ending == "done":
            self.pace = pace.answered(self.pace, now, began=began, running=self.running + 1, tokens=tokens)
        elif called.ending == "throttled":
            self.pace = pace.throttled(self.pace, now, began=began, retry_after=called.retry_after)
        else:
            self.pace = pace.failed(self.pace, now, began=began)

    def _count(self, now: float) -> None:
        self.busy += self.running * max(min(now, self.until) - self.last, 0.0)
        self.last = now
