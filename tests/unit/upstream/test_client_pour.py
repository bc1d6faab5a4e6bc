"""Pouring: the body goes to a sink in the turn in which it is read, with the promises that reading by chunks has."""

import asyncio

import pytest

from ingot.upstream.client import Client, ConnectionLost, IdleTimeout
from unit.upstream.rawserver import HELLO, Limits, Peer, ask, says, serving, settled, until

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_sink_gets_the_whole_body_when_it_never_pauses() -> None:
    """All bytes arrive in order, and the connection is kept."""
    client = Client()
    got: list[bytes] = []

    def sink(piece: bytes) -> bool:
        got.append(piece)
        return True

    async with serving(says(CHUNKED_HEAD, b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n")) as server:
        reply = await ask(client, server)
        assert await reply.pour(sink) is True
        assert b"".join(got) == b"abcdef"
        assert reply.complete
        await until(lambda: client.idle_connections == 1)
        await client.close()


async def test_pouring_goes_on_when_the_sink_paused_it() -> None:
    """A pause loses nothing, in the middle and at the last piece."""
    client = Client()
    got: list[bytes] = []

    def sink(piece: bytes) -> bool:
        got.append(piece)
        return False

    async with serving(
        says(CHUNKED_HEAD, *[b"1\r\n%c\r\n" % byte for byte in b"pieces"], b"0\r\n\r\n")
    ) as server:
        reply = await ask(client, server)
        while not await reply.pour(sink):
            pass
        assert b"".join(got) == b"pieces"
        await client.close()


async def test_fault_is_raised_when_the_body_is_cut() -> None:
    """What came before the cut is given first."""
    client = Client()
    got: list[bytes] = []

    def sink(piece: bytes) -> bool:
        got.append(piece)
        return True

    async with serving(says(CHUNKED_HEAD, b"3\r\nabc\r\n", close=True)) as server:
        reply = await ask(client, server)
        with pytest.raises(ConnectionLost):
            await reply.pour(sink)
        assert got == [b"abc"]
        reply.close()
        await settled(client)


async def test_silence_is_a_fault_when_it_is_too_long() -> None:
    """The idle timeout holds while pouring."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + b"3\r\nabc\r\n")
        await peer.gone()

    client = Client()
    async with serving(script) as server:
        reply = await ask(client, server, limits=Limits(idle=0.15))
        with pytest.raises(IdleTimeout):
            await reply.pour(bool)
        reply.close()
        await settled(client)


async def test_error_of_the_sink_reaches_the_reader_when_it_fails() -> None:
    """The reader gets the sink's own exception, and the connection is given up."""

    def sink(piece: bytes) -> bool:
        raise ValueError(piece)

    client = Client()
    async with serving(says(CHUNKED_HEAD, b"3\r\nabc\r\n", b"3\r\ndef\r\n")) as server:
        reply = await ask(client, server)
        with pytest.raises(ValueError, match="abc"):
            await reply.pour(sink)
        reply.close()
        await settled(client)


async def test_upstream_sees_the_close_when_pouring_is_cancelled() -> None:
    """A cancelled reader leaves no connection and no sink behind."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + b"3\r\nabc\r\n")
        await peer.gone()

    client = Client()
    got: list[bytes] = []

    def sink(piece: bytes) -> bool:
        got.append(piece)
        return True

    async with serving(script) as server:
        reply = await ask(client, server)
        task = asyncio.create_task(reply.pour(sink))
        await until(lambda: bool(got))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(client)
        await until(lambda: server.connected == 0)


async def test_reply_is_at_its_end_when_it_was_read_already() -> None:
    """Pouring a finished reply gives nothing more."""
    client = Client()
    async with serving(says(HELLO)) as server:
        reply = await ask(client, server)
        await reply.read(1000)
        assert await reply.pour(lambda _: True) is True
        await client.close()
