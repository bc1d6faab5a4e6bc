"""The targets of `benchmarks.windows`: a server of this process with calls of known length, or the embedded engine.

    words     so many places, in which a call takes as long as its words
    engine    llama.cpp in a child process, with a model of 0.3 billion random weights (see `synthetic`) or a GGUF file

Decides how long calls are and how many run at once; refuses to know who asks.
"""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.synthetic import write

from ingot.clock import SystemClock
from ingot.logs import LineSink, configure
from ingot.upstream.engine import Engine, EngineSpec

OVERHEAD, WORD = 0.05, 0.01
"""Seconds of a call, and of each word that it writes."""
INPUT: Final = 20
"""Tokens that a prompt comes to."""


@dataclass(frozen=True)
class Target:
    """What the server asks: where, how many calls at once, the most words of one, and requests of a batch."""

    kind: str
    host: str
    port: int
    key: str
    places: int
    most: int
    batch: tuple[int, int]
    model: str = "mock"


@contextlib.asynccontextmanager
async def words() -> AsyncIterator[Target]:
    """A target whose calls take as long as their words."""
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Target("words", "127.0.0.1", port, "", places=8, most=120, batch=(80, 200))


@contextlib.asynccontextmanager
async def engine(folder: Path, model: Path | None) -> AsyncIterator[Target]:
    """The embedded engine, whose calls write as many tokens as they may."""
    path = model or folder / "synthetic.gguf"
    if model is None:
        await asyncio.to_thread(write, path)
    log = configure(LineSink(io.BytesIO()), form="json", level="error")
    child = Engine(EngineSpec(name="mock", path=path, parallel=8, context=256), clock=SystemClock(), log=log)
    await child.start()
    try:
        at = await child.origin()
        yield Target("engine", at.host, at.port, at.key, places=8, most=24, batch=(20, 60))
    finally:
        await child.stop(1.0)


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers chat completions of so many words as the last one of the prompt says, one after the other."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
            )
            asked = json.loads(await reader.readexactly(size))
            words = int(asked["messages"][-1]["content"].rsplit(" ", 1)[-1])
            await asyncio.sleep(OVERHEAD + WORD * words)
            body = json.dumps(
                {
                    "id": "chatcmpl-x",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "mock",
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": "word " * words},
                            "finish_reason": "stop",
                        }
                    ],
                    "usage": {"prompt_tokens": 20, "completion_tokens": words, "total_tokens": 20 + words},
                }
            ).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            await writer.drain()
    writer.close()
