"""Batches on the queue of a real database: staged, made to wait, cancelled and looked at as the services do it."""

import itertools
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import func, select

from ingot.services.jobs import Rows
from ingot.services.purse import Prepaid
from ingot.store import batch_ends, batch_lines, batches
from ingot.store.batches import BatchRow, NewLine, Revealed
from ingot.store.queue import Job, NewItem
from ingot.store.schema import batch_lines as lines
from ingot.store.schema import batches as table
from ingot.store.schema import items, jobs, ledger, micros, responses
from queuehouse import MODEL, QueueHouse

DAY = 86_400
PLENTY = 10**12
TOKENS = 10
"""What a request is estimated at."""
FAILED: dict[str, Any] = {
    "state": "failed", "status": 500, "billable": False, "amount": 0, "price": None, "tokens": 0
}  # fmt: skip
CANCELLED: dict[str, Any] = {**FAILED, "state": "cancelled", "status": 499}
EXPIRED: dict[str, Any] = {**FAILED, "state": "expired", "status": 504}

_numbers = itertools.count(1)


def new_row(house: QueueHouse, org_id: str = "org_a", **fields: Any) -> BatchRow:
    """A batch that is about to be staged."""
    now = micros(house.clock.now())
    values: dict[str, Any] = {
        "id": f"batch_{next(_numbers):06}",
        "org_id": org_id,
        "key_id": "key_a",
        "preset": "open",
        "shape": "requests",
        "endpoint": "/v1/chat/completions",
        "state": "staged",
        "asked_window": "24h",
        "created_at": now,
        "due_at": now + DAY * 1_000_000,
    }
    return BatchRow(**values | fields)


def new_work(
    house: QueueHouse, row: BatchRow, *, sizes: Sequence[int] = (3, 3), most: int = 0, **fields: Any
) -> tuple[list[NewLine], Rows]:
    """The lines and jobs of a batch; `sizes` are requests of its jobs, `most` is what a request could cost."""
    new: list[NewLine] = []
    work: list[Job] = []
    for size in sizes:
        lo = len(new)
        due = {"on_miss": "fail", "due_at": row.due_at, "lift_at": row.due_at - 60_000_000}
        own = {"batch_id": row.id, "lo": lo, "hi": lo + size - 1, **due, **fields}
        work.append(house.job(row.org_id, **own)[0])
        for seq in range(lo, lo + size):
            item = NewItem(f"resp_{row.id}_{seq}", f"req_{seq}", b'{"model":"m"}', None, most)
            new.append(NewLine(seq, f"n{seq}", item))
    found = Revealed(
        total=len(new), tokens=TOKENS * len(new), due_at=max(job.due_at for job in work), model=MODEL
    )
    return new, Rows(found, work, most * len(new))


async def stage(house: QueueHouse, row: BatchRow, new: Sequence[NewLine]) -> None:
    """Writes a batch down where nobody sees it."""
    await house.db.write(partial(batches.insert_batch, row=row))
    assert await house.db.write(partial(batches.add_lines, batch=row, lines=new))


async def reveal(house: QueueHouse, row: BatchRow, rows: Rows, *, most_tokens: int = PLENTY) -> BatchRow:
    """Makes it be seen, and its jobs wait."""
    return await house.process().reveal(row, rows, payer=Prepaid(), most_tokens=most_tokens)


async def make(
    house: QueueHouse, org_id: str = "org_a", *, sizes: Sequence[int] = (3, 3), most: int = 0, **fields: Any
) -> BatchRow:
    """A batch whose jobs wait; `fields` are those of its row, and `on_miss` and `due_at` those of its jobs, too."""
    own = {name: held for name, held in fields.items() if name in ("on_miss", "due_at")}
    row = new_row(house, org_id, **{name: held for name, held in fields.items() if name != "on_miss"})
    new, rows = new_work(house, row, sizes=sizes, most=most, **own)
    await stage(house, row, new)
    return await reveal(house, row, rows)


async def look(house: QueueHouse, which: str) -> BatchRow:
    """A batch as it stands, whoever may see it."""
    columns = [table.c[name] for name in BatchRow.__struct_fields__]
    query = select(*columns).where(table.c.id == which)
    return await house.db.read(lambda conn: batches.read_row(conn.execute(query).one()))


async def states(house: QueueHouse, which: str) -> Counter[str]:
    """How its lines stand, by what each of them says."""
    return await house.db.read(
        lambda conn: Counter(state for _, state in batch_lines.all_states(conn, which))
    )


def counts(row: BatchRow) -> dict[str, int]:
    """What it counts of those that have ended; no zeros."""
    told = {name: getattr(row, name) for name in batch_ends.OUTCOMES}
    return {name: held for name, held in told.items() if held}


async def add_up(house: QueueHouse, which: str) -> BatchRow:
    """The batch, once it was seen that its counts are what its lines say, and that only what completed is billed."""
    row, said = await look(house, which), await states(house, which)
    waiting = said.pop("pending", 0) + said.pop("running", 0)
    assert counts(row) == dict(said)
    assert row.left == waiting
    assert sum(said.values()) + waiting == row.total
    assert await billed(house, which) == row.completed
    return row


async def billed(house: QueueHouse, which: str) -> int:
    """How many ledger rows there are for its requests."""
    query = select(func.count()).where(ledger.c.billable_id.in_(_answers(which)))
    return await house.db.read(lambda conn: int(conn.execute(query).scalar_one()))


def _answers(which: str) -> Any:
    return select(lines.c.response_id).where(lines.c.batch_id == which)


async def left_of(house: QueueHouse, which: str) -> tuple[int, int, int]:
    """How many jobs, items and stored responses of it there are."""
    return (
        len(await house.rows(jobs.c.id, jobs.c.batch_id == which)),
        len(await house.rows(items.c.id, items.c.batch_id == which)),
        len(await house.rows(responses.c.id, responses.c.id.in_(_answers(which)))),
    )


async def cancel(house: QueueHouse, row: BatchRow, *, most: int = 32) -> bool:
    """Asks for its end, and ends what waits; whether it was the first to ask."""
    now = micros(house.clock.now())
    asked = await house.db.write(partial(batch_ends.ask_end, batch=row, at=now), locks=(row.org_id,))
    await end_waiting(house, row, most=most)
    return asked


async def end_waiting(house: QueueHouse, row: BatchRow, *, how: str = "cancelled", most: int = 32) -> int:
    """Ends what waits of it, so many jobs at a time; how many jobs."""
    gone = 0
    while True:
        write = partial(
            batch_ends.end_waiting,
            batch_id=row.id,
            how=how,  # type: ignore[arg-type]  # one of the two
            at=micros(house.clock.now()),
            most=most,
        )
        ended, _ = await house.db.write(write, locks=(row.org_id,))
        if not ended:
            return gone
        gone += ended
