"""A response in the background as its client reads it, in the shape of its surface: while it waits, and once it has ended.

    queued, in_progress       the surface's object without an answer, and `status`
    completed                 the answer, its bytes as they came, under our id, with `status`
    failed, cancelled         the object without an answer; `error` says why it failed

Each has `completion_window`: the window that was asked for, the one that was kept, how long it waited, its prices, and what
it cost. Decides shapes; refuses to know the queue, and who may read what.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.canonical import Request
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.responses.echo import Envelope
from ingot.dialects.responses_errors import CODES
from ingot.pricing import told_price, usd

_encode: Final = msgspec.json.Encoder().encode
_SECRET: Final = "webhook_token"  # noqa: S105  # the name of a field


@dataclass(frozen=True, slots=True)
class Shown:
    """What is told of a response; instants in whole seconds. `price` is that of its ledger row, as text."""

    id: str
    model: str
    status: str
    created_at: int
    due_at: int
    asked: str
    request: bytes | None = None
    answer: bytes | None = None
    completed_at: int | None = None
    achieved: str | None = None
    queue_ms: float | None = None
    price: str | None = None
    amount: int | None = None
    error: str | None = None
    rejected: str | None = None
    """Why the webhook that was ordered is not called."""


def render_chat(shown: Shown) -> bytes:
    """As a chat completion."""
    own = {**_common(shown), "metadata": _metadata(shown)}
    if shown.status == "completed" and shown.answer is not None:
        return _spliced(shown.answer, {"id": shown.id, "object": "chat.completion", **own})
    empty: dict[str, Any] = {
        "id": shown.id,
        "object": "chat.completion",
        "created": shown.created_at,
        "model": shown.model,
        "choices": [],
        "usage": None,
    }
    return _encode({**empty, **own, "error": _error(shown)})


def render_message(shown: Shown) -> bytes:
    """As one of Anthropic's messages."""
    own = _common(shown)
    if shown.status == "completed" and shown.answer is not None:
        return _spliced(shown.answer, {"id": shown.id, **own})
    empty: dict[str, Any] = {
        "id": shown.id,
        "type": "message",
        "role": "assistant",
        "model": shown.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
    return _encode({**empty, **own, "error": _error(shown)})


def render_response(shown: Shown) -> bytes:
    """As a response, which says back what it was asked."""
    common = _common(shown)
    own: dict[str, Any] = {
        name: common[name] for name in ("background", "completion_window", "webhook") if name in common
    }
    if shown.status == "completed" and shown.answer is not None:
        return _spliced(shown.answer, {"id": shown.id, **own})
    asked = rawjson.parse(shown.request or b"{}")
    # An envelope says back what stands in the body alone.
    nothing = Request(origin="responses", model=shown.model, turns=())
    envelope = Envelope(Reply(shown.id, shown.model, shown.created_at, nothing, asked))
    error = _error(shown)
    told = None if error is None else {"code": _code(error), "message": error["message"]}
    return _encode({**envelope.write(shown.status, output=[], tier=None, error=told), **own})


RENDER: Final[Mapping[str, Callable[[Shown], bytes]]] = {
    "chat": render_chat,
    "messages": render_message,
    "responses": render_response,
}
"""By surface."""
NOUNS: Final[Mapping[str, str]] = {"chat": "chat completion", "messages": "message", "responses": "response"}
"""What each is called."""
DELETED: Final[Mapping[str, Mapping[str, Any]]] = {
    "chat": {"object": "chat.completion.deleted", "deleted": True},
    "messages": {"type": "message_deleted"},
    "responses": {"object": "response", "deleted": True},
}
"""What a deletion says beside the id."""


def _common(shown: Shown) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if shown.rejected is not None:
        told["webhook"] = {"status": "rejected", "reason": shown.rejected}
    return told | {
        "status": shown.status,
        "background": True,
        "completed_at": shown.completed_at,
        "completion_window": {
            "asked": shown.asked,
            "achieved": shown.achieved,
            "due_at": shown.due_at,
            "queue_ms": shown.queue_ms,
            "price": None if shown.price is None else told_price(shown.price),
            "cost_usd": None if shown.amount is None else usd(shown.amount),
        },
    }


def _metadata(shown: Shown) -> dict[str, Any]:
    asked = {} if shown.request is None else msgspec.json.decode(shown.request).get("metadata")
    pairs = asked if isinstance(asked, dict) else {}
    return {name: held for name, held in pairs.items() if name != _SECRET}


def _error(shown: Shown) -> Any:
    """The error object of a kept error body, or what is known without one."""
    if shown.status != "failed":
        return None
    try:
        told = None if shown.answer is None else msgspec.json.decode(shown.answer)
    except msgspec.DecodeError:
        told = None  # a stream, as far as it came
    error = told.get("error") if isinstance(told, dict) else None
    return error or {
        "code": shown.error,
        "message": "The request failed, and what was said of it is not kept.",
    }


def _code(error: Mapping[str, Any]) -> str:
    """The code of a failed response, one of the few that clients know."""
    code = error.get("code")
    if isinstance(code, str) and code in CODES:
        return code
    return "invalid_prompt" if error.get("type") == "invalid_request_error" else "server_error"


def _spliced(answer: bytes, own: Mapping[str, Any]) -> bytes:
    return rawjson.splice_bytes(answer, replace={name: _encode(held) for name, held in own.items()})
