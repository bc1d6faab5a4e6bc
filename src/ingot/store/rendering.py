"""The bytes that a client reads of a response that has ended: one place for those who ask and for webhooks.

    in the background      its row, how it waited and its price, in the shape of its surface
    while a client waited  what the client got, of which a chat completion has the metadata of its row put in

Decides nothing about who may read what, and knows no time.
"""

import dataclasses
from collections.abc import Mapping

from ingot.dialects import background as shapes
from ingot.dialects import stored
from ingot.dialects.background import Shown
from ingot.store.schema import seconds
from ingot.store.waiting import Record


def render_record(record: Record) -> bytes:
    """A response in the background as it stands."""
    ended = record.ended
    status = ended.state if ended is not None else "in_progress" if record.started else "queued"
    shown = Shown(
        id=record.id,
        model=record.model,
        status=status,
        created_at=seconds(record.created_at),
        due_at=seconds(record.due_at),
        asked=record.window,
        request=record.request,
        price=record.price,
        rejected=record.rejected,
    )
    return shapes.RENDER[record.surface](shown if ended is None else _with_end(shown, record))


def render_answer(surface: str, answer: bytes, *, shown: str, metadata: Mapping[str, str]) -> bytes:
    """An answer that its client waited for; `shown` is the id that it got. Raises ValueError where it is no JSON."""
    if surface == "chat":
        return stored.render_completion(answer, shown=shown, metadata=metadata)
    return answer


def _with_end(shown: Shown, record: Record) -> Shown:
    ended = record.ended
    if ended is None:
        return shown
    return dataclasses.replace(
        shown,
        answer=ended.answer,
        completed_at=seconds(ended.finished_at) if ended.state == "completed" else None,
        achieved=ended.achieved,
        queue_ms=ended.queued_us / 1000,
        amount=ended.amount,
        error=ended.error,
    )
