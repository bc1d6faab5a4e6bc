"""Which connection carries a call, how long an idle one is kept, and that none is ever left behind."""

import asyncio
import random

import pytest

from ingot.upstream.client import Client, ConnectFailed, ConnectionLost, Origin, UpstreamFault
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


async def test_connection_is_reused_after_a_whole_reply() -> None:
    """Calls in a row share one connection."""
    client = Client()
    async with serving(says(HELLO)) as server:
        for _ in range(10):
            reply = await ask(client, server)
            assert await reply.read(100) == b"hello"
            reply.close()
            reply.close()
        assert (client.opened_total, client.reused_total) == (1, 9)
        assert (client.open_connections, client.idle_connections) == (1, 1)
        await client.close()
    assert (client.open_connections, client.idle_connections) == (0, 0)


async def test_complete_but_unread_reply_gives_its_connection_back() -> None:
    """A reply whose end has come is worth its connection even where nobody wants the body."""
    client = Client()
    async with serving(says(HELLO)) as server:
        reply = await ask(client, server)
        await until(lambda: reply.complete)
        reply.close()
        assert reply.complete
        assert client.idle_connections == 1
        with pytest.raises(ConnectionLost):
            await reply.chunk()
        reply = await ask(client, server)
        assert await reply.read(100) == b"hello"
        await client.close()


async def test_latest_connection_is_used_first() -> None:
    """The pool is a stack: what went in last comes out first."""
    used = []

    async def script(peer: Peer) -> None:
        while True:
            used.append((id(peer), await peer.request()))
            await peer.send(HELLO)

    client = Client()
    async with serving(script) as server:
        first, second = await asyncio.gather(ask(client, server, body=b"1"), ask(client, server, body=b"2"))
        await second.read(100)
        await first.read(100)
        for _ in range(3):
            await (await ask(client, server, body=b"3")).read(100)
        of_first = next(peer for peer, body in used if body == b"1")
        assert [peer for peer, body in used if body == b"3"] == [of_first] * 3
        await client.close()


async def test_pool_keeps_no_more_than_max_idle() -> None:
    """Connections beyond the limit are closed when they come back."""
    client = Client(max_idle=2)
    async with serving(says(HELLO)) as server:
        replies = await asyncio.gather(*[ask(client, server) for _ in range(5)])
        for reply in replies:
            await reply.read(100)
        assert client.idle_connections == 2
        await until(lambda: client.open_connections == 2)
        await client.close()


async def test_idle_connections_expire() -> None:
    """Nothing is kept longer than idle_seconds, and no timer stays behind."""
    client = Client(idle_seconds=0.05)
    async with serving(says(HELLO)) as server:
        replies = await asyncio.gather(*[ask(client, server) for _ in range(3)])
        for reply in replies:
            await reply.read(100)
            await asyncio.sleep(0.01)
        await settled(client)
        assert client.idle_connections == 0
        await until(lambda: server.connected == 0)
        assert client._pool._sweeper is None
        assert not client._pool._shelves


