"""Input items of a request as turns, one a turn.

    message (easy or full)                             its role's turn
    function_call, custom_tool_call, reasoning         a turn of the assistant
    function_call_output, custom_tool_call_output      a turn of the tool
    anything else                                      native, whole

Decides what each item says. An item of a known type that lacks what it needs is an error that names the field.
"""

from typing import Any, Final

from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    NativePart,
    Origin,
    Reasoning,
    Role,
    Seal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from ingot.dialects.codecs.checks import missing, objects, wrong
from ingot.dialects.codecs.leftovers import extras_of, unknown
from ingot.dialects.codecs.responses import checks
from ingot.dialects.codecs.responses.parts import decode_content
from ingot.dialects.cuts import dump
from ingot.errors import InvalidRequest
from ingot.rawjson import clip

Json = dict[str, Any]

ROLES: Final = ("user", "assistant", "system", "developer")
KNOWN_MESSAGE: Final = frozenset({"type", "role", "content", "id", "status"})
KNOWN_CALL: Final = frozenset({"type", "id", "call_id", "name", "arguments", "input", "status"})
KNOWN_REASONING: Final = frozenset({"type", "id", "summary", "content", "encrypted_content", "status"})
_KNOWN_OUTPUT: Final = frozenset({"type", "id", "call_id", "output", "status"})
# Words that say no more than that the item is there.
_USUAL: Final = (None, "completed")
_ANONYMOUS: Final = Origin("responses")


def decode_input(value: Json) -> tuple[Turn, ...]:
    """The turns of a checked body: its instructions, then its input."""
    turns: list[Turn] = []
    instructions = value.get("instructions")
    if instructions is not None:
        turns.append(Turn("system", (Text(instructions, at="instructions"),)))
    told = value.get("input")
    if type(told) is str:
        turns.append(Turn("user", (Text(told, at="input"),)))
    elif told is not None:
        turns += decode_items(told, path="input")
    return tuple(turns)


def decode_items(told: Any, *, path: str) -> list[Turn]:
    """The turns of a list of items; `path` is the field that holds it."""
    if type(told) is not list:
        raise wrong(told, list, path=path)
    turns: list[Turn] = []
    for index, item in enumerate(objects(told, path=path)):
        at = f"{path}[{index}]"
        kind = item.get("type")
        if kind is None and "role" in item:
            kind = "message"
        elif kind is None and type(item.get("id")) is str:
            # The short form of a reference.
            kind = "item_reference"
        elif type(kind) is not str:
            raise missing(f"{at}.type", expected="a string")
        reader = _READERS.get(kind)
        turns.append(_decode_native(item, kind, at) if reader is None else reader(item, at))
    return turns


def _decode_message(item: Json, at: str) -> Turn:
    told = checks.text(item, "role", path=at)
    role: Role | None = next((role for role in ROLES if role == told), None)
    if role is None:
        raise InvalidRequest(
            f"Invalid value for '{at}.role': expected one of 'user', 'assistant', 'system' and 'developer', "
            f"but got '{clip(told)}'.",
            param=f"{at}.role",
        )
    content = _content(item, "content", at)
    parts = decode_content(content, "content", _id(item, at))
    return Turn(role, parts, at=at, extras=extras_of(_rest(item, KNOWN_MESSAGE), "responses"))


def _content(item: Json, name: str, at: str) -> Any:
    """A content or an output: a string, or a list of objects."""
    content = item.get(name)
    if content is None:
        raise missing(f"{at}.{name}", expected="a string or an array of content parts")
    return content if type(content) is str else objects(content, path=f"{at}.{name}")


def _id(item: Json, at: str) -> str | None:
    held: str | None = checks.optional(item, "id", str, path=at)
    return held or None


def _rest(item: Json, known: frozenset[str]) -> dict[str, Raw]:
    rest = dict(unknown(item, known))
    if item.get("status") not in _USUAL:
        rest["status"] = Raw(dump(item["status"]))
    return rest


def _turn(role: Role, part: AnyPart, at: str) -> Turn:
    return Turn(role, (part,), at=at)


def _decode_function_call(item: Json, at: str) -> Turn:
    return _turn("assistant", _decode_call(item, at, custom=False), at)


def _decode_custom_call(item: Json, at: str) -> Turn:
    return _turn("assistant", _decode_call(item, at, custom=True), at)


def _decode_call(item: Json, at: str, *, custom: bool) -> ToolCall:
    return ToolCall(
        checks.text(item, "call_id", path=at),
        checks.text(item, "name", path=at),
        checks.text(item, "input" if custom else "arguments", path=at),
        "custom" if custom else "function",
        item=_id(item, at),
        extras=extras_of(_rest(item, KNOWN_CALL), "responses"),
    )


def _decode_function_output(item: Json, at: str) -> Turn:
    return _turn("tool", _decode_output(item, at, custom=False), at)


def _decode_custom_output(item: Json, at: str) -> Turn:
    return _turn("tool", _decode_output(item, at, custom=True), at)


def _decode_output(item: Json, at: str, *, custom: bool) -> ToolResult:
    return ToolResult(
        checks.text(item, "call_id", path=at),
        decode_content(_content(item, "output", at), "output", None),
        None,
        "custom" if custom else "function",
        item=_id(item, at),
        extras=extras_of(_rest(item, _KNOWN_OUTPUT), "responses"),
    )


def _decode_reasoning(item: Json, at: str) -> Turn:
    part = reasoning_of(item, _ANONYMOUS, _rest(item, KNOWN_REASONING))
    if part is None:
        return _decode_native(item, "reasoning", at)
    return _turn("assistant", part, at)


def reasoning_of(item: Json, origin: Origin, rest: dict[str, Raw], *, at: str = "") -> Reasoning | None:
    """The thoughts of a reasoning item; None where they are written as nobody here knows."""
    summary, content = (
        _paragraphs(item.get("summary"), "summary_text"),
        _paragraphs(item.get("content"), "reasoning_text"),
    )
    sealed, item_id = item.get("encrypted_content"), item.get("id")
    if summary is None or content is None or not _is_text(sealed) or not _is_text(item_id):
        return None
    return Reasoning(
        origin,
        content,
        summary,
        Seal("encrypted", sealed) if sealed else None,
        at=at,
        item=item_id or None,
        extras=extras_of(rest, "responses"),
    )


def _is_text(value: Any) -> bool:
    return value is None or type(value) is str


def _paragraphs(parts: Any, kind: str) -> tuple[str, ...] | None:
    """The texts of a list of such parts; None where it holds anything else."""
    if not parts:
        return ()
    if type(parts) is not list:
        return None
    texts = [
        part["text"]
        for part in parts
        if type(part) is dict and part.keys() == {"type", "text"} and type(part["text"]) is str
    ]
    same = all(type(part) is dict and part.get("type") == kind for part in parts)
    return tuple(texts) if same and len(texts) == len(parts) else None


def _decode_native(item: Json, kind: str, at: str) -> Turn:
    role: Role = "tool" if kind.endswith("_output") else "assistant"
    return _turn(role, NativePart("responses", kind, Raw(dump(item))), at)


_READERS: Final = {
    "message": _decode_message,
    "function_call": _decode_function_call,
    "custom_tool_call": _decode_custom_call,
    "function_call_output": _decode_function_output,
    "custom_tool_call_output": _decode_custom_output,
    "reasoning": _decode_reasoning,
}
