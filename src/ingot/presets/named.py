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
_UNGRANTED: Final = frozenset(
    {
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
    }
)
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


def asked_for_something(told: Any) -> ApiError | None:
    """The input is not empty."""
    if told not in ("", []):
        return None
    return InvalidRequest("'input' is empty. Send a text, or at least one message.", param="input")


def no_audio(items: Any) -> ApiError | None:
    """No item has a part of the type `input_audio`."""
    return _without(items, "input_audio", "Content parts", holder="input")


def no_files(items: Any) -> ApiError | None:
    """No item has a part of the type `input_file`."""
    return _without(items, "input_file", "Content parts", holder="input")


def no_references(items: Any) -> ApiError | None:
    """No item refers to another."""
    for row, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and (item.get("type") == "item_reference" or item.keys() == {"id"}):
            return Unsupported(
                "References to items are not supported. Send the items themselves.",
                param=f"input[{row}]",
                code="unsupported_value",
            )
    return None


def local_tools(tools: Any) -> ApiError | None:
    """Every tool is of the type `function` or `custom`."""
    for row, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind not in ("function", "custom"):
            return Unsupported(
                f"Tools of the type '{clip(kind)}' are not supported. Use 'function' or 'custom'.",
                param=f"tools[{row}].type",
                code="unsupported_value",
            )
    return None


def included(wishes: Any) -> ApiError | None:
    """None of five wishes that nothing here could grant; others are tolerated."""
    for row, wish in enumerate(wishes if isinstance(wishes, list) else ()):
        if isinstance(wish, str) and wish in _UNGRANTED:
            return Unsupported(
                f"'{wish}' cannot be included. Leave it out.",
                param=f"include[{row}]",
                code="unsupported_value",
            )
    return None


def text_or_schema(text: Any) -> ApiError | None:
    """The format is `text` or `json_schema`."""
    form = text.get("format") if isinstance(text, dict) else None
    if isinstance(form, dict) and form.get("type") == "json_object":
        return Unsupported(
            "The format 'json_object' is not supported. Use 'json_schema'.",
            param="text.format.type",
            code="unsupported_value",
        )
    return None


def _without(messages: Any, kind: str, noun: str, *, holder: str = "messages") -> ApiError | None:
    for row, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for column, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict) and part.get("type") == kind:
                return Unsupported(
                    f"{noun} of the type '{kind}' are not supported. Leave them out.",
                    param=f"{holder}[{row}].content[{column}].type",
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
    "asked_for_something": asked_for_something,
    "included": included,
    "local_tools": local_tools,
    "no_audio": no_audio,
    "no_documents": no_documents,
    "no_files": no_files,
    "no_input_audio": no_input_audio,
    "no_references": no_references,
    "no_tool_results": no_tool_results,
    "text_or_schema": text_or_schema,
}
REWRITES: Final[Mapping[str, Rewrite]] = {"system_message": system_message}
