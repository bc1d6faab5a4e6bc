"""`python -m benchmarks`: measures Ingot between its floor (nginx) and its peer (LiteLLM), and writes one table.

Gateways run on core 0, the mock upstream and the load on core 1. Rounds are interleaved: each visits every gateway,
so that a slow minute of the machine hurts all alike. See README.md for the method and its limits.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import pace, report
from benchmarks.gateways import PEERS, Gateway, Skipped, open_gateway
from benchmarks.load import KEY, PLAIN, STREAM, Run, drive
from benchmarks.processes import free_port, settle, stop

RESULTS = Path(__file__).with_name("results")
GATEWAY_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 64
LONGER = 4
PACE, PACE_SECONDS = 500, 4.0


def say(text: str) -> None:
    """Progress, kept apart from the result."""
    print(text, file=sys.stderr, flush=True)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="length of one plain run (default 4)")
    parser.add_argument("--stream-seconds", type=int, default=6, help="length of one stream run (default 6)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of all runs; medians are shown (default 3)"
    )
    parser.add_argument("--streams", default="100,400", help="numbers of parallel streams (default 100,400)")
    parser.add_argument("--only", default=",".join(PEERS), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for latest.md and latest.json")
    return parser.parse_args()


@contextlib.contextmanager
def opened(names: list[str], folder: Path) -> Iterator[tuple[list[Gateway], dict[str, str]]]:
    """The gateways that run, and the reasons of those that do not; all are stopped afterwards."""
    upstream = free_port()
    running: list[Gateway] = []
    skipped: dict[str, str] = {}
    try:
        for name in ["direct", *(name for name in PEERS if name in names and name != "direct")]:
            core = LOAD_CORE if name == "direct" else GATEWAY_CORE
            try:
                running.append(open_gateway(name, folder, upstream=upstream, core=core))
                say(f"{name}: runs")
            except Skipped as reason:
                skipped[name] = str(reason)
                say(f"{name}: skipped, {reason}")
        yield running, skipped
    finally:
        for gateway in reversed(running):
            stop(gateway.process)


def run_once(gateway: Gateway, level: int, *, seconds: int) -> Run:
    """One run after the last one's echoes: `level` streams, or plain requests where it is 0."""
    settle(gateway.process.pid)
    run = drive(
        gateway.url,
        gateway.process.pid,
        body=STREAM if level else PLAIN,
        connections=level or CONNECTIONS,
        seconds=seconds,
        core=LOAD_CORE,
    )
    say(
        f"  {f'{level} streams' if level else 'plain'}, {gateway.name}: {run.requests} answers in {run.seconds:.1f} s, "
        f"p50 {run.p50 * 1e3:.1f} ms, {run.cpu:.2f} s CPU, {run.errors} errors"
    )
    return run


def measure(gateways: list[Gateway], chosen: argparse.Namespace) -> report.Figures:
    """All rounds of all runs, after one plain run to warm up.

    A gateway that ends no stream in time, or so few requests that those under way at the end would weigh in, gets
    one run LONGER times as long in place of all its rounds.
    """
    levels = [0, *(int(level) for level in chosen.streams.split(",") if level)]
    runs: dict[int, dict[str, list[Run]]] = {level: {g.name: [] for g in gateways} for level in levels}
    slow: set[tuple[int, str]] = set()
    for gateway in gateways:
        run_once(gateway, 0, seconds=chosen.seconds)
    for turn in range(chosen.rounds):
        say(f"round {turn + 1} of {chosen.rounds}")
        for level in levels:
            for gateway in gateways:
                if (level, gateway.name) in slow:
                    continue
                seconds = chosen.stream_seconds if level else chosen.seconds
                run = run_once(gateway, level, seconds=seconds)
                if run.requests < (1 if level else 5 * CONNECTIONS):
                    slow.add((level, gateway.name))
                    run = run_once(gateway, level, seconds=seconds * LONGER)
                runs[level][gateway.name].append(run)
    sizes = {gateway.name: gateway.stream_bytes for gateway in gateways}
    figures = report.plain_figures(runs[0])
    for level in levels[1:]:
        figures |= report.stream_figures(level, runs[level], sizes)
    return figures | paced_figures(gateways, chosen.rounds)


def paced_figures(gateways: list[Gateway], rounds: int) -> report.Figures:
    """Latency at a steady pace that no gateway is busy with, and what each adds to the direct one."""
    found: dict[str, list[pace.Paced]] = {gateway.name: [] for gateway in gateways}
    for _ in range(rounds):
        for gateway in gateways:
            if gateway.name == "litellm":  # it would fall behind for good
                continue
            settle(gateway.process.pid)
            found[gateway.name].append(pace.drive(gateway.port, KEY, rate=PACE, seconds=PACE_SECONDS))
    return report.paced_figures(found, disk_sync_ms=pace.disk_sync() * 1e3)


def main() -> int:
    """Runs the benchmark; 1 where the machine cannot."""
    chosen = options()
    missing = [tool for tool in ("wrk", "taskset", "cc") if shutil.which(tool) is None]
    if missing or not {GATEWAY_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        say(
            f"needs cores 0 and 1 and these tools (Debian packages wrk, util-linux, gcc): {', '.join(missing)}"
        )
        return 1
    setting = (
        f"Median of {chosen.rounds} rounds; plain: {CONNECTIONS} connections for {chosen.seconds} s; "
        f"streams: 200 chunks/s each for {chosen.stream_seconds} s. One core for each gateway."
    )
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        opened(chosen.only.split(","), Path(folder)) as (gateways, skipped),
    ):
        figures = measure(gateways, chosen)
    versions = {gateway.name: gateway.version for gateway in gateways}
    table = report.markdown(figures, versions=versions, skipped=skipped, setting=setting)
    data = json.dumps(
        report.record(figures, versions=versions, skipped=skipped, setting=setting),
        indent=2,
        ensure_ascii=False,
    )
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "latest.md").write_text(table)
    (chosen.out / "latest.json").write_text(data + "\n")
    print(data if chosen.json else table)
    say(f"written: {chosen.out / 'latest.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
