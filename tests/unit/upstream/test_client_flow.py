"""Silence, slowness and TLS: what a call waits for, for how long, and how much it holds meanwhile."""

import asyncio
import ssl

import pytest
import trustme

from ingot.upstream.client import (
    Client,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    Origin,
    tls_context,
)
from unit.upstream.rawserver import (
    HEAD,
    HELLO,
    Limits,
    Peer,
    ask,
    read_all,
    says,
    serving,
    settled,
    until,
)

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEGABYTE = b"x" * 1_000_000


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_silence_before_the_head_is_a_first_byte_timeout(said: bytes) -> None:
    """Without a final head in time the call fails and the upstream sees the connection close."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(said)
        await peer.gone()

    client = Client()
    async with serving(script) as server:
        with pytest.raises(FirstByteTimeout) as caught:
            await ask(client, server, limits=Limits(first_byte=0.1))
        assert (caught.value.sent, caught.value.answered) == (True, said != b"")
        await settled(client)
        await until(lambda: server.connected == 0)


@pytest.mark.parametrize("first_byte", [20.0, 0.1])
async def test_stall_inside_the_body_is_an_idle_timeout(first_byte: float) -> None:
    """A body that stops is a fault after what had come, whichever of the two timeouts is the longer."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + b"3\r\nabc\r\n")
        await peer.gone()

    client = Client()
    async with serving(script) as server:
        reply = await ask(client, server, limits=Limits(first_byte=first_byte, idle=0.15))
        assert await reply.chunk() == b"abc"
        with pytest.raises(IdleTimeout) as caught:
            await reply.chunk()
        assert caught.value.answered
        reply.close()
        await settled(client)
        await until(lambda: server.connected == 0)


async def test_slow_drip_outlives_the_idle_timeout() -> None:
    """Each byte starts the clock anew: a body may take many times the idle timeout."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        for _ in range(30):
            await peer.send(b"1\r\nx\r\n")
            await asyncio.sleep(0.05)
        await peer.send(b"0\r\n\r\n")
        await peer.gone()

    client = Client()
    async with serving(script) as server:
        reply = await ask(client, server, limits=Limits(idle=1.0))
        assert await read_all(reply) == b"x" * 30
        assert client.idle_connections == 1
        await client.close()


async def test_timer_of_an_earlier_call_does_not_hit_a_later_one() -> None:
    """A kept connection's timer is armed across calls and heeds only the call in progress."""

    async def script(peer: Peer) -> None:
        while True:
            delay = float(await peer.request())
            await asyncio.sleep(delay)
            await peer.send(HELLO)

    client = Client()
    async with serving(script) as server:
        await (await ask(client, server, body=b"0", limits=Limits(first_byte=0.2))).read(100)
        await asyncio.sleep(0.1)
        reply = await ask(client, server, body=b"0.3", limits=Limits(first_byte=10))
        assert await reply.read(100) == b"hello"
        assert client.reused_total == 1
        with pytest.raises(FirstByteTimeout):
            await ask(client, server, body=b"10", limits=Limits(first_byte=0.1))
        await settled(client)


async def test_connect_timeout_covers_the_tls_handshake() -> None:
    """A port that accepts and then says nothing fails in the time to connect, and nothing was sent."""

    async def script(peer: Peer) -> None:
        await peer.gone()

    client = Client()
    async with serving(script) as server:
        origin = Origin("127.0.0.1", server.port, tls=tls_context())
        with pytest.raises(ConnectTimeout) as caught:
            await client.open(origin, head=HEAD % 2, body=b"{}", timeouts=Limits(connect=0.1))
        assert not caught.value.sent
        await until(lambda: server.connected == 0)
    assert client.open_connections == 0


async def test_slow_reader_holds_back_the_upstream() -> None:
    """While 50 MB arrive for a reader that takes its time, no more than twice the buffer is held."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(50):
            await peer.send(MEGABYTE)
        await peer.gone()

    client = Client(buffer_bytes=262_144)
    async with serving(script) as server:
        reply = await ask(client, server)
        total = largest = pieces = 0
        while piece := await reply.chunk():
            total += len(piece)
            largest = max(largest, len(piece))
            pieces += 1
            if pieces % 10 == 0:
                await asyncio.sleep(0.005)
        assert total == 50_000_000
        assert largest <= 2 * 262_144
        assert client.idle_connections == 1
        await client.close()


async def test_paused_reading_is_not_the_upstreams_silence() -> None:
    """A reader that pauses for longer than the idle timeout gets the rest all the same."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n")
        for _ in range(20):
            await peer.send(MEGABYTE)
        await peer.gone()

    client = Client(buffer_bytes=65_536)
    async with serving(script) as server:
        reply = await ask(client, server, limits=Limits(idle=0.3))
        await reply.chunk()
        await asyncio.sleep(0.8)
        assert len(await reply.read(20_000_000)) > 19_000_000
        assert reply.complete
        await client.close()


