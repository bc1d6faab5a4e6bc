"""Messages of a chat request as turns.

Decides what each role's message says. Takes checked bodies: what may stand where is `chat_request`'s to say.
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    NativePart,
    Origin,
    Reasoning,
    Refusal,
    Role,
    ToolCall,
    ToolResult,
    Turn,
)
from ingot.dialects.codecs.chat.parts import decode_content
from ingot.dialects.codecs.leftovers import extras_of, unknown
from ingot.dialects.cuts import dump

Json = dict[str, Any]

# What servers call a model's thoughts: the first is DeepSeek's name, the second that of newer vLLM.
THOUGHTS: Final = ("reasoning_content", "reasoning")
_NO_FIELDS: Final[frozenset[str]] = frozenset()
_KNOWN: Final = frozenset({"role", "content", "name"})
_KNOWN_ASSISTANT: Final = frozenset({*_KNOWN, "refusal", "tool_calls", "audio", "function_call"})
_KNOWN_TOOL: Final = frozenset({*_KNOWN, "tool_call_id"})
KNOWN_CALL: Final = frozenset({"id", "type", "index", "function", "custom"})
KNOWN_FUNCTION: Final = frozenset({"name", "arguments"})
KNOWN_CUSTOM: Final = frozenset({"name", "input"})


def decode_turns(messages: Iterable[Json]) -> tuple[Turn, ...]:
    """One turn a message."""
    customs: set[str] = set()
    return tuple(
        [
            _READERS[message["role"]](message, f"messages[{index}]", customs)
            for index, message in enumerate(messages)
        ]
    )


def _decode_plain(message: Json, at: str, _: set[str]) -> Turn:
    role: Role = message["role"]
    parts = decode_content(message["content"])
    if len(message) == 2:
        return Turn(role, parts, at=at)
    extras = extras_of(dict(unknown(message, _KNOWN, nulls=True)), "chat")
    return Turn(role, parts, message.get("name"), at, extras)


def _decode_assistant(message: Json, at: str, customs: set[str]) -> Turn:
    content = decode_content(message.get("content"))
    if len(message) == 2 and "content" in message:
        return Turn("assistant", content, at=at)
    thoughts, said = decode_thoughts(message, Origin("chat"))
    parts: list[AnyPart] = [*thoughts, *content]
    if type(message.get("refusal")) is str:
        parts.append(Refusal(message["refusal"], at="refusal"))
    for index, call in enumerate(message.get("tool_calls") or ()):
        decoded = decode_call(call, f"tool_calls[{index}]")
        parts.append(decoded)
        if isinstance(decoded, ToolCall) and decoded.kind == "custom":
            customs.add(decoded.id)
    fields = dict(unknown(message, _KNOWN_ASSISTANT | said, nulls=True))
    # Of an earlier answer; only a chat target can make sense of them.
    fields.update(unknown({key: message.get(key) for key in ("audio", "function_call")}, ()))
    return Turn("assistant", tuple(parts), message.get("name"), at, extras_of(fields, "chat"))


def _decode_tool(message: Json, at: str, customs: set[str]) -> Turn:
    call_id = message["tool_call_id"]
    result = ToolResult(
        call_id,
        decode_content(message["content"]),
        kind="custom" if call_id in customs else "function",
    )
    if len(message) == 3:
        return Turn("tool", (result,), at=at)
    extras = extras_of(dict(unknown(message, _KNOWN_TOOL, nulls=True)), "chat")
    return Turn("tool", (result,), message.get("name"), at, extras)


def _decode_function(message: Json, at: str, _: set[str]) -> Turn:
    """The result of a legacy function call, which no other dialect knows."""
    return Turn("tool", (NativePart("chat", "function", Raw(dump(message))),), at=at)


_READERS: Final = {
    "system": _decode_plain,
    "developer": _decode_plain,
    "user": _decode_plain,
    "assistant": _decode_assistant,
    "tool": _decode_tool,
    "function": _decode_function,
}


def decode_thoughts(
    message: Json, origin: Origin, *, at: str = ""
) -> tuple[tuple[Reasoning, ...], frozenset[str]]:
    """The reasoning in a message, and the fields that say it.

    Some servers give it under both names; a second one that differs stays an unknown field.
    """
    told = [(name, message[name]) for name in THOUGHTS if type(message.get(name)) is str]
    text, at = next(((text, at + name) for name, text in told if text), ("", ""))
    if not told:
        return (), _NO_FIELDS
    fields = frozenset([name for name, each in told if each in {"", text}])
    return ((Reasoning(origin, (text,), at=at),) if text else ()), fields


def decode_call(call: Any, at: str) -> ToolCall | NativePart:
    """A tool call; its arguments are text as the model wrote it, also where a server made them an object."""
    kind = "custom" if type(call) is dict and type(call.get("custom")) is dict else "function"
    held = call.get(kind) if type(call) is dict else None
    if type(held) is not dict:
        return NativePart("chat", "tool_call", Raw(dump(call)), at=at)
    name, told = held.get("name"), held.get("input" if kind == "custom" else "arguments")
    fields = dict(unknown(call, KNOWN_CALL))
    fields.update(unknown(held, KNOWN_CUSTOM if kind == "custom" else KNOWN_FUNCTION, inside=kind))
    return ToolCall(
        call.get("id") or "",
        name if type(name) is str else "",
        told if type(told) is str else "" if told is None else dump(told).decode(),
        "custom" if kind == "custom" else "function",
        at=at,
        extras=extras_of(fields, "chat"),
    )
