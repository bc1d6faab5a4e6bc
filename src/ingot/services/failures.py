"""How often somebody may fail to authenticate: counts failures by address and by kid, and refuses before any lookup.

    address        30 a minute, all at once or one every 2 s; an IPv6 network of 64 bits is one address
    kid            as many, over all addresses; holds back only addresses that failed lately themselves, so that
                   nobody can lock a stranger's key out by guessing at it

In this process alone and bounded: what is protected is the database, not a secret, which has 190 bits. Knows no
key and no answer.
"""

from ipaddress import IPv6Address, ip_address

from ingot.clock import Clock
from ingot.errors import RateLimited

FAILURES_PER_MINUTE = 30
MINUTE = 60.0
ENTRIES = 10_000

_STEP = MINUTE / FAILURES_PER_MINUTE
_NETWORK = ~((1 << 64) - 1)


class FailureLimiter:
    """The failures of the last minute; each costs 2 s, and a minute's worth is free."""

    def __init__(self, clock: Clock, *, entries: int = ENTRIES) -> None:
        self._monotonic = clock.monotonic
        self._entries = entries
        # The instant at which all failures so far are worked off.
        self._addresses: dict[str, float] = {}
        self._kids: dict[str, float] = {}

    def check(self, address: str, kid: str | None) -> None:
        """Raises RateLimited while this address, or those who try this kid, failed too often."""
        place = place_of(address)
        now = self._monotonic()
        free_at = self._addresses.get(place, now)
        wait = free_at + _STEP - MINUTE - now
        if kid is not None and free_at > now:
            wait = max(wait, self._kids.get(kid, now) + _STEP - MINUTE - now)
        if wait > 0:
            raise RateLimited(
                f"Too many requests with invalid API keys came from this address. Check the key, and try again "
                f"in {_seconds(wait)}.",
                retry_after=wait,
            )

    def failed(self, address: str, kid: str | None) -> None:
        """Notes a failure."""
        now = self._monotonic()
        self._note(self._addresses, place_of(address), now=now)
        if kid is not None:
            self._note(self._kids, kid, now=now)

    def _note(self, times: dict[str, float], subject: str, *, now: float) -> None:
        """Adds a step; the one who failed last is the newest, and the oldest makes room."""
        free_at = max(times.pop(subject, now), now) + _STEP
        if len(times) >= self._entries:
            del times[next(iter(times))]
        times[subject] = free_at


def place_of(address: str) -> str:
    """What counts as one address; anything that is none, as a socket's path, stands for itself."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) & _NETWORK))


def _seconds(wait: float) -> str:
    whole = -int(-wait // 1)
    return "1 second" if whole == 1 else f"{whole} seconds"
