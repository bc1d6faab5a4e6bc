"""A TCP proxy that misbehaves on demand: it stands before a server and passes bytes on, late, slowly, in part, or not at all.

    async with Proxy(("127.0.0.1", 5432), seed=7) as proxy:      # or a path: a socket in the file system
        proxy.harm(Harm(latency=0.2, jitter=0.1))                # every piece comes later
        proxy.harm(Harm(cut=2048))                               # FIN after so many bytes of answers, on each connection
        proxy.heal()

latency, jitter    seconds that every piece waits; the jitter is drawn from the seed
bandwidth          bytes a second, in each direction
stalled            nothing passes until it heals; then all of it comes
black_hole         what comes is swallowed, and no end is told: a connection that met it is dead for good
cut, reset         the connection ends after so many bytes of answers, with FIN or RST on both sides

`harm` and `heal` may be called from any thread. It knows no protocol.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

CHUNK = 1 << 16
PATIENCE = 30.0

Address = tuple[str, int] | Path
"""A host with a port, or the path of a socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """What is wrong with the line; without anything all is well."""

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: int | None = None
    stalled: bool = False
    black_hole: bool = False
    cut: int | None = None
    reset: int | None = None

    @property
    def limit(self) -> int | None:
        """Bytes of answers that a connection may still pass."""
        return self.reset if self.cut is None else self.cut


WELL = Harm()


@dataclass(slots=True, eq=False)
class _Line:
    """One connection through the proxy: both its ends, and how it fares."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    harm: Harm = WELL
    answered: int = 0  # bytes of answers since this harm
    lost: bool = False  # swallowed bytes: it never speaks again

    def end(self, *, reset: bool = False) -> None:
        """Closes both sides, with RST or FIN."""
        for writer in (self.client, self.server):
            if reset:
                with contextlib.suppress(OSError):
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()


@dataclass(slots=True)
class Proxy:
    """Listens on a free port for a server, see above; belongs to the loop in which it is opened."""

    behind: Address
    seed: int = 0
    port: int = 0
    accepted: int = 0
    _harm: Harm = WELL
    _rng: random.Random = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _lines: set[_Line] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._rng = random.Random(self.seed)  # noqa: S311  # a seeded fault
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open(self) -> int:
        """Connections that pass through it now."""
        return len(self._lines)

    def harm(self, harm: Harm) -> None:
        """From now on this is wrong, on open connections and new ones; it replaces what was wrong before."""
        self._harm = harm
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    def heal(self) -> None:
        """All is well again; what was swallowed stays lost."""
        self.harm(WELL)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._tasks.add(task)
        self.accepted += 1
        try:
            back, forth = await self._connect()
            await self._join(_Line(writer, forth), reader, back)
        except OSError:
            writer.close()  # nobody behind
        except asyncio.CancelledError:
            writer.close()  # the proxy ends; asyncio logs a connection's task that says so itself
        finally:
            self._tasks.discard(task)

    async def _join(self, line: _Line, client: asyncio.StreamReader, server: asyncio.StreamReader) -> None:
        """Passes bytes both ways until both sides have ended, or one of them breaks off."""
        for each in (line.client, line.server):
            each.transport.set_write_buffer_limits(high=0)  # drained means: the kernel has it
        self._lines.add(line)
        ways = [
            asyncio.create_task(self._pass(line, client, line.server, back=False)),
            asyncio.create_task(self._pass(line, server, line.client, back=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            line.end()
            self._lines.discard(line)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.behind, Path):
            return await asyncio.open_unix_connection(self.behind)
        return await asyncio.open_connection(*self.behind)

    async def _pass(
        self, line: _Line, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, back: bool
    ) -> None:
        """Passes what one side says on to the other; `back` is the way of answers."""
        while True:
            piece = await source.read(CHUNK)
            harm = await self._met(line)
            if line.lost:
                if not piece:
                    await asyncio.Event().wait()  # its end is not told either
                continue
            if not piece:
                break
            if harm.latency or harm.jitter:
                await asyncio.sleep(harm.latency + self._rng.random() * harm.jitter)
            left = None if harm.limit is None or not back else max(harm.limit - line.answered, 0)
            line.answered += len(piece) if back else 0
            sink.write(piece[:left])
            await sink.drain()
            if left is not None and len(piece) >= left:
                line.end(reset=harm.cut is None)
                return
            if harm.bandwidth is not None:
                await asyncio.sleep(len(piece) / harm.bandwidth)
        sink.write_eof()

    async def _met(self, line: _Line) -> Harm:
        """What a connection meets now, a stall waited out."""
        while self._harm.stalled:
            self._changed.clear()
            await self._changed.wait()
        if line.harm is not self._harm:
            line.harm, line.answered = self._harm, 0
        line.lost |= self._harm.black_hole
        return self._harm


class Switchboard:
    """Proxies on a thread of their own, for tests that are not asynchronous."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._proxies: list[Proxy] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._proxies:
            self._run(proxy.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def before(self, behind: Address, *, seed: int = 0) -> Proxy:
        """A new proxy in front of a server."""

        async def make() -> Proxy:
            return await Proxy(behind, seed).__aenter__()

        proxy: Proxy = self._run(make())
        self._proxies.append(proxy)
        return proxy

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)
