"""A target's errors in Anthropic's envelope.

    {"type": "error", "error": {"type", "message", "details": {"error_code"}}, "request_id"}

Our own errors are worded by the client's Dialect. Knows no HTTP.
"""

from typing import Any

from ingot.canonical import Failure
from ingot.dialects.codecs.messages.ends import text_of
from ingot.dialects.cuts import dump, load, mend_all


def decode_failure(error: Any) -> Failure:
    """The inner object of an error."""
    if type(error) is not dict:
        return Failure(message=error if type(error) is str else dump(error).decode())
    message, details = error.get("message"), error.get("details")
    code = details.get("error_code") if type(details) is dict else error.get("code")
    return Failure(
        message=message if type(message) is str else dump(error).decode(),
        type=text_of(error.get("type")),
        code=None if code is None else str(code),
        param=text_of(error.get("param")),
    )


def decode_error(body: bytes) -> Failure:
    """What an error body says; the body itself where it is no JSON."""
    try:
        value = mend_all(load(body))
    except ValueError:
        return Failure(message=body.decode("utf-8", "replace"))
    error = value.get("error") if type(value) is dict else None
    return decode_failure(value if error is None else error)
