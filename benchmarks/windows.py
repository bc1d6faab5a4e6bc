"""`python -m benchmarks.windows --minutes 4`: whether what is promised holds, in a real server before a target of known speed.

    batches     a third of the time: one after the other, each quoted before it is sent
    overload    the rest: half as much again as the target bears, in two short windows; who is refused comes when told

What was promised, what came of it, and what the simulator says of the same load stand beside each other. The target is a
server of this process with so many places, in which a call takes as long as its words. Requests go by HTTP alone.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
from benchmarks.processes import free_port

from ingot.scheduling.simulation.load import Asked, Item
from ingot.scheduling.simulation.run import simulate
from ingot.scheduling.simulation.scenario import Model, Organization, Scenario
from ingot.scheduling.windows import Window

KEY: Final = "ik-benchmark-key-0123456789"
PLACES, OVERHEAD, WORD = 8, 0.05, 0.01
"""Calls that the target bears at once, seconds of a call, and of each word that it writes."""
MOST_WORDS: Final = 120
WINDOWS: Final = {"quick": 20.0, "steady": 60.0, "night": 600.0}
OVERLOAD: Final = 1.5
CLOSE: Final = 0.2
MEAN: Final = OVERHEAD + WORD * MOST_WORDS / 2

CONFIG: Final = """
[engine]
enabled = false
[targets.up]
base_url = "http://127.0.0.1:{port}/v1"
capacity = {places}
[models.mock]
targets = ["up"]
windows = ["asap", "quick", "steady", "night"]
price = {{ input = 1, output = 2 }}
"""


@dataclass
class Found:
    """What was promised, and what came of it."""

    quoted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Quotes by the id of the response."""
    batches: list[tuple[dict[str, Any], float, bool]] = field(default_factory=list)
    """Of each its quote, when it ended, and whether all of it was answered."""
    load: list[Asked] = field(default_factory=list)
    told: int = 0
    kept: int = 0
    never: int = 0


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


def say(text: str) -> None:
    """Progress, kept apart from the result."""
    print(text, file=sys.stderr, flush=True)


class Run:
    """One server, and those who ask it."""

    def __init__(self, client: httpx2.AsyncClient, rng: random.Random) -> None:
        self.found = Found()
        self._client = client
        self._rng = rng
        self._number = 0
        self._began = time.time()

    def body(self, words: int, window: str) -> dict[str, Any]:
        """A request that no other is like."""
        self._number += 1
        return {
            "model": "mock",
            "messages": [{"role": "user", "content": f"Request {self._number}, words: {words}"}],
            "max_completion_tokens": MOST_WORDS,
            "background": True,
            "metadata": {"completion_window": window},
        }

    async def batch(self, count: int) -> None:
        """A batch of so many requests: quoted, sent, and watched to its end."""
        pieces = []
        for place in range(count):
            body = self.body(self._rng.randint(1, MOST_WORDS), "night")
            del body["background"]
            pieces.append({"custom_id": f"r{place}", "params": body})
        ask = {"endpoint": "/v1/chat/completions", "requests": pieces}
        quote = (await self._client.post("/v1/quotes", json=ask)).json()
        made = (await self._client.post("/v1/batches", json=ask)).json()
        while made["status"] not in {"completed", "failed", "expired", "cancelled"}:
            await asyncio.sleep(0.2)
            made = (await self._client.get(f"/v1/batches/{made['id']}")).json()
        self.found.batches.append((quote, time.time(), made["request_counts"]["completed"] == count))

    async def send(self, body: dict[str, Any], words: int, *, quote: bool = True) -> str | None:
        """Sends a request until it is taken; whoever is refused comes again when told, with the same."""
        window = body["metadata"]["completion_window"]
        at = time.time() - self._began
        if quote:
            self.found.load.append(Asked(at, "one", window, (Item(20, words, MOST_WORDS),)))
        for tries in range(4):
            told: dict[str, Any] | None = None
            if quote:
                ask = {"endpoint": "/v1/chat/completions", "body": body}
                told = (await self._client.post("/v1/quotes", json=ask)).json()
            answer = await self._client.post("/v1/chat/completions", json=body)
            if answer.status_code == 200:
                self.found.kept += tries > 0
                which = str(answer.json()["id"])
                if told is not None and told.get("accepted"):
                    self.found.quoted[which] = told
                return which
            if answer.status_code != 429:
                raise RuntimeError(answer.text)
            after = answer.headers.get("retry-after")
            if after is None:
                self.found.never += 1
                return None
            if tries < 3:
                self.found.told += 1
                await asyncio.sleep(float(after) + self._rng.random())
        return None

    async def play(self, seconds: float) -> None:
        """All of it."""
        async with asyncio.TaskGroup() as group:
            first = time.time() + seconds / 3
            while time.time() < first:
                count = self._rng.randint(80, 200)
                group.create_task(self.batch(count))
                await asyncio.sleep(count * MEAN / PLACES / 0.7)
            say("overload begins")
            self._began = time.time()
            while time.time() < self._began + seconds * 2 / 3:
                words = self._rng.randint(1, MOST_WORDS)
                window = "quick" if self._rng.random() < 0.5 else "steady"
                group.create_task(self.send(self.body(words, window), words))
                await asyncio.sleep(self._rng.expovariate(OVERLOAD * 0.8 * PLACES / MEAN))

    async def ended(self) -> dict[str, dict[str, Any]]:
        """All requests by their id, once none waits."""
        while True:
            found: dict[str, dict[str, Any]] = {}
            after: str | None = None
            while True:
                query = {"limit": "100", **({"after": after} if after else {})}
                page = (await self._client.get("/v1/usage/requests", params=query)).json()
                found |= {each["id"]: each for each in page["data"]}
                after = page["last_id"]
                if not page["has_more"]:
                    break
            if self.found.quoted.keys() <= found.keys():
                return found
            await asyncio.sleep(2.0)


