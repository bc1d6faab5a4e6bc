"""A batch of many requests on three nodes and one PostgreSQL, while nodes are killed: what is lost, doubled and repeated.

    python -m benchmarks.crashes --database postgresql://... [--requests 100000] [--kills 20] [--seed 1]

Each node serves and works. Every few seconds one of them, drawn from the seed, gets SIGKILL and is started again. At the end
every answer is compared with its prompt, the ledger's rows are counted, and the mock upstream says how often it was asked.
"""

import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from benchmarks.batches import ENDED, body, call, check_results
from benchmarks.load import KEY, compile_mock
from benchmarks.processes import free_port

NODES = 3
CONFIG = """
[engine]
demo = false
[server]
database = "{database}"
[targets.mock]
base_url = "http://127.0.0.1:{upstream}/v1"
dialects = ["chat"]
breaker = {{ failures = 1000 }}
[models.mock]
targets = ["mock"]
price = {{ input = 0.15, output = 0.60 }}
[worker]
concurrency = 32
lease_seconds = 5
"""


class Nodes:
    """Three servers on one database."""

    def __init__(self, folder: Path, *, database: str, upstream: int) -> None:
        self._folder = folder
        self._config = folder / "ingot.toml"
        self._config.write_text(CONFIG.format(database=database, upstream=upstream))
        self.ports = [free_port() for _ in range(NODES)]
        self.processes = [self.start(place) for place in range(NODES)]

    def start(self, place: int) -> "subprocess.Popen[bytes]":
        """One node, once it listens."""
        command = [sys.executable, "-m", "ingot", "serve", "--config", str(self._config)]
        process = subprocess.Popen(
            [*command, "--port", str(self.ports[place]), "--data", str(self._folder / "data")],
            stdout=subprocess.PIPE,
            stderr=(self._folder / f"log{place}").open("ab"),
            env={**os.environ, "INGOT_BOOTSTRAP_KEY": KEY, "INGOT_LOG_FORMAT": "json"},
        )
        for line in process.stdout or ():
            if b"serves at" in line:
                break
        return process

    def kill(self, place: int) -> None:
        """SIGKILL, and another in its place."""
        self.processes[place].send_signal(signal.SIGKILL)
        self.processes[place].wait()
        self.processes[place] = self.start(place)

    def close(self) -> None:
        """Ends all of them."""
        for process in self.processes:
            process.terminate()
            process.wait(60)


def look(ports: list[int], which: str) -> dict[str, Any]:
    """The batch, as the first node tells it that answers."""
    for port in ports:
        try:
            return dict(json.loads(call(port, "GET", f"/v1/batches/{which}")))
        except (OSError, http.client.HTTPException):
            continue
    return {"status": "unknown", "request_counts": {}}


def run(nodes: Nodes, *, count: int, kills: int, seed: int, pause: float) -> dict[str, Any]:
    """Makes the batch, kills while it runs, and waits for its end."""
    draw = random.Random(seed)  # noqa: S311  # a seed, so that a run can be repeated
    batch = json.loads(call(nodes.ports[0], "POST", "/v1/batches", body(count)))
    began = time.perf_counter()
    killed = 0
    while True:
        found = look(nodes.ports, batch["id"])
        if found["status"] in ENDED:
            break
        if killed < kills:
            nodes.kill(draw.randrange(NODES))
            killed += 1
        time.sleep(pause * draw.uniform(0.5, 1.5))
    return {**found, "killed": killed, "seconds": time.perf_counter() - began}


def measure(database: str, *, count: int, kills: int, seed: int, pause: float) -> dict[str, Any]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        upstream = free_port()
        mock = subprocess.Popen([str(compile_mock(folder)), str(upstream)])
        nodes = Nodes(folder, database=database, upstream=upstream)
        try:
            ended = run(nodes, count=count, kills=kills, seed=seed, pause=pause)
            wrong = check_results(nodes.ports[0], ended["id"], count)
            asked = int(call(upstream, "GET", "/echoes"))
        finally:
            nodes.close()
            mock.kill()
    with psycopg.connect(database) as conn:
        query = (
            "SELECT count(*), count(DISTINCT billable_id) FROM ledger JOIN batch_lines ON response_id = billable_id "
            "WHERE batch_id = %s"
        )
        rows, distinct = conn.execute(query, (ended["id"],)).fetchone() or (0, 0)
    return {
        "seed": seed,
        "requests": count,
        "nodes killed": ended["killed"],
        "seconds": round(ended["seconds"], 1),
        "counts": ended["request_counts"],
        "wrong or missing answers": wrong,
        "ledger rows": rows,
        "billed twice": rows - distinct,
        "lost": count - distinct,
        "calls of the upstream": asked,
        "repeated": f"{(asked - count) / count:.2%}",
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", required=True)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two kills, about")
    options = parser.parse_args()
    found = measure(
        options.database, count=options.requests, kills=options.kills, seed=options.seed, pause=options.pause
    )
    for name, value in found.items():
        print(f"{name}: {value}")  # what it is for


if __name__ == "__main__":
    main()
