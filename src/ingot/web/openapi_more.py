"""The description of the pages over stored completions, responses, conversations, files, quotes, windows and usage to take
in.

Rows only: path, method, summary, query, body and answer. The answers are described by the records that they are
encoded from; a stored completion is what the target answered and has no record.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from ingot.dialects.conversations import (
    AddItems,
    ConversationDeleted,
    ConversationObject,
    CreateConversation,
    ItemList,
    UpdateConversation,
)
from ingot.dialects.files import (
    CompleteUpload,
    CreateUpload,
    FileDeleted,
    FileList,
    FileObject,
    Purpose,
    UploadObject,
    UploadPart,
)
from ingot.dialects.quotes import CreateQuote, QuoteObject, WindowList
from ingot.dialects.stored import Deleted, UpdateRequest
from ingot.dialects.webhooks import (
    CreateEndpoint,
    Endpoint,
    EndpointDeleted,
    EndpointList,
    EndpointTested,
    EndpointWithSecret,
    RotateSecret,
    TestEndpoint,
    TypeList,
    UpdateEndpoint,
)
from ingot.services.kept import DeletedResponse
from ingot.services.requestlog import RequestList
from ingot.services.usage import UsageBreakdown, UsageSummary
from ingot.web.errors import is_anthropics
from ingot.web.openapi_errors import answers


@dataclass(frozen=True, slots=True)
class Row:
    """One operation; `query` names its parameters and says what they mean, `form` is the schema of a body that is one, `most`
    the largest page.
    """

    path: str
    method: str
    summary: str
    query: tuple[tuple[str, str], ...] = ()
    body: type | None = None
    form: Mapping[str, Any] | None = None
    answer: type | None = None
    media: str = "application/json"
    most: int = 100


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

_INCLUDE = ("include[]", "What is shown beside the rest, as reasoning.encrypted_content; may be repeated")

_FOLLOW = (
    ("stream", "true: as a stream of events"),
    ("starting_after", "With stream=true, only events behind this number"),
)

_STORED = "/v1/chat/completions"
_RESPONSE = "/v1/responses/{id}"
_CONVERSATIONS = "/v1/conversations"
_ONE = f"{_CONVERSATIONS}/{{id}}"
_ITEMS = f"{_ONE}/items"
_FILES = "/v1/files"
_UPLOADS = "/v1/uploads"
_ENDPOINTS = "/v1/webhook_endpoints"
_ENDPOINT = f"{_ENDPOINTS}/{{id}}"
_BINARY = {"type": "string", "format": "binary"}
_FILE_FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "additionalProperties": False,
    "properties": {
        "file": _BINARY,
        "purpose": {"enum": list(get_args(Purpose))},
        "expires_after[anchor]": {"const": "created_at"},
        "expires_after[seconds]": {"type": "integer", "minimum": 3_600, "maximum": 2_592_000},
    },
}
_PART_FORM = {
    "type": "object",
    "required": ["data"],
    "additionalProperties": False,
    "properties": {"data": _BINARY},
}
_NEWEST = ("order", "asc (oldest first) or desc (the default)")
_ALL_THERE = ("include[]", "What else an answer shall hold; all of it is there already")
_SCHEMAS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    "order": {"type": "string", "enum": ["asc", "desc"]},
    "date": {"type": "string", "format": "date"},
    "stream": {"type": "boolean"},
    "starting_after": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
}

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
    Row(_CONVERSATIONS, "post", "Create a conversation", body=CreateConversation, answer=ConversationObject),
    Row(_ONE, "get", "A conversation without its items", answer=ConversationObject),
    Row(
        _ONE,
        "post",
        "Replace the metadata of a conversation",
        body=UpdateConversation,
        answer=ConversationObject,
    ),
    Row(_ONE, "delete", "Delete a conversation and its items for good", answer=ConversationDeleted),
    Row(_ITEMS, "post", "Append items", query=(_INCLUDE,), body=AddItems, answer=ItemList),
    Row(_ITEMS, "get", "List the items", query=(*_PAGE, _NEWEST, _INCLUDE), answer=ItemList),
    Row(f"{_ITEMS}/{{item_id}}", "get", "One item", query=(_INCLUDE,)),
    Row(f"{_ITEMS}/{{item_id}}", "delete", "Delete an item for good", answer=ConversationObject),
    Row(_FILES, "post", "Upload a file", form=_FILE_FORM, answer=FileObject),
    Row(
        _FILES,
        "get",
        "List files",
        query=(_PAGE[0], ("limit", "How many, 1 to 10000 (the default)"), _NEWEST, ("purpose", "Only these")),
        answer=FileList,
        most=10_000,
    ),
    Row(f"{_FILES}/{{id}}", "get", "A file without its bytes", answer=FileObject),
    Row(f"{_FILES}/{{id}}", "delete", "Delete a file for good", answer=FileDeleted),
    Row(f"{_FILES}/{{id}}/content", "get", "The bytes of a file", media="application/octet-stream"),
    Row(_UPLOADS, "post", "Begin an upload in parts", body=CreateUpload, answer=UploadObject),
    Row(f"{_UPLOADS}/{{id}}/parts", "post", "Add a part", form=_PART_FORM, answer=UploadPart),
    Row(
        f"{_UPLOADS}/{{id}}/complete",
        "post",
        "Make a file of the parts",
        body=CompleteUpload,
        answer=UploadObject,
    ),
    Row(f"{_UPLOADS}/{{id}}/cancel", "post", "Give an upload up", answer=UploadObject),
    Row(
        _RESPONSE,
        "get",
        "A stored response, whole or as the stream that it was",
        query=(*_FOLLOW, _ALL_THERE),
    ),
    Row(_RESPONSE, "delete", "Delete a stored response for good", answer=DeletedResponse),
    Row(f"{_RESPONSE}/cancel", "post", "Cancel a response that runs in the background"),
    Row(
        f"{_RESPONSE}/input_items",
        "get",
        "The items that a stored response was asked with",
        query=(*_PAGE, _NEWEST, _ALL_THERE),
    ),
    Row(
        "/v1/quotes",
        "post",
        "What a request or a batch would cost, and when it would be done",
        body=CreateQuote,
        answer=QuoteObject,
    ),
    Row(
        "/v1/windows",
        "get",
        "The completion windows, and how often each was kept",
        answer=WindowList,
    ),
    Row(
        _ENDPOINTS,
        "post",
        "Create a webhook endpoint; its secret is shown once",
        body=CreateEndpoint,
        answer=EndpointWithSecret,
    ),
    Row(_ENDPOINTS, "get", "List webhook endpoints, newest first", query=_PAGE, answer=EndpointList),
    Row(_ENDPOINT, "get", "A webhook endpoint", answer=Endpoint),
    Row(_ENDPOINT, "post", "Change a webhook endpoint", body=UpdateEndpoint, answer=Endpoint),
    Row(_ENDPOINT, "delete", "Delete a webhook endpoint", answer=EndpointDeleted),
    Row(
        f"{_ENDPOINT}/rotate_secret",
        "post",
        "Replace the secret of a webhook endpoint; the new one is shown once",
        body=RotateSecret,
        answer=EndpointWithSecret,
    ),
    Row(f"{_ENDPOINT}/test", "post", "Send an event for a test", body=TestEndpoint, answer=EndpointTested),
    Row("/v1/webhook_event_types", "get", "What endpoints can subscribe to", answer=TypeList),
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


def kinds(rows: Iterable[Row]) -> tuple[type, ...]:
    """The records that need a schema."""
    return tuple(dict.fromkeys(kind for row in rows for kind in (row.body, row.answer) if kind is not None))


KINDS = kinds(ROWS)


def add_paths(
    paths: dict[str, Any], schemas: dict[type, Any], *, error: Any, anthropic: Any, rows: Iterable[Row] = ROWS
) -> None:
    """Adds the operations to a document's paths; `schemas` has one for each of the rows' `kinds`, `error` is an error's.

    `anthropic` is that of an error where Anthropic's clients go.
    """
    for row in rows:
        told = anthropic if is_anthropics(row.path) else error
        paths.setdefault(row.path, {})[row.method] = _operation(row, schemas, told)


def _operation(row: Row, schemas: dict[type, Any], error: Any) -> dict[str, Any]:
    schema = {} if row.media == "application/json" else {"type": "string"}
    content = {row.media: {"schema": schema if row.answer is None else schemas[row.answer]}}
    parameters = [_parameter(name, "query", text, most=row.most) for name, text in row.query]
    if "{item_id}" in row.path:
        parameters.insert(0, _parameter("item_id", "path", "As the list of items has it"))
    if "{custom_id}" in row.path:
        parameters.insert(0, _parameter("custom_id", "path", "As the request's author named it"))
    if "{id}" in row.path:
        parameters.insert(0, _parameter("id", "path", "As the answer had it, or ours from the request log"))
    operation: dict[str, Any] = {
        "summary": row.summary,
        "parameters": parameters,
        "responses": answers(
            content,
            error,
            body=row.body is not None or row.form is not None,
            lookup=True,
            changes=row.method == "post",
            anthropic=is_anthropics(row.path),
        ),
        "security": [{"bearer": []}, {"api_key": []}],
    }
    if row.form is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": row.form}},
        }
    if row.body is not None:
        body = {"application/json": {"schema": schemas[row.body]}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _parameter(name: str, where: str, text: str, *, most: int = 100) -> dict[str, Any]:
    schema = _SCHEMAS.get(name, {"type": "string"})
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": text,
        "schema": schema | {"maximum": most} if name == "limit" else schema,
    }
