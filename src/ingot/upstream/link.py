"""The live side of one target: where it is, how a request to it begins, its breaker, its calls in flight.

A Target is a row of the catalog; a Link is what this process knows of it now, and survives a reload of the
catalog. Decides nothing about retries: that is the caller's.
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import urlsplit

from ingot import __version__
from ingot.catalog import Target
from ingot.clock import Clock
from ingot.upstream.breaker import Breaker
from ingot.upstream.client import Client, Origin, Reply, UpstreamFault

LONGEST_COOL_DOWN = 300.0
"""Seconds; a Retry-After beyond it is cut to it, so that a mistaken header cannot switch a target off for a day."""

VERSION = "/v1"
"""What base URLs end in; some servers have routes beside it."""

Tls = Callable[[Target], ssl.SSLContext]


class Whereabouts(Protocol):
    """Finds a target whose address is known only at run time: the embedded engine."""

    async def find(self) -> tuple[str, int, str]:
        """Host, port and key; waits until it is up, for a while."""
        ...

    def doubt(self) -> None:
        """A call there failed: look whether it still lives."""
        ...

    def describe(self) -> str:
        """For people: `ok`, or why it does not answer now."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address with the beginning of every request that goes there."""

    origin: Origin
    prefix: str
    common: bytes
    key: str | None = field(default=None, repr=False)
    own: frozenset[str] = frozenset()
    """The names of the headers that the target's configuration sets: what it says counts."""
    starts: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    """The unchanging beginning of a request, by path and Accept; a handful of each."""

    def start(self, path: str, accept: bytes, *, key_header: str = "", root: bool = False) -> bytes:
        """Everything of a request's head down to its id.

        `key_header` carries the credential too, and `root` leaves out the version of the base URL, always for one path.
        """
        start = self.starts.get((path, accept))
        if start is None:
            prefix = self.prefix.removesuffix(VERSION) if root else self.prefix
            line = f"POST {prefix}{path} HTTP/1.1\r\n".encode()
            key = b""
            if key_header and self.key and key_header not in self.own:
                key = f"{key_header}: {self.key}\r\n".encode("latin-1")
            start = self.starts[path, accept] = b"%b%b%baccept: %b\r\nx-request-id: " % (
                line,
                self.common,
                key,
                accept,
            )
        return start

    def lines(self, headers: Sequence[tuple[str, str]]) -> bytes:
        """Header lines of one request, but for those that the configuration sets."""
        kept = [f"\r\n{name}: {value}" for name, value in headers if name not in self.own]
        return "".join(kept).encode("latin-1")


