"""A process that spends from a shared balance, for tests of several: `python spender.py URL OWNER ORG AMOUNT COUNT COST`.

Says `ready`, waits for a line, makes COUNT reservations of AMOUNT at once, says how many it got, waits for a line,
settles each at COST, closes its purse and ends. Nothing in it is faked: its own database connections, its own clock.
"""

import asyncio
import sys
from pathlib import Path

from ingot.clock import SystemClock
from ingot.errors import QuotaExceeded
from ingot.services.purse import Hold, Purse
from ingot.store.engine import open_database
from ingot.store.schema import micros
from treasury import Call, Lines, Treasury


def say(line: str) -> None:
    """A line for the test that started this process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def spend(url: str, owner: str, org: str, *, amount: int, count: int, cost: int) -> None:
    """One run, as above."""
    clock = SystemClock()
    async with open_database(Path("unused"), url) as db:
        purse = Purse(db, owner, clock=clock, log=Lines(), alone=False, lease_seconds=2.0)
        await purse.start()
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        told = await asyncio.gather(
            *(purse.reserve(org, amount) for _ in range(count)), return_exceptions=True
        )
        holds = [each for each in told if isinstance(each, Hold)]
        others = [each for each in told if not isinstance(each, Hold | QuotaExceeded)]
        say(f"{len(holds)} {len(others)} {others[:1]}")
        await asyncio.to_thread(sys.stdin.readline)
        for place, hold in enumerate(holds):
            call = Call(f"{owner}_{place}", org, cost, micros(clock.now()), hold=hold)
            await Treasury(db).settle(call)
            purse.release(hold, cost)
        await purse.close()
    say("done")


if __name__ == "__main__":
    _, place, name, org_id, *numbers = sys.argv
    reserved, many, price = map(int, numbers)
    asyncio.run(spend(place, name, org_id, amount=reserved, count=many, cost=price))
