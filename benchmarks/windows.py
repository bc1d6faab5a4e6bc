"""`python -m benchmarks.windows --minutes 4`: whether what is promised holds, in a real server before a target of known speed.

    batches     a third of the time: one after the other, each quoted before it is sent
    overload    the rest: half as much again as the target bears, in two short windows; who is refused comes when told

What was promised, what came of it, and what the simulator says of the same load with the service times that were measured
stand beside each other. Targets are those of `windowtargets`; `--engine` takes the embedded engine. Requests go by HTTP alone.
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
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
from benchmarks import windowtargets
from benchmarks.processes import free_port
from benchmarks.windowtargets import INPUT, Target

from ingot.scheduling.simulation.load import Asked, Item
from ingot.scheduling.simulation.report import WindowReport, quantile
from ingot.scheduling.simulation.run import simulate
from ingot.scheduling.simulation.scenario import Model, Organization, Scenario
from ingot.scheduling.windows import Window

KEY: Final = "ik-benchmark-key-0123456789"
WINDOWS: Final = {"quick": 20.0, "steady": 60.0, "night": 600.0}
OVERLOAD: Final = 1.5
CLOSE: Final = 0.2
PATIENCE: Final = 300.0
"""Whoever is told to come again later than that does not come."""
REST: Final = 120.0
"""Seconds after the calibration, whose calls are reckoned with for as long."""

CONFIG: Final = """
[engine]
enabled = false
[targets.up]
base_url = "http://{host}:{port}/v1"
capacity = {places}
api_key = "{key}"
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
    gone: int = 0
    beside: int = 1
    """Calls that the queue has at once."""
    slower: float = 1.0
    """How much longer a call takes beside so many others than alone."""


def say(text: str) -> None:
    """Progress, kept apart from the result."""
    print(text, file=sys.stderr, flush=True)


class Run:
    """One server, and those who ask it."""

    def __init__(self, client: httpx2.AsyncClient, rng: random.Random, target: Target) -> None:
        self.found = Found()
        self._client = client
        self._rng = rng
        self._target = target
        self._number = 0
        self._began = time.time()
        self._mean = 1.0

    def body(self, words: int, window: str) -> dict[str, Any]:
        """A request that no other is like."""
        self._number += 1
        return {
            "model": "mock",
            "messages": [{"role": "user", "content": f"Request {self._number}, words: {words}"}],
            "max_completion_tokens": words if self._target.kind == "engine" else self._target.most,
            "background": True,
            "metadata": {"completion_window": window},
        }

    def item(self, words: int) -> Item:
        """What a request of so many words is to the simulator."""
        return Item(INPUT, words, words if self._target.kind == "engine" else self._target.most)

    def words(self) -> int:
        """The length of an answer."""
        return self._rng.randint(1, self._target.most)

    async def batch(self, count: int) -> None:
        """A batch of so many requests: quoted, sent, and watched to its end."""
        pieces, at = [], time.time() - self._began
        lengths = [self.words() for _ in range(count)]
        self.found.load.append(Asked(at, "one", "night", tuple(map(self.item, lengths))))
        for place, words in enumerate(lengths):
            body = self.body(words, "night")
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
            self.found.load.append(Asked(at, "one", window, (self.item(words),)))
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
            if after is None or float(after) > PATIENCE:
                self.found.never += after is None
                self.found.gone += after is not None
                return None
            if tries < 3:
                self.found.told += 1
                await asyncio.sleep(float(after) + self._rng.random())
        return None

    async def play(self, seconds: float) -> None:
        """All of it."""
        target = self._target
        self.found.beside = round(0.8 * target.places)
        await self.calibrated()
        await asyncio.sleep(REST)
        self._began = time.time()
        async with asyncio.TaskGroup() as group:
            while time.time() < self._began + seconds / 3:
                count = self._rng.randint(*target.batch)
                group.create_task(self.batch(count))
                await asyncio.sleep(count * self._mean / target.places / 0.7)
            say("overload begins")
            while time.time() < self._began + seconds:
                words = self.words()
                window = "quick" if self._rng.random() < 0.5 else "steady"
                group.create_task(self.send(self.body(words, window), words))
                await asyncio.sleep(self._rng.expovariate(OVERLOAD * 0.8 * target.places / self._mean))

    async def calibrated(self) -> None:
        """How long a call takes while as many run as the queue runs, and how much longer than one alone."""
        alone = await self._timed(1, calls=10)
        self._mean = await self._timed(self.found.beside, calls=8 * self.found.beside)
        self.found.slower = max(self._mean / alone, 1.0)
        say(f"a call takes {self._mean:.3f} s, {alone:.3f} s alone")

    async def _timed(self, beside: int, *, calls: int) -> float:
        bodies = [self.body(self.words(), "asap") for _ in range(calls)]
        taken: list[float] = []

        async def ask() -> None:
            while bodies:
                body = bodies.pop()
                del body["background"], body["metadata"]
                began = time.monotonic()
                (await self._client.post("/v1/chat/completions", json=body)).raise_for_status()
                taken.append(time.monotonic() - began)

        await asyncio.gather(*(ask() for _ in range(beside)))
        return sum(taken) / len(taken)

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


