"""Writes to sockets, held until the event loop has done what was ready, then sent together.

A write wakes the process at the other end. Sent one by one between other work, nearly every write finds its
reader asleep again and pays for waking it; sent together, the first one does (measured figures: docs/adr/0002).
Several pieces for one socket leave in one system call. Nothing waits for time: the flush is the next thing that
the loop runs.
"""

import asyncio


class Outbox:
    """The held writes of one event loop."""

    __slots__ = ("_loop", "_pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: dict[asyncio.WriteTransport, bytes] = {}

    def post(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Sends `data` soon, after what was posted to the same transport before."""
        pending = self._pending
        if not pending:
            self._loop.call_soon(self._flush)
        held = pending.get(transport)
        pending[transport] = data if held is None else held + data

    def flush(self, transport: asyncio.WriteTransport) -> None:
        """Sends now what is held for one transport: before it is closed, or written to directly."""
        data = self._pending.pop(transport, None)
        if data is not None and not transport.is_closing():
            transport.write(data)

    def drop(self, transport: asyncio.WriteTransport) -> None:
        """Forgets what is held for a transport that is to be aborted."""
        self._pending.pop(transport, None)

    def _flush(self) -> None:
        pending, self._pending = self._pending, {}
        for transport, data in pending.items():
            if not transport.is_closing():
                transport.write(data)
