"""The targets of `benchmarks.windows`: a server of this process with calls of known length, or the embedded engine.

    words     so many places, in which a call takes as long as its words
    engine    llama.cpp in a child process, with the bundled demo model or a GGUF file

Decides how long calls are and how many run at once; refuses to know who asks.
"""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from ingot.clock import SystemClock
from ingot.logs import LineSink, configure
from ingot.upstream.engine import Engine, EngineSpec

OVERHEAD, WORD = 0.05, 0.01
"""Seconds of a call, and of each word that it writes."""
INPUT: Final = 20
"""Tokens that a prompt comes to."""
MOST: Final = 48
"""Tokens of an answer of the demo model, which has some more to say."""


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
async def engine(
    model: Path | None, *, most: int, batch: tuple[int, int], threads: int | None
) -> AsyncIterator[Target]:
    """The embedded engine, whose calls write as many tokens as they may: what the demo model has to say is longer."""
    log = configure(LineSink(io.BytesIO()), form="json", level="error")
    bundled = resources.files("ingot") / "models" / "demo-tiny.gguf"
    with contextlib.nullcontext(model) if model else resources.as_file(bundled) as path:
        spec = EngineSpec(name="mock", path=path, threads=threads, parallel=8, context=256)
        child = Engine(spec, clock=SystemClock(), log=log)
        await child.start()
        try:
            at = await child.origin()
            yield Target("engine", at.host, at.port, at.key, places=8, most=most, batch=batch)
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
