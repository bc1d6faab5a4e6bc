"""One HTTP/1.1 connection to an upstream: what a byte from the socket means for the exchange in progress.

    idle --begin--> waiting --final head--> streaming --end of body--> done --take--> idle (pool)
                       |                        |                        |
                       +---------- fail --------+          surplus bytes, `connection: close`
                                   v                                     v
                                  gone <---------------------------------+

It decides framing, timeouts and when to stop reading. It refuses to know about pools, retries, redirects,
content encodings and what the bytes say. Times are seconds of the event loop's clock.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ingot.outbox import Outbox
from ingot.upstream.faults import (
    ConnectionLost,
    FirstByteTimeout,
    IdleTimeout,
    Origin,
    ProtocolFault,
    UpstreamFault,
)

# Up to here one copy of head and body costs less than a second buffer in the transport (16 KiB: 0.5 us).
JOIN_BYTES = 16_384
# A longer body is handed over in slices, so that a stalled upstream is noticed and an early answer stops it.
SLICE_BYTES = 262_144
# Event loops round timers to a millisecond: one that fires this early is due.
TIMER_GRAIN = 0.001


class Owner(Protocol):
    """Whoever counts connections."""

    def made(self, conn: "Connection") -> None: ...
    def lost(self, conn: "Connection") -> None: ...


class _Refused(Exception):
    """Raised inside a parser callback: well-formed bytes that this client will not follow."""


Sink = Callable[[bytes], bool]
"""Takes a piece of body at once; False asks for a pause."""


class Connection(asyncio.Protocol):
    """A connection with at most one exchange in progress; its owner reads the public attributes."""

    __slots__ = (
        "_clogged",
        "_deadline",
        "_feed",
        "_fields",
        "_first_byte",
        "_idle",
        "_max_buffer",
        "_max_head",
        "_outbox",
        "_owner",
        "_parser",
        "_paused",
        "_seen",
        "_timer",
        "_unread",
        "_wake_at",
        "done",
        "fault",
        "headers",
        "idle_since",
        "keep",
        "loop",
        "origin",
        "parts",
        "reused",
        "siblings",
        "sink",
        "sink_error",
        "status",
        "transport",
        "waiter",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        *,
        owner: Owner,
        max_header_bytes: int,
        outbox: Outbox,
        buffer_bytes: int,
    ) -> None:
        self.origin = origin
        self.loop = loop
        self.status = 0  # 0 until the final head has come
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []  # body not yet taken; never replaced, the parser holds its append
        self.done = True  # no exchange, or its reply has come to the last byte
        self.keep = True  # may carry another exchange
        self.fault: UpstreamFault | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.sink: Sink | None = None  # takes the body as it comes, in place of the waiter
        self.sink_error: Exception | None = None
        self.reused = False
        self.idle_since = 0.0
        self.siblings: list[Connection] = []  # the owner's idle connections to the same origin
        self._owner = owner
        self._outbox = outbox
        self._max_head = max_header_bytes
        self._max_buffer = buffer_bytes
        self._fields: list[tuple[bytes, bytes]] = []
        self._seen = 0  # bytes of the reply up to the read that completed its head
        self._unread = 0  # bytes read since the reader last took something, framing included
        self._paused = False
        self._clogged = False
        self._first_byte = inf
        self._idle = inf
        self._deadline = inf
        self._wake_at = inf
        self._timer: asyncio.TimerHandle | None = None
        self._parser = HttpResponseParser(self)
        self._feed = self._parser.feed_data

    # What the owner asks

    def begin(self, head: bytes, body: bytes, *, first_byte: float, idle: float) -> None:
        """Sends a request of moderate size and starts the clock for its reply."""
        self._reset(first_byte, idle)
        self._set_deadline(self.loop.time() + first_byte)
        if len(body) <= JOIN_BYTES:
            self._outbox.post(self.transport, head + body)
        else:
            self.transport.writelines((head, body))

    async def upload(self, head: bytes, body: bytes, *, first_byte: float, idle: float) -> None:
        """Sends a large request slice by slice; returns early where the upstream answers before its end."""
        self._reset(first_byte, idle)
        self._first_byte = inf  # the upstream's time to answer starts when it has the request
        self.transport.write(head)
        view = memoryview(body)
        for start in range(0, len(view), SLICE_BYTES):
            self.transport.write(view[start : start + SLICE_BYTES])
            while self._clogged and not self.status and self.fault is None:
                self._set_deadline(self.loop.time() + idle)
                await self.wait()
            if self.status or self.fault is not None:
                self.keep = False
                return
        self._first_byte = first_byte
        self._set_deadline(self.loop.time() + first_byte)

    def wait(self) -> asyncio.Future[None]:
        """A future for the next event: the head, a piece of body, the end, a fault, room to write."""
        if self.waiter is not None and not self.waiter.done():
            raise RuntimeError("two readers wait for the same reply")
        self.waiter = waiter = self.loop.create_future()
        return waiter

    def take(self) -> bytes:
        """All of the body that has come and was not taken yet, in one piece; reading goes on."""
        parts = self.parts
        piece = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._paused:
            self._paused = False
            if not self.done and self.fault is None:
                self._set_deadline(self.loop.time() + self._idle)
                self.transport.resume_reading()
            elif self.keep:  # else it is closed, or about to be, and uvloop's transport would raise
                self.transport.resume_reading()
        return piece

    def describe(self, kind: type[UpstreamFault], what: str) -> UpstreamFault:
        """A fault of this exchange, with what is known of how far it got."""
        answered = self._seen > 0
        stale = kind is ConnectionLost and self.reused and not answered
        return kind(f"{self.origin}: {what}", sent=True, answered=answered, stale=stale)

    def fail(self, fault: UpstreamFault) -> None:
        """Ends the exchange and the connection at once; the first fault is the one that is told."""
        if self.fault is None:
            self.fault = fault
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Closes the socket without waiting for anything, so that the upstream sees it now."""
        self.keep = False
        self._deadline = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._outbox.drop(self.transport)
        self.transport.abort()

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        if self.done:  # nothing was asked, or all of it was answered
            self.abort()
            return
        waits_for_head = not self.status
        if waits_for_head:
            self._seen += len(data)
        try:
            self._feed(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.keep = False
            if not self.done:  # else it is surplus after a whole reply, which stands
                self.fail(self.describe(ProtocolFault, f"bad reply: {error.__context__ or error}"))
                return
        if waits_for_head:
            if self._seen > self._max_head and self._head_overflows():
                return
            if not self.status:
                return
        goes_on = not self.done
        if goes_on:
            self._streamed(len(data))
            if self.parts and self.sink is not None:
                self._pour(self.sink)
                return
        if self.parts or not goes_on:
            self._wake()

    def _pour(self, sink: Sink) -> None:
        """Hands what came to the sink in this very turn: no task is woken for it."""
        try:
            if sink(self.take()):
                return
        except Exception as error:  # noqa: BLE001  # it belongs to the reader, who gets it raised
            self.sink_error = error
        self.sink = None
        self._wake()

    def eof_received(self) -> None:
        self.keep = False
        if self.status and not self.done and self._until_close():
            self.done = True
            self._deadline = inf
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.keep = False
        self._deadline = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.done and self.fault is None:
            where = "inside the reply" if self.status else "before a reply"
            why = f" ({exc})" if exc is not None else ""
            self.fault = self.describe(ConnectionLost, f"the connection was closed {where}{why}")
        self._wake()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        if not self.status:  # else it would look like a piece of body
            self._wake()

    # What the parser finds

    def on_message_begin(self) -> None:
        if self.done:
            raise _Refused("bytes after the end of the reply")
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # interim, RFC 9110 section 15.2
            if status < 100 or status == 101:  # no status at all, or a switch nobody asked for
                raise _Refused(f"status {status}")
            return
        self.status = status
        self.headers = self._fields
        self._fields = []  # what still comes is trailers
        self._wake()

    @property
    def on_body(self) -> Callable[[bytes], None]:
        """The list's own append: the parser then calls no Python function for a piece of body."""
        return self.parts.append

    def on_message_complete(self) -> None:
        if self.status:
            self.done = True
            self._deadline = inf
            if not self._parser.should_keep_alive():
                self.keep = False
        else:
            self.parts.clear()  # an interim reply has no body worth keeping

    # Inside

    def _reset(self, first_byte: float, idle: float) -> None:
        self.status = 0
        self.done = False
        self._seen = 0
        self._unread = 0
        self._first_byte = first_byte
        self._idle = idle

    def _streamed(self, size: int) -> None:
        """Accounts for a read inside the body: the upstream is alive, the reader may be behind."""
        self._unread += size
        if self._unread > self._max_buffer:
            if not self.parts:
                self.fail(self.describe(ProtocolFault, "bad reply: endless chunk extensions or trailers"))
            elif not self._paused:
                self._paused = True
                self._deadline = inf  # the silence is ours
                self.transport.pause_reading()
            return
        when = self.loop.time() + self._idle
        if when < self._wake_at:
            self._set_deadline(when)
        else:
            self._deadline = when

    def _head_overflows(self) -> bool:
        """True, and failed, where the head alone is over the limit; the read may hold body bytes too."""
        if self.status and sum(len(n) + len(v) + 4 for n, v in self.headers) <= self._max_head:
            return False
        self.status = 0
        self.done = False
        self.fail(self.describe(ProtocolFault, f"bad reply: more than {self._max_head} bytes of headers"))
        return True

    def _until_close(self) -> bool:
        """Whether only the end of the connection ends this body (RFC 9112 section 6.3, rule 8)."""
        for name, value in self.headers:
            if name == b"content-length":
                return False
            if name == b"transfer-encoding" and value.lower().endswith(b"chunked"):
                return False
        return True

    def _wake(self) -> None:
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _set_deadline(self, when: float) -> None:
        """Moves the deadline; the one timer is touched only where it would fire too late.

        A busy connection keeps its timer armed across exchanges: it fires once in a timeout's length, sees
        that the deadline has moved, and is armed again for the rest.
        """
        self._deadline = when
        if when < self._wake_at:
            if self._timer is not None:
                self._timer.cancel()
            self._wake_at = when
            self._timer = self.loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._wake_at = inf
        deadline = self._deadline
        if deadline == inf:
            return
        if deadline - self.loop.time() > TIMER_GRAIN:
            self._set_deadline(deadline)
        elif self.status:
            self.fail(self.describe(IdleTimeout, f"no byte of the reply for {self._idle:g} s"))
        elif self._first_byte == inf:
            self.fail(self.describe(IdleTimeout, f"took no more of the request for {self._idle:g} s"))
        else:
            self.fail(self.describe(FirstByteTimeout, f"no reply within {self._first_byte:g} s"))
