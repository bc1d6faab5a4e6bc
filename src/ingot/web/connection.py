"""One HTTP/1.1 connection: exchanges one after the other, with the bounds that a public API needs.

Decides about its life: which request is answered when, how long one may take to arrive, how long an idle or unread
connection lives, how it ends. What its bytes amount to is decided in `framing`. Knows no route and no dialect.

A request may turn its connection into another protocol's: `switch` then hears all bytes that come.

Takes the place of uvicorn's own protocol class inside uvicorn's server, as every request pays for it (measured
figures: docs/adr/0002). No timer for each request: one sweep a second looks at the connections' timestamps.
"""

import asyncio
from collections import deque
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ingot.web.exchange import Exchange, Header, Tenant
from ingot.web.framing import Framing
from ingot.web.hub import Hub

LINGER_SECONDS = 2.0
MOST_EARLY = 64 * 1024
"""Bytes that may follow a request to speak another protocol before that was agreed to."""
MOST_QUEUED = 8
"""Pipelined requests that wait before reading stops."""


class Connection(Framing):
    """One client's connection; implements `exchange.Line`."""

    __slots__ = (
        "_drained",
        "_ending",
        "_held",
        "_outbox",
        "_parked",
        "_paused_reading",
        "_queue",
        "_server",
        "_tenant",
        "authorization",
        "digest",
        "lingering_since",
        "transport",
        "unread_since",
    )

    transport: asyncio.Transport

    def __init__(self, hub: Hub, server_state: Any) -> None:
        super().__init__(hub)
        self._server = server_state
        self._outbox = hub.outbox
        self._queue: deque[Exchange] | None = None
        self._paused_reading = False
        self._drained: asyncio.Future[None] | None = None
        self._held = 0
        self._parked: tuple[asyncio.Future[Exchange | None], asyncio.Task[Any] | None] | None = None
        self._tenant: Tenant | None = None
        self._ending = False
        self.unread_since = 0.0
        self.lingering_since = 0.0
        self.authorization: bytes | None = None
        self.digest = b""

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected; its first request is awaited like any other."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=self._hub.limits.buffer_bytes)
        self._server.connections.add(self)
        self._hub.connections.add(self)
        self.idle_since = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The client is gone: its running and waiting requests learn of it at once."""
        self._server.connections.discard(self)
        self._hub.connections.discard(self)
        self.resume_writing()
        for exchange in (self._current, self._incoming, *(self._queue or ())):
            if exchange is not None:
                exchange.leave()
        self._current = self._incoming = self._queue = None
        if self._parked is not None:
            self._parked[0].set_result(None)
            self._parked = None

    def eof_received(self) -> None:
        """The client closed its side; asyncio then closes the other."""

    def pause_writing(self) -> None:
        """The client reads slower than the answer comes."""
        self.unread_since = self._loop.time()
        self._held = self.transport.get_write_buffer_size()
        self._drained = self._loop.create_future()
        if self._tenant is not None:
            # What comes is answered unasked, as pings are: a client that reads nothing must not pile that up.
            self.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up, or is gone."""
        self.unread_since = 0.0
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
            if self._tenant is not None:
                self.resume_reading()
                self._tenant.receive(b"")  # whoever reads is there

    # ---- the framing's side

    def _begin(self, raw: list[Header]) -> Exchange:
        return Exchange(self, self._parser, raw)

    def _accept(self, exchange: Exchange) -> None:
        """Starts the handler, or queues the exchange behind the one that runs (pipelining)."""
        current = self._current
        if current is None:
            self._run(exchange)
        elif self._queue is None or exchange not in self._queue:
            self._queue = self._queue or deque()
            self._queue.append(exchange)
            if len(self._queue) > MOST_QUEUED:
                # Not sooner: a socket that is not read does not tell that its client has left.
                self.pause_reading()

    def _run(self, exchange: Exchange) -> None:
        self._current = exchange
        if self._parked is not None:
            called, exchange.task = self._parked
            self._parked = None
            called.set_result(exchange)
            return
        # Not in uvicorn's set of tasks as well: that would cost a callback for each request.
        exchange.task = self._loop.create_task(self._serve(exchange))

    async def _serve(self, exchange: Exchange | None) -> None:
        """Handles a request, and then those that come while nobody else waits for them.

        A task for each of them would cost 3 us more; one that has something left to do when the next comes leaves it to another.
        """
        handler = self._hub.handler
        while exchange is not None:
            await handler(exchange)
            if self._parked is not None or exchange.gone or self.transport.is_closing():
                return
            called: asyncio.Future[Exchange | None] = self._loop.create_future()
            self._parked = (called, exchange.task)
            exchange = await called

    def _take_foreign(self, data: bytes) -> None:
        if self._tenant is not None:
            self._tenant.receive(data)
        elif self._early is not None and len(self._early) + len(data) <= MOST_EARLY:
            self._early += data
        else:
            # Nobody may speak before the other protocol is agreed to.
            self._early = None

    # ---- the exchange's side

    def switch(self, tenant: Tenant) -> bytes:
        """Hands the connection to another protocol; the bytes of it that came already. Raises RuntimeError for none."""
        early, self._early = self._early, b""
        if early is None:
            raise RuntimeError("the connection was not asked to speak another protocol")
        self._tenant = tenant
        if self._ending:
            self._loop.call_soon(tenant.drain)
        return early

    def hang_up(self) -> None:
        """Ends what another protocol had, once all is sent; who works for it is cancelled."""
        if self._current is not None:
            self._current.leave()
        self._linger()

    @property
    def date(self) -> bytes:
        """The Date header's line."""
        return self._hub.date

    @property
    def peer(self) -> tuple[str, int] | None:
        """The client's address and port, where the socket has them."""
        name = self.transport.get_extra_info("peername")
        return (name[0], name[1]) if isinstance(name, tuple) else None

    def write(self, data: bytes) -> bool:
        """Sends bytes, with what else is written in this turn of the loop; True while the client is behind."""
        self._outbox.post(self.transport, data)
        return self._drained is not None

    async def drain(self) -> None:
        """Waits while more is unread than the buffer holds."""
        if self._drained is not None:
            await asyncio.shield(self._drained)

    def pause_reading(self) -> None:
        """Lets the client wait with what it still sends."""
        if not self._paused_reading and not self.transport.is_closing():
            self._paused_reading = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Takes bytes again."""
        if self._paused_reading and not self.transport.is_closing():
            self._paused_reading = False
            self.transport.resume_reading()

    def answered(self, exchange: Exchange) -> None:
        """An answer is out: the next request may come, or has already come."""
        self._server.total_requests += 1
        self._current = None
        if not exchange.arrived:
            self._linger()
            return
        if not exchange.keep_alive:
            self._close()
            return
        if self._queue:
            self._run(self._queue.popleft())
            if self._queue:
                return
        elif not self.arriving_since:
            self.idle_since = self._loop.time()
        self.resume_reading()

    def cut(self) -> None:
        """Ends the connection without a proper end of the answer."""
        self._outbox.flush(self.transport)
        self.transport.abort()

    def _linger(self) -> None:
        """Ends our side and lets the rest of an unread body run out: a close at once could destroy the answer on its way."""
        self._refused = True
        self._incoming = None
        self.arriving_since = 0.0
        self.lingering_since = self._loop.time()
        self._outbox.flush(self.transport)
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.resume_reading()

    def _close(self) -> None:
        self._outbox.flush(self.transport)
        self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answers what cannot be taken for a request and hears nothing more; good requests before it are answered."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        current, incoming = self._current, self._incoming
        self._incoming = None
        self.arriving_since = 0.0
        if current is not None and current is not incoming:
            if incoming is not None and self._queue and incoming in self._queue:
                self._queue.remove(incoming)
            last = self._queue[-1] if self._queue else current
            last.keep_alive = False
            return
        if current is not None:
            answered = current.started
            current.leave()
            if answered:
                self._close()
                return
        told, head, body = self._hub.refuse(status, message)
        head += b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self._outbox.post(self.transport, STATUS_LINE[told] + self._hub.date + head + body)
        self._close()

    # ---- the server's side

    def shutdown(self) -> None:
        """The server ends: an idle connection is closed, a busy one after its answer."""
        self._ending = True
        if self._tenant is not None:
            self._tenant.drain()
        elif self._current is None:
            self._close()
        else:
            self._current.keep_alive = False

    def end(self) -> None:
        """The server waits no longer: what still runs is cancelled."""
        if self._current is not None and self._current.task is not None:
            self._current.task.cancel()

    def sweep(self, now: float) -> None:
        """Ends what has outlived its time; called about once a second."""
        limits = self._hub.limits
        if self.unread_since:
            self._look_for_reader(now)
        elif self.lingering_since and now - self.lingering_since > LINGER_SECONDS:
            self.transport.abort()
        elif self._tenant is not None:
            self._tenant.sweep(now)
        elif self.idle_since and now - self.idle_since > limits.idle_seconds:
            self._close()
        elif self.arriving_since and not self._paused_reading:
            allowed = limits.request_seconds + limits.seconds_per_megabyte * self._body_size / 1_000_000
            if now - self.arriving_since > allowed:
                self._refuse(408, f"The request did not arrive whole within {allowed:.0f} s.")

    def _look_for_reader(self, now: float) -> None:
        """A reader that takes something, however slowly, is one; a reader that takes nothing for long has gone."""
        held = self.transport.get_write_buffer_size()
        if held < self._held:
            self.unread_since = now
        elif now - self.unread_since > self._hub.limits.unread_seconds:
            self._outbox.drop(self.transport)
            self.transport.abort()
        self._held = held
