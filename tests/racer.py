"""One process of a race for an idempotency key.

    python tests/racer.py DATA URL CALLS COUNT

Prints `ready`, waits for a line, lets COUNT coroutines ask with one key at once, and prints what each got as JSON.
Who leads writes one byte to the file CALLS, as an upstream would count a call, and takes its time.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from databases import Place, open_store
from ingot.clock import SystemClock
from ingot.services.idempotency import Lead, Retries
from keyhouse import Lines
from retryhouse import SCOPE, House, begin

PATIENCE = 60.0
"""A safety net, no expectation."""
WORK_SECONDS = 0.3


async def race(house: House[SystemClock], calls: Path, *, count: int) -> list[tuple[str, str, str]]:
    """What each of the coroutines got: lead or replay, the response id, the answer."""
    retries = Retries(house.db, clock=house.clock, log=house.log, patience=PATIENCE, poll=0.02)

    async def ask() -> tuple[str, str, str]:
        outcome = await begin(retries, scope=SCOPE)
        if not isinstance(outcome, Lead):
            return ("replay", outcome.response_id, outcome.answer.decode())
        with calls.open("ab") as file:
            file.write(b".")
        await asyncio.sleep(WORK_SECONDS)
        answer = json.dumps({"id": outcome.response_id})
        assert await house.serve(retries, outcome, answer.encode())
        return ("lead", outcome.response_id, answer)

    return list(await asyncio.gather(*[ask() for _ in range(count)]))


async def main(place: Place, calls: Path, *, count: int) -> Any:
    """The race in this process, once it is told to begin."""
    async with open_store(place) as db:
        await db.read(lambda _: None)  # connected before the start
        print("ready", flush=True)  # noqa: T201  # the parent waits for it
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        return await race(House(db, SystemClock(), Lines()), calls, count=count)


if __name__ == "__main__":
    data, url, calls, count = sys.argv[1:]
    kind = "postgres" if url else "sqlite"
    told = asyncio.run(main(Place(kind, Path(data), url), Path(calls), count=int(count)))
    print(json.dumps(told))  # noqa: T201  # the parent reads it
