"""A WebSocket on our connection layer: its handshake, its frames, its bounds and its ends, by raw bytes and by a client."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from ingot.errors import ApiError
from ingot.web.connection import Connection
from ingot.web.exchange import Exchange
from ingot.web.websocket import WebSocket, agree, wants_websocket
from linehouse import listening

MOST = 1000
TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
ASKED = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass
class Scene:
    """A server that says each message back, and what became of its handlers."""

    port: int = 0
    sockets: list[WebSocket] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    ended: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    drained: int = 0

    async def __call__(self, exchange: Exchange) -> None:
        if not wants_websocket(exchange.method, exchange.headers):
            exchange.respond(200, b"", b"plain")
            return
        socket: WebSocket

        def echo(message: bytes) -> None:
            if message == b"bye":
                socket.close(1001, "as asked")
            else:
                socket.send(message)

        def drain() -> None:
            self.drained += 1
            socket.close(1001)

        try:
            socket = WebSocket(exchange.line, echo, most=MOST, silent_seconds=30.0)
            socket.on_drain = drain
            exchange.switch(socket, agree(exchange.version, exchange.headers))
            self.sockets.append(socket)
            await asyncio.get_running_loop().create_future()
        except ApiError as error:
            exchange.respond(error.status, b"", error.message.encode())
        except asyncio.CancelledError:
            self.ends.append("gone" if exchange.gone else "cancelled")
            self.ended.release()

    async def until_ended(self, count: int = 1) -> None:
        """Waits until so many handlers have ended."""
        async with asyncio.timeout(30):
            for _ in range(count):
                await self.ended.acquire()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """The server on a loopback port."""
    made = Scene()
    async with listening(made) as house:
        made.port, made.connections = house.port, house.connections
        yield made
        for connection in house.live:
            connection.end()
            connection.transport.abort()


def _frame(opcode: int, data: bytes, *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A frame as a client sends it, or as none may."""
    size = len(data)
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | reserved | opcode])
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65536:
        head += bytes([mask_bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + data
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


class Raw:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        """The head of the answer."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)

    async def read(self) -> tuple[int, bytes]:
        """The next frame; (-1, b"") at the end."""
        try:
            first, second = await asyncio.wait_for(self.reader.readexactly(2), 30)
            size = second
            if size == 126:
                [size] = struct.unpack(">H", await self.reader.readexactly(2))
            return first & 0x0F, await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return -1, b""


@contextlib.asynccontextmanager
async def _raw(scene: Scene, *, early: bytes = b"", agreed: bool = True) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    raw = Raw(reader, writer)
    try:
        if agreed:
            writer.write(ASKED + early)
            assert (await raw.head()).startswith(b"HTTP/1.1 101 ")
        yield raw
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _code(data: bytes) -> int:
    return int(struct.unpack(">H", data[:2])[0])


async def test_handshake_is_rfc_6455s_when_it_is_asked_for(scene: Scene) -> None:
    """With the example's own nonce; nothing is negotiated beside it."""
    async with _raw(scene, agreed=False) as raw:
        raw.writer.write(
            ASKED.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        )
        head = await raw.head()
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert b"extensions" not in head


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Version: 13", b"Version: 8", 426),
        (b"Key: dGhlIHNhbXBsZSBub25jZQ==", b"Key: short", 400),
        (b"Key: dGhlIHNhbXBsZSBub25jZQ==", b"Key: dGhlIHNhbXBsZQ==", 400),
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"", 400),
        (b"keep-alive, Upgrade", b"keep-alive", 400),
    ],
)
async def test_handshake_is_refused_when_it_is_wrong(
    scene: Scene, old: bytes, new: bytes, status: int
) -> None:
    """In HTTP, as long as there is no WebSocket."""
    async with _raw(scene, agreed=False) as raw:
        raw.writer.write(ASKED.replace(old, new))
        assert (await raw.head()).startswith(b"HTTP/1.1 %d " % status)
    assert scene.sockets == []


async def test_request_is_answered_when_it_asks_to_upgrade_to_something_else(scene: Scene) -> None:
    """In HTTP, and what follows is not taken for a request."""
    async with _raw(scene, agreed=False) as raw:
        raw.writer.write(ASKED.replace(b"GET", b"POST") + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await raw.head()).startswith(b"HTTP/1.1 200 ")
        assert (await raw.reader.read()) == b"plain"


