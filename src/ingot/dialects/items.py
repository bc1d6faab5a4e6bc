"""Items that outlive their request: completed so that they can be read back, and cut when they are shown.

    complete   id, type and status where they are missing; a text as the content part that it stands for
    cut        what OpenAI's API shows only to who asks for it with `include`

Decides what a kept item looks like; what may be kept is decided in `item_checks`. Knows no conversation and no store.
Source: contract §3.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ingot.dialects.cuts import dump
from ingot.errors import InvalidRequest
from ingot.ids import NewId
from ingot.rawjson import clip

Json = dict[str, Any]

PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "compaction": "cmp",
    "additional_tools": "at",
    "configuration_update": "cfg",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "file_search_call": "fs",
    "web_search_call": "ws",
    "computer_call": "cu",
    "computer_call_output": "cuo",
    "image_generation_call": "ig",
    "code_interpreter_call": "ci",
    "local_shell_call": "lsh",
    "local_shell_call_output": "lsho",
    "shell_call": "sh",
    "shell_call_output": "sho",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apco",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "mcp_call": "mcp",
    "program": "prg",
    "program_output": "prgo",
}
"""The types that a client can have kept, and what ids of theirs begin with."""

_DONE: Final = frozenset(
    {
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
    }
)
"""The types whose status says nothing more than that they are whole."""


class Item(NamedTuple):
    """An item as it is kept: its id, and its JSON object."""

    id: str
    value: Json


def complete(item: Mapping[str, Any], *, new_id: NewId) -> Item:
    """A checked item, or one that a model answered, with all that a reader needs."""
    kind = item.get("type") or "message"
    given = item.get("id")
    name = given if type(given) is str and given else new_id(PREFIXES.get(kind, "item"))
    value: Json = {"id": name, "type": kind}
    if kind in _DONE:
        value["status"] = "completed"
    value.update((key, held) for key, held in item.items() if key not in value or held is not None)
    if kind == "message":
        said = item.get("role") == "assistant"
        content = value.get("content")
        parts = [{"type": "output_text" if said else "input_text", "text": content}]
        value["content"] = [_part(part) for part in (content if type(content) is list else parts)]
    return Item(name, value)


def encode_item(value: Json) -> bytes:
    """The item for the store."""
    return dump(value)


def _part(part: Json) -> Json:
    """A content part with the fields that readers rely on."""
    kind = part.get("type")
    if kind == "output_text":
        return {**part, "annotations": part.get("annotations") or []}
    if kind in {"input_image", "computer_screenshot"}:
        return {**part, "detail": part.get("detail") or "auto"}
    return part


# --- what is shown ---

INCLUDABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "file_search_call.results": ("file_search_call", "results"),
    "web_search_call.results": ("web_search_call", "results"),
    "web_search_call.action.sources": ("web_search_call", "action", "sources"),
    "message.input_image.image_url": ("message", "input_image", "image_url"),
    "computer_call_output.output.image_url": ("computer_call_output", "output", "image_url"),
    "code_interpreter_call.outputs": ("code_interpreter_call", "outputs"),
    "reasoning.encrypted_content": ("reasoning", "encrypted_content"),
    "message.output_text.logprobs": ("message", "output_text", "logprobs"),
}
"""What `include` can ask for: the item's type, and the way to what else is left out."""


def read_include(wishes: Collection[str]) -> frozenset[str]:
    """What a client wants included; raises InvalidRequest for what there is not."""
    for wish in wishes:
        if wish not in INCLUDABLE:
            raise InvalidRequest(
                f"Invalid value for 'include': expected some of {', '.join(map(repr, INCLUDABLE))}, but got "
                f"'{clip(wish)}'.",
                param="include",
            )
    return frozenset(wishes)


def cut(item: Json, include: Collection[str]) -> Json:
    """The item without what is shown only to who asks for it."""
    kind = item.get("type")
    for wish, (of, *way) in INCLUDABLE.items():
        if of == kind and wish not in include:
            item = _cut_message(item, *way) if kind == "message" else _without(item, way)
    return item


def _cut_message(item: Json, of: str, name: str) -> Json:
    content = item.get("content")
    if type(content) is not list:
        return item
    parts = [
        _without(part, (name,)) if type(part) is dict and part.get("type") == of else part for part in content
    ]
    return {**item, "content": parts}


def _without(value: Json, way: Sequence[str]) -> Json:
    first, *rest = way
    if first not in value:
        return value
    if not rest:
        return {name: held for name, held in value.items() if name != first}
    inner = value[first]
    return {**value, first: _without(inner, rest)} if type(inner) is dict else value
