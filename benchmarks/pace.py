"""Requests at a steady pace, whether answers come or not, and how long each took: what a gateway adds when it is not busy.

Open loop: a slow answer delays no later request, so that waiting shows in the figures. Runs in this process, on the
load's core. `disk_sync` measures what the disk alone takes for a commit of this size.
"""

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass

import msgspec
from benchmarks.load import PLAIN

from ingot.upstream.client import Client, Origin, UpstreamFault

SYNC_BYTES = 8192
SYNCS = 200


@dataclass(frozen=True, slots=True)
class Paced:
    """Seconds that half and nearly all requests took at most, and how many failed."""

    p50: float
    p99: float
    errors: int


@dataclass(frozen=True, slots=True)
class _Patience:
    connect: float = 5.0
    first_byte: float = 30.0
    idle: float = 30.0


def drive(port: int, key: str, *, rate: int, seconds: float) -> Paced:
    """`rate` requests a second for a time."""
    return asyncio.run(_drive(port, key, rate, seconds))


async def _drive(port: int, key: str, rate: int, seconds: float) -> Paced:
    client = Client()
    origin = Origin("127.0.0.1", port)
    body = msgspec.json.encode(PLAIN)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    took: list[float] = []
    errors = 0

    async def ask() -> None:
        nonlocal errors
        began = time.perf_counter()
        try:
            reply = await client.open(origin, head=head, body=body, timeouts=_Patience())
            await reply.read(1 << 20)
            reply.close()
            errors += reply.status != 200
        except UpstreamFault:
            errors += 1
        took.append(time.perf_counter() - began)

    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            wait = start + number / rate - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(ask())
    await client.close()
    took.sort()
    return Paced(took[len(took) // 2], took[int(len(took) * 0.99)], errors)


def disk_sync() -> float:
    """Seconds that the disk takes to keep a few pages, the median of many tries."""
    with tempfile.NamedTemporaryFile(prefix="sync-") as file:
        times = []
        for _ in range(SYNCS):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(SYNC_BYTES))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    times.sort()
    return times[len(times) // 2]
