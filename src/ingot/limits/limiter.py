"""What a limiter is asked and what it answers; three modules answer: `memory`, `valkey`, `postgres`.

    reserve(claims) --> Reservation  everything is charged to every claim   --> settle(reservation, tokens)
                    |                                                       `-> give_back(reservation)
                    `-> Refused      nothing is charged to any

A claim is one partition's share in a request: the organization's always, a key's own lower cap where there is
one. What runs holds its places for as long as it runs: until its reservation is settled or given back, or
its process is gone. Knows neither arithmetic nor storage.
"""

from typing import Literal, Protocol

from msgspec import Struct

LimitName = Literal["requests", "tokens", "concurrency"]


class Claim(Struct, frozen=True, gc=False):
    """What a request asks of one partition; a limit of None is none, `tokens` is the estimate to reserve."""

    partition: str
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    tokens: int


class Standing(Struct, frozen=True, gc=False):
    """The figures that headers tell, each of the tightest claim; resets are microseconds until full.

    Remaining is what would be admitted at once: at most the burst, which is less than the limit of a minute.
    """

    request_limit: int | None
    request_remaining: int
    request_reset: int
    token_limit: int | None
    token_remaining: int
    token_reset: int


class Refused(Struct, frozen=True):
    """No: which limit of which partition stands longest in the way, and when it will not."""

    limit: LimitName
    partition: str
    allowed: int
    """The limit itself: a minute's requests or tokens, or how many at once."""
    wait: int
    """Microseconds after which the same claims pass, if nobody else comes; of `concurrency`, when to ask again."""
    beyond: bool
    """More was asked than the limit grants in a whole minute: waiting does not help."""
    standing: Standing

    @property
    def retry_after(self) -> float:
        """`wait` in seconds."""
        return self.wait / 1_000_000


class Reservation(Struct):
    """What was charged, to be settled or given back once: doing so again changes nothing."""

    id: str
    """What its places are known by where processes share them."""
    claims: tuple[Claim, ...]
    standing: Standing
    at: int
    """When it was charged, in microseconds of the clock that it is counted by."""
    share: int = 1
    """By how many processes the cost was multiplied."""
    shared: bool = False
    """Whether all processes count it together, or this one for itself."""
    open: bool = True


class Limiter(Protocol):
    """Counts requests, tokens and what runs at once; no call raises because a server is away."""

    @property
    def degraded(self) -> bool:
        """Whether this process counts for itself because the shared counts are out of reach."""
        ...

    async def start(self) -> None:
        """Connects; a server that is away is tried again later."""
        ...

    async def reserve(self, claims: tuple[Claim, ...]) -> Reservation | Refused:
        """Charges all claims or none; what runs counts until it is settled or given back."""
        ...

    async def settle(self, reservation: Reservation, tokens: int) -> None:
        """Replaces the reserved estimate by the real usage and gives the running place back."""
        ...

    async def give_back(self, reservation: Reservation) -> None:
        """Takes the charge back, the request included, for what never ran; what has drained of it was given back by time."""
        ...

    async def close(self) -> None:
        """Gives up the connections; what is not settled yet is forgotten in time."""
        ...