async def test_closed_client_while_reading_is_paused() -> None:
    """What was buffered is still delivered after the connection is gone, and then the fault."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n")
        for _ in range(20):
            await peer.send(MEGABYTE)

    client = Client(buffer_bytes=65_536)
    async with serving(script) as server:
        reply = await ask(client, server)
        conn = next(iter(client._pool.connections))
        await until(lambda: conn._paused)
        await client.close()
        assert len(await reply.chunk()) > 65_536
        with pytest.raises(ConnectionLost):
            await reply.chunk()
        assert client.open_connections == 0


async def test_unread_tls_reply_does_not_hold_up_the_next() -> None:
    """A reply closed unread gives back a connection that reads, even where the buffer was over its limit."""
    server_tls, trusting = _authority()
    body = b"x" * 20_000
    wire = CHUNKED_HEAD + b"4e20\r\n" + body + b"\r\n4e20\r\n" + body + b"\r\n0\r\n\r\n"

    client = Client(buffer_bytes=1_000)
    async with serving(says(wire), tls=server_tls) as server:
        origin = Origin("127.0.0.1", server.port, tls=trusting, server_name="up.test")
        for turn in range(6):
            reply = await client.open(origin, head=HEAD % 2, body=b"{}", timeouts=Limits())
            if turn % 2:
                assert await read_all(reply) == body + body
            else:
                await asyncio.sleep(0.01)
            reply.close()
        await client.close()
        assert client.open_connections == 0


@pytest.mark.parametrize("size", [0, 2, 20_000, 262_144, 262_145, 3_000_000])
async def test_body_of_any_size_arrives(size: int) -> None:
    """Small bodies go with the head, large ones in slices: the upstream sees the same bytes."""
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    got = []

    async def script(peer: Peer) -> None:
        while True:
            got.append(await peer.request())
            await peer.send(HELLO)

    client = Client()
    async with serving(script) as server:
        for _ in range(2):
            reply = await ask(client, server, body=body)
            assert await reply.read(100) == b"hello"
        assert got == [body, body]
        assert client.opened_total == 1
        await client.close()


async def test_upstream_that_takes_no_more_of_the_body() -> None:
    """An upload that makes no progress is an idle timeout, not a first-byte one."""

    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the stream's transport can
        await go.wait()

    go = asyncio.Event()
    client = Client()
    async with serving(script) as server:
        with pytest.raises(IdleTimeout) as caught:
            await ask(client, server, body=b"x" * 50_000_000, limits=Limits(idle=0.2))
        assert (caught.value.sent, caught.value.answered) == (True, False)
        await settled(client)
        go.set()


async def test_early_answer_stops_the_upload() -> None:
    """An upstream that refuses a body before its end is heard, and its connection is not used again."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await go.wait()

    go = asyncio.Event()
    client = Client()
    async with serving(script) as server:
        reply = await ask(client, server, body=b"x" * 50_000_000)
        assert (reply.status, await reply.read(10)) == (413, b"big")
        await settled(client)
        go.set()


def _authority() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's context for `up.test`, and a client's that trusts its authority."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("up.test").configure_cert(server)
    server.set_alpn_protocols(["http/1.1"])
    trusting = tls_context()
    authority.configure_trust(trusting)
    return server, trusting


async def test_tls_with_its_own_authority() -> None:
    """A private authority comes in through the context; SNI and ALPN are sent; the connection is reused."""
    server_tls, trusting = _authority()
    seen: list[tuple[str | None, str | None]] = []

    async def script(peer: Peer) -> None:
        tls = peer.writer.get_extra_info("ssl_object")
        seen.append((names[-1], tls.selected_alpn_protocol()))
        while True:
            await peer.request()
            await peer.send(CHUNKED_HEAD)
            await peer.send(b"5\r\nhello\r\n0\r\n\r\n")

    names: list[str | None] = []
    server_tls.sni_callback = lambda _tls, name, _context: names.append(name)
    client = Client()
    async with serving(script, tls=server_tls) as server:
        origin = Origin("127.0.0.1", server.port, tls=trusting, server_name="up.test")
        for _ in range(3):
            reply = await client.open(origin, head=HEAD % 2, body=b"{}", timeouts=Limits())
            assert await reply.read(100) == b"hello"
        assert seen == [("up.test", "http/1.1")]
        assert (client.opened_total, client.reused_total) == (1, 2)
        await client.close()
        assert client.open_connections == 0


async def test_tls_refuses_what_it_cannot_verify() -> None:
    """A wrong host name and an unknown authority fail before a byte of the request was sent."""
    server_tls, trusting = _authority()
    client = Client()
    async with serving(says(HELLO), tls=server_tls) as server:
        for tls, name in ((trusting, "other.test"), (tls_context(), "up.test")):
            origin = Origin("127.0.0.1", server.port, tls=tls, server_name=name)
            with pytest.raises(ConnectFailed, match=r"(?i)certificate") as caught:
                await client.open(origin, head=HEAD % 2, body=b"{}", timeouts=Limits())
            assert not caught.value.sent
        unverified = Origin("127.0.0.1", server.port, tls=tls_context(verify=False), server_name="up.test")
        reply = await client.open(unverified, head=HEAD % 2, body=b"{}", timeouts=Limits())
        assert await reply.read(100) == b"hello"
        await client.close()


async def test_tls_large_reply_and_cut() -> None:
    """Backpressure works under TLS too, and a connection cut inside a body is a fault."""
    server_tls, trusting = _authority()

    async def script(peer: Peer) -> None:
        cut = await peer.request() == b"cut"
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
        for _ in range(9 if cut else 10):
            await peer.send(MEGABYTE)
        if cut:
            peer.writer.transport.abort()
        await peer.gone()

    client = Client()
    async with serving(script, tls=server_tls) as server:
        origin = Origin("127.0.0.1", server.port, tls=trusting, server_name="up.test")
        for body in (b"all", b"cut"):
            reply = await client.open(origin, head=HEAD % 3, body=body, timeouts=Limits())
            if body == b"all":
                assert len(await read_all(reply)) == 10_000_000
                await client.close()
                client = Client()
            else:
                with pytest.raises(ConnectionLost):
                    await read_all(reply)
        await settled(client)
