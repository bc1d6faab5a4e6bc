"""An upstream that speaks bytes: each connection is handed to a script, which reads, writes, stalls, closes or
resets as it likes. It knows no HTTP beyond where a request ends.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from ingot.upstream.client import Client, Origin, Reply

HEAD = b"POST /v1/x HTTP/1.1\r\nhost: up\r\ncontent-length: %d\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@dataclass(frozen=True, slots=True)
class Limits:
    """Generous, so that only a test that shortens one meets it."""

    connect: float = 20.0
    first_byte: float = 20.0
    idle: float = 20.0


class Peer:
    """One connection, seen from the upstream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Reads one request and returns its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return await self.reader.readexactly(size)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Ends the connection with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Returns when the client has closed or reset the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """A listening socket with its script; counts what is connected to it now and what ever was."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connected = 0
        self.accepted = 0
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self.serve(Peer(reader, writer)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self, peer: Peer) -> None:
        self.connected += 1
        self.accepted += 1
        try:
            await self.script(peer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, RuntimeError):
            pass  # the client has gone; uvloop's closed transport says so with a RuntimeError
        finally:
            self.connected -= 1
            peer.writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await peer.writer.wait_closed()

    @property
    def origin(self) -> Origin:
        return Origin("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A running RawServer on a loopback port."""
    raw = RawServer(script)
    server = await asyncio.start_server(raw.accept, "127.0.0.1", 0, backlog=2048, ssl=tls)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        await asyncio.sleep(0.01)  # uvloop mislays a connection accepted in the turn that closes the socket
        server.close()
        for task in tuple(raw.tasks):
            task.cancel()
        await asyncio.gather(*raw.tasks, return_exceptions=True)


def says(*pieces: bytes, close: bool = False) -> Script:
    """A script that answers every request with `pieces`, each in a write of its own."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            for piece in pieces:
                await peer.send(piece)
                await asyncio.sleep(0)
            if close:
                return

    return script


async def ask(
    client: Client, server: RawServer, *, body: bytes = b"{}", limits: Limits | None = None
) -> Reply:
    """Opens one call to the server."""
    return await client.open(server.origin, head=HEAD % len(body), body=body, timeouts=limits or Limits())


async def read_all(reply: Reply) -> bytes:
    """The body, taken piece by piece."""
    pieces = []
    while piece := await reply.chunk():
        pieces.append(piece)
    return b"".join(pieces)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that the other side or the event loop brings about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the counters under test set no event
            await asyncio.sleep(0.005)


async def settled(client: Client) -> None:
    """Waits until the client has no connection left."""
    await until(lambda: client.open_connections == 0)
