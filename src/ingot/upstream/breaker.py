"""When to leave a target alone: a circuit breaker and its cool-down, as a pure state machine.

    closed --N failures in a row--> open --after `open_seconds`--> half-open --success--> closed
                                     ^------------- failure --------'

Half-open admits one probe at a time, the next one after `open_seconds` at the latest: a probe that hangs, or that nobody
tells the end of, shuts nothing for longer. A Retry-After from the target is a cool-down beside it: until it ends
the target gets nothing, whatever the breaker's state. Time is a parameter; nothing here waits.

Queued work yields to who waits for an answer. It stops at half of the failures, and what it meets alone shuts the
target for nobody else: its probes keep no other from probing, its failures bring the others to one short of open, so that their first one opens it at once where
the target is dead; a Retry-After that it is told is its own. A queued item counts once in a row of failures, however often it is
tried: one that always fails says little of the target.
"""

from typing import Literal

State = Literal["closed", "open", "half_open"]


class Breaker:
    """The breaker of one target; all times are monotonic seconds."""

    __slots__ = (
        "_cool_until",
        "_counted",
        "_failures",
        "_open_until",
        "_probing_until",
        "_queued_cool_until",
        "_queued_failures",
        "_queued_probing_until",
        "_seconds",
        "_threshold",
        "calm",
    )

    def __init__(self, *, failures: int = 5, open_seconds: float = 10.0) -> None:
        """Opens after `failures` in a row, for `open_seconds`."""
        self._threshold = failures
        self._seconds = open_seconds
        self._failures = 0
        self._queued_failures = 0
        self._counted: set[str] = set()
        self._open_until = 0.0
        self._cool_until = 0.0
        self._queued_cool_until = 0.0
        self._probing_until = 0.0
        self._queued_probing_until = 0.0
        self.calm = True
        """No failure counted and no cool-down set: the usual case, for callers that ask nothing further then."""

    def adopt(self, *, failures: int, open_seconds: float) -> None:
        """Takes new bounds; what was counted and what is set stays."""
        self._threshold = failures
        self._seconds = open_seconds

    def wait(self, now: float, *, queued: bool = False) -> float:
        """Seconds until the target may be tried, by queued work or by others; 0 when it may be tried now."""
        if not self._queued_failures and now >= max(self._cool_until, self._queued_cool_until):
            self._cool_until = self._queued_cool_until = 0.0
            self.calm = True
            return 0.0
        cool = max(self._cool_until, self._queued_cool_until) if queued else self._cool_until
        if now < cool:
            return cool - now
        if not self._is_shut(queued=queued):
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        probing = max(self._probing_until, self._queued_probing_until) if queued else self._probing_until
        return max(probing - now, 0.0)

    def probing(self, now: float) -> bool:
        """Whether a probe is under way: its end may come long before the next one goes."""
        return self.shut and now < max(self._probing_until, self._queued_probing_until)

    def begin(self, now: float, *, queued: bool = False) -> None:
        """A request goes out; in half-open it is the probe."""
        if not self._is_shut(queued=queued):
            return
        if queued:
            self._queued_probing_until = now + self._seconds
        else:
            self._probing_until = now + self._seconds

    def succeed(self) -> None:
        """The target answered."""
        self._failures = self._queued_failures = 0
        self._counted.clear()
        self.abandon()
        self.calm = self._cool_until == self._queued_cool_until == 0.0

    def fail(self, now: float, *, item: str = "") -> None:
        """The target did not answer, or answered that it is broken; `item` is the queued one that it was asked for, if it was one."""
        self.abandon()
        if item not in self._counted:
            self._queued_failures += 1
            if not item or self._failures + 1 < self._threshold:
                self._failures += 1
            if item and not self.shut:  # once it is shut nothing depends on the count of queued work
                self._counted.add(item)
            self.calm = False
        if self.shut:
            self._open_until = now + self._seconds

    def abandon(self) -> None:
        """The request was given up by its client: it says nothing about the target."""
        self._probing_until = self._queued_probing_until = 0.0

    def trip(self, now: float) -> None:
        """A health check found the target down: open at once."""
        self._failures = self._queued_failures = max(self._failures + 1, self._threshold)
        self.calm = False
        self._open_until = now + self._seconds

    def cool(self, until: float, *, queued: bool = False) -> None:
        """The target asked for quiet until the monotonic time `until` (Retry-After); told to `queued` work, of such work alone."""
        if queued:
            self._queued_cool_until = max(self._queued_cool_until, until)
        else:
            self._cool_until = max(self._cool_until, until)
        self.calm = False

    def state(self, now: float) -> State:
        """For people: logs, metrics, the readiness page."""
        if self._failures < self._threshold:
            return "closed"
        return "open" if now < self._open_until else "half_open"

    @property
    def shut(self) -> bool:
        """Whether queued work gets nothing but probes."""
        return self._is_shut(queued=True)

    def _is_shut(self, *, queued: bool) -> bool:
        """Whether so many failures were counted that it gets nothing but probes."""
        if self._failures >= self._threshold:
            return True
        return queued and 2 * self._queued_failures >= self._threshold
