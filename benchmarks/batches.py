"""A batch of many requests on one server: how fast it is taken and run, and what others notice of it.

    python -m benchmarks.batches [--requests 100000] [--rate 50] [--database postgresql://...]

The upstream is the mock, which says back what each prompt holds, so that every answer can be checked. While the batch
runs, requests that do not wait come at a steady pace, and the batch is looked at twice a second: its counts must add up
each time and never go back. At the end each result is compared with its prompt, and the ledger is verified. Keys, limits,
money, storage and accounting are on. Server and upstream share the machine's cores with this process.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import gateways, pace
from benchmarks.load import KEY, compile_mock
from benchmarks.processes import cpu_seconds, free_port, rss_megabytes, stop

ENDED = {"completed", "failed", "expired", "cancelled"}
PAGE = 10_000


@dataclass(slots=True)
class Seen:
    """What was seen while a batch ran."""

    polls: int = 0
    faults: list[str] = field(default_factory=list)
    most_rss: float = 0.0


def prompt(number: int) -> str:
    """The words of a request, and of its answer."""
    return f"request {number} of many, which asks for nothing but its own words back"


def body(count: int) -> Iterator[bytes]:
    """The batch as it is sent, a piece at a time."""
    pieces = [b'{"endpoint":"/v1/chat/completions","requests":[']
    size = 0
    for number in range(count):
        params = {"model": "mock", "messages": [{"role": "user", "content": f"echo: {prompt(number)}"}]}
        item = {"custom_id": f"r{number}", "params": {**params, "max_tokens": 64}}
        pieces.append((b"," if number else b"") + json.dumps(item, separators=(",", ":")).encode())
        size += len(pieces[-1])
        if size > 1 << 18:
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join(pieces) + b"]}"


def call(port: int, method: str, path: str, data: Any = None) -> bytes:
    """One exchange; raises where it is not answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    connection.request(method, path, body=data, headers=headers, encode_chunked=data is not None)
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{method} {path}: {answer.status} {told[:500]!r}")
    return told


def watch(port: int, pid: int, which: str, seen: Seen) -> dict[str, Any]:
    """The batch once it has ended; its counts are checked at each look."""
    before: dict[str, int] = {}
    while True:
        batch: dict[str, Any] = json.loads(call(port, "GET", f"/v1/batches/{which}"))
        counts = batch["request_counts"]
        seen.polls += 1
        seen.most_rss = max(seen.most_rss, rss_megabytes(pid))
        whole = sum(held for name, held in counts.items() if name != "total")
        if whole != counts["total"]:
            seen.faults.append(f"counts do not add up: {counts}")
        for name in ("completed", "failed", "cancelled", "expired"):
            if counts[name] < before.get(name, 0):
                seen.faults.append(f"{name} went back: {before} {counts}")
        before = counts
        if batch["status"] in ENDED:
            return batch
        time.sleep(0.5)


def check_results(port: int, which: str, count: int) -> int:
    """How many answers are not what their prompt asks for, or missing."""
    found: dict[str, str] = {}
    after = ""
    while page := call(port, "GET", f"/v1/batches/{which}/results?limit={PAGE}{after}"):
        for line in page.splitlines():
            told = json.loads(line)
            found[told["custom_id"]] = told["response"]["body"]["choices"][0]["message"]["content"]
        after = f"&after={told['custom_id']}"
    return sum(found.get(f"r{number}") != prompt(number) for number in range(count))


def measure(count: int, rate: int) -> dict[str, Any]:
    """All figures of one run."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        upstream, port = free_port(), free_port()
        mock = subprocess.Popen([str(compile_mock(folder)), str(upstream)])
        launch = gateways.ingot(folder, port, upstream)
        environ = {**os.environ, **launch.env, "INGOT_LOG_FORMAT": "json"}
        server = subprocess.Popen(
            launch.command,
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("wb"),
            env=environ,
            start_new_session=True,
        )
        try:
            for line in server.stdout or ():
                if b"serves at" in line:
                    break
            time.sleep(1.0)
            return run(port, server.pid, count=count, rate=rate, data=folder / "ingot" / "data")
        finally:
            stop(server)
            mock.kill()


def run(port: int, pid: int, *, count: int, rate: int, data: Path) -> dict[str, Any]:
    """The same of a server that is there."""
    call(port, "GET", "/v1/models")
    idle = pace.drive(port, KEY, rate=rate, seconds=3)
    before = rss_megabytes(pid)
    most = [before]
    taking = True

    def look() -> None:
        while taking:
            most[0] = max(most[0], rss_megabytes(pid))
            time.sleep(0.02)

    looker = threading.Thread(target=look)
    looker.start()
    began = time.perf_counter()
    batch = json.loads(call(port, "POST", "/v1/batches", body(count)))
    taken = time.perf_counter() - began
    taking = False
    looker.join()
    seen, cpu = Seen(), cpu_seconds(pid)
    paced: list[pace.Paced] = []
    load = threading.Thread(
        target=lambda: paced.append(pace.drive(port, KEY, rate=rate, seconds=count / 4000))
    )
    load.start()
    began = time.perf_counter()
    ended = watch(port, pid, batch["id"], seen)
    ran = time.perf_counter() - began
    used = cpu_seconds(pid) - cpu
    load.join()
    wrong = check_results(port, batch["id"], count)
    verified = subprocess.run(
        [sys.executable, "-m", "ingot", "ledger", "verify", "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "requests": count,
        "taken in s": round(taken, 2),
        "RSS growth while taken MB": round(most[0] - before, 1),
        "run in s": round(ran, 1),
        "requests/s": round(count / ran),
        "CPU us a request": round(used / count * 1e6),
        "polls": seen.polls,
        "faults of counts": seen.faults[:3],
        "RSS at its highest MB": round(seen.most_rss),
        "state": ended["status"],
        "counts": ended["request_counts"],
        "wrong or missing answers": wrong,
        "others p50, p99 ms before": [round(idle.p50 * 1e3, 2), round(idle.p99 * 1e3, 2)],
        "others p50, p99 ms beside it": [round(paced[0].p50 * 1e3, 2), round(paced[0].p99 * 1e3, 2)],
        "others failed": paced[0].errors,
        "ledger": verified.stdout.strip().splitlines()[-1:] or verified.stderr.strip()[-200:],
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=50, help="requests a second beside the batch")
    options = parser.parse_args()
    for name, value in measure(options.requests, options.rate).items():
        print(f"{name}: {value}")  # what it is for


if __name__ == "__main__":
    main()
