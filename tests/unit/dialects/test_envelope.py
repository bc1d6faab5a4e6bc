"""Errors on the wire: every class of the tree has its shape, in bodies and in streams."""

import json
from collections.abc import Iterator

import pytest

from ingot import errors
from ingot.dialects.chat import CHAT
from ingot.dialects.envelope import USUAL, ErrorTable, Row, encode_error, error_event
from ingot.errors import ApiError


def tree(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    """The class and all below it."""
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def example(kind: type[ApiError]) -> ApiError:
    """An error of this class."""
    if kind is errors.MethodNotAllowed:
        return errors.MethodNotAllowed("What went wrong.", allow=("POST",))
    return kind("What went wrong.")


TYPES = {
    "ApiError": "server_error",
    "IdempotencyError": "idempotency_error",
    "QuotaExceeded": "insufficient_quota",
    "RateLimited": "rate_limit_exceeded",
    "UpstreamRejected": "invalid_request_error",
}


@pytest.mark.parametrize("kind", [kind for kind in tree(ApiError) if kind.__module__ == "ingot.errors"])
def test_encode_error_when_any_class(kind: type[ApiError]) -> None:
    """Every class of the tree encodes to the four keys, with a type that fits its status."""
    error = example(kind)
    body = json.loads(CHAT.encode_error(error, "req_1")[1])["error"]
    assert list(body) == ["message", "type", "param", "code"]
    usual = "invalid_request_error" if error.blame == "client" else "server_error"
    assert body["type"] == TYPES.get(kind.__name__, usual)
    assert body["code"] == error.code
    assert body["message"].startswith("What went wrong.")
    assert ("req_1" in body["message"]) == isinstance(error, errors.PlatformError)


def test_encode_error_when_param_is_known() -> None:
    """The offending field is named by its path."""
    error = errors.InvalidRequest("Bad.", param="messages[0].content", code="invalid_type")
    assert json.loads(CHAT.encode_error(error, "")[1]) == {
        "error": {
            "message": "Bad.",
            "type": "invalid_request_error",
            "param": "messages[0].content",
            "code": "invalid_type",
        }
    }


def test_error_event_when_message_has_line_ends() -> None:
    """An error in a stream is one event on one line, whatever its message holds."""
    event = CHAT.error_event(errors.UpstreamTimeout("One\r\ntwo\nthree."), "req_1")
    assert event.startswith(b'data: {"error":')
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
    assert b"\r" not in event
    assert json.loads(event[6:])["error"]["message"] == "One\r\ntwo\nthree."


def test_rows_change_an_error_when_they_name_its_class() -> None:
    """Status, type, code, message and keys; another class, and a class below, stay as they are."""
    row = Row(status=409, type="t", code="c", message="So: {message}", keys=("code", "message", "type"))
    table = ErrorTable(classes={errors.RateLimited: row, errors.PlatformError: Row(code="p")})
    error = errors.RateLimited("slow {message}")
    assert encode_error(error, "", table=table) == (
        409,
        b'{"error":{"code":"c","message":"So: slow {message}","type":"t"}}',
    )
    other = errors.Overloaded("busy")
    assert encode_error(other, "r", table=table) == encode_error(other, "r", table=USUAL)
    assert encode_error(other, "r", table=table)[0] == 503


def test_code_counts_for_more_than_class_when_both_have_rows() -> None:
    """What the code's row leaves open, the class's row says."""
    table = ErrorTable(
        classes={errors.NotFound: Row(status=400, code="gone")},
        codes={"model_not_found": Row(code="no_model")},
    )
    error = errors.NotFound("none", code="model_not_found")
    status, body = encode_error(error, "", table=table)
    assert (status, json.loads(body)["error"]["code"]) == (400, "no_model")


@pytest.mark.parametrize(("status", "shown"), [(400, 400), (422, 400), (429, 429), (500, 500), (503, 500)])
def test_status_is_one_of_the_known_ones_when_they_are_named(status: int, shown: int) -> None:
    """Any other becomes the first of its hundred."""
    table = ErrorTable(statuses=frozenset({400, 429, 500}))
    assert encode_error(ApiError("x", status=status), "", table=table)[0] == shown


def test_request_id_is_told_when_a_row_replaces_the_message() -> None:
    """It is all that a client can report of a fault of ours."""
    table = ErrorTable(classes={errors.PlatformError: Row(message="Broken.")})
    body = json.loads(error_event(errors.PlatformError("x"), "req_9", table=table)[6:])
    assert body["error"]["message"] == "Broken. (request id req_9)"
