"""What came of the requests of a batch, as its clients read it: one by name, all of them a page at a time.

A request that has no answer yet is told as a response in the background is, with how it stands. Lines come in the order of
their places, those that have ended alone: who goes on behind the last line that it has misses nothing that had ended
before it, and a request that ends later in front of it is found by asking again, or once the batch has ended.
"""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

import msgspec

from ingot.dialects import background as shapes
from ingot.dialects import batches as wire
from ingot.dialects.batches import Entry
from ingot.dialects.cuts import check_text
from ingot.errors import ClientError, Conflict, InvalidRequest, NotFound
from ingot.rawjson import clip
from ingot.store import batch_lines as lines
from ingot.store.batch_lines import LineFound, LineRow
from ingot.store.batches import ENDED, BatchRow
from ingot.store.database import Database
from ingot.store.schema import seconds

PAGE: Final = 500
_STATUS: Final = {"pending": "queued", "running": "in_progress", "expired": "failed"}

Render = Callable[[Entry], bytes]

_encode: Final = msgspec.json.Encoder().encode


async def read_one(db: Database, batch: BatchRow, custom_id: str, *, surface: str) -> bytes:
    """The answer to a request, or how it stands; raises NotFound, ClientError 410."""
    check_kept(batch)
    found = await db.read(partial(lines.find_line, batch_id=batch.id, custom_id=custom_id))
    if found is None:
        raise NotFound(f"The batch '{batch.id}' has no request with the custom_id '{clip(custom_id)}'.")
    return _rendered(found, custom_id, surface=surface)


async def read_page(db: Database, batch: BatchRow, *, after: str | None, limit: int, render: Render) -> bytes:
    """Lines that have ended, behind the one with the custom_id `after`; raises InvalidRequest, ClientError 410."""
    check_kept(batch)
    place = -1
    if after is not None:
        found = await db.read(partial(lines.place_of, batch_id=batch.id, custom_id=after))
        if found is None:
            raise InvalidRequest(
                f"'after' is '{clip(after)}', which is no custom_id of this batch.", param="after"
            )
        place = found
    rows = await db.read(partial(lines.ended_lines, batch_id=batch.id, after=place, limit=limit))
    return b"".join(render(entry_of(row)) for row in rows)


async def every_line(db: Database, batch: BatchRow) -> AsyncIterator[list[LineRow]]:
    """All lines that have ended, a page at a time."""
    place = -1
    while rows := await db.read(partial(lines.ended_lines, batch_id=batch.id, after=place, limit=PAGE)):
        yield rows
        place = rows[-1].seq


async def stream(db: Database, batch: BatchRow, render: Render) -> AsyncIterator[bytes]:
    """All lines that have ended, as bytes."""
    async for rows in every_line(db, batch):
        yield b"".join(render(entry_of(row)) for row in rows)


def entry_of(row: LineRow) -> Entry:
    """A line as the wire knows it."""
    return Entry(
        custom_id=row.custom_id,
        response_id=row.response_id,
        state=row.state,
        status=row.status,
        request_id=row.request_id,
        body=_as_text(row.answer),
    )


def _as_text(body: bytes | None) -> bytes | None:
    """A body as it was stored; what earlier versions took from targets that sent no UTF-8 is mended.

    Whoever reads a file of results reads all of it as text, or none.
    """
    if body is None:
        return None
    try:
        check_text(body)
    except ValueError:
        return body.decode(errors="replace").encode()
    return body


def check_kept(batch: BatchRow) -> None:
    """Raises ClientError 410 where the results are not kept any more."""
    if batch.archived_at is not None:
        raise ClientError(
            f"The results of the batch '{batch.id}' are not kept any more.",
            status=410,
            code="results_expired",
        )


def check_ended(batch: BatchRow) -> None:
    """Raises Conflict while requests of the batch wait or run."""
    if batch.state not in ENDED:
        raise Conflict(
            f"The batch '{batch.id}' has not ended: its state is '{batch.state}'. Ask again when it has.",
            code="batch_not_ended",
            headers=(("x-should-retry", "false"),),
        )


def _rendered(found: LineFound, custom_id: str, *, surface: str) -> bytes:
    render, answer = shapes.RENDER.get(surface), _as_text(found.answer)
    if found.state == "completed" and render is None and answer is not None:
        return answer
    entry = Entry(custom_id=custom_id, response_id=found.response_id, state=found.state, body=answer)
    if render is None:
        return wire.render_place(entry)
    error = wire.ended_without(found.state)
    shown = shapes.Shown(
        id=found.response_id,
        model=found.model,
        status=_STATUS.get(found.state, found.state),
        created_at=seconds(found.created_at),
        due_at=seconds(found.due_at),
        asked=found.window,
        request=found.request,
        answer=answer if error is None else _encode({"error": error}),
        completed_at=seconds(found.finished_at)
        if found.finished_at is not None and found.state == "completed"
        else None,
        achieved=found.achieved,
        queue_ms=None if found.finished_at is None else found.queued_us / 1000,
        price=found.price,
        amount=found.amount,
        error=found.error,
    )
    return render(shown)
