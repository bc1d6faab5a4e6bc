"""Requests on one kept connection, by raw bytes: which task handles which, and what becomes of it when the client leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from ingot.web.exchange import Exchange
from linehouse import listening


@dataclass
class Scene:
    """A server whose handlers answer with the path, and may have something left to do when they have."""

    port: int = 0
    tasks: list["asyncio.Task[Any] | None"] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    ended: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, exchange: Exchange) -> None:
        self.tasks.append(asyncio.current_task())
        try:
            if exchange.path == "/silent":
                self.silent.set()
                await asyncio.get_running_loop().create_future()
            exchange.respond(200, b"", exchange.path.encode())
            if exchange.path == "/lingering":
                await self.go_on.wait()
            self.ends.append(exchange.path)
        except asyncio.CancelledError:
            self.ends.append("gone" if exchange.gone else "cancelled")
            if not exchange.gone:
                raise
        finally:
            self.ended.release()

    async def until_ended(self, count: int = 1) -> None:
        """Waits until so many handlers have ended."""
        async with asyncio.timeout(30):
            for _ in range(count):
                await self.ended.acquire()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """The server on a loopback port; nothing of it is left when it ends."""
    made = Scene()
    async with listening(made) as house:
        made.port = house.port
        yield made
        left = {task for task in made.tasks if task is not None}
        for connection in house.live:
            connection.transport.close()
    async with asyncio.timeout(30):
        await asyncio.gather(*left, return_exceptions=True)


@asynccontextmanager
async def _connected(scene: Scene) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def _ask(*paths: str) -> bytes:
    return b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths)


async def _answer(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return (await reader.readexactly(length)).decode()


async def test_one_task_handles_all_when_requests_come_one_after_the_other(scene: Scene) -> None:
    async with _connected(scene) as (reader, writer):
        for path in ("/one", "/two", "/three"):
            writer.write(_ask(path))
            assert await _answer(reader) == path
            await scene.until_ended()
        assert len(set(scene.tasks)) == 1


async def test_next_request_is_answered_when_the_one_before_has_something_left_to_do(scene: Scene) -> None:
    async with _connected(scene) as (reader, writer):
        writer.write(_ask("/lingering"))
        assert await _answer(reader) == "/lingering"
        for path in ("/two", "/three"):
            writer.write(_ask(path))
            assert await _answer(reader) == path
        await scene.until_ended(2)
        assert scene.ends == ["/two", "/three"]
        scene.go_on.set()
        await scene.until_ended()
        assert scene.ends == ["/two", "/three", "/lingering"]
        # The one that comes last finds another waiting, and ends: no task is left over.
        assert len({task for task in scene.tasks if task is not None and not task.done()}) == 1


async def test_answers_keep_their_order_when_requests_come_all_at_once(scene: Scene) -> None:
    async with _connected(scene) as (reader, writer):
        paths = [f"/{number}" for number in range(6)]
        writer.write(_ask(*paths))
        assert [await _answer(reader) for _ in paths] == paths
        await scene.until_ended(6)
        writer.write(_ask("/later"))
        assert await _answer(reader) == "/later"


async def test_handler_is_cancelled_when_its_client_leaves_in_a_later_request(scene: Scene) -> None:
    async with _connected(scene) as (reader, writer):
        writer.write(_ask("/one"))
        assert await _answer(reader) == "/one"
        await scene.until_ended()
        writer.write(_ask("/silent"))
        await writer.drain()
        async with asyncio.timeout(30):
            await scene.silent.wait()
        writer.transport.abort()
        await scene.until_ended()
        assert scene.ends == ["/one", "gone"]
        task = scene.tasks[1]
        assert task is not None
        async with asyncio.timeout(30):
            await task


async def test_waiting_task_ends_when_its_client_leaves(scene: Scene) -> None:
    async with _connected(scene) as (reader, writer):
        writer.write(_ask("/one"))
        assert await _answer(reader) == "/one"
        await scene.until_ended()
        task = scene.tasks[0]
        assert task is not None
        writer.transport.abort()
        async with asyncio.timeout(30):
            await task
