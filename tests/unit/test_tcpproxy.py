"""The proxy that harms connections: each verb does what it says, and nothing without one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tcpproxy import Address, Harm, Proxy, Switchboard

PATIENCE = 30.0
ANSWER = b"0123456789" * 400


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says the answer to every line, until the line `end`."""
    while (await reader.readline()).strip() not in {b"", b"end"}:
        writer.write(ANSWER)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxied(seed: int = 0, socket: Path | None = None) -> AsyncIterator[Proxy]:
    """A proxy before a server that has one answer."""
    server = await (
        asyncio.start_server(_answer, "127.0.0.1", 0)
        if socket is None
        else asyncio.start_unix_server(_answer, socket)
    )
    behind: Address = ("127.0.0.1", server.sockets[0].getsockname()[1]) if socket is None else socket
    async with Proxy(behind, seed) as proxy:
        yield proxy
    server.close()


async def ask(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the answer was asked for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"go\n")
    return reader, writer


async def whole(reader: asyncio.StreamReader, size: int = len(ANSWER)) -> bytes:
    """So many bytes, however long they take."""
    async with asyncio.timeout(PATIENCE):
        return await reader.readexactly(size)


async def test_bytes_pass_when_all_is_well() -> None:
    """The answer comes as it was said, and so does the end of either side."""
    async with proxied() as proxy:
        reader, writer = await ask(proxy)
        assert await whole(reader) == ANSWER
        writer.write(b"end\n")
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()
        assert proxy.accepted == 1


async def test_bytes_pass_when_the_server_is_on_a_socket_file(tmp_path: Path) -> None:
    """A path is a server too."""
    async with proxied(socket=tmp_path / "s") as proxy:
        reader, writer = await ask(proxy)
        assert await whole(reader) == ANSWER
        writer.close()


async def test_line_is_as_if_dead_when_nobody_is_behind() -> None:
    """A client whose server is gone sees an end without a byte."""
    async with Proxy(("127.0.0.1", 1)) as proxy:
        reader, writer = await ask(proxy)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.close()


async def test_pieces_wait_when_there_is_latency() -> None:
    """Nothing is there before the latency is over, and all is there afterwards."""
    async with proxied() as proxy:
        proxy.harm(Harm(latency=0.2, jitter=0.05))
        began = asyncio.get_running_loop().time()
        reader, writer = await ask(proxy)
        assert await whole(reader) == ANSWER
        assert asyncio.get_running_loop().time() - began >= 0.4  # both ways
        writer.close()


async def test_answer_takes_its_time_when_there_is_little_bandwidth() -> None:
    """So many bytes a second, and not more."""
    async with proxied() as proxy:
        reader, writer = await ask(proxy)
        await whole(reader)
        proxy.harm(Harm(bandwidth=len(ANSWER) * 4))
        began = asyncio.get_running_loop().time()
        for _ in range(3):
            writer.write(b"go\n")
            await whole(reader)
        assert asyncio.get_running_loop().time() - began >= 0.5  # the third one waits for two
        writer.close()


async def test_bytes_come_late_when_the_line_was_stalled() -> None:
    """Nothing passes while it lasts; then everything does."""
    async with proxied() as proxy:
        proxy.harm(Harm(stalled=True))
        reader, writer = await ask(proxy)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        proxy.heal()
        assert await whole(reader) == ANSWER
        writer.close()


async def test_connection_stays_dead_when_it_fell_into_a_black_hole() -> None:
    """What was swallowed never comes, and no end is told; a new connection is well again."""
    async with proxied() as proxy:
        proxy.harm(Harm(black_hole=True))
        reader, writer = await ask(proxy)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        proxy.heal()
        writer.write(b"go\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        writer.close()
        reader, writer = await ask(proxy)
        assert await whole(reader) == ANSWER
        writer.close()


async def test_answer_is_cut_when_so_many_bytes_have_passed() -> None:
    """FIN after as many bytes as said, on an open connection counted from the harm on."""
    async with proxied() as proxy:
        reader, writer = await ask(proxy)
        await whole(reader)
        proxy.harm(Harm(cut=1234))
        writer.write(b"go\n")
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == ANSWER[:1234]
        writer.close()


async def test_connection_is_reset_when_so_many_bytes_have_passed() -> None:
    """RST instead, which a client can tell from an end."""
    async with proxied() as proxy:
        proxy.harm(Harm(reset=100))
        reader, writer = await ask(proxy)
        with pytest.raises(ConnectionResetError):
            await whole(reader)
        writer.close()


async def test_jitter_is_the_same_when_the_seed_is() -> None:
    """What is drawn can be drawn again."""
    async with proxied(7) as one, proxied(7) as same, proxied(8) as other:
        drawn = [proxy._rng.random() for proxy in (one, same, other)]
        assert drawn[0] == drawn[1] != drawn[2]


def test_switchboard_when_a_test_is_not_asynchronous() -> None:
    """Its proxies run on a thread, and are gone with it."""

    async def call(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"go\n")
        got = await whole(reader, 10)
        writer.close()
        return got

    async def both() -> None:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0)
        with Switchboard() as board:
            proxy = await asyncio.to_thread(board.before, ("127.0.0.1", server.sockets[0].getsockname()[1]))
            assert await call(proxy.port) == ANSWER[:10]
        with pytest.raises(ConnectionRefusedError):
            await call(proxy.port)
        server.close()

    asyncio.run(both())
