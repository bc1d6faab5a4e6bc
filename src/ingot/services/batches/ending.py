"""The end of a batch that somebody asks for: what waits ends at once, a few jobs in a write; what runs is its worker's to end."""

from functools import partial
from typing import Final, Literal

from ingot.clock import Clock
from ingot.errors import Conflict
from ingot.store import batch_ends
from ingot.store.batches import BatchRow
from ingot.store.database import Database
from ingot.store.schema import micros

JOBS: Final = 32
"""Whose requests are ended in one write."""


async def end_all(db: Database, batch: BatchRow, *, clock: Clock) -> None:
    """Asks for the end of a batch; again is no error. Raises Conflict for one that has ended by itself."""
    now = micros(clock.now())
    asked = await db.write(partial(batch_ends.ask_end, batch=batch, at=now), locks=(batch.org_id,))
    if not asked and batch.state in {"completed", "failed", "expired"}:
        raise Conflict(
            f"The batch '{batch.id}' cannot be cancelled: its state is '{batch.state}'.",
            code="batch_ended",
            headers=(("x-should-retry", "false"),),
        )
    await end_waiting(db, batch.id, batch.org_id, how="cancelled", at=now)


async def end_waiting(
    db: Database,
    batch_id: str,
    org_id: str,
    *,
    how: Literal["cancelled", "expired"],
    at: int,
    node: str = "",
) -> None:
    """Ends all that waits of a batch, a few jobs in a write; `node` notes the promises that break with it."""
    end = partial(batch_ends.end_waiting, batch_id=batch_id, how=how, at=at, most=JOBS, node=node)
    while (await db.write(end, locks=(org_id,)))[0]:
        pass  # other writes come between two of these
