"""What a request brings, read with bounds: its body, its credential, its id, its host."""

import re
from collections.abc import Callable, Iterable

from starlette.requests import Request

from ingot.config import LimitsConfig
from ingot.errors import ClientError, InvalidRequest, TooLarge, Unauthenticated
from ingot.ids import NewId
from ingot.logs import looks_like_key
from ingot.web.exchange import BodyTooLarge, Exchange

KNOWN_HOSTS = 256

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,128}")
_IMAGE_MARKS = (b'"image_url"', b'"input_image"', b'"image"', b'"document"')


def read_request_id(value: bytes | None, new_id: NewId) -> str:
    """The client's own id where it is one that may stand in a log, else a fresh one."""
    if value is not None and _REQUEST_ID.fullmatch(value) and not looks_like_key(value):
        return value.decode("ascii")
    return new_id("req")


def read_credential(authorization: bytes | None, api_key: bytes | None, *, either: bool = True) -> bytes:
    """The key from `Authorization: Bearer` or `x-api-key`; both headers must agree.

    `either` says whether `x-api-key` is read here at all.
    """
    token = None
    if authorization is not None:
        scheme, _, value = authorization.partition(b" ")
        token = value.strip()
        if scheme.lower() != b"bearer" or not token:
            raise Unauthenticated(
                "The Authorization header must read 'Bearer' followed by an API key"
                + (", or leave it out and send the key as 'x-api-key'." if either else ".")
            )
    if api_key is not None:
        if token is not None and token != api_key:
            raise InvalidRequest(
                "Authorization and x-api-key hold different keys; send one of them.",
                code="conflicting_credentials",
            )
        token = api_key
    if not token:
        raise Unauthenticated(
            "No API key given. Send it as 'Authorization: Bearer YOUR_KEY'"
            + (" or 'x-api-key: YOUR_KEY'; " if either else "; ")
            + "POST /admin/v1/organizations/ORG/keys makes one, as does `ingot keys create` on the server.",
            code="missing_api_key",
        )
    return token


def check_encoding(headers: dict[bytes, bytes]) -> None:
    """Bodies are taken as they are: a compressed one could unpack to anything."""
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        raise ClientError(
            "This server takes bodies without compression; send it without Content-Encoding.",
            status=415,
            code="unsupported_encoding",
        )


def take_body(exchange: Exchange, limits: LimitsConfig) -> bytes:
    """The body where it has come whole already, as nearly all do; empty where it must be awaited."""
    if not exchange.arrived:
        return b""
    body = exchange.take()
    check_size(body, limits)
    return body


async def read_body(exchange: Exchange, limits: LimitsConfig) -> bytes:
    """The whole body; refused as soon as it is known to be too large."""
    ceiling = max(limits.body_bytes, limits.image_body_bytes)
    declared = exchange.headers.get(b"content-length")
    if declared is not None and int(declared) > ceiling:
        raise too_large(int(declared), ceiling)
    try:
        body = await exchange.read(ceiling)
    except BodyTooLarge:
        raise too_large(ceiling + 1, ceiling) from None
    check_size(body, limits)
    return body


def check_size(body: bytes, limits: LimitsConfig) -> None:
    """Raises for a body that is larger than what it holds may be."""
    if len(body) > limits.body_bytes and not any(mark in body for mark in _IMAGE_MARKS):
        raise too_large(len(body), limits.body_bytes)


def _too_large_here(size: int, limit: int) -> TooLarge:  # noqa: ARG001  # as `too_large`
    """The refusal where no setting counts."""
    return TooLarge(f"The request body is too large; this endpoint takes at most {limit:,} bytes.")


async def read_bounded(
    request: Request, most: int, *, refuse: Callable[[int, int], TooLarge] = _too_large_here
) -> bytes:
    """The whole body of a request of few: refused as soon as more than `most` bytes of it came."""
    pieces = bytearray()
    async for piece in request.stream():
        pieces += piece
        if len(pieces) > most:
            raise refuse(len(pieces), most)
    return bytes(pieces)


def too_large(size: int, limit: int) -> TooLarge:
    """The refusal of a body of `size` bytes."""
    return TooLarge(
        f"The request body has {size:,} bytes or more; this endpoint takes at most {limit:,} "
        "(limits.body_bytes, and limits.image_body_bytes with images or documents)."
    )


LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
LOOPBACK_NAMES = LOOPBACK_HOSTS | {"::1"}
"""The same as URL parsers spell them."""


def bare_host(host: bytes) -> str:
    """The name in a Host header, in lower case and without its port."""
    name = host.decode("latin-1").lower()
    return name.rpartition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]


class Hosts:
    """Which Host headers are answered: on a loopback bind only loopback names, against DNS rebinding."""

    def __init__(self, allowed: Iterable[str]) -> None:
        """Names without ports; `*.example.org` stands for all subdomains, `*` for any host."""
        names = {name.lower() for name in allowed}
        self._any = "*" in names
        self._names = frozenset(names)
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))
        self._known: set[bytes] = set()

    def check(self, host: bytes | None) -> None:
        """Raises for a host that is not ours."""
        if self._any or host in self._known:
            return
        bare = bare_host(host or b"")
        if bare not in self._names and not bare.endswith(self._suffixes or ("\0",)):
            raise ClientError(
                f"This server does not answer for the host '{bare[:80]}'. Its operator can add it to "
                "server.allowed_hosts.",
                status=421,
                code="misdirected_request",
            )
        if len(self._known) < KNOWN_HOSTS:
            self._known.add(host or b"")
