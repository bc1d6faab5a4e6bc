"""Fetches what a stranger's URL names, and posts to it, without letting the URL choose whom this machine talks to.

    URL --read--> Place --resolve once--> addresses --judge every one--> connect to the first that answers --> Fetched

The address that is connected to is the one that was judged: no name is resolved a second time, no connection is kept, no
redirect is followed, no proxy of the environment is asked. TLS and the Host header still name the host. Decides nothing
about what the bytes are. Which addresses are open is the Reach's to say (`ingot.addresses`).
"""

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from ingot import __version__
from ingot.addresses import BadUrl, Place, Reach, check_place, judge, read_url
from ingot.upstream.client import Client, Origin, ReplyTooLarge, UpstreamFault

AT_ONCE = 32
"""Fetches that run in one process; others wait within their own time."""

MOST_TRIED = 3
"""Addresses of one host that are tried: a dual-stack host may have one that is dead."""

CONNECT_SECONDS = 3.0
READ_SECONDS = 1.0
"""For how long the rest of an answer is read whose status alone matters."""
RESOLVERS = 4
"""Threads that wait for name servers. Their own, so that a slow one of a stranger's holds up no other lookup."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a host, as text; raises OSError."""


class FetchFault(Exception):
    """Nothing was fetched; the message goes on from "the URL" and names no address."""


class FetchRefused(FetchFault):
    """The URL may not be called at all."""


class FetchTooLarge(FetchFault):
    """More bytes than the caller takes."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A reply, whatever its status; header names are in lower case. `family` is that of the address that gave it."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    family: Literal["ipv4", "ipv6"] = "ipv4"


@dataclass(frozen=True, slots=True)
class _Patience:
    """The client's timeouts for one try; the whole fetch has a time of its own."""

    connect: float
    first_byte: float
    idle: float
    until: float
    """The end of all, by the loop's clock."""


_Call = Callable[[Origin, _Patience], Awaitable[Fetched]]


@dataclass(slots=True)
class Resolver:
    """The system's resolver on threads of its own."""

    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")
    )

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a host."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def close(self) -> None:
        """Waits for no lookup that still runs."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str | int | bytes, ...]]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _head(method: str, place: Place, lines: str) -> bytes:
    return (
        f"{method} {place.target} HTTP/1.1\r\nhost: {place.authority}\r\nuser-agent: ingot/{__version__}\r\n"
        f"{lines}connection: close\r\n\r\n"
    ).encode("ascii")


class Fetcher:
    """Fetches within one reach; belongs to one event loop."""

    def __init__(
        self,
        reach: Reach,
        *,
        resolve: Resolve,
        tls: Callable[[], ssl.SSLContext],
        connect: float = CONNECT_SECONDS,
        at_once: int = AT_ONCE,
    ) -> None:
        """`tls` makes the context when it is first needed: to read the authorities takes tens of milliseconds."""
        self.reach = reach
        self._connect = connect
        self._resolve = resolve
        self._tls = functools.cache(tls)
        # Connections are judged one by one, so none is kept for the next fetch.
        self._client = Client(max_idle=0)
        self._room = asyncio.Semaphore(at_once)

    async def get(self, url: str, *, accept: str, limit: int, seconds: float) -> Fetched:
        """The reply to a GET, its body of at most `limit` bytes; raises FetchFault."""
        place = self._place(url)
        head = _head("GET", place, f"accept: {accept}\r\naccept-encoding: identity\r\n")

        async def call(origin: Origin, patience: _Patience) -> Fetched:
            return await self._try(origin, head, limit=limit, patience=patience)

        return await self._within(place, call, limit=limit, seconds=seconds)

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, limit: int, seconds: float
    ) -> Fetched:
        """What a POST was answered with; raises FetchFault. The answer's body is read up to `limit` bytes, and let go.

        Once the status is there it counts, however the rest comes. Names and values of `headers` are visible ASCII.
        """
        place = self._place(url)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if not lines.isascii() or lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            raise ValueError("A header is one line of ASCII.")
        head = _head("POST", place, f"{lines}content-length: {len(body)}\r\n")

        async def call(origin: Origin, patience: _Patience) -> Fetched:
            return await self._send(origin, head, body, limit=limit, patience=patience)

        return await self._within(place, call, limit=limit, seconds=seconds)

    async def close(self) -> None:
        """Breaks off what still runs."""
        await self._client.close()

    def _place(self, url: str) -> Place:
        try:
            place = read_url(url)
            check_place(place, self.reach)
        except BadUrl as error:
            raise FetchRefused(str(error)) from error
        return place

    async def _within(self, place: Place, call: _Call, *, limit: int, seconds: float) -> Fetched:
        until = asyncio.get_running_loop().time() + seconds
        patience = _Patience(min(self._connect, seconds), seconds, seconds, until)
        try:
            async with asyncio.timeout_at(until), self._room:
                addresses = await self._judged(place)
                return await self._first(place, addresses, call, limit=limit, patience=patience)
        except TimeoutError as error:
            raise FetchFault(f"was not answered whole within {seconds:g} s") from error

    async def _judged(self, place: Place) -> Sequence[str]:
        """The addresses of a host, once every single one was found to be open."""
        if place.address is not None:  # judged with the rest of the URL
            return [str(place.address)]
        try:
            found = await self._resolve(place.host, place.port)
        except (OSError, UnicodeError) as error:
            raise FetchFault("names a host that cannot be found") from error
        if not found:
            raise FetchFault("names a host that has no address")
        for text in found:
            reason = judge(ipaddress.ip_address(text), self.reach.networks)
            if reason is not None:
                raise FetchRefused(reason)
        return found

    async def _first(
        self, place: Place, addresses: Sequence[str], call: _Call, *, limit: int, patience: _Patience
    ) -> Fetched:
        """What the first of the addresses answers that takes a connection."""
        last: UpstreamFault | None = None
        for address in addresses[:MOST_TRIED]:
            tls = self._tls() if place.scheme == "https" else None
            origin = Origin(address, place.port, tls, server_name=place.host)
            try:
                reply = await call(origin, patience)
                return replace(reply, family="ipv6" if ":" in address else "ipv4")
            except ReplyTooLarge as fault:
                raise FetchTooLarge(f"leads to more than {limit:,} bytes") from fault
            except UpstreamFault as fault:
                if fault.sent:
                    raise FetchFault("was not answered whole") from fault
                last = fault
        why = " or proves its name by no valid certificate" if place.scheme == "https" else ""
        raise FetchFault(f"names a host that does not answer{why}") from last

    async def _try(self, origin: Origin, head: bytes, *, limit: int, patience: _Patience) -> Fetched:
        reply = await self._client.open(origin, head=head, body=b"", timeouts=patience)
        try:
            declared = reply.header(b"content-length") or b""
            if declared.isdigit() and int(declared[:20]) > limit:
                raise ReplyTooLarge("the reply says that it is too long", sent=True, answered=True)
            return Fetched(reply.status, tuple(reply.headers), await reply.read(limit))
        finally:
            reply.close()

    async def _send(
        self, origin: Origin, head: bytes, body: bytes, *, limit: int, patience: _Patience
    ) -> Fetched:
        reply = await self._client.open(origin, head=head, body=body, timeouts=patience)
        told = Fetched(reply.status, tuple(reply.headers), b"")
        now = asyncio.get_running_loop().time()
        # A little before the whole call is over: an answer that drips has its status all the same.
        end = min(now + READ_SECONDS, patience.until - 0.02)
        try:
            with suppress(UpstreamFault, TimeoutError):
                async with asyncio.timeout_at(end):
                    await reply.read(limit)
        finally:
            reply.close()
        return told
