"""Batches on the wire, in OpenAI's words: what makes one, its object in two forms, lists, the lines of its files.

    form       batch                                   list                      result by name
    object     OpenAI's, with a few counts more        OpenAI's list             the answer, or how it stands
    plain      id, request_counts, created_at, label   a bare array              the same; `request_status` by name

How the requests of a batch come is said in `batch_lines`, Anthropic's words in `message_batches`. Decides shapes and what
a body may say; refuses to know the store, and who may read what. Source: contract §4, C-10 to C-12, C-62.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ingot.dialects import stored
from ingot.dialects.chat_request import Metadata
from ingot.dialects.complaint import END, convert
from ingot.dialects.files import Expiry
from ingot.errors import InvalidRequest, Unsupported
from ingot.rawjson import clip

REQUESTS: Final = "requests"
"""The member of a body that holds the requests themselves."""
DAY: Final = "24h"
"""The only window that OpenAI's clients name for a whole batch; here it leaves the choice to each request."""

OF_REQUESTS: Final = ("completion_webhook", "webhook_token")
"""What of metadata is for single requests: a batch's own are kept and shown as they are, and no token may be."""

Label = Annotated[str, Meta(min_length=1, max_length=128, pattern=f"^[a-zA-Z0-9_-]+{END}")]
Item = Literal["pending", "running", "completed", "failed", "cancelled", "expired"]

_encode: Final = msgspec.json.Encoder().encode
_PLAIN: Final[Mapping[str, str]] = {"expired": "failed"}
"""How the plain form tells a state that it has no word for."""


class CreateBatch(Struct, frozen=True, kw_only=True):
    """What stands in a body beside `requests`."""

    endpoint: str
    input_file_id: str | None = None
    completion_window: str | None = None
    label: Label | None = None
    metadata: Metadata | None = None
    output_expires_after: Expiry | None = None


class Counts(Struct, frozen=True, kw_only=True):
    """How the requests of a batch stand; together they are `total`."""

    total: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    running: int = 0

    @property
    def pending(self) -> int:
        """Requests that wait."""
        return self.total - self.completed - self.failed - self.cancelled - self.expired - self.running


class Tokens(Struct, frozen=True, kw_only=True):
    """What the answers of a batch used."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


class Shown(Struct, frozen=True, kw_only=True):
    """What is told of a batch; instants in whole seconds."""

    id: str
    endpoint: str
    state: str
    asked_window: str
    created_at: int
    due_at: int
    counts: Counts
    tokens: Tokens
    label: str | None = None
    metadata: Mapping[str, str] | None = None
    model: str | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: str | None = None
    started_at: int | None = None
    finalizing_at: int | None = None
    ended_at: int | None = None
    cancel_at: int | None = None
    archived_at: int | None = None


class Fault(Struct, frozen=True, kw_only=True):
    """What is wrong with a line of a file; `line` counts from 1."""

    code: str | None
    message: str
    param: str | None = None
    line: int | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """A request that has ended: `body` is what its client is answered, an error too, and None where nothing is."""

    custom_id: str
    response_id: str
    state: str
    status: int | None = None
    request_id: str | None = None
    body: bytes | None = None


class Place(Struct, frozen=True, kw_only=True):
    """How one request of a batch stands that has no answer to show."""

    id: str
    custom_id: str
    object: str = "batch.request"
    status: str
    error: Any = None


def decode_create(value: dict[str, Any], *, inline: bool) -> CreateBatch:
    """What a body says; `inline`: its requests stand in it. Raises InvalidRequest, Unsupported."""
    made: CreateBatch = convert(value, CreateBatch)
    if inline and made.input_file_id is not None:
        raise InvalidRequest(
            "A batch has its requests in 'requests' or in the file 'input_file_id', not in both.",
            param="input_file_id",
        )
    if not inline and made.input_file_id is None:
        raise InvalidRequest(
            "Missing required parameter: 'requests', an array of requests, or 'input_file_id', a file of them.",
            param=REQUESTS,
            code="missing_required_parameter",
        )
    if inline and made.output_expires_after is not None:
        raise Unsupported(
            "'output_expires_after' is about the files of results, and a batch whose requests stand in 'requests' has none.",
            param="output_expires_after",
        )
    _check_metadata(made.metadata or {})
    return made


def _check_metadata(metadata: Mapping[str, str]) -> None:
    for name in OF_REQUESTS:
        if name in metadata:
            raise InvalidRequest(
                f"'metadata.{name}' is not for a batch: each of its requests may name its own in the metadata of its body. "
                "Leave it out; an endpoint under /v1/webhook_endpoints is told when the batch has ended.",
                param=f"metadata.{name}",
            )


def check_endpoint(endpoint: str, served: Sequence[str]) -> None:
    """Raises Unsupported where requests for this endpoint are not taken in batches."""
    if endpoint not in served:
        raise Unsupported(
            f"Invalid value for 'endpoint': batches are for {', '.join(served)}, not for '{clip(endpoint)}'.",
            param="endpoint",
            code="unsupported_value",
        )


# ---- told


def render(shown: Shown, *, inline: bool) -> bytes:
    """A batch as OpenAI's clients know it."""
    ended = {
        state: shown.ended_at if shown.state == state else None
        for state in ("completed", "failed", "expired", "cancelled")
    }
    counts, tokens = shown.counts, shown.tokens
    value: dict[str, Any] = {
        "id": shown.id,
        "object": "batch",
        "endpoint": shown.endpoint,
        "model": shown.model,
        "errors": None
        if shown.errors is None
        else {"object": "list", "data": msgspec.Raw(shown.errors.encode())},
        "input_file_id": shown.input_file_id,
        "completion_window": shown.asked_window,
        "status": shown.state,
        "output_file_id": shown.output_file_id,
        "error_file_id": shown.error_file_id,
        "created_at": shown.created_at,
        "in_progress_at": shown.started_at,
        "expires_at": shown.due_at,
        "finalizing_at": shown.finalizing_at,
        "completed_at": ended["completed"],
        "failed_at": ended["failed"],
        "expired_at": ended["expired"],
        "cancelling_at": shown.cancel_at,
        "cancelled_at": ended["cancelled"],
        "request_counts": {
            "total": counts.total,
            "completed": counts.completed,
            "failed": counts.failed,
            "cancelled": counts.cancelled,
            "expired": counts.expired,
            "running": counts.running,
            "pending": counts.pending,
        },
        "usage": {
            "input_tokens": tokens.input,
            "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.input + tokens.output,
        },
        "metadata": shown.metadata,
    }
    return _encode({**value, "label": shown.label} if inline else value)


