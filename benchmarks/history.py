"""`python -m benchmarks.history`: how fast a long history is read: a million stored requests of thirty days.

Fills a store in a process of its own, then reads it as the pages do and prints the latency of each read and the
memory that reading took. Most of the requests belong to one organization, spread over keys, models and windows as
evenly as it gets, which is the worst case: nearly every hour has a row for each combination.
"""

import argparse
import asyncio
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, text

from ingot.clock import ManualClock
from ingot.services.answers import Answers
from ingot.services.answers import Wanted as Stored
from ingot.services.paging import Paging
from ingot.services.requestlog import RequestLog, Wanted
from ingot.services.usage import Usage
from ingot.store import usage as store
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.schema import DEFAULT_ORG, ledger, micros, response_metadata, responses

NOW = 1_764_331_200.0  # 2025-11-28 12:00 UTC
SPAN = 30 * 86_400.0
BATCH = 5_000
CONTENT = b'{"choices":[{"message":{"content":"' + b"x" * 400 + b'"}}]}'
GOALS = {"breakdown 30d": 100.0, "requests": 50.0}


def rows(first: int, last: int, *, total: int, rng: random.Random) -> Iterator[tuple[dict[str, Any], ...]]:
    """The rows of requests by number: response, ledger, label."""
    for number in range(first, last):
        at = micros(NOW - SPAN * (1 - number / total))
        key, model = f"key_{rng.randrange(10)}", f"model-{rng.randrange(8)}"
        if number % 50_000 == 0:
            key = "key_rare"
        own: dict[str, Any] = {
            "org_id": DEFAULT_ORG if number % 10 else "org_small",
            "key_id": key,
            "model": model,
        }
        own["window"] = rng.choice(("asap", "asap", "standard"))
        counts: dict[str, Any] = {"input_tokens": rng.randrange(4_000), "output_tokens": rng.randrange(800)}
        counts |= {"cached_tokens": 0, "reasoning_tokens": 0}
        amount = counts["input_tokens"] * 150_000 + counts["output_tokens"] * 600_000
        name = f"resp_{at:016x}{number:08x}"
        answered: dict[str, Any] = {
            "id": name,
            "public_id": f"chatcmpl-{rng.getrandbits(96):024x}",
            "surface": "chat",
        }
        answered |= {"target": "up", "status": 200, "state": "completed", "fidelity": "verbatim"}
        answered |= {"created_at": at, "finished_at": at + 900_000, "amount": amount, "streamed": number % 2}
        answered |= {"request": CONTENT, "answer": CONTENT, "expires_at": at + micros(SPAN)}
        booked: dict[str, Any] = {"billable_id": name, "kind": "inference", "amount": -amount, "at": at}
        label = {"org_id": own["org_id"], "name": "run", "value": str(number % 1000), "response_id": name}
        yield own | counts | answered, own | counts | booked, label


async def fill(data: Path, url: str, total: int) -> None:
    """Writes the whole history, and the hours from the ledger."""
    rng = random.Random(1)  # noqa: S311  # the same history every time

    def write(conn: Connection, first: int) -> None:
        some = list(rows(first, min(first + BATCH, total), total=total, rng=rng))
        for table, part in zip((responses, ledger, response_metadata), zip(*some, strict=True), strict=True):
            conn.execute(insert(table), list(part))

    hour = int(NOW) // 3600
    async with open_database(data, url) as db:
        for first in range(0, total, BATCH):
            await db.write(partial(write, first=first))
            print(f"\rfilled {min(first + BATCH, total):,}", end="", file=sys.stderr, flush=True)
        await db.write(lambda conn: store.rederive(conn, since=hour - 24 * 31, until=hour + 1))
        if url:
            await db.write(lambda conn: conn.execute(text("ANALYZE")))
    print(file=sys.stderr)


def reads(db: Database, total: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is measured, by name; each gives the answer that a client would get."""
    clock = ManualClock(NOW)
    usage, log, answers = Usage(db, clock=clock), RequestLog(db, clock=clock), Answers(db, clock=clock)
    number = total // 2 + 1
    middle = f"resp_{micros(NOW - SPAN * (1 - number / total)):016x}{number:08x}"

    return {
        "summary 30d": lambda: usage.summarize(DEFAULT_ORG),
        "breakdown 30d": lambda: usage.break_down(DEFAULT_ORG),
        "breakdown 24h": lambda: usage.break_down(DEFAULT_ORG, range_name="24h"),
        "requests, first page": lambda: log.page(DEFAULT_ORG, limit=100),
        "requests, in the middle": lambda: log.page(DEFAULT_ORG, after=middle, limit=100),
        "requests of a key": lambda: log.page(DEFAULT_ORG, wanted=Wanted(key="key_3"), limit=100),
        "requests of a rare key": lambda: log.page(DEFAULT_ORG, wanted=Wanted(key="key_rare"), limit=100),
        "stored, oldest": lambda: answers.list(DEFAULT_ORG, Stored(), paging=Paging(limit=20)),
        "stored, by metadata": lambda: answers.list(
            DEFAULT_ORG, Stored(metadata={"run": "7"}), paging=Paging(limit=20, descending=True)
        ),
        "stored, of an unknown model": lambda: answers.list(
            DEFAULT_ORG, Stored(model="none"), paging=Paging(limit=20)
        ),
    }


async def measure(data: Path, url: str, *, total: int, rounds: int) -> None:
    """Prints one line a read."""
    async with open_database(data, url) as db:
        for name, read in reads(db, total).items():
            took, busy = [], time.process_time()
            for _ in range(rounds):
                began = time.perf_counter()
                msgspec.json.encode(await read())
                took.append((time.perf_counter() - began) * 1e3)
            first, rest = took[0], sorted(took)
            goal = next((f", goal {most:g} ms" for part, most in GOALS.items() if name.startswith(part)), "")
            cpu = (time.process_time() - busy) / rounds * 1e3
            middle = rest[len(rest) // 2]
            print(
                f"{name}: first {first:.1f}, median {middle:.1f}, most {rest[-1]:.1f} ms, CPU {cpu:.1f}{goal}"
            )
        began, count = time.perf_counter(), 0
        async for piece in await RequestLog(db, clock=ManualClock(NOW)).export(DEFAULT_ORG):
            count += piece.count(b"\n")
        print(f"export: {count:,} lines in {time.perf_counter() - began:.1f} s")


def report_memory() -> None:
    """Prints the most memory that this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"memory of the reading process at its highest: {peak / 1024:.0f} MB, goal 200 MB")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=20, help="how often each is read (default 20)")
    parser.add_argument(
        "--database", default="", help="a PostgreSQL URL of an empty database (default SQLite)"
    )
    parser.add_argument(
        "--data", type=Path, help="where SQLite's file is made and left (default a temporary place)"
    )
    parser.add_argument("--fill", action="store_true", help="only fill")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = chosen.data or Path(folder)
        if chosen.fill:
            asyncio.run(fill(data, chosen.database, chosen.requests))
            return
        if not (data / "ingot.db").exists():
            # In a process of its own, whose memory does not count.
            again = ["--fill", "--data", str(data), "--database", chosen.database]
            command = [sys.executable, "-m", "benchmarks.history", *again, "--requests", str(chosen.requests)]
            subprocess.run(command, check=True)
        asyncio.run(measure(data, chosen.database, total=chosen.requests, rounds=chosen.rounds))
        report_memory()


if __name__ == "__main__":
    main()
