"""Batches of messages on the wire, in Anthropic's words: the object, lists of it, a deletion, the lines of its results.

Instants are RFC 3339 texts. Counts of what has ended stay 0 until the whole batch has, as Anthropic tells them. Decides
shapes; refuses to know the store. Source: contract §6.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from ingot.dialects.batches import Entry, Shown

_encode: Final = msgspec.json.Encoder().encode
_STATUS: Final = {"in_progress": "in_progress", "cancelling": "canceling"}
Moment = Callable[[int], str]
PATH: Final = "/v1/messages/batches"


def render(shown: Shown, *, moment: Moment) -> bytes:
    """A batch; `moment` writes whole seconds as text."""

    def text(at: int | None) -> str | None:
        return None if at is None else moment(at)

    status = _STATUS.get(shown.state, "ended")
    counts, over = shown.counts, status == "ended"
    return _encode(
        {
            "id": shown.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": {
                "processing": 0 if over else counts.total,
                "succeeded": counts.completed if over else 0,
                "errored": counts.failed if over else 0,
                "canceled": counts.cancelled if over else 0,
                "expired": counts.expired if over else 0,
            },
            "created_at": text(shown.created_at),
            "expires_at": text(shown.due_at),
            "ended_at": text(shown.ended_at),
            "cancel_initiated_at": text(shown.cancel_at),
            "archived_at": text(shown.archived_at),
            "results_url": f"{PATH}/{shown.id}/results" if over and shown.archived_at is None else None,
        }
    )


def render_list(items: Sequence[tuple[str, bytes]], *, more: bool) -> bytes:
    """A page of a list: ids and objects."""
    ends = (items[0][0], items[-1][0]) if items else (None, None)
    return b'{"data":[%b],"has_more":%b,"first_id":%b,"last_id":%b}' % (
        b",".join(item for _, item in items),
        _encode(more),
        *map(_encode, ends),
    )


def render_deleted(which: str) -> bytes:
    """The answer to a deletion."""
    return _encode({"id": which, "type": "message_batch_deleted"})


def render_line(entry: Entry) -> bytes:
    """A line of results, with its end."""
    return _encode({"custom_id": entry.custom_id, "result": _result(entry)}) + b"\n"


def _result(entry: Entry) -> dict[str, Any]:
    if entry.state == "completed" and entry.body is not None:
        return {"type": "succeeded", "message": msgspec.Raw(entry.body)}
    if entry.state == "cancelled":
        return {"type": "canceled"}
    if entry.state == "expired":
        return {"type": "expired"}
    if entry.body is not None:
        return {"type": "errored", "error": msgspec.Raw(entry.body)}
    told = {"type": "not_found_error", "message": "What this request was answered is not kept any more."}
    return {"type": "errored", "error": {"type": "error", "error": told, "request_id": entry.request_id}}
