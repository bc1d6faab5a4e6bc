"""Batches as their operator sees them: without a server, whatever their shape."""

from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.errors import NotFound
from ingot.rawjson import clip
from ingot.services.batches.ending import end_all
from ingot.store import batch_lines
from ingot.store import batches as store
from ingot.store.batches import BatchRow, Shape
from ingot.store.database import Database
from ingot.store.responses import Step
from ingot.store.schema import seconds, seconds_or_none

SHAPES: Final[tuple[Shape, ...]] = ("requests", "file", "messages")


class Overview:
    """The batches of one database."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def list(self, org_id: str, *, limit: int) -> list[dict[str, Any]]:
        """The newest batches of an organization."""

        def read(conn: Connection) -> list[dict[str, Any]]:
            rows, _ = store.list_batches(conn, org_id, shapes=SHAPES, step=Step(None, limit, descending=True))
            return [_told(conn, row) for row in rows]

        return await self._db.read(read)

    async def read(self, org_id: str, which: str) -> dict[str, Any]:
        """One batch; raises NotFound."""

        def read(conn: Connection) -> dict[str, Any]:
            return _told(conn, _find(conn, org_id, which))

        return await self._db.read(read)

    async def cancel(self, org_id: str, which: str) -> dict[str, Any]:
        """Asks for the end of a batch; raises NotFound, Conflict."""
        batch = await self._db.read(partial(_find, org_id=org_id, which=which))
        await end_all(self._db, batch, clock=self._clock)
        return await self.read(org_id, which)


def _find(conn: Connection, org_id: str, which: str) -> BatchRow:
    found = store.find_batch(conn, org_id, which, shapes=SHAPES)
    if found is None:
        raise NotFound(f"No batch of this organization has the id '{clip(which)}'.")
    return found


def _told(conn: Connection, row: BatchRow) -> dict[str, Any]:
    running = batch_lines.running_count(conn, row)
    return {
        "id": row.id,
        "endpoint": row.endpoint,
        "state": row.state,
        "label": row.label,
        "model": row.model,
        "total": row.total,
        "completed": row.completed,
        "failed": row.failed,
        "cancelled": row.cancelled,
        "expired": row.expired,
        "running": running,
        "pending": row.left - running,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "created_at": seconds(row.created_at),
        "due_at": seconds(row.due_at),
        "ended_at": seconds_or_none(row.ended_at),
    }
