"""Rules that data cannot say: checks that look inside of a field, and rewrites; each has a name that presets use.

A check takes the field's value and tells what is wrong; types are the dialect's business, so that what has another
type than expected passes. A rewrite tells which top-level keys of the body become what; None takes a key away.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ingot.errors import ApiError, InvalidRequest, Unsupported
from ingot.rawjson import Body, clip, kind_of

Check = Callable[[Any], ApiError | None]
Changes = Mapping[str, bytes | None]
_TWO_WINDOWS: Final = ("asap", "standard")

Rewrite = Callable[[Body, str], Changes]


def no_input_audio(messages: Any) -> ApiError | None:
    """No message has a part of the type `input_audio`."""
    return _without(messages, "input_audio", "Content parts")


def no_documents(messages: Any) -> ApiError | None:
    """No message has a block of the type `document`."""
    return _without(messages, "document", "Content blocks")


def no_tool_results(messages: Any) -> ApiError | None:
    """No message has a block of the type `tool_result`."""
    return _without(messages, "tool_result", "Content blocks")


def _without(messages: Any, kind: str, noun: str) -> ApiError | None:
    for row, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for column, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and part.get("type") == kind:
                return Unsupported(
                    f"{noun} of the type '{kind}' are not supported. Leave them out.",
                    param=f"messages[{row}].content[{column}].type",
                    code="unsupported_value",
                )
    return None


def asap_or_standard(metadata: Any) -> ApiError | None:
    """Where metadata names a completion window, it is `asap` or `standard`."""
    window = metadata.get("completion_window") if isinstance(metadata, dict) else None
    if not isinstance(window, str) or window in _TWO_WINDOWS:
        return None
    return Unsupported(
        f"Invalid value for 'metadata.completion_window': expected 'asap' or 'standard', but got '{clip(window)}'.",
        param="metadata.completion_window",
        code="unsupported_value",
    )


def system_message(body: Body, key: str) -> Changes:
    """The text becomes the first message, of the role `system`; the other messages keep their bytes."""
    text, messages = body.value[key], body.value.get("messages")
    if not isinstance(text, str):
        raise InvalidRequest(
            f"Invalid type for '{key}': expected a string, but got {kind_of(text)}.",
            param=key,
            code="invalid_type",
        )
    if not isinstance(messages, list) or not messages:
        return {}
    raw = body.raw
    first = b'[{"role":"system","content":' + bytes(raw[key]) + b"},"
    return {key: None, "messages": first + bytes(raw["messages"])[1:]}


CHECKS: Final[Mapping[str, Check]] = {
    "asap_or_standard": asap_or_standard,
    "no_documents": no_documents,
    "no_input_audio": no_input_audio,
    "no_tool_results": no_tool_results,
}
REWRITES: Final[Mapping[str, Rewrite]] = {"system_message": system_message}