def fitted(rows: Iterable[dict[str, Any]]) -> tuple[float, float]:
    """Seconds of a call and of each token that it writes, by least squares over what was measured."""
    found = [
        (float(row["output_tokens"]), (row["duration_ms"] - row["queue_ms"]) / 1000.0)
        for row in rows
        if row["state"] == "completed" and row["window"] in WINDOWS
    ]
    tokens, seconds = sum(each[0] for each in found) / len(found), sum(each[1] for each in found) / len(found)
    spread = sum((each[0] - tokens) ** 2 for each in found) or 1.0
    write = max(sum((each[0] - tokens) * (each[1] - seconds) for each in found) / spread, 0.0)
    return max(seconds - write * tokens, 0.001), write


def simulated(found: Found, target: Target, *, overhead: float, write: float) -> dict[str, WindowReport]:
    """What the simulator makes of the same load, with calls of this length where as many run as ran: by window, batches apart."""
    knee = 1.0 / target.places
    crowd = (found.slower - 1.0) * (1.0 - knee) / (found.beside / target.places - knee)
    scenario = Scenario(
        name="the same load",
        organizations=(Organization("one"),),
        mixes=(),
        hours=max((each.at for each in found.load), default=0.0) / 3600.0,
        asap=0.0,
        targets=(
            Model(
                calls=target.places, overhead=overhead, read=0.0, write=write / found.slower, knee=knee,
                crowd=crowd,
                ceiling=target.places,
            ),
        ),
        windows={
            name: Window(name=name, seconds=seconds, batch_seconds=600.0) for name, seconds in WINDOWS.items()
        },
        warm_seconds=0.0,
    )  # fmt: skip
    report = simulate(scenario, random.Random(1), load=found.load)  # noqa: S311  # a seeded draw
    return {each.window: each for each in report.windows}


