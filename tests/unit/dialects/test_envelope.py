"""Errors on the wire: every class of the tree has its shape, in bodies and in streams."""

import json
from collections.abc import Iterator

import pytest

from ingot import errors
from ingot.dialects.chat import CHAT
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
    body = json.loads(CHAT.encode_error(error, "req_1"))["error"]
    assert list(body) == ["message", "type", "param", "code"]
    usual = "invalid_request_error" if error.blame == "client" else "server_error"
    assert body["type"] == TYPES.get(kind.__name__, usual)
    assert body["code"] == error.code
    assert body["message"].startswith("What went wrong.")
    assert ("req_1" in body["message"]) == isinstance(error, errors.PlatformError)


def test_encode_error_when_param_is_known() -> None:
    """The offending field is named by its path."""
    error = errors.InvalidRequest("Bad.", param="messages[0].content", code="invalid_type")
    assert json.loads(CHAT.encode_error(error, "")) == {
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
