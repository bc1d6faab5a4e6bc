"""How an answer of this dialect ends, well or not.

Decides which status is which end. What our own errors look like is in `responses_errors`. Knows no HTTP.
"""

from typing import Any, Final

from ingot.canonical import Failure, FinishReason
from ingot.dialects.codecs.chat.choices import decode_error, decode_failure
from ingot.dialects.finishes import FROM_RESPONSES, RESPONSES
from ingot.dialects.responses_errors import CODES

Json = dict[str, Any]

UNFINISHED: Final = ("queued", "in_progress")

__all__ = [
    "UNFINISHED",
    "decode_end",
    "decode_error",
    "decode_failure",
    "encode_end",
    "error_of",
]


def decode_end(status: Any, details: Any, *, called: bool) -> tuple[FinishReason | None, str | None]:
    """The end that a status says, and the target's own word for `other`; `called`: the answer calls a tool.

    None for the end where the answer broke off.
    """
    if status in (None, "completed"):
        return ("tool_calls" if called else "stop"), None
    reason = details.get("reason") if type(details) is dict else None
    if status != "incomplete" or type(reason) is not str:
        return None, None
    known = FROM_RESPONSES.get(("incomplete", reason))
    return ("other", reason) if known is None else (known, None)


def encode_end(finish: FinishReason | None, told: str | None, *, native: bool) -> tuple[str, str | None]:
    """The status of an answer that did not fail, and the reason where it is incomplete."""
    if finish is None:
        return "incomplete", None
    return ("incomplete", told) if native and finish == "other" and told else RESPONSES[finish]


def error_of(failure: Failure) -> Json:
    """The error of a failed response, in a target's words."""
    return {"code": failure.code if failure.code in CODES else "server_error", "message": failure.message}