def simulated(load: list[Asked]) -> dict[str, tuple[float | None, int]]:
    """What the simulator makes of the same load: hit rate and refusals, by window."""
    scenario = Scenario(
        name="the same load",
        organizations=(Organization("one"),),
        mixes=(),
        hours=max((each.at for each in load), default=0.0) / 3600.0,
        asap=0.0,
        targets=(
            Model(
                calls=PLACES, overhead=OVERHEAD, read=0.0, write=WORD, knee=0.99, crowd=0.0, ceiling=PLACES
            ),
        ),
        windows={name: Window(name=name, seconds=seconds) for name, seconds in WINDOWS.items()},
        warm_seconds=0.0,
    )
    report = simulate(scenario, random.Random(1), load=load)  # noqa: S311  # a seeded draw
    return {each.window: (each.hit_rate, each.refused) for each in report.windows}


def figures(run: Run, rows: dict[str, dict[str, Any]], windows: dict[str, Any]) -> dict[str, Any]:
    """What is to be shown."""
    found = run.found
    off = []
    for quote, ended, whole in found.batches:
        promised = quote["finishes_at"] - quote["created_at"]
        off.append(whole and abs(ended - quote["created_at"] - promised) <= CLOSE * promised)
    covered = [
        told["earliest_at"] <= moment(rows[which]) + 0.001 and moment(rows[which]) <= told["latest_at"]
        for which, told in found.quoted.items()
    ]
    told = {
        each["id"]: each["batches" if each["id"] == "night" else "requests"]["last_1h"]
        for each in windows["data"]
    }
    other = simulated(found.load)
    return {
        "batches": len(off),
        "batches_within_a_fifth": share(off[1:]),  # before the first one nothing was measured
        "requests_within_their_interval": share(covered),
        "refused": found.told,
        "let_in_when_told": found.kept / found.told if found.told else None,
        "windows": {
            name: {
                "promised": told[name]["promised"],
                "kept": told[name]["share"],
                "turn_p95": told[name]["turn_p95"],
                "simulated": other.get(name, (None, 0))[0],
            }
            for name in WINDOWS
        },
    }


def moment(row: dict[str, Any]) -> float:
    """When a request had its answer; the list tells whole seconds, and milliseconds of the turn."""
    return float(row["created_at"]) + 0.5 + float(row["duration_ms"]) / 1000.0


def share(found: list[bool]) -> float | None:
    """The part that is true."""
    return sum(found) / len(found) if found else None


@contextlib.asynccontextmanager
async def served(folder: Path, port: int, upstream_port: int) -> AsyncIterator[None]:
    """An `ingot serve` with the windows of this run."""
    windows = "".join(
        f"[windows.{name}]\nseconds = {seconds}\nbatch_seconds = 600\n" for name, seconds in WINDOWS.items()
    )
    config = folder / "ingot.toml"
    config.write_text(CONFIG.format(port=upstream_port, places=PLACES) + windows)
    command = [
        "-m",
        "ingot",
        "serve",
        "--port",
        str(port),
        "--config",
        str(config),
        "--data",
        str(folder / "data"),
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={**os.environ, "INGOT_BOOTSTRAP_KEY": KEY},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def main(minutes: float, seed: int) -> dict[str, Any]:
    """One run, and its figures."""
    port = free_port()
    target = await asyncio.start_server(upstream, "127.0.0.1", 0)
    upstream_port = target.sockets[0].getsockname()[1]
    rng = random.Random(seed)  # noqa: S311  # a seeded draw
    headers = {"authorization": f"Bearer {KEY}"}
    with tempfile.TemporaryDirectory(prefix="ingot-windows-") as folder:
        async with (
            served(Path(folder), port, upstream_port),
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client,
        ):
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    if (await client.get("/readyz")).status_code == 200:
                        break
                await asyncio.sleep(0.1)
            run = Run(client, rng)
            await run.play(60 * minutes)
            say(
                f"all is asked: {len(run.found.load)} requests, {len(run.found.batches)} batches, told {run.found.told}"
            )
            rows = await run.ended()
            windows = (await client.get("/v1/windows")).json()
    target.close()
    return figures(run, rows, windows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.windows", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="length of the run (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="what the load is drawn from (default 1)")
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(main(chosen.minutes, chosen.seed)), indent=2))
