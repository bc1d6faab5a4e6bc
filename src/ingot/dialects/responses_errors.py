"""Errors of the responses dialect: OpenAI's envelope before a stream, and what ends a stream that cannot go on.

    before anything was told     an event `error`, flat
    behind the response's start  `response.failed`, whose response has one of the few codes that clients know

Decides which of those codes an error has. Statuses and messages are the error's own, or the preset's table's. Knows no
HTTP and no stream. Source: contract §3.
"""

from typing import Any, Final

import msgspec

from ingot.dialects.envelope import USUAL, ErrorTable, error_object
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

_encode = msgspec.json.Encoder().encode


def failed_error(error: ApiError, request_id: str, *, table: ErrorTable = USUAL) -> Json:
    """The error of a failed response."""
    code = "server_error"
    if isinstance(error, RateLimited):
        code = "rate_limit_exceeded"
    elif isinstance(error, ClientError | UpstreamRejected):
        code = error.code if error.code in CODES else "invalid_prompt"
    return {"code": code, "message": error_object(error, request_id, table=table)["error"]["message"]}


def error_data(error: ApiError, request_id: str, *, number: int = 0, table: ErrorTable = USUAL) -> bytes:
    """The data of an event `error`; `number` is its place in the stream, the first where nothing was told."""
    told = error_object(error, request_id, table=table)["error"]
    return _encode(
        {
            "type": "error",
            "code": told.get("code"),
            "message": told["message"],
            "param": told.get("param"),
            "sequence_number": number,
        }
    )


def error_event(error: ApiError, request_id: str, *, number: int = 0, table: ErrorTable = USUAL) -> bytes:
    """The error as an event of its own."""
    return encode_event(error_data(error, request_id, number=number, table=table), b"error")