def render_list(items: Sequence[tuple[str, bytes]], *, more: bool) -> bytes:
    """A page of a list: ids and objects."""
    return stored.render_list(items, more=more)


class _Plain(Struct, frozen=True, kw_only=True):
    id: str
    request_counts: int
    created_at: int
    label: str | None
    request_status: dict[str, dict[str, str]] | UnsetType = UNSET


def render_plain(shown: Shown, states: Iterable[tuple[str, str]] | None = None) -> bytes:
    """A batch in the plain form, with how each of its requests stands where that is asked for."""
    told: dict[str, dict[str, str]] | UnsetType = UNSET
    if states is not None:
        told = {name: {"status": _PLAIN.get(state, state)} for name, state in states}
    return _encode(
        _Plain(
            id=shown.id,
            request_counts=shown.counts.total,
            created_at=shown.created_at,
            label=shown.label,
            request_status=told,
        )
    )


def render_place(entry: Entry) -> bytes:
    """How a request stands that has no answer to show."""
    return _encode(
        Place(
            id=request_name(entry.response_id),
            custom_id=entry.custom_id,
            status=entry.state,
            error=ended_without(entry.state) or _error_of(entry),
        )
    )


def _error_of(entry: Entry) -> Any:
    """What a request that failed was told."""
    if entry.state != "failed" or entry.body is None:
        return None
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        told = msgspec.json.decode(entry.body)
        return told.get("error") if isinstance(told, dict) else None
    return None  # a stream, as far as it came


def render_line(entry: Entry) -> bytes:
    """A line of a file of results, with its end."""
    response: Any = None
    error = ended_without(entry.state)
    if error is None and entry.body is not None:
        body = msgspec.Raw(entry.body)
        response = {"status_code": entry.status, "request_id": entry.request_id, "body": body}
    elif error is None:
        error = {
            "code": "content_not_kept",
            "message": "The request has ended, and what it was answered is not kept any more.",
        }
    line = {
        "id": request_name(entry.response_id),
        "custom_id": entry.custom_id,
        "response": response,
        "error": error,
    }
    return _encode(line) + b"\n"


def is_success(entry: Entry) -> bool:
    """Whether a request's line belongs to the file of answers, and not to that of errors."""
    return entry.state == "completed"


def request_name(response_id: str) -> str:
    """The id of a request within its batch."""
    return "batch_req_" + response_id.partition("_")[2]


def ended_without(state: str) -> dict[str, str] | None:
    """Why a request ended that was never run; None for any other."""
    if state == "expired":
        return {
            "code": "batch_expired",
            "message": "This request could not be answered before its completion window was over.",
        }
    if state == "cancelled":
        return {"code": "batch_cancelled", "message": "The batch was cancelled before this request was run."}
    return None
