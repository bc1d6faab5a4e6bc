"""F23: thousands of requests whose clients leave at random moments: nothing may be left behind.

`INGOT_CHAOS_REQUESTS` sets how many, `INGOT_CHAOS_SEED` which ones; the seed is printed with a failure.
"""

import asyncio
import contextlib
import json
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig import Backstage, chat, memory, post, stage, wait_until
from served import PATIENCE, Served

REQUESTS = int(os.environ.get("INGOT_CHAOS_REQUESTS", "1000"))
SEED = int(os.environ.get("INGOT_CHAOS_SEED", "20261121"))
AT_ONCE = 40
WARM_UP = 200
CONFIG = """
    [targets.up]
    base_url = "{up}"
    timeouts = { first_byte = 5.0, idle = 5.0 }
    breaker = { failures = 1000 }
    [targets.narrow]
    base_url = "{up}"
    capacity = 100
    breaker = { failures = 1000 }
    [models]
    mock = { targets = ["up"], price = "free" }
    pair = { targets = [{ target = "up", weight = 1 }, { target = "narrow", weight = 1 }], price = "free" }
"""
PROMPTS = [
    "hello",
    "words: 30 {{gap 0.002}}",
    "words: 300",
    "words: 9 {{delay 0.03}}",
    "words: 9 {{delay 0.1}}",
    "words: 9 {{fail 503 times=1}}",
    "words: 9 {{hangup rst times=1}}",
    "words: 9 {{cut 3}}",
    "words: 9 {{rst 3}}",
    "words: 9 {{drop}}",
    "{{huge 300000}}",
]

Stage = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("aborts"), CONFIG) as both:
        yield both


def descriptors(pid: int) -> int:
    """Open files and sockets of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _request(rng: random.Random) -> bytes:
    fields = {"stream": True} if rng.random() < 0.6 else {}
    text = rng.choice(PROMPTS) + " " * rng.choice([0, 0, 0, 50_000])
    body = chat(text, model=rng.choice(["mock", "pair"]), **fields)
    return post(body) * (2 if rng.random() < 0.05 else 1)


async def _call(port: int, rng: random.Random, *, whole: float) -> bool:
    """One client: sends its request, perhaps not whole, reads a while and leaves; True when it got an answer's end."""
    data = _request(rng)
    stays = rng.random() < whole
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        if not stays and rng.random() < 0.15:
            writer.write(data[: rng.randrange(len(data))])
            await asyncio.sleep(rng.random() * 0.02)
            return False
        writer.write(data)
        if not stays:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.choice([0.0, 0.002, 0.01, 0.03, 0.1])):
                    await reader.read(-1)
            if rng.random() < 0.5:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    1, 13, linger
                )  # SOL_SOCKET, SO_LINGER: leave with RST
            return False
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"chunked" in head:
                await reader.readuntil(b"\r\n0\r\n\r\n")
            else:
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
    except (ConnectionError, asyncio.IncompleteReadError):
        if stays:
            raise
        return False
    else:
        return True
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _storm(port: int, count: int, seed: int) -> int:
    """`count` clients, a few at a time; how many got the whole of their answer."""
    rng = random.Random(seed)  # noqa: S311  # a seeded storm
    seeds = iter([rng.random() for _ in range(count)])

    async def worker() -> int:
        return sum([await _call(port, random.Random(one), whole=0.3) for one in seeds])  # noqa: S311  # as above

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(worker()) for _ in range(AT_ONCE)]
    return sum(task.result() for task in workers)


def test_nothing_is_left_when_clients_leave_at_random(scene: Stage) -> None:
    """No permit, connection, file or memory is lost, and who stays gets an answer all the while."""
    print(f"seed {SEED}, {REQUESTS} requests")  # noqa: T201 - pytest shows it with a failure
    served, upstream = scene
    pid = served.process.pid
    asyncio.run(_storm(served.port, WARM_UP, SEED + 1))
    _settle(served, upstream)
    files, bytes_before = descriptors(pid), memory(pid)
    answered = asyncio.run(_storm(served.port, REQUESTS, SEED))
    assert answered > REQUESTS * 0.2
    _settle(served, upstream)
    # Kept connections may be more than before, by as many as ran at once.
    assert descriptors(pid) <= files + AT_ONCE
    assert memory(pid) < bytes_before + 40_000_000
    assert served.metric("ingot_client_departures_total") > 0
    status, _, body = served.call("/v1/chat/completions", chat("echo: still here"))
    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"] == "still here"
    assert not [line for line in served.logs() if line["level"] == "error"]
    assert served.stop() == 0


def _settle(served: Served, upstream: Backstage) -> None:
    """Waits until nothing is in flight and every connection that is left is idle, on both sides."""
    wait_until(lambda: served.metric("ingot_requests_in_flight") == 0, "no request is in flight")
    wait_until(lambda: served.metric("ingot_target_in_flight") == 0, "no permit of a target is held")
    wait_until(
        lambda: all(record.finished or record.aborted for record in upstream.up.log),
        "every call upstream has ended",
    )
    wait_until(
        lambda: served.metric("ingot_upstream_connections") == upstream.up.open_connections,
        "both sides count the same connections",
    )
    assert upstream.up.open_connections <= 2 * AT_ONCE + 2