def figures(
    run: Run, rows: dict[str, dict[str, Any]], windows: dict[str, Any], target: Target
) -> dict[str, Any]:
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
    overhead, write = fitted(rows.values())
    other = simulated(found, target, overhead=overhead, write=write)
    kept = {each["id"]: each["requests"]["last_1h"]["share"] for each in windows["data"]}
    turns: dict[str, list[float]] = {
        "night batch": [ended - quote["created_at"] for quote, ended, _ in found.batches]
    }
    for row in rows.values():
        if row["id"] in found.quoted:
            turns.setdefault(row["window"], []).append(row["duration_ms"] / 1000.0)
    return {
        "target": target.kind,
        "seconds_of_a_call_and_a_token": [round(overhead, 4), round(write, 5)],
        "slower_than_alone": round(found.slower, 2),
        "batches": len(off),
        "batches_within_a_fifth": share(off[1:]),  # before the first one nothing was measured
        "batches_by_their_quote": [
            round((ended - quote["created_at"]) / (quote["finishes_at"] - quote["created_at"]), 2)
            for quote, ended, _ in found.batches[1:]
        ],
        "requests_within_their_interval": share(covered),
        "refused": found.told,
        "let_in_when_told": found.kept / found.told if found.told else None,
        "never": found.never,
        "told_to_wait_longer_than_anybody_does": found.gone,
        "windows": {
            name: {
                "ended": len(turns.get(name, ())),
                "kept": kept.get(name),
                "kept_simulated": None if name not in other else other[name].hit_rate,
                "turn_p50": quantile(turns.get(name, ()), 0.5),
                "turn_p50_simulated": None if name not in other else other[name].turn_p50,
                "turn_p95": quantile(turns.get(name, ()), 0.95),
                "turn_p95_simulated": None if name not in other else other[name].turn_p95,
            }
            for name in ("quick", "steady", "night batch")
        },
    }


def moment(row: dict[str, Any]) -> float:
    """When a request had its answer; the list tells whole seconds, and milliseconds of the turn."""
    return float(row["created_at"]) + 0.5 + float(row["duration_ms"]) / 1000.0


def share(found: list[bool]) -> float | None:
    """The part that is true."""
    return sum(found) / len(found) if found else None


@contextlib.asynccontextmanager
async def served(folder: Path, port: int, target: Target) -> AsyncIterator[None]:
    """An `ingot serve` with the windows of this run."""
    windows = "".join(
        f"[windows.{name}]\nseconds = {seconds}\nbatch_seconds = 600\n" for name, seconds in WINDOWS.items()
    )
    config = folder / "ingot.toml"
    config.write_text(
        CONFIG.format(host=target.host, port=target.port, places=target.places, key=target.key or "none")
        + windows
    )
    command = ["-m", "ingot", "serve", "--port", str(port), "--config", str(config)]
    command += ["--data", str(folder / "data")]
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


async def main(
    minutes: float, seed: int, engine: contextlib.AbstractAsyncContextManager[Target] | None
) -> dict[str, Any]:
    """One run, and its figures; without an engine the target is the one of words."""
    port = free_port()
    rng = random.Random(seed)  # noqa: S311  # a seeded draw
    headers = {"authorization": f"Bearer {KEY}"}
    with tempfile.TemporaryDirectory(prefix="ingot-windows-") as folder:
        async with (
            engine or windowtargets.words() as target,
            served(Path(folder), port, target),
            httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers=headers,
                timeout=120,
                limits=httpx2.Limits(max_connections=None),
            ) as client,
        ):
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    if (await client.get("/readyz")).status_code == 200:
                        break
                await asyncio.sleep(0.1)
            run = Run(client, rng, target)
            await run.play(60 * minutes)
            say(f"all is asked: {len(run.found.load)} times, told {run.found.told}")
            rows = await run.ended()
            windows = (await client.get("/v1/windows")).json()
    return figures(run, rows, windows, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.windows", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="length of the run (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="what the load is drawn from (default 1)")
    parser.add_argument("--engine", action="store_true", help="the embedded engine as the target")
    parser.add_argument("--model", type=Path, help="a GGUF file for it (default: the demo model)")
    parser.add_argument(
        "--tokens", type=int, default=windowtargets.MOST, help="of its answers, at most (default 48)"
    )
    parser.add_argument(
        "--batch", type=int, nargs=2, default=[80, 200], help="requests of its batches (default 80 200)"
    )
    parser.add_argument("--threads", type=int, help="of the engine (default: as a server would)")
    chosen = parser.parse_args()
    batch, threads = tuple(chosen.batch), chosen.threads
    on = windowtargets.engine(chosen.model, most=chosen.tokens, batch=batch, threads=threads)
    found = asyncio.run(main(chosen.minutes, chosen.seed, on if chosen.engine else None))
    print(json.dumps(found, indent=2))