class Link:
    """The way to one target."""

    __slots__ = (
        "_client",
        "_clock",
        "_endpoint",
        "_failed_at",
        "_queued_failed_at",
        "_tls",
        "_whereabouts",
        "breaker",
        "healthy",
        "in_flight",
        "reserved",
        "target",
    )

    def __init__(
        self,
        target: Target,
        *,
        client: Client,
        clock: Clock,
        tls: Tls,
        whereabouts: Whereabouts | None = None,
    ) -> None:
        """`whereabouts` is given for a target without an address of its own (the embedded engine)."""
        self.target = target
        self.breaker = Breaker(failures=target.breaker_failures, open_seconds=target.breaker_seconds)
        self.in_flight = 0
        self.reserved = 0
        """Places of its capacity that are kept for queued work."""
        self.healthy = True
        self._client = client
        self._clock = clock
        self._tls = tls
        self._whereabouts = whereabouts
        self._endpoint: Endpoint | None = None
        self._failed_at = 0.0
        self._queued_failed_at = 0.0

    def adopt(self, target: Target) -> None:
        """Takes the target's new row after a reload; what its breaker counted and its calls in flight stay."""
        self.target = target
        self.breaker.adopt(failures=target.breaker_failures, open_seconds=target.breaker_seconds)
        self._endpoint = None

    @property
    def free(self) -> bool:
        """Whether a request may go at once, as far as that shows without looking at the clock."""
        return self.breaker.calm and self.target.capacity is None

    def wait(self, now: float, *, queued: bool = False) -> float:
        """Seconds until this target may be asked; infinity where it is full, as nobody knows when it will not be.

        `queued` work has the places that are kept for it, too.
        """
        capacity = self.target.capacity
        if capacity is not None and self.in_flight >= (capacity if queued else capacity - self.reserved):
            return float("inf")
        return self.breaker.wait(now, queued=queued)

    async def send(
        self,
        path: str,
        body: bytes,
        *,
        request_id: str,
        accept: bytes,
        key_header: str = "",
        headers: Sequence[tuple[str, str]] = (),
        root: bool = False,
        queued: bool = False,
    ) -> Reply:
        """Posts `body`; the reply's head has come when this returns. The caller owes one `release`.

        `headers` are this request's own, `key_header` carries the credential beside the bearer token, `root` leaves out the
        version at the end of the target's address, `queued` says that nobody waits for the answer.
        """
        endpoint = self._endpoint or await self._find()
        head = b"%b%b%b\r\ncontent-length: %d\r\n\r\n" % (
            endpoint.start(path, accept, key_header=key_header, root=root),
            request_id.encode(),
            endpoint.lines(headers) if headers else b"",
            len(body),
        )
        if not self.breaker.calm:
            self.breaker.begin(self._clock.monotonic(), queued=queued)
        self.in_flight += 1
        try:
            reply = await self._client.open(
                endpoint.origin, head=head, body=body, timeouts=self.target.timeouts
            )
        except UpstreamFault:
            self.in_flight -= 1
            raise
        except BaseException:
            self.in_flight -= 1
            self.breaker.abandon()
            raise
        return reply

    def release(self, reply: Reply) -> None:
        """The answer is read, or given up."""
        self.in_flight -= 1
        reply.close()

    def give_up(self, reply: Reply) -> None:
        """The same for an answer that nobody wanted to its end: it says nothing of the target, and may have been the probe."""
        self.release(reply)
        self.breaker.abandon()

    def describe(self, now: float) -> str:
        """For people: `ok`, or why nothing goes to this target now."""
        if not self.healthy:
            return "failed its health check"
        if self._whereabouts is not None:
            return self._whereabouts.describe()
        state = self.breaker.state(now)
        return "ok" if state == "closed" else f"breaker {state.replace('_', ' ')}"

    def fail(self, began: float, *, item: str = "") -> None:
        """A call that began at the monotonic time `began` failed by the target's fault; `item` is the queued one that it was for, if
        nobody waits for it.

        Many calls that one event cut count once: those that had begun before the last failure say nothing new.
        """
        if self._whereabouts is not None:
            self._endpoint = None  # a restarted engine listens elsewhere
            self._whereabouts.doubt()
        if began < (self._queued_failed_at if item else self._failed_at):
            self.breaker.abandon()
            return
        now = self._clock.monotonic()
        if item:
            self._queued_failed_at = now
        else:
            self._failed_at = now
        self.breaker.fail(now, item=item)

    def refuse(self, retry_after: float | None, *, queued: bool = False) -> None:
        """The target answered that it is overloaded: leave it alone for as long as it asked; `queued` work alone where it was that
        which it refused.
        """
        self.breaker.abandon()
        if retry_after:
            until = self._clock.monotonic() + min(retry_after, LONGEST_COOL_DOWN)
            self.breaker.cool(until, queued=queued)

    async def probe(self, path: str) -> bool:
        """Whether a GET of `path` below the base URL's origin answers 2xx."""
        try:
            endpoint = self._endpoint or await self._find()
            head = b"GET %b HTTP/1.1\r\n%b\r\n" % (path.encode(), endpoint.common)
            reply = await self._client.open(
                endpoint.origin, head=head, body=b"", timeouts=self.target.probe_timeouts
            )
            try:
                await reply.read(1 << 20)
            finally:
                reply.close()
        except UpstreamFault:
            return False
        return 200 <= reply.status < 300

    async def _find(self) -> Endpoint:
        if self._whereabouts is None:
            endpoint = fixed_endpoint(self.target, self._tls)
        else:
            host, port, key = await self._whereabouts.find()
            endpoint = _endpoint(Origin(host, port), VERSION, f"{host}:{port}", key=key, target=self.target)
        self._endpoint = endpoint
        return endpoint


def fixed_endpoint(target: Target, tls: Tls) -> Endpoint:
    """The endpoint that a target's base URL names."""
    url = urlsplit(target.base_url)
    secure = url.scheme == "https"
    host = url.hostname or ""
    port = url.port or (443 if secure else 80)
    origin = Origin(host, port, tls(target) if secure else None)
    return _endpoint(origin, url.path.rstrip("/"), url.netloc, key=target.api_key, target=target)


def _endpoint(origin: Origin, prefix: str, host: str, *, key: str | None, target: Target) -> Endpoint:
    headers = target.headers
    own = frozenset(name.lower() for name, _ in headers)
    return Endpoint(origin, prefix, _common(host, key, headers, own=own), key, own)


def _common(
    host: str, key: str | None, headers: tuple[tuple[str, str], ...], *, own: frozenset[str]
) -> bytes:
    fields = [
        ("host", host),
        ("user-agent", f"ingot/{__version__}"),
        ("content-type", "application/json"),
        ("accept-encoding", "identity"),
    ]
    if key:
        fields.append(("authorization", f"Bearer {key}"))
    lines = [f"{name}: {value}\r\n" for name, value in fields if name not in own]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    return "".join(lines).encode("latin-1")


def retry_after(reply: Reply, now: float) -> float | None:
    """Seconds that a reply asks to wait (`retry-after-ms`, or `retry-after` as seconds or a date); None if it does not.

    `now` is wall time, for the date form.
    """
    milliseconds = reply.header(b"retry-after-ms")
    seconds = reply.header(b"retry-after")
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        if not seconds:
            return None
        if seconds[:1].isdigit():
            return float(seconds)
        return max(0.0, parsedate_to_datetime(seconds.decode("ascii")).timestamp() - now)
    except ValueError:
        return None
