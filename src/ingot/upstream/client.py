"""The HTTP/1.1 client of the inference path: one request out, one reply back, over a connection that is kept.

It decides when a connection is opened, reused and given up. It refuses to know what is asked, and never
retries, redirects or decodes. A call costs one future and no task; the caller hands over the finished request
head, so that what does not change from call to call is built once. Whoever opens a reply closes it: `close()`
gives a finished connection back and aborts an unfinished one, which is how an upstream learns that nobody
listens any more. A call that is cancelled at any point does the same.
"""

import asyncio
import ssl
from typing import Protocol

from ingot.outbox import Outbox
from ingot.upstream.connection import SLICE_BYTES, Connection, Sink
from ingot.upstream.faults import (
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    Origin,
    ProtocolFault,
    ReplyTooLarge,
    UpstreamFault,
)
from ingot.upstream.pool import Pool

__all__ = [
    "Client",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "FirstByteTimeout",
    "IdleTimeout",
    "Origin",
    "ProtocolFault",
    "Reply",
    "ReplyTooLarge",
    "Timeouts",
    "UpstreamFault",
    "tls_context",
]


class Timeouts(Protocol):
    """Seconds: to connect, from the request to the reply's head, and of silence inside a body."""

    @property
    def connect(self) -> float: ...
    @property
    def first_byte(self) -> float: ...
    @property
    def idle(self) -> float: ...