async def test_connection_that_dies_idle_is_forgotten() -> None:
    """An upstream that closes or resets an idle connection costs no call."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HELLO)
        await go.wait()
        if server.accepted == 1:
            peer.reset()

    go = asyncio.Event()
    client = Client()
    async with serving(script) as server:
        for _ in range(2):
            reply = await ask(client, server)
            assert await reply.read(100) == b"hello"
            go.set()
            await settled(client)
        assert client.opened_total == 2
        assert client.reused_total == 0


async def test_stale_connection_is_told_apart() -> None:
    """A reused connection that is closed before any reply byte is `stale`; a fresh one is not."""

    async def script(peer: Peer) -> None:
        if server.accepted == 1:
            await peer.request()
            await peer.send(HELLO)
        await peer.request()

    client = Client()
    async with serving(script) as server:
        await (await ask(client, server)).read(100)
        with pytest.raises(ConnectionLost) as caught:
            await ask(client, server)
        assert (caught.value.stale, caught.value.sent, caught.value.answered) == (True, True, False)
        with pytest.raises(ConnectionLost) as caught:
            await ask(client, server)
        assert (caught.value.stale, caught.value.sent, caught.value.answered) == (False, True, False)
        await settled(client)


async def test_reset_before_and_inside_the_head() -> None:
    """A reset is a lost connection; `answered` says whether a byte of the reply had come."""

    async def script(peer: Peer) -> None:
        body = await peer.request()
        if body == b"inside":
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-")
            await asyncio.sleep(0.02)
        peer.reset()

    client = Client()
    async with serving(script) as server:
        for body in (b"before", b"inside"):
            with pytest.raises(ConnectionLost) as caught:
                await ask(client, server, body=body)
            assert caught.value.answered == (body == b"inside")
            assert not caught.value.stale
        await settled(client)


@pytest.mark.parametrize("version", [b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.0 200 OK"])
async def test_connection_close_is_respected(version: bytes) -> None:
    """An upstream that announces the end of the connection gets no second request on it."""
    client = Client()
    async with serving(says(version + b"\r\nContent-Length: 5\r\n\r\nhello")) as server:
        for _ in range(2):
            assert await (await ask(client, server)).read(100) == b"hello"
        assert client.reused_total == 0
        await settled(client)
        await until(lambda: server.connected == 0)


async def test_refused_connection_was_not_sent() -> None:
    """A port where nobody listens, or a name that is none, fails before a byte was sent."""
    async with serving(says(HELLO)) as server:
        closed = server.origin
    client = Client()
    for origin in (closed, Origin("name.invalid", 80), Origin("a" * 70 + ".example", 80)):
        with pytest.raises(ConnectFailed) as caught:
            await client.open(origin, head=HEAD % 2, body=b"{}", timeouts=Limits())
        assert not caught.value.sent
        assert str(origin) in str(caught.value)
    assert client.open_connections == 0


async def test_closed_client_connects_no_more() -> None:
    """After close() a call is refused, and a call in progress has failed."""
    client = Client()
    async with serving(says(CHUNKED_HEAD)) as server:
        reply = await ask(client, server)
        reading = asyncio.create_task(reply.chunk())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ConnectionLost):
            await reading
        with pytest.raises(ConnectFailed):
            await ask(client, server)
        assert client.open_connections == 0


async def test_close_while_another_task_reads() -> None:
    """A reply closed under its reader wakes the reader with a fault instead of leaving it to wait."""
    client = Client()
    async with serving(says(CHUNKED_HEAD)) as server:
        reply = await ask(client, server)
        reading = asyncio.create_task(reply.chunk())
        await asyncio.sleep(0.01)
        reply.close()
        with pytest.raises(ConnectionLost):
            await reading
        await settled(client)
        await until(lambda: server.connected == 0)


async def test_second_reader_is_refused() -> None:
    """Two tasks that read one reply at once are a mistake, which is told at once."""
    client = Client()
    async with serving(says(CHUNKED_HEAD)) as server:
        reply = await ask(client, server)
        reading = asyncio.create_task(reply.chunk())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await reply.chunk()
        with pytest.raises(ConnectionLost):
            await reading
        await settled(client)


@pytest.mark.parametrize("steps", range(12))
async def test_cancelled_at_any_step_closes_the_connection(steps: int) -> None:
    """However far a call has come when it is cancelled, the upstream sees its connection closed and none stays."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.005)
        await peer.send(CHUNKED_HEAD)
        await asyncio.sleep(0.005)
        await peer.send(b"3\r\nabc\r\n")
        await peer.gone()

    async def call() -> bytes:
        reply = await ask(client, server)
        return await read_all(reply) if steps % 2 else await reply.read(1000)

    client = Client()
    async with serving(script) as server:
        task = asyncio.create_task(call())
        for _ in range(steps):
            await asyncio.sleep(0.002 if steps > 5 else 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(client)
        await until(lambda: server.connected == 0)


async def test_cancelled_upload_closes_the_connection() -> None:
    """A call cancelled while its body waits for the upstream leaves nothing open."""

    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the stream's transport can
        await go.wait()

    go = asyncio.Event()
    client = Client()
    async with serving(script) as server:
        task = asyncio.create_task(ask(client, server, body=b"x" * 50_000_000))
        await until(lambda: client.open_connections == 1)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(client)
        go.set()


async def test_many_calls_with_random_cancellations_leave_nothing() -> None:
    """2,000 calls at once, cancelled, closed early or read to the end in a seeded mix: every counter ends at zero."""
    rng = random.Random(7)  # noqa: S311  # a seeded mix, no secret

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await asyncio.sleep(0.001)
            await peer.send(CHUNKED_HEAD)
            for _ in range(3):
                await peer.send(b"3\r\nabc\r\n")
                await asyncio.sleep(0)
            await peer.send(b"0\r\n\r\n")

    async def call(way: int) -> None:
        reply = await ask(client, server, limits=Limits(connect=60))
        try:
            if way == 0:
                await reply.chunk()
            else:
                assert await read_all(reply) == b"abcabcabc"
        finally:
            reply.close()

    client = Client()
    async with serving(script) as server:
        gate = asyncio.Semaphore(400)  # 800 sockets in one process: below the usual limit of 1,024 files

        async def gated(way: int) -> None:
            async with gate:
                await call(way)

        tasks = [asyncio.create_task(gated(rng.randrange(3))) for _ in range(2_000)]
        while not all(task.done() for task in tasks):
            for task in rng.sample(tasks, 4):
                task.cancel()
            await asyncio.sleep(0.005)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        bad = [o for o in outcomes if isinstance(o, BaseException) and not _expected(o)]
        assert not bad
        assert any(o is None for o in outcomes)
        assert any(isinstance(o, asyncio.CancelledError) for o in outcomes)
        await client.close()
        assert (client.open_connections, client.idle_connections) == (0, 0)
        assert not client._pool._shelves
        await until(lambda: server.connected == 0)


def _expected(outcome: BaseException) -> bool:
    return isinstance(outcome, asyncio.CancelledError) or (
        isinstance(outcome, UpstreamFault) and getattr(outcome, "stale", False)
    )
