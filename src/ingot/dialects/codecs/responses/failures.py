"""How an answer of this dialect ends, well or not, and errors in OpenAI's envelope and in its streams.

    before the stream       the envelope, as in `chat`
    in a stream             error, flat; behind it, or in its place, a response that failed

Decides which status is which end, and which of the few codes of a failed response an error has. Knows no HTTP.
"""

from typing import Any, Final

import msgspec

from ingot.canonical import Failure, FinishReason
from ingot.dialects.codecs.chat.choices import decode_error, decode_failure
from ingot.dialects.envelope import USUAL, ErrorTable, error_object
from ingot.dialects.finishes import FROM_RESPONSES, RESPONSES
from ingot.errors import ApiError, ClientError, RateLimited, UpstreamRejected
from ingot.sse import encode_event

Json = dict[str, Any]

# The codes of a failed response that clients know: openai.types.responses.ResponseError.
CODES: Final = frozenset(
    {
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "misalignment_policy_violation",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    }
)
UNFINISHED: Final = ("queued", "in_progress")

_encode = msgspec.json.Encoder().encode

__all__ = [
    "CODES",
    "UNFINISHED",
    "decode_end",
    "decode_error",
    "decode_failure",
    "encode_end",
    "error_event",
    "error_of",
    "failed_error",
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


def failed_error(error: ApiError, request_id: str, *, table: ErrorTable = USUAL) -> Json:
    """The error of a failed response, in ours."""
    code = "server_error"
    if isinstance(error, RateLimited):
        code = "rate_limit_exceeded"
    elif isinstance(error, ClientError | UpstreamRejected):
        code = error.code if error.code in CODES else "invalid_prompt"
    return {"code": code, "message": error_object(error, request_id, table=table)["error"]["message"]}


def error_event(error: ApiError, request_id: str, *, number: int = 0, table: ErrorTable = USUAL) -> bytes:
    """The error as an event of its own; `number` is its place in the stream, the first where nothing was told."""
    told = error_object(error, request_id, table=table)["error"]
    value = {
        "type": "error",
        "code": told["code"],
        "message": told["message"],
        "param": told["param"],
        "sequence_number": number,
    }
    return encode_event(_encode(value), b"error")
