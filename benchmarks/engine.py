"""`python -m benchmarks.engine`: tokens/s of the embedded engine, asked directly and through Ingot.

Both ways lead to the same child process, interleaved: Ingot is given the child's address as a target, so that the
difference is what Ingot costs. Nothing is pinned: engine, Ingot and load share the machine as they do in use.
"""

import argparse
import asyncio
import contextlib
import io
import os
import statistics
import sys
import tempfile
from importlib import resources
from pathlib import Path

from benchmarks.processes import free_port

from ingot.clock import SystemClock
from ingot.logs import LineSink, configure
from ingot.upstream.client import Client
from ingot.upstream.engine import Engine, EngineAddress, EngineSpec
from ingot.upstream.loadtest import LoadTest, Plan

KEY = "benchmark-key-0123456789"
MODEL = "demo-tiny"
CONFIG = """
[engine]
enabled = false
[targets.child]
base_url = "http://{host}:{port}/v1"
api_key = "{key}"
[models.demo-tiny]
targets = ["child"]
price = "free"
"""


async def start_ingot(folder: Path, child: EngineAddress) -> tuple[asyncio.subprocess.Process, str]:
    """An Ingot whose only target is the child, and its base URL."""
    config = folder / "ingot.toml"
    config.write_text(CONFIG.format(host=child.host, port=child.port, key=child.key))
    port = free_port()
    command = ["-m", "ingot", "serve", "--config", str(config), "--data", str(folder), "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={**os.environ, "INGOT_BOOTSTRAP_KEY": KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None  # noqa: S101  # a pipe was asked for
    while line := await process.stdout.readline():
        if b"serves at" in line:
            return process, f"http://127.0.0.1:{port}/v1"
    raise SystemExit("Ingot did not start")


async def measure(
    rounds: int, requests: int, levels: list[int], *, threads: int | None, model: Path | None
) -> None:
    """Prints one line a level: tokens/s both ways, and their ratio."""
    log = configure(LineSink(io.BytesIO()), form="json", level="error")
    bundled = resources.files("ingot") / "models" / "demo-tiny.gguf"
    with contextlib.nullcontext(model) if model else resources.as_file(bundled) as path:
        engine = Engine(EngineSpec(name=MODEL, path=path, threads=threads), clock=SystemClock(), log=log)
        await engine.start()
        child = await engine.origin()
        with tempfile.TemporaryDirectory() as folder:
            process, url = await start_ingot(Path(folder), child)
            client = Client()
            plans = {
                "direct": Plan(f"http://{child.host}:{child.port}/v1", MODEL, child.key),
                "ingot": Plan(url, MODEL, KEY),
            }
            # Numbers apart, so that no way asks what the other has asked: the engine keeps prompts that it has read.
            tests = {
                name: LoadTest(plan, client=client, clock=SystemClock(), first=place * 1_000_003 + 1)
                for place, (name, plan) in enumerate(plans.items())
            }
            try:
                for level in levels:
                    await compare(tests, level, rounds=rounds, requests=requests)
            finally:
                await client.close()
                process.terminate()
                await process.wait()
        await engine.stop(1.0)


async def compare(tests: dict[str, LoadTest], level: int, *, rounds: int, requests: int) -> None:
    """One level, interleaved."""
    rates: dict[str, list[float]] = {name: [] for name in tests}
    for number in range(rounds):
        # Both ask the same prompts, and the engine keeps what it has read: who comes second is helped, so they swap.
        for name, test in list(tests.items())[:: 1 if number % 2 else -1]:
            figures = await test.run(level, requests, done=lambda _: None)
            rates[name].append(figures.tokens_per_second)
    ratios = [mine / theirs for mine, theirs in zip(rates["ingot"], rates["direct"], strict=True)]
    direct, through = (statistics.median(rates[name]) for name in ("direct", "ingot"))
    print(
        f"{level} streams: direct {direct:.0f} tokens/s, through Ingot {through:.0f} tokens/s, "
        f"ratio of the medians {through / direct:.3f}, median of the rounds' ratios {statistics.median(ratios):.3f}",
        flush=True,
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=8, help="interleaved rounds, an even number (default 8)"
    )
    parser.add_argument("--requests", type=int, default=32, help="requests a round and way (default 32)")
    parser.add_argument("--levels", default="1,8", help="parallel streams (default 1,8)")
    parser.add_argument("--model", type=Path, help="a GGUF file (default: the bundled demo model)")
    parser.add_argument("--threads", type=int, help="the engine's threads (default: as Ingot would choose)")
    chosen = parser.parse_args()
    levels = [int(level) for level in chosen.levels.split(",")]
    asyncio.run(measure(chosen.rounds, chosen.requests, levels, threads=chosen.threads, model=chosen.model))


if __name__ == "__main__":
    main()