def tls_context(*, verify: bool = True, ca_file: str | None = None) -> ssl.SSLContext:
    """A context for origins: the system's authorities or those of `ca_file`, ALPN http/1.1."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """Calls to any number of origins; belongs to one event loop."""

    def __init__(
        self,
        *,
        max_idle: int = 256,
        idle_seconds: float = 30.0,
        max_header_bytes: int = 65_536,
        buffer_bytes: int = 262_144,
    ) -> None:
        """`max_idle` connections are kept for each origin; `buffer_bytes` of an unread body stop the reading."""
        self.reused_total = 0
        self._max_header_bytes = max_header_bytes
        self._buffer_bytes = buffer_bytes
        self._pool = Pool(max_idle=max_idle, idle_seconds=idle_seconds)
        self._outbox: Outbox | None = None

    @property
    def open_connections(self) -> int:
        """Connections that exist, idle ones included."""
        return len(self._pool.connections)

    @property
    def idle_connections(self) -> int:
        return self._pool.idle

    @property
    def opened_total(self) -> int:
        return self._pool.opened_total

    async def open(self, origin: Origin, *, head: bytes, body: bytes, timeouts: Timeouts) -> "Reply":
        """Sends one request and returns its reply once the final head is there; raises an UpstreamFault.

        `head` is the request line and all headers with the blank line, `content-length` among them.
        """
        conn = self._pool.take(origin)
        if conn is None:
            conn = await self._connect(origin, timeouts.connect)
        else:
            conn.reused = True
            self.reused_total += 1
        try:
            if len(body) <= SLICE_BYTES:
                conn.begin(head, body, first_byte=timeouts.first_byte, idle=timeouts.idle)
            else:
                await conn.upload(head, body, first_byte=timeouts.first_byte, idle=timeouts.idle)
            while not conn.status and conn.fault is None:
                await conn.wait()
        except BaseException:
            conn.abort()
            raise
        if not conn.status and conn.fault is not None:
            raise conn.fault
        return Reply(self._pool, conn)

    async def close(self) -> None:
        """Aborts every connection, busy ones too, and returns when the last is gone."""
        await self._pool.close()

    async def _connect(self, origin: Origin, seconds: float) -> Connection:
        if self._pool.closed:
            raise ConnectFailed(f"{origin}: the client is closed")
        loop = asyncio.get_running_loop()
        self._outbox = self._outbox or Outbox(loop)
        conn = Connection(
            origin,
            loop,
            owner=self._pool,
            max_header_bytes=self._max_header_bytes,
            buffer_bytes=self._buffer_bytes,
            outbox=self._outbox,
        )
        try:
            async with asyncio.timeout(seconds):
                await loop.create_connection(
                    lambda: conn,
                    origin.host,
                    origin.port,
                    ssl=origin.tls,
                    server_hostname=(origin.server_name or origin.host) if origin.tls else None,
                    ssl_handshake_timeout=seconds if origin.tls else None,
                )
        except TimeoutError as error:
            raise ConnectTimeout(f"{origin}: no connection within {seconds:g} s") from error
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(f"{origin}: {error}") from error
        except BaseException:
            if conn in self._pool.connections:
                # Cancelled in the turn that made it: asyncio would close TLS politely and wait for the other
                # side, uvloop closes the socket without a word to the protocol.
                conn.abort()
                self._pool.lost(conn)
            raise
        if not conn.keep:
            conn.abort()
            raise ConnectionLost(f"{origin}: the connection was closed as soon as it was open")
        return conn


class Reply:
    """An upstream's answer: the head at once, the body as it comes, in order and undecoded.

    One task reads it. A fault inside the body is raised after the pieces that came before it.
    """

    __slots__ = ("_complete", "_conn", "_fault", "_pool", "headers", "status")

    def __init__(self, pool: Pool, conn: Connection) -> None:
        self.status = conn.status
        self.headers = conn.headers  # names in lower case, in the order they came
        self._pool = pool
        self._conn: Connection | None = conn
        self._complete = False
        self._fault: UpstreamFault | None = None

    @property
    def complete(self) -> bool:
        """Whether the upstream has sent all of it, read or not; still true after a close."""
        conn = self._conn
        return self._complete if conn is None else conn.done

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, named in lower case."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    async def chunk(self) -> bytes:
        """What has come of the body since the last call, waiting for a first byte; b"" at its end.

        Cancelling it gives up the reply.
        """
        conn = self._conn
        if conn is None:
            return self._ended()
        if not conn.parts and not conn.done and conn.fault is None:
            try:
                await conn.wait()
            except BaseException:
                self.close()
                raise
            if self._conn is None:  # closed by somebody else meanwhile
                return self._ended()
        if conn.parts:
            piece = conn.take()
            if conn.done:
                self._finish(conn)
            return piece
        if conn.done:
            self._finish(conn)
            return b""
        self._conn = None
        self._fault = conn.fault
        return self._ended()

    async def pour(self, sink: Sink) -> bool:
        """Hands every piece of the body to `sink` in the turn in which it is read, waking no task for it.

        True at the end of the body; False when the sink returned False, and pouring may go on later. Raises
        what `chunk` raises, and what the sink raises; cancelling it gives up the reply.
        """
        while True:
            conn = self._conn
            if conn is None:
                self._ended()
                return True
            if conn.parts and not sink(conn.take()):
                return False
            if conn.done:
                self._finish(conn)
                return True
            if conn.fault is not None:
                self._conn = None
                self._fault = conn.fault
                raise conn.fault
            if not await self._poured(conn, sink):
                return False

    async def _poured(self, conn: Connection, sink: Sink) -> bool:
        """Waits with the sink in place; False when the sink asked for a pause."""
        conn.sink = sink
        try:
            await conn.wait()
        except BaseException:
            self.close()
            raise
        finally:
            paused = conn.sink is None
            conn.sink = None
        if conn.sink_error is not None:
            error, conn.sink_error = conn.sink_error, None
            self.close()
            raise error
        return not paused

    async def read(self, limit: int) -> bytes:
        """The whole body, or what was not yet taken of it; ReplyTooLarge beyond `limit` bytes."""
        conn = self._conn
        if conn is not None and conn.done and len(conn.parts) == 1:
            body = conn.parts[0]
            if len(body) <= limit:
                self._finish(conn)
                return body
        pieces = []
        size = 0
        while piece := await self.chunk():
            size += len(piece)
            if size > limit:
                fault = ReplyTooLarge(f"the reply is longer than {limit} bytes", sent=True, answered=True)
                self.close()
                raise fault
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Gives the connection back where the reply is complete, else aborts it; more than once is fine."""
        conn = self._conn
        if conn is None:
            return
        if conn.done and not conn.parts:
            self._finish(conn)
            return
        self._conn = None
        self._fault = conn.describe(ConnectionLost, "the reply was closed with its body unread")
        if conn.done:
            self._complete = True
            self._pool.put(conn)
        else:
            conn.fail(self._fault)

    def _finish(self, conn: Connection) -> None:
        self._conn = None
        self._complete = True
        self._pool.put(conn)

    def _ended(self) -> bytes:
        if self._fault is not None:
            raise self._fault
        return b""
