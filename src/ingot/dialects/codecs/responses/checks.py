"""Reading fields of a client's body: what has another type than its own is an error that names it.

Decides which fields of a request must be of which type, not what they mean. Bounds of numbers are a preset's to say.
"""

from collections.abc import Mapping
from typing import Any, Final

from ingot.dialects.codecs.checks import NUMBER, Json, missing, wrong

_TOP: Final[dict[str, Any]] = {
    "model": str,
    "instructions": str,
    "max_output_tokens": int,
    "parallel_tool_calls": bool,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_logprobs": int,
    "metadata": dict,
    "user": str,
    "safety_identifier": str,
    "prompt_cache_key": str,
    "prompt_cache_retention": str,
    "prompt_cache_options": dict,
    "service_tier": str,
    "store": bool,
    "stream": bool,
    "stream_options": dict,
    "text": dict,
    "reasoning": dict,
    "include": list,
    "tools": list,
}
_INSIDE: Final[dict[str, dict[str, Any]]] = {
    "reasoning": {"effort": str, "summary": str},
    "text": {"format": dict, "verbosity": str},
    "stream_options": {"include_obfuscation": bool},
}
# Where one of these is given, the input may be elsewhere.
_INSTEAD: Final = ("prompt", "conversation", "previous_response_id")


def check_top(value: Json) -> None:
    """Raises InvalidRequest for the first field at the top, or in its objects, that has not its type."""
    for name, kind in _TOP.items():
        _check(value, name, kind, path=name)
    for holder, fields in _INSIDE.items():
        for name, kind in fields.items():
            _check(value.get(holder) or {}, name, kind, path=f"{holder}.{name}")
    for name, held in (value.get("metadata") or {}).items():
        if type(held) is not str:
            raise wrong(held, str, path=f"metadata.{name}")
    if value.get("model") is None:
        raise missing("model", expected="a string")
    if value.get("input") is None and not any(value.get(name) for name in _INSTEAD):
        raise missing("input", expected="a string or an array of items")


def _check(value: Mapping[str, Any], name: str, kind: Any, *, path: str) -> None:
    held = value.get(name)
    if held is not None and not _is(held, kind):
        raise wrong(held, kind, path=path)


def _is(held: Any, kind: Any) -> bool:
    return type(held) in NUMBER if kind is NUMBER else type(held) is kind


def text(value: Mapping[str, Any], name: str, *, path: str) -> str:
    """A string that must be there; `path` is its holder's."""
    held = value.get(name)
    if held is None:
        raise missing(f"{path}.{name}", expected="a string")
    if type(held) is not str:
        raise wrong(held, str, path=f"{path}.{name}")
    return held


def optional(value: Mapping[str, Any], name: str, kind: Any, *, path: str) -> Any:
    """A field of this type; None where it is absent or null."""
    _check(value, name, kind, path=f"{path}.{name}")
    return value.get(name)
