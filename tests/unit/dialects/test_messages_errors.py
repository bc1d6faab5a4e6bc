"""Errors in Anthropic's envelope: one table by status, the preset's table on top of it."""

import json
from typing import Any

import pytest

from ingot.dialects.envelope import USUAL, ErrorTable, Row
from ingot.dialects.messages import MESSAGES
from ingot.dialects.messages_errors import encode_error
from ingot.errors import (
    ApiError,
    Conflict,
    Forbidden,
    HeadersTooLarge,
    IdempotencyError,
    InvalidRequest,
    NotFound,
    Overloaded,
    PlatformError,
    QuotaExceeded,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from ingot.presets import dressed, encode_anthropic_error, load


def told(error: ApiError, table: ErrorTable = USUAL, request_id: str = "r") -> tuple[int, Any]:
    """Status and body."""
    status, body = encode_error(error, request_id, table=table)
    return status, json.loads(body)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("x"), 400, "invalid_request_error"),
        (IdempotencyError("x"), 400, "idempotency_error"),
        (Unauthenticated("x"), 401, "authentication_error"),
        (QuotaExceeded("x"), 402, "billing_error"),
        (Forbidden("x"), 403, "permission_error"),
        (NotFound("x"), 404, "not_found_error"),
        (Conflict("x"), 409, "conflict_error"),
        (TooLarge("x"), 413, "request_too_large"),
        (RateLimited("x"), 429, "rate_limit_error"),
        (HeadersTooLarge("x"), 431, "invalid_request_error"),
        (PlatformError("x"), 500, "api_error"),
        (UpstreamError("x"), 502, "api_error"),
        (Overloaded("x"), 529, "overloaded_error"),
        (UpstreamUnavailable("x"), 529, "overloaded_error"),
        (UpstreamTimeout("x"), 504, "timeout_error"),
    ],
)
def test_type_follows_from_the_status_when_an_error_is_told(error: ApiError, status: int, kind: str) -> None:
    """The code is kept where clients look for one; a fault of ours tells the request's id in words too."""
    found, body = told(error)
    text = "x (request id r)" if isinstance(error, PlatformError) else "x"
    assert (found, list(body), body["type"]) == (status, ["type", "error", "request_id"], "error")
    assert body["error"] == {"type": kind, "message": text, "details": {"error_code": error.code}}
    assert body["request_id"] == "r"


def test_parts_are_left_out_when_there_is_nothing_to_say() -> None:
    """No code, no details; no id, no `request_id`."""
    assert told(ApiError("x"), request_id="")[1] == {
        "type": "error",
        "error": {"type": "api_error", "message": "x"},
    }


def test_table_names_the_status_when_the_server_is_busy() -> None:
    """529 stands only where no preset has another; one that knows few statuses says 500."""
    rows = ErrorTable(classes={Overloaded: Row(status=503)})
    few = ErrorTable(statuses=frozenset({400, 500}))
    assert [encode_error(Overloaded("x"), "r", table=table)[0] for table in (rows, few)] == [503, 500]


def test_table_counts_when_a_preset_has_one() -> None:
    """Its statuses, codes and messages; its types are words of another envelope."""
    table = ErrorTable(
        codes={"invalid_api_key": Row(type="odd", code="nope", message="No: {message}")},
        statuses=frozenset({400, 403, 500}),
    )
    assert told(Unauthenticated("x"), table) == (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "No: x",
                "details": {"error_code": "nope"},
            },
            "request_id": "r",
        },
    )


def test_envelope_is_openais_when_the_preset_says_so() -> None:
    """S4-146: one envelope on all of Valar's surfaces, in streams as well."""
    valar = load("valar")
    dialect = dressed(MESSAGES, valar)
    error = InvalidRequest("x", param="system")
    status, body = dialect.encode_error(error, "r")
    assert (status, list(json.loads(body))) == (400, ["error"])
    assert dialect.error_event(error, "r") == b"event: error\ndata: " + body + b"\n\n"
    assert encode_anthropic_error(valar, error, "r") == (status, body)
    call = MESSAGES.decode(b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}')
    tap = dialect.tap(call, model="m", public="m")
    said = tap.feed(b'{"type":"error","error":{"type":"api_error"}}')
    assert said is not None
    assert set(json.loads(said)["error"]) == {"message", "type", "param", "code"}
    assert tap.given == b"event: error\ndata: " + said + b"\n\n"
    assert dressed(MESSAGES, load("open")) is MESSAGES
    assert encode_anthropic_error(load("open"), error, "r") == MESSAGES.encode_error(error, "r")
