"""The engine that ships with Ingot, running the demo model that ships with it."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import ingot.models
from ingot.clock import SystemClock
from ingot.upstream.engine import Available, Engine, EngineAddress, EngineSpec, engine_available

DEMO = Path(ingot.models.__path__[0]) / "demo-tiny.gguf"
PATIENCE = 60.0

pytestmark = pytest.mark.skipif(
    not isinstance(engine_available(), Available), reason="the engine wheel does not run on this machine"
)


class Notes:
    """A log that remembers its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, event: str, **fields: Any) -> None:
        self.lines.append(f"{event} {fields}")

    info = warning = error = debug


@pytest.fixture
async def engine() -> AsyncIterator[tuple[Engine, Notes]]:
    """The demo model with two slots and embeddings, and the log."""
    notes = Notes()
    spec = EngineSpec("demo", DEMO, parallel=2, context=2048, threads=1, embeddings=True)
    engine = Engine(spec, clock=SystemClock(), log=notes)
    await engine.start()
    try:
        yield engine, notes
    finally:
        await engine.stop(1.0)


async def ask(
    address: EngineAddress, path: str, body: dict[str, Any], *, key: str | None = None
) -> tuple[int, Any]:
    """Posts to the engine: status and decoded body."""
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key or address.key}\r\nContent-Length: "
        f"{len(data)}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".encode()
    )
    writer.write(data)
    async with asyncio.timeout(PATIENCE):
        said = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, text = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(text)


def chat(text: str, tokens: int = 8) -> dict[str, Any]:
    """A greedy chat of one message."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0}


async def test_demo_answers_when_asked(engine: tuple[Engine, Notes]) -> None:
    """A first answer needs no network, no GPU and no download; several run at the same time."""
    address = await engine[0].origin()
    answers = await asyncio.gather(*(ask(address, "/v1/chat/completions", chat("Hello")) for _ in range(4)))
    assert [status for status, _ in answers] == [200] * 4
    assert all(body["choices"][0]["message"]["content"] for _, body in answers)
    assert answers[0][1]["model"] == "demo"


async def test_engine_refuses_when_the_key_is_wrong(engine: tuple[Engine, Notes]) -> None:
    """Another user of the machine cannot use the engine behind our back, nor read its key from a process list."""
    address = await engine[0].origin()
    assert (await ask(address, "/v1/chat/completions", chat("Hello"), key="guess"))[0] == 401
    process = Path(f"/proc/{engine[0].pid}")
    if process.exists():
        assert address.key.encode() not in (process / "cmdline").read_bytes()
        assert address.key.encode() not in (process / "environ").read_bytes()


async def test_prompt_is_refused_when_it_is_too_long(engine: tuple[Engine, Notes]) -> None:
    """A clean 400 with the numbers, and the next request is answered."""
    address = await engine[0].origin()
    status, body = await ask(address, "/v1/chat/completions", chat("word " * 5000))
    assert status == 400
    assert body["error"]["type"] == "exceed_context_size_error"
    assert body["error"]["n_ctx"] == 2048
    assert (await ask(address, "/v1/chat/completions", chat("Hello")))[0] == 200


async def test_one_engine_chats_and_embeds_when_embeddings_are_on(engine: tuple[Engine, Notes]) -> None:
    """A generating model without a pooling of its own gives the mean."""
    address = await engine[0].origin()
    status, body = await ask(address, "/v1/embeddings", {"input": ["one", "two"], "model": "demo"})
    assert status == 200
    assert len(body["data"]) == 2
    assert sum(value * value for value in body["data"][0]["embedding"]) == pytest.approx(1.0, abs=1e-3)


async def test_log_holds_no_prompt_when_requests_fail(engine: tuple[Engine, Notes]) -> None:
    """llama.cpp quotes a bad schema in its warnings."""
    address = await engine[0].origin()
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "SECRET"}}}
    await ask(address, "/v1/chat/completions", chat("my SECRET diary") | {"response_format": schema})
    await ask(address, "/v1/chat/completions", chat("my SECRET diary " * 2000))
    await engine[0].stop(1.0)
    assert "SECRET" not in "\n".join(engine[1].lines)


async def test_new_requests_are_answered_when_the_process_was_killed(engine: tuple[Engine, Notes]) -> None:
    """A native fault takes the running requests with it, and nothing else."""
    address = await engine[0].origin()
    cut = asyncio.create_task(
        ask(address, "/v1/chat/completions", chat("Hello", 1500) | {"ignore_eos": True})
    )
    await asyncio.sleep(0.1)
    assert engine[0].pid is not None
    os.kill(engine[0].pid, signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises((OSError, IndexError, json.JSONDecodeError)):
        await cut
    again = await engine[0].origin()
    assert (await ask(again, "/v1/chat/completions", chat("Hello")))[0] == 200
    print(f"answered again after {time.monotonic() - begin:.2f} s")  # noqa: T201 - a figure to read, no expectation
