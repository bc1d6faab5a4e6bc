"""The API's description of itself, OpenAPI 3.1, made from the same records that check requests."""

from typing import Any

import msgspec

from ingot import __version__
from ingot.dialects import chat_request, messages_request, opaque, responses_request
from ingot.web import models, openapi_batches, openapi_more, resources
from ingot.web.errors import is_anthropics
from ingot.web.openapi_errors import answers

_REF = "#/components/schemas/{name}"


class ErrorObject(msgspec.Struct, frozen=True):
    """What went wrong: `param` names the field as a path, `code` is stable, `message` says what would be right."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """Every error of the OpenAI-style surfaces."""

    error: ErrorObject


class AnthropicErrorDetails(msgspec.Struct, frozen=True):
    """The stable code of an error."""

    error_code: str


class AnthropicErrorObject(msgspec.Struct, frozen=True):
    """What went wrong: `type` follows from the status, `message` begins with the field."""

    type: str
    message: str
    details: AnthropicErrorDetails | None = None


class AnthropicErrorBody(msgspec.Struct, frozen=True):
    """Every error of `/v1/messages`."""

    type: str
    error: AnthropicErrorObject
    request_id: str | None = None


_BODIES: dict[str, type] = {
    "/v1/chat/completions": chat_request.ChatRequest,
    "/v1/completions": opaque.CompletionsRequest,
    "/v1/embeddings": opaque.EmbeddingsRequest,
    "/v1/messages": messages_request.MessagesRequest,
    "/v1/messages/count_tokens": messages_request.CountRequest,
    "/v1/responses": responses_request.ResponsesRequest,
    "/v1/responses/input_tokens": responses_request.Asked,
    "/v1/responses/compact": responses_request.CompactRequest,
}
_UNSTREAMED = frozenset(
    {
        "/v1/embeddings",
        "/v1/messages/count_tokens",
        "/v1/responses/input_tokens",
        "/v1/responses/compact",
    }
)
_SUMMARIES = {
    "/v1/chat/completions": "Create a chat completion, whole or as a stream",
    "/v1/completions": "Create a text completion (passed through)",
    "/v1/embeddings": "Create embeddings (passed through)",
    "/v1/messages": "Create a message, whole or as a stream",
    "/v1/messages/count_tokens": "Count the tokens of a message request",
    "/v1/responses": "Create a response, whole or as a stream; a GET that asks for a WebSocket opens one for many",
    "/v1/responses/input_tokens": "Count the tokens of a responses request",
    "/v1/responses/compact": "Put one sealed item in place of a conversation",
}
_PAGES = {
    "/health": ("Readiness, under the name that engines use", False),
    "/livez": ("Whether the process lives", False),
    "/readyz": ("Whether traffic belongs here", False),
    "/version": ("Name and version", False),
    "/openapi.json": ("This document", False),
    "/llms.txt": ("An index of the documentation, for programs that read", False),
    "/reference.md": ("What this service takes, refuses and answers, as text", False),
    "/metrics": ("Prometheus metrics", False),
    "/v1/models": ("List the models", True),
    "/v1/models/{model}": ("One model; ids may contain slashes", True),
}

_TEXTS = {"/llms.txt": "text/plain", "/reference.md": "text/markdown", "/metrics": "text/plain"}


def describe() -> bytes:
    """The document."""
    own = [
        *_BODIES.values(),
        ErrorBody,
        AnthropicErrorBody,
        models.ModelList,
        models.ModelObject,
        resources.Readiness,
    ]
    schemas, components = msgspec.json.schema_components(
        [*own, *openapi_more.KINDS, *openapi_batches.KINDS], ref_template=_REF
    )
    *bodies, error, anthropic_error, listing, model, readiness = schemas[: len(own)]
    paths: dict[str, Any] = {}
    for path, body in zip(_BODIES, bodies, strict=True):
        streams, anthropic = path not in _UNSTREAMED, is_anthropics(path)
        told = anthropic_error if anthropic else error
        paths[path] = {
            "post": _operation(_SUMMARIES[path], told, body=body, streams=streams, anthropic=anthropic)
        }
    found = {"/v1/models": listing, "/v1/models/{model}": model, "/health": readiness, "/readyz": readiness}
    for path, (summary, guarded) in _PAGES.items():
        media = _TEXTS.get(path, "application/json")
        operation = _operation(summary, error, answer=found.get(path), guarded=guarded, media=media)
        if "{model}" in path:
            operation["parameters"] = [
                {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
            ]
        paths[path] = {"get": operation}
    more = dict(zip((*openapi_more.KINDS, *openapi_batches.KINDS), schemas[len(own) :], strict=True))
    for rows in (openapi_more.ROWS, openapi_batches.ROWS):
        openapi_more.add_paths(paths, more, error=error, anthropic=anthropic_error, rows=rows)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Ingot", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }
    return msgspec.json.encode(document)


def _operation(
    summary: str,
    error: Any,
    *,
    body: Any = None,
    answer: Any = None,
    streams: bool = False,
    guarded: bool = True,
    anthropic: bool = False,
    media: str = "application/json",
) -> dict[str, Any]:
    content: dict[str, Any] = {media: {"schema": answer or {}}}
    if streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": answers(
            content,
            error,
            guarded=guarded,
            body=body is not None,
            lookup=guarded,
            inference=body is not None,
            anthropic=anthropic,
        ),
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if guarded:
        operation["security"] = [{"bearer": []}, {"api_key": []}]
    return operation
