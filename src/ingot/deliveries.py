"""How a webhook is tried and signed, as data: when the next try comes, which secrets sign it, whether a host is left alone.

    try 1 --fault--> wait --> try 2 --fault--> ... the last wait is over: given up
    place    10 failures in a row --> one try each 5 minutes --5 days of nothing else--> disabled, until a person says otherwise

Signatures are those of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body` under a secret that is written as
`whsec_` and base64. A secret is derived from what only this server knows, of its owner's id and a number that grows with
each rotation: none is stored. Pure; knows no store, no socket and no clock.
"""

import base64
import hmac
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from ingot.addresses import Place

COMPLETION: Final = "completion"
"""The type of the one event that a request ordered for itself; its body is the object."""
TYPES: Final = (
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
)
"""What endpoints can subscribe to."""

HOUR: Final = 3600.0
JITTER: Final = 0.1
LONGEST_RETRY_AFTER: Final = HOUR
FAILURES: Final = 10
"""In a row, after which a place is only probed."""
PROBE_SECONDS: Final = 300.0
DISABLE_SECONDS: Final = 5 * 86400.0
OVERLAP_SECONDS: Final = 86400.0
"""For how long an old secret signs beside the new one."""
LAST_SECONDS: Final = 80 * HOUR
"""After which nothing is tried any more, also where a host was only probed: the whole schedule and its jitter."""

SECRET_BYTES: Final = 32
LEAST_SECRET: Final = 24
_PREFIX: Final = "whsec_"

Digest = Callable[[bytes], bytes]
"""An HMAC under what only this server knows."""
Verdict = Literal["delivered", "again", "gone"]


class Policy(Struct, frozen=True):
    """How an event is tried: seconds before each try, and how long one may take in all."""

    waits: tuple[float, ...]
    seconds: float


STANDARD: Final = Policy((0, 5, 60, 300, 1800, 7200, 18_000, 43_200, 86_400, 102_240), 15.0)
"""Ten tries within 72 hours."""

_policy: Final = msgspec.json.Decoder(Policy)
_encode: Final = msgspec.json.Encoder().encode


class Generation(Struct, frozen=True):
    """Which of an owner's secrets signs; the one before it signs too until `old_until` (microseconds)."""

    number: int = 1
    old_until: int | None = None

    def numbers(self, at: int) -> tuple[int, ...]:
        """Those that sign at an instant, the newest first."""
        both = self.old_until is not None and at < self.old_until
        return (self.number, self.number - 1) if both else (self.number,)


def encode_policy(policy: Policy) -> str:
    """As it is stored."""
    return _encode(policy).decode()


def decode_policy(text: str) -> Policy:
    """As it was stored."""
    return _policy.decode(text)


def next_wait(policy: Policy, tries: int, *, part: float, retry_after: float | None = None) -> float | None:
    """Seconds until the next try after so many; None: that was the last. `part` is drawn evenly from 0 to 1."""
    if tries >= len(policy.waits):
        return None
    wait = policy.waits[tries] * (1 - JITTER + 2 * JITTER * part)
    return wait if retry_after is None else max(wait, min(retry_after, LONGEST_RETRY_AFTER))


def judge(status: int) -> Verdict:
    """What a reply's status says of the try."""
    if 200 <= status < 300:
        return "delivered"
    return "gone" if status == 410 else "again"


def read_retry_after(text: str | None) -> float | None:
    """The seconds that a receiver asks for; dates and nonsense ask for none."""
    if text is None or not text.strip().isascii() or not text.strip().isdigit() or len(text.strip()) > 9:
        return None
    return float(text.strip())


def place_of(place: Place) -> str:
    """What failures are counted by: scheme, host and port."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"{place.scheme}://{host}:{place.port}"


def derive(digest: Digest, owner: str, number: int) -> bytes:
    """The secret of an owner, an endpoint's or an organization's id, of that number; raises ValueError for a weak one."""
    secret = digest(b"\0ingot webhook secret\n" + f"{owner}\n{number}".encode())
    if len(secret) < LEAST_SECRET:
        raise ValueError(f"A webhook secret has at least {LEAST_SECRET} bytes.")
    return secret


def shown_secret(secret: bytes) -> str:
    """A secret as its holder is told, and as verifiers take it."""
    return _PREFIX + base64.b64encode(secret).decode()


def hint(secret: bytes) -> str:
    """What tells a secret from another without telling it."""
    return f"{_PREFIX}...{shown_secret(secret)[-5:-1]}"


def sign(secrets: Sequence[bytes], event_id: str, *, at: int, body: bytes) -> str:
    """The value of `webhook-signature`, one for each secret; `at` in seconds since the epoch."""
    signed = f"{event_id}.{at}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets
    )


def encode_event(event_id: str, kind: str, *, object_id: str, at: int) -> bytes:
    """The body of an event that endpoints get; `at` in seconds since the epoch."""
    return _encode(
        {"id": event_id, "object": "event", "created_at": at, "type": kind, "data": {"id": object_id}}
    )
