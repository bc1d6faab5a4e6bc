"""A target's errors in Anthropic's envelope.

    {"type": "error", "error": {"type", "message", "details": {"error_code"}}, "request_id"}

Our own errors are worded by the client's Dialect. Knows no HTTP.
"""

from typing import Any

from ingot.canonical import Failure
from ingot.dialects.codecs.values import error_in, failure_of


def decode_failure(error: Any) -> Failure:
    """The inner object of an error."""
    return failure_of(error, _code)


def decode_error(body: bytes) -> Failure:
    """What an error body says; the body itself where it is no JSON."""
    return error_in(body, decode_failure)


def _code(error: dict[str, Any]) -> Any:
    details = error.get("details")
    return details.get("error_code") if type(details) is dict else error.get("code")
