"""The description of the pages over stored completions, responses and usage, for `openapi` to take in.

Rows only: path, method, summary, query, body and answer. The answers are described by the records that they are
encoded from; a stored completion is what the target answered and has no record.
"""

from dataclasses import dataclass
from typing import Any

from ingot.dialects.stored import Deleted, UpdateRequest
from ingot.services.kept import DeletedResponse
from ingot.services.requestlog import RequestList
from ingot.services.usage import UsageBreakdown, UsageSummary


@dataclass(frozen=True, slots=True)
class Row:
    """One operation; `query` names its parameters and says what they mean."""

    path: str
    method: str
    summary: str
    query: tuple[tuple[str, str], ...] = ()
    body: type | None = None
    answer: type | None = None
    media: str = "application/json"


_RANGE = ("range", "24h, 7d, 30d (the default) or period")
_RANGE_OR_DAY = ("range", "24h, 7d, 30d (the default), period, or day with date")
_DATE = ("date", "YYYY-MM-DD, with range=day")
_PAGE = (
    ("after", "The id of the last item of the page before"),
    ("limit", "How many items, 1 to 100 (default 20)"),
)
_ORDER = ("order", "asc (oldest first, the default) or desc")
_KEY = ("key", "The id or kid of the key that was used")
_MODEL = ("model", "The model that was asked for")

_NEWEST = ("order", "asc (oldest first) or desc (the default)")

_FOLLOW = (
    ("stream", "true: as a stream of events"),
    ("starting_after", "With stream=true, only events behind this number"),
)

_STORED = "/v1/chat/completions"
_RESPONSE = "/v1/responses/{id}"

ROWS = (
    Row(
        _STORED,
        "get",
        "List stored chat completions",
        query=(*_PAGE, _ORDER, _MODEL, ("metadata[KEY]", "Only those with this metadata; may be repeated")),
    ),
    Row(f"{_STORED}/{{id}}", "get", "A stored chat completion"),
    Row(f"{_STORED}/{{id}}", "post", "Replace the metadata of a stored chat completion", body=UpdateRequest),
    Row(f"{_STORED}/{{id}}", "delete", "Delete a stored chat completion for good", answer=Deleted),
    Row(
        f"{_STORED}/{{id}}/messages",
        "get",
        "The messages that a stored chat completion was asked with",
        query=(*_PAGE, _ORDER),
    ),
    Row(f"{_STORED}/{{id}}/cancel", "post", "Cancel a chat completion in the background"),
    Row("/v1/messages/{id}", "get", "A message in the background, as it stands", query=_FOLLOW),
    Row("/v1/messages/{id}", "delete", "Cancel and delete a message in the background"),
    Row("/v1/messages/{id}/cancel", "post", "Cancel a message in the background"),
    Row(
        _RESPONSE,
        "get",
        "A stored response",
        query=_FOLLOW,
    ),
    Row(_RESPONSE, "delete", "Delete a stored response for good", answer=DeletedResponse),
    Row(
        f"{_RESPONSE}/input_items",
        "get",
        "The items that a response was asked with, those before its own included",
        query=(*_PAGE, _NEWEST),
    ),
    Row(f"{_RESPONSE}/cancel", "post", "Cancel a response that runs in the background"),
    Row("/v1/usage", "get", "What was used and spent", query=(_RANGE,), answer=UsageSummary),
    Row(
        "/v1/usage/breakdown",
        "get",
        "Usage by hour or day, model and window",
        query=(_RANGE_OR_DAY, _DATE),
        answer=UsageBreakdown,
    ),
    Row(
        "/v1/usage/requests",
        "get",
        "Requests without their content, newest first",
        query=(*_PAGE, _KEY, _MODEL),
        answer=RequestList,
    ),
    Row(
        "/v1/usage/export",
        "get",
        "The same as CSV, of any length",
        query=(_RANGE_OR_DAY, _DATE, _KEY, _MODEL),
        media="text/csv",
    ),
)

KINDS: tuple[type, ...] = tuple(
    dict.fromkeys(kind for row in ROWS for kind in (row.body, row.answer) if kind is not None)
)
"""The records that need a schema."""


def add_paths(paths: dict[str, Any], schemas: dict[type, Any], *, error: Any) -> None:
    """Adds the operations to a document's paths; `schemas` has one for each of `KINDS`, `error` is an error's."""
    for row in ROWS:
        paths.setdefault(row.path, {})[row.method] = _operation(row, schemas, error)


def _operation(row: Row, schemas: dict[type, Any], error: Any) -> dict[str, Any]:
    schema = {"type": "string"} if row.media == "text/csv" else {}
    content = {row.media: {"schema": schema if row.answer is None else schemas[row.answer]}}
    parameters = [_parameter(name, "query", text) for name, text in row.query]
    if "{id}" in row.path:
        parameters.insert(0, _parameter("id", "path", "As the answer had it, or ours from the request log"))
    operation: dict[str, Any] = {
        "summary": row.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "The answer", "content": content},
            "default": {"description": "An error", "content": {"application/json": {"schema": error}}},
        },
        "security": [{"bearer": []}, {"api_key": []}],
    }
    if row.body is not None:
        body = {"application/json": {"schema": schemas[row.body]}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _parameter(name: str, where: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": text,
        "schema": {"type": "string"},
    }
