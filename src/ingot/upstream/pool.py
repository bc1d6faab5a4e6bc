"""Which connections exist, and which idle one carries the next request: the latest returned, so that a quiet
spell lets the rest expire. It refuses to know what an exchange is.
"""

import asyncio
from dataclasses import dataclass, field

from ingot.upstream.connection import TIMER_GRAIN, Connection
from ingot.upstream.faults import ConnectionLost, Origin


@dataclass(slots=True)
class _Shelf:
    """One origin's connections: how many exist, and the idle ones, oldest first."""

    live: int = 0
    idle: list[Connection] = field(default_factory=list)


class Pool:
    """Every connection of one client."""

    def __init__(self, *, max_idle: int, idle_seconds: float) -> None:
        """`max_idle` is for each origin."""
        self.connections: set[Connection] = set()
        self.opened_total = 0
        self.closed = False
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._shelves: dict[Origin, _Shelf] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    @property
    def idle(self) -> int:
        return sum(len(shelf.idle) for shelf in self._shelves.values())

    def take(self, origin: Origin) -> Connection | None:
        """The connection to `origin` that was put back last and is still usable."""
        shelf = self._shelves.get(origin)
        if shelf is None:
            return None
        idle = shelf.idle
        while idle:
            conn = idle.pop()
            if conn.keep:
                return conn
        return None

    def put(self, conn: Connection) -> None:
        """Takes back a connection whose reply has come to its end; closes it where it is of no more use."""
        if conn.parts:
            conn.take()  # what nobody read must not hold up the next reply
        idle = conn.siblings
        # An upstream that answered before it read the whole request would take the rest for the next one.
        spoilt = not conn.keep or conn.transport.get_write_buffer_size() > 0
        if spoilt or self.closed or len(idle) >= self._max_idle:
            conn.abort()
            return
        conn.idle_since = conn.loop.time()
        idle.append(conn)
        if self._sweeper is None:
            self._sweeper = conn.loop.call_later(self._idle_seconds, self._sweep, conn.loop)

    def made(self, conn: Connection) -> None:
        """Counts a connection from the moment that its socket, and TLS, is up."""
        self.opened_total += 1
        self.connections.add(conn)
        shelf = self._shelves.get(conn.origin)
        if shelf is None:
            shelf = self._shelves[conn.origin] = _Shelf()
        shelf.live += 1
        conn.siblings = shelf.idle
        if self.closed:
            conn.abort()

    def lost(self, conn: Connection) -> None:
        """Forgets a connection; with an origin's last one goes its shelf, and the TLS context that it holds."""
        if conn not in self.connections:
            return
        self.connections.remove(conn)
        shelf = self._shelves[conn.origin]
        shelf.live -= 1
        if not shelf.live:
            del self._shelves[conn.origin]
        elif conn in shelf.idle:
            shelf.idle.remove(conn)
        if not self.connections:
            self._emptied.set()

    async def close(self) -> None:
        """Aborts every connection, takes no other, and returns when the last is gone."""
        self.closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for conn in tuple(self.connections):
            if conn.done:
                conn.abort()
            else:
                conn.fail(conn.describe(ConnectionLost, "the client was closed"))
        if self.connections:
            self._emptied.clear()
            await self._emptied.wait()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Closes what has been idle for too long; one timer for all, armed while anything is idle."""
        self._sweeper = None
        expired = loop.time() - self._idle_seconds + TIMER_GRAIN
        oldest = None
        for shelf in self._shelves.values():
            idle = shelf.idle
            while idle and idle[0].idle_since <= expired:
                idle.pop(0).abort()
            if idle and (oldest is None or idle[0].idle_since < oldest):
                oldest = idle[0].idle_since
        if oldest is not None:
            self._sweeper = loop.call_at(oldest + self._idle_seconds, self._sweep, loop)
