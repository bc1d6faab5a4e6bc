"""The retry of a request: what a key may be, when two requests are the same, and who does the work.

    none, expired, released --> LEAD       running, lease in force --> JOIN
    done                    --> REPLAY     running, lease lapsed   --> TAKE_OVER
    any that is not expired, with another fingerprint --> MISMATCH

Pure: instants are handed in, and a fingerprint's key stays with who holds it. Knows no table, no HTTP beyond the
text of one header, and no dialect: a body is any JSON object.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal

import msgspec

from ingot.errors import InvalidRequest

HEADER = "Idempotency-Key"
ANTHROPIC_HEADER = "Anthropic-Idempotency-Key"
LONGEST_KEY = 255

REPLAYED = b"idempotent-replayed: true\r\n"
"""The header line that tells a stored answer from a new one."""

DEFAULTS: Mapping[str, Any] = {
    "echo": False,
    "encoding_format": "float",
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "stream": False,
}
"""Fields that mean the same when left out, on every target. Sampling fields are not here: models bring their own."""

# Keeps a fingerprint apart from everything else that is signed under the same pepper.
_DOMAIN = b"\0ingot idempotency\n"

_encode = msgspec.json.Encoder(order="sorted").encode
_UNSET = object()
_SAFE_INTEGER = 2**53

State = Literal["running", "done", "released"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a key: instants in microseconds, `lease_until` only of use while it runs."""

    state: State
    fingerprint: bytes
    lease_until: int
    expires_at: int


class Verdict(Enum):
    """What a request with a key does next."""

    LEAD = auto()  # do the work, under a new response id
    TAKE_OVER = (
        auto()
    )  # do the work again, under the response id that the lost leader had: billed once at most
    JOIN = auto()
    REPLAY = auto()
    MISMATCH = auto()


def decide(standing: Standing | None, fingerprint: bytes, *, own: int, shared: int) -> Verdict:
    """What to do about a request whose key stands like this.

    `own` is the caller's clock, for the day that an outcome is kept; `shared` is the clock of all who share the
    database, for leases. Both in microseconds.
    """
    if standing is None or standing.expires_at <= own:
        return Verdict.LEAD
    if standing.fingerprint != fingerprint:
        return Verdict.MISMATCH
    if standing.state == "done":
        return Verdict.REPLAY
    if standing.state == "released":
        return Verdict.LEAD
    return Verdict.JOIN if standing.lease_until > shared else Verdict.TAKE_OVER


def read_key(headers: Iterable[bytes], anthropic: Iterable[bytes] = ()) -> str | None:
    """The key that a request carries, bare or in quotes, None without one; raises InvalidRequest.

    Each is the values of all headers of one name.
    """
    keys = {key for key in (_sole(headers, HEADER), _sole(anthropic, ANTHROPIC_HEADER)) if key is not None}
    if len(keys) > 1:
        raise InvalidRequest(
            f"'{HEADER}' and '{ANTHROPIC_HEADER}' differ. Send one of them, or the same key in both.",
            param=HEADER,
        )
    return keys.pop() if keys else None


def _sole(values: Iterable[bytes], name: str) -> str | None:
    keys = {_key(value, name) for value in values}
    if len(keys) > 1:
        raise InvalidRequest(
            f"'{name}' came {len(keys)} times with different keys. Send one: nobody could tell which one counts.",
            param=name,
        )
    return keys.pop() if keys else None


def _key(value: bytes, name: str) -> str:
    key = value.strip(b" \t")
    if key.startswith(b'"'):
        key = _unquoted(key, name)
    if not key:
        raise InvalidRequest(
            f"'{name}' is empty. Send 1 to {LONGEST_KEY} visible ASCII characters, or leave the header out.",
            param=name,
            code="empty_string",
        )
    if len(key) > LONGEST_KEY:
        raise InvalidRequest(
            f"'{name}' has {len(key)} characters; at most {LONGEST_KEY} are accepted.",
            param=name,
            code="string_above_max_length",
        )
    if not all(0x21 <= byte <= 0x7E for byte in key):
        raise InvalidRequest(
            f"'{name}' holds a space, a control character or a character beyond ASCII. Send 1 to {LONGEST_KEY} "
            f"visible ASCII characters, such as a UUID.",
            param=name,
        )
    return key.decode("ascii")


def _unquoted(key: bytes, name: str) -> bytes:
    """The inside of a quoted string, in which a backslash stands before a quote or another backslash."""
    inside = key[1:-1]
    plain = inside.replace(b"\\\\", b"").replace(b'\\"', b"")
    if len(key) < 2 or not key.endswith(b'"') or b'"' in plain or b"\\" in plain:
        raise InvalidRequest(
            f"'{name}' begins with a quote and is no quoted string. Send the key as it is, or whole in quotes.",
            param=name,
        )
    return inside.replace(b'\\"', b'"').replace(b"\\\\", b"\\")


def fingerprint(
    body: Mapping[str, Any], *, method: str, path: str, digest: Callable[[bytes], bytes]
) -> bytes:
    """The 32 bytes by which a request is known again; `digest` is an HMAC, for short prompts can be guessed."""
    return digest(b"%b%b %b\n%b" % (_DOMAIN, method.encode(), path.encode(), canonical(body)))


def canonical(body: Mapping[str, Any]) -> bytes:
    """One spelling for all bodies that ask for the same: keys sorted, defaults left out, 1.0 at the top level as 1."""
    kept: dict[str, Any] = {}
    for name, value in body.items():
        default = DEFAULTS.get(name, _UNSET)
        if default is not _UNSET and (value is None or _same(value, default)):
            continue
        whole = type(value) is float and abs(value) < _SAFE_INTEGER and value.is_integer()
        kept[name] = int(value) if whole else value
    return _encode(kept)


def _same(value: object, default: object) -> bool:
    # To Python 0 == False: only numbers are compared with numbers.
    return value == default and (type(value) is bool) == (type(default) is bool)
