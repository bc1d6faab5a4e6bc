"""What the bytes of a reply mean, however they are cut, and which bytes are refused."""

import asyncio

import pytest

from ingot.upstream.client import Client, ConnectionLost, ProtocolFault, ReplyTooLarge, UpstreamFault
from unit.upstream.rawserver import HELLO, Peer, ask, read_all, says, serving, settled, until

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain  \r\nContent-Length: 11\r\n\r\nhello world"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: late\r\nX-Other: late\r\n\r\n"
)
CLOSING = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nhello world"
OLD = b"HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    b"HTTP/1.1 150 Unknown\r\nContent-Length: 4\r\n\r\nnone"
)
EMPTY = b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"
UNCHANGED = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 11\r\n\r\n"

KINDS = {
    "length": (LENGTH, 200, b"hello world", True),
    "chunked": (CHUNKED, 200, b"hello world", True),
    "until-close": (CLOSING, 200, b"hello world", False),
    "http-1.0": (OLD, 200, b"hello world", False),
    "interim": (INTERIM + LENGTH, 200, b"hello world", True),
    "no-content": (EMPTY, 204, b"", True),
    "not-modified": (UNCHANGED, 304, b"", True),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_reply_split_at_every_byte_boundary(kind: str) -> None:
    """A reply means the same wherever the network cuts it in two."""
    wire, status, body, keeps = KINDS[kind]
    cuts = iter(range(1, len(wire)))

    async def script(peer: Peer) -> None:
        for cut in cuts:
            await peer.request()
            await peer.send(wire[:cut])
            await asyncio.sleep(0.0005)
            await peer.send(wire[cut:])
            if not keeps:
                return

    client = Client()
    async with serving(script) as server:
        for _ in range(1, len(wire)):
            reply = await ask(client, server)
            assert reply.status == status
            assert await read_all(reply) == body
            assert reply.complete
            assert not any(name in (b"x-trailer", b"link") for name, _ in reply.headers)
        assert client.reused_total == (len(wire) - 2 if keeps else 0)
        await client.close()
    assert client.open_connections == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_reply_byte_by_byte(kind: str) -> None:
    """A reply that drips in one byte at a time is read whole."""
    wire, status, body, keeps = KINDS[kind]
    client = Client()
    async with serving(says(*[wire[i : i + 1] for i in range(len(wire))], close=not keeps)) as server:
        reply = await ask(client, server)
        assert reply.status == status
        assert await reply.read(1000) == body
        assert client.idle_connections == int(keeps)
        await client.close()


async def test_headers_are_lower_case_and_stripped() -> None:
    """Header names come in lower case, values without the white space around them, duplicates in order."""
    client = Client()
    wire = b"HTTP/1.1 200 OK\r\nX-A:  one \r\nCONTENT-length: 0\r\nx-a: two\r\n\r\n"
    async with serving(says(wire)) as server:
        reply = await ask(client, server)
        assert reply.headers == [(b"x-a", b"one"), (b"content-length", b"0"), (b"x-a", b"two")]
        assert reply.header(b"x-a") == b"one"
        assert reply.header(b"x-none") is None
        assert await reply.chunk() == b""
        await client.close()


async def test_trailers_do_not_reach_the_next_reply() -> None:
    """Trailers are dropped, and the connection carries the next call with a clean head."""
    client = Client()
    async with serving(says(CHUNKED)) as server:
        for _ in range(3):
            reply = await ask(client, server)
            assert await reply.read(100) == b"hello world"
            assert reply.headers == [(b"transfer-encoding", b"chunked")]
        assert client.opened_total == 1
        await client.close()


async def test_content_encoding_is_passed_on() -> None:
    """An encoded body comes as it is: decoding is not this client's business."""
    client = Client()
    wire = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"
    async with serving(says(wire)) as server:
        reply = await ask(client, server)
        assert reply.header(b"content-encoding") == b"gzip"
        assert await reply.read(10) == b"\x1f\x8b\x08"
        await client.close()


async def test_redirect_is_not_followed() -> None:
    """A redirect is an answer like any other."""
    client = Client()
    wire = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n"
    async with serving(says(wire)) as server:
        reply = await ask(client, server)
        assert (reply.status, await reply.read(10)) == (307, b"")
        assert server.accepted == 1
        await client.close()


BAD = {
    "not http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "bad status line": b"HTTP/1.1 OK\r\n\r\n",
    "status zero": b"HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "huge header": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: aaaaaaaaaaaaaaaa\r\n" * 4_000,
    "huge head, whole": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nhi",
    "endless interim": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 4_000,
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_head_is_a_protocol_fault(case: str) -> None:
    """A head that is not HTTP/1.1, or too large, fails the call and costs the connection."""
    client = Client()
    async with serving(says(BAD[case])) as server:
        with pytest.raises(ProtocolFault) as caught:
            await ask(client, server)
        assert caught.value.sent
        assert caught.value.answered
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        await settled(client)


BAD_BODIES = {
    "bad chunk size": (b"3\r\nabc\r\nzz\r\n", b"abc"),
    "chunk runs over": (b"3\r\nabcdef\r\n", b"abc"),
    "huge chunk extension": (b"3\r\nabc\r\n3;" + b"x" * 600_000, b"abc"),
    "huge trailers": (b"3\r\nabc\r\n0\r\n" + b"X-T: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n" * 16_000, b"abc"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
async def test_bad_body_is_a_protocol_fault_after_its_good_part(case: str) -> None:
    """What came before the broken framing is delivered; then the fault, never a clean end."""
    wire, good = BAD_BODIES[case]
    client = Client()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(says(head, wire)) as server:
        reply = await ask(client, server)
        assert await reply.chunk() == good
        with pytest.raises(ProtocolFault):
            await reply.chunk()
        with pytest.raises(ProtocolFault):
            await reply.chunk()
        assert not reply.complete
        reply.close()
        await settled(client)


@pytest.mark.parametrize(
    "wire", [LENGTH[:-1], CHUNKED[:-2], CHUNKED[:60]], ids=["length", "chunked", "inside a chunk"]
)
async def test_early_end_of_a_framed_body_is_a_lost_connection(wire: bytes) -> None:
    """A body with a length or chunks that ends early is a fault, for chunk() and for read()."""
    client = Client()
    async with serving(says(wire, close=True)) as server:
        reply = await ask(client, server)
        with pytest.raises(ConnectionLost) as caught:
            await read_all(reply)
        assert caught.value.answered
        assert not caught.value.stale
        reply = await ask(client, server)
        with pytest.raises(ConnectionLost):
            await reply.read(1000)
        await settled(client)


async def test_reset_inside_an_until_close_body_is_not_its_end() -> None:
    """Only an orderly close ends a body without a length; a reset is a fault."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CLOSING)
        await go.wait()
        peer.reset()

    go = asyncio.Event()
    client = Client()
    async with serving(script) as server:
        reply = await ask(client, server)
        assert await reply.chunk() == b"hello world"
        go.set()
        with pytest.raises(ConnectionLost):
            await reply.chunk()
        await settled(client)


@pytest.mark.parametrize(
    "surplus", [b"x", HELLO, b"\r\nHTTP/1.1 200 OK\r\n"], ids=["a byte", "a reply", "a head"]
)
async def test_surplus_bytes_cost_the_connection(surplus: bytes) -> None:
    """A whole reply stands, but bytes after it belong to nobody: the connection is not used again."""
    client = Client()
    async with serving(says(HELLO + surplus)) as server:
        for _ in range(2):
            reply = await ask(client, server)
            assert await reply.read(100) == b"hello"
        assert client.reused_total == 0
        await settled(client)


async def test_bytes_on_an_idle_connection_cost_it() -> None:
    """An upstream that talks without being asked loses its place in the pool."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HELLO)
        await go.wait()
        await peer.send(HELLO)
        await peer.gone()

    go = asyncio.Event()
    client = Client()
    async with serving(script) as server:
        reply = await ask(client, server)
        assert await reply.read(100) == b"hello"
        assert client.idle_connections == 1
        go.set()
        await settled(client)
        assert client.idle_connections == 0


@pytest.mark.parametrize("kind", ["length", "chunked", "until-close"])
async def test_read_refuses_more_than_its_limit(kind: str) -> None:
    """A body over the limit is ReplyTooLarge; one of exactly the limit is fine."""
    wire, _, _, keeps = KINDS[kind]
    client = Client()
    async with serving(says(wire, close=not keeps)) as server:
        reply = await ask(client, server)
        assert await reply.read(11) == b"hello world"
        reply = await ask(client, server)
        with pytest.raises(ReplyTooLarge) as caught:
            await reply.read(10)
        assert isinstance(caught.value, UpstreamFault)
        assert caught.value.answered
        await client.close()


async def test_read_takes_what_chunk_left() -> None:
    """read() after chunk() returns the rest, and nothing after the end."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(LENGTH[:-6])
        await go.wait()
        await peer.send(LENGTH[-6:])
        await peer.gone()

    go = asyncio.Event()
    client = Client()
    async with serving(script) as server:
        reply = await ask(client, server)
        assert await reply.chunk() == b"hello"
        go.set()
        assert await reply.read(100) == b" world"
        assert await reply.read(100) == b""
        assert await reply.chunk() == b""
        await client.close()
        await until(lambda: server.connected == 0)
