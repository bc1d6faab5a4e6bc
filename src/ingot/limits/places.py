"""The running places that this process holds on a server: each counts there for a lease, which is renewed while it runs.

    hold --> every third of a lease: due --> Renew, one for all that runs in a partition --> renewed
         `-> release, or the process dies: the lease runs out, and others may have the place

While the server is away for longer than a lease, what runs goes on, and its places may be given to others for that
long; the next renewal counts them again, so that more may run at once than the limit until one of them ends. The
same holds for a process that stood still, and for a server that lost its memory. Knows no server.
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from ingot.limits.gcra import SECOND
from ingot.limits.limiter import Claim

LEASE_SECONDS = 30.0
BATCH = 256
"""The most places that are renewed in one round: a few milliseconds of the server's time."""


class Renew(Struct, frozen=True):
    """Count `ids` of a partition for `lease` microseconds from now, also where they had run out; `tag` as in a Reserve."""

    tag: str
    partition: str
    ids: tuple[str, ...]
    lease: int


class _Place(Struct, gc=False):
    """A running request's places, and when they were last known to count."""

    claims: tuple[Claim, ...]
    at: float


class Places:
    """What runs, the longest unrenewed first."""

    def __init__(self, *, lease_seconds: float, monotonic: Callable[[], float]) -> None:
        """A place is due after a third of the lease, which leaves time for two more tries."""
        self.lease = int(lease_seconds * SECOND)
        self._period = lease_seconds / 3
        self._monotonic = monotonic
        self._places: dict[str, _Place] = {}

    def __len__(self) -> int:
        """How many requests hold places."""
        return len(self._places)

    def hold(self, name: str, claims: tuple[Claim, ...]) -> None:
        """Notes what the server has just admitted."""
        if any(claim.concurrency is not None for claim in claims):
            self._places[name] = _Place(claims, self._monotonic())

    def release(self, name: str) -> None:
        """It runs no more, and is never renewed again."""
        self._places.pop(name, None)

    def due(self) -> tuple[float, list[Renew]]:
        """What has to be renewed, at most BATCH requests at a time, and the moment for `renewed`."""
        now = self._monotonic()
        found: dict[tuple[str, str], list[str]] = {}
        for name, place in self._first(now - self._period):
            tag = place.claims[0].partition
            for claim in place.claims:
                if claim.concurrency is not None:
                    found.setdefault((tag, claim.partition), []).append(name)
        return now, [Renew(tag, part, tuple(names), self.lease) for (tag, part), names in found.items()]

    def renewed(self, at: float, renewals: Sequence[Renew]) -> None:
        """The server counts them again, from the moment when they were due; what was released meanwhile stays so."""
        for name in dict.fromkeys(name for renew in renewals for name in renew.ids):
            place = self._places.pop(name, None)
            if place is not None:
                place.at = at
                self._places[name] = place

    def doubt(self) -> None:
        """The server was away, and may have forgotten everything: all are due."""
        for place in self._places.values():
            place.at = float("-inf")

    def _first(self, until: float) -> Iterable[tuple[str, _Place]]:
        for count, (name, place) in enumerate(self._places.items()):
            if count >= BATCH or place.at > until:
                return
            yield name, place
