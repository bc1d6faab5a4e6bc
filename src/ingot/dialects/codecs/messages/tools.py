"""Tools and the choice among them, both ways.

Schemas are passed on as they came, byte for byte. Decides what of another dialect's tools this one can offer: tools
that take free text have no place here, and a choice of several tools is said by offering only these.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from ingot.canonical import (
    AllowedTools,
    AnyTool,
    CustomTool,
    FunctionTool,
    Loss,
    NamedTool,
    NativeChoice,
    NativeTool,
    ToolChoice,
    lost_extras,
    where,
)
from ingot.dialects.codecs.checks import missing, objects
from ingot.dialects.codecs.leftovers import extras_of, restore
from ingot.dialects.codecs.messages import checks
from ingot.dialects.codecs.messages.block_writer import encode_hint
from ingot.dialects.codecs.messages.blocks import CACHE, decode_hint

Json = dict[str, Any]
RawObject = dict[str, Raw]

_KNOWN: Final = frozenset({"type", "name", "description", "input_schema", "strict", CACHE})
# A tool without a type is one of the client's own.
_OWN: Final = (None, "custom")
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}
_PARALLEL: Final = "disable_parallel_tool_use"
_WORDS: Final[dict[str, ToolChoice]] = {"auto": "auto", "any": "required", "none": "none"}
_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none"}

_objects = msgspec.json.Decoder(list[RawObject])
_value = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


# --- tools ---


def decode_tools(value: Json, raw: Raw) -> tuple[AnyTool, ...]:
    """The tools of a request; `raw` are the same bytes."""
    told = objects(value["tools"], path="tools")
    pairs = zip(told, _objects.decode(raw), strict=True)
    return tuple(
        [_decode_tool(tool, fields, f"tools[{index}]") for index, (tool, fields) in enumerate(pairs)]
    )


def _decode_tool(tool: Json, fields: RawObject, at: str) -> AnyTool:
    kind = checks.text(tool, "type", path=at)
    if kind not in _OWN:
        return NativeTool("messages", kind or "", Raw(_encode(fields)), at=at)
    name = checks.text(tool, "name", path=at)
    if name is None:
        raise missing(f"{at}.name", expected="a string")
    checks.members(tool, "input_schema", path=at)
    rest = {field: held for field, held in fields.items() if field not in _KNOWN and tool[field] is not None}
    hint = decode_hint(tool)
    if hint is None and tool.get(CACHE) is not None:
        rest[CACHE] = fields[CACHE]
    return FunctionTool(
        name,
        checks.text(tool, "description", path=at),
        fields["input_schema"] if tool.get("input_schema") is not None else UNSET,
        checks.switch(tool, "strict", path=at),
        at=at,
        cache=hint,
        extras=extras_of(rest, "messages"),
    )


def encode_tools(
    tools: Iterable[AnyTool], losses: list[Loss], *, allowed: frozenset[str] | None, native: bool
) -> list[Json | Raw]:
    """The tools that can be offered; `allowed` names the only ones that may be."""
    encoded: list[Json | Raw] = []
    for tool in tools:
        match tool:
            case NativeTool(dialect="messages"):
                encoded.append(tool.raw)
            case NativeTool():
                reason = f"a tool of type '{tool.kind}' exists in the {tool.dialect} dialect only"
                losses.append(Loss(tool.at, "tool", reason))
            case CustomTool():
                losses.append(Loss(tool.at, "tool", "the messages dialect has no tools that take free text"))
            case FunctionTool() if allowed is None or tool.name in allowed:
                losses += lost_extras(tool.extras, "messages", at=tool.at)
                encoded.append(_encode_tool(tool, losses, native=native))
            case _:
                pass
    return encoded


def _encode_tool(tool: FunctionTool, losses: list[Loss], *, native: bool) -> Json:
    encoded: Json = {"name": tool.name}
    if tool.description is not None:
        encoded["description"] = tool.description
    encoded["input_schema"] = _encode_schema(tool, native=native)
    # Servers older than this field refuse it, and false asks for nothing.
    if tool.strict is not None and (tool.strict or native):
        encoded["strict"] = tool.strict
    if tool.cache is not None:
        encoded[CACHE] = encode_hint(tool.cache, losses, path=tool.at)
    restore(tool.extras, encoded, dialect="messages")
    return encoded


def _encode_schema(tool: FunctionTool, *, native: bool) -> Any:
    """The schema as it came; that of another dialect may leave out that it is of an object."""
    schema = tool.parameters
    if not isinstance(schema, Raw):
        return _NO_PARAMETERS
    if native:
        return schema
    told = _value(schema)
    return {"type": "object", **told} if type(told) is dict and "type" not in told else schema


def tool_names(tools: Iterable[Json | Raw]) -> frozenset[str]:
    """The names of encoded tools."""
    told = [_value(tool) if isinstance(tool, Raw) else tool for tool in tools]
    return frozenset([tool["name"] for tool in told if type(tool.get("name")) is str])


# --- choice ---


def decode_choice(value: Json) -> tuple[ToolChoice | None, bool | None]:
    """The choice of a request, and whether several tools may be called at once."""
    told = checks.members(value, "tool_choice")
    if told is None:
        return None, None
    kind = checks.text(told, "type", path="tool_choice")
    if kind is None:
        raise missing("tool_choice.type", expected="'auto', 'any', 'tool' or 'none'")
    alone = checks.switch(told, _PARALLEL, path="tool_choice")
    parallel = None if alone is None else not alone
    fields = {name for name in told if told[name] is not None} - {_PARALLEL}
    if kind in _WORDS and fields == {"type"}:
        return _WORDS[kind], parallel
    if kind == "tool" and fields == {"type", "name"} and type(told["name"]) is str:
        return NamedTool(told["name"]), parallel
    return NativeChoice("messages", Raw(_encode(told))), None


def allowed_names(choice: ToolChoice | None, losses: list[Loss], *, path: str) -> frozenset[str] | None:
    """The names of the only tools that a choice leaves; None where it leaves all."""
    if not isinstance(choice, AllowedTools):
        return None
    for index, tool in enumerate(choice.tools):
        if not isinstance(tool, NamedTool) or tool.kind != "function":
            reason = "a tool that the messages dialect cannot offer"
            losses.append(Loss(where(path, f"tools[{index}]"), "choice", reason))
    return frozenset(
        [tool.name for tool in choice.tools if isinstance(tool, NamedTool) and tool.kind == "function"]
    )


def encode_choice(
    choice: ToolChoice | None,
    losses: list[Loss],
    *,
    parallel: bool | None,
    path: str,
    offered: frozenset[str],
) -> Json | Raw | None:
    """The choice among the tools that are offered; None where nothing is to be said or can be."""
    told: Json | None = None
    match choice:
        case NativeChoice(dialect="messages"):
            return choice.raw
        case NativeChoice():
            losses.append(Loss(path, "choice", f"only the {choice.dialect} dialect knows this choice"))
        case NamedTool() if choice.name in offered:
            told = {"type": "tool", "name": choice.name}
        case NamedTool():
            losses.append(Loss(path, "choice", f"the tool '{choice.name}' is not offered to the target"))
        case AllowedTools():
            told = {"type": _CHOICES[choice.mode]} if offered else None
        case "required" if not offered:
            losses.append(Loss(path, "choice", "no tool is left that could be called"))
        case None:
            pass
        case _:
            told = {"type": _CHOICES[choice]} if offered else None
    if told is None and parallel is False and offered:
        told = {"type": "auto"}
    if told is not None and parallel is not None and told["type"] != "none":
        told[_PARALLEL] = not parallel
    return told