async def test_messages_come_back_when_a_client_talks(scene: Scene) -> None:
    """Small, empty and as large as may be, in fragments and in many bytes; a ping is answered between them."""
    async with connect(f"ws://127.0.0.1:{scene.port}/ws", compression="deflate") as client:
        for text in ("hello", "", "é" * 500, "x" * MOST):
            await client.send(text)
            assert await client.recv() == text
        await client.send(["frag", "", "ment", "s"])
        assert await client.recv() == "fragments"
        await asyncio.wait_for(await client.ping(b"there?"), 30)
    async with _raw(scene, early=_frame(TEXT, b"early")) as raw:
        assert await raw.read() == (TEXT, b"early")
        raw.writer.write(_frame(TEXT, b"a", fin=False) + _frame(PING, b"p") + _frame(CONT, b"b"))
        assert await raw.read() == (PONG, b"p")
        assert await raw.read() == (TEXT, b"ab")
        for byte in _frame(TEXT, b"slow"):
            raw.writer.write(bytes([byte]))
            await raw.writer.drain()
        assert await raw.read() == (TEXT, b"slow")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (_frame(TEXT, b"x" * (MOST + 1)), 1009),
        (_frame(TEXT, b"x" * 600, fin=False) + _frame(CONT, b"x" * 600), 1009),
        (_frame(TEXT, b"x" * (MOST + 1))[:12], 1009),
        (_frame(BINARY, b"x"), 1003),
        (_frame(TEXT, b"\xff\xfe"), 1007),
        (_frame(TEXT, "é".encode()[:1]), 1007),
        (_frame(TEXT, b"x", masked=False), 1002),
        (_frame(TEXT, b"x", reserved=0x40), 1002),
        (_frame(3, b"x"), 1002),
        (_frame(CONT, b"x"), 1002),
        (_frame(TEXT, b"a", fin=False) + _frame(TEXT, b"b"), 1002),
        (_frame(PING, b"x" * 126), 1002),
        (_frame(PING, b"x", fin=False), 1002),
    ],
    ids=[
        "too large",
        "too large in pieces",
        "too large by its head",
        "binary",
        "no UTF-8",
        "half a character",
        "not masked",
        "compressed",
        "an unknown kind",
        "a piece of nothing",
        "a message within another",
        "a large ping",
        "a ping in pieces",
    ],
)
async def test_end_tells_its_reason_when_a_client_breaks_the_rules(
    scene: Scene, sent: bytes, code: int
) -> None:
    """By the close code; nothing that follows is taken, and whoever works for the client is cancelled."""
    async with _raw(scene) as raw:
        raw.writer.write(sent + _frame(TEXT, b"more"))
        opcode, data = await raw.read()
        assert (opcode, _code(data)) == (CLOSE, code)
        assert await raw.read() == (-1, b"")
        await scene.until_ended()
    assert scene.ends == ["gone"]


async def test_close_is_agreed_to_when_either_side_asks(scene: Scene) -> None:
    """With the code that was given, by a server that then ends the connection."""
    async with connect(f"ws://127.0.0.1:{scene.port}/ws") as client:
        await client.close(1000, "done")
        assert client.close_code == 1000
    async with connect(f"ws://127.0.0.1:{scene.port}/ws") as client:
        await client.send("bye")
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1001, "as asked")
    await scene.until_ended(2)
    assert scene.ends == ["gone", "gone"]


async def test_handler_is_cancelled_when_its_client_goes_away(scene: Scene) -> None:
    """Without a word, in the middle of a message."""
    async with _raw(scene) as raw:
        raw.writer.write(_frame(TEXT, b"x" * 100)[:20])
        await raw.writer.drain()
    await scene.until_ended()
    assert scene.ends == ["gone"]


async def test_pongs_do_not_pile_up_when_a_client_does_not_read(scene: Scene) -> None:
    """It is not heard either, until it reads; then nothing is lost."""
    pings = 12_000
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", scene.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=4096)
    raw = Raw(reader, writer)
    writer.write(ASKED)
    await raw.head()
    [connection] = scene.connections
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    writer.write(_frame(PING, b"p" * 125) * pings)
    async with asyncio.timeout(30):
        while not connection.unread_since:  # noqa: ASYNC110  # the transport's business, which sets no event
            await asyncio.sleep(0.005)
    assert connection.transport.get_write_buffer_size() < 1_000_000
    assert not connection.transport.is_reading()
    assert [await raw.read() for _ in range(pings)] == [(PONG, b"p" * 125)] * pings
    writer.write(_frame(TEXT, b"here"))
    assert await raw.read() == (TEXT, b"here")
    writer.close()
    await writer.wait_closed()


async def test_silent_client_is_asked_and_given_up_when_it_says_nothing(scene: Scene) -> None:
    """A pong is enough to be there; times are those that the sweep is told."""
    async with _raw(scene) as raw:
        [connection], [socket] = scene.connections, scene.sockets
        connection.sweep(socket.heard_at + 9)
        connection.sweep(socket.heard_at + 11)
        connection.sweep(socket.heard_at + 12)
        assert await raw.read() == (PING, b"")
        raw.writer.write(_frame(PONG, b"") + _frame(TEXT, b"here"))
        assert await raw.read() == (TEXT, b"here")
        connection.sweep(socket.heard_at + 11)
        assert await raw.read() == (PING, b"")
        connection.sweep(socket.heard_at + 31)
        assert await raw.read() == (-1, b"")
        await scene.until_ended()


async def test_connection_ends_when_a_client_does_not_agree_to_the_end(scene: Scene) -> None:
    """It has a moment for it."""
    async with _raw(scene) as raw:
        raw.writer.write(_frame(TEXT, b"bye"))
        opcode, data = await raw.read()
        assert (opcode, _code(data)) == (CLOSE, 1001)
        [connection], [socket] = scene.connections, scene.sockets
        connection.sweep(socket.closing_since + 1)
        assert scene.ends == []
        connection.sweep(socket.closing_since + 3)
        await scene.until_ended()
        assert await raw.read() == (-1, b"")


async def test_socket_is_told_when_the_server_ends(scene: Scene) -> None:
    """It says goodbye itself."""
    async with _raw(scene) as raw:
        [connection] = scene.connections
        connection.shutdown()
        opcode, data = await raw.read()
        assert (opcode, _code(data), scene.drained) == (CLOSE, 1001, 1)
        raw.writer.write(_frame(CLOSE, data))
        assert await raw.read() == (-1, b"")
