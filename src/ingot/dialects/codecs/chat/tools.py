"""Tools, the choice among them and the format of the answer, both ways.

Schemas are passed on as they came, byte for byte. Decides what of another dialect's tools `chat` can offer.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from ingot.canonical import (
    AllowedTools,
    AnyTool,
    CustomTool,
    FunctionTool,
    Grammar,
    JsonObjectFormat,
    JsonSchemaFormat,
    Loss,
    NamedTool,
    NativeChoice,
    NativeTool,
    OutputFormat,
    ToolChoice,
    lost_extras,
    where,
)
from ingot.dialects.codecs.leftovers import extras_of, restore

Json = dict[str, Any]
RawObject = dict[str, Raw]

_KNOWN: Final = frozenset({"type", "function", "custom"})
_KNOWN_FUNCTION: Final = frozenset({"name", "description", "parameters", "strict"})
_KNOWN_CUSTOM: Final = frozenset({"name", "description", "format"})
_KNOWN_SCHEMA: Final = frozenset({"name", "description", "schema", "strict"})

# `messages` has no names for its schemas, and `chat` demands one.
_SCHEMA_NAME: Final = "response"

_objects = msgspec.json.Decoder(list[RawObject])
_object = msgspec.json.Decoder(RawObject)
_value = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def _field(fields: RawObject, name: str) -> Any:
    raw = fields.get(name)
    return None if raw is None else _value(raw)


def _rest(fields: RawObject, known: frozenset[str], *, inside: str = "") -> RawObject:
    return {
        (f"{inside}.{name}" if inside else name): raw for name, raw in fields.items() if name not in known
    }


def _given(raw: Raw | None) -> bool:
    return raw is not None and bytes(raw) != b"null"


# --- tools ---


def decode_tools(raw: Raw) -> tuple[AnyTool, ...]:
    """The tools of a checked request."""
    return tuple([_decode_tool(tool, f"tools[{index}]") for index, tool in enumerate(_objects.decode(raw))])


def _decode_tool(tool: RawObject, at: str) -> AnyTool:
    kind = _value(tool["type"])
    fields = _object.decode(tool[kind])
    known = _KNOWN_FUNCTION if kind == "function" else _KNOWN_CUSTOM
    extras = extras_of({**_rest(tool, _KNOWN), **_rest(fields, known, inside=kind)}, "chat")
    name, description = _field(fields, "name"), _field(fields, "description")
    if kind == "custom":
        form = _field(fields, "format") or {}
        held = form.get("grammar")
        grammar = None if held is None else Grammar(held["syntax"], held["definition"])
        return CustomTool(name, description, grammar, at=at, extras=extras)
    schema = fields.get("parameters")
    return FunctionTool(
        name,
        description,
        schema if schema is not None and _given(schema) else UNSET,
        _field(fields, "strict"),
        at=at,
        extras=extras,
    )


def encode_tools(tools: Iterable[AnyTool], losses: list[Loss], *, custom: bool) -> list[Json]:
    """The tools that `chat` can offer; `custom` says whether the target takes custom tools."""
    encoded = []
    for tool in tools:
        if isinstance(tool, NativeTool):
            losses.append(
                Loss(
                    tool.at, "tool", f"a tool of type '{tool.kind}' exists in the {tool.dialect} dialect only"
                )
            )
            continue
        if isinstance(tool, CustomTool) and not custom:
            losses.append(Loss(tool.at, "tool", "the target takes function tools only"))
            continue
        losses += lost_extras(tool.extras, "chat", at=tool.at)
        if tool.cache is not None:
            losses.append(
                Loss(
                    tool.at,
                    "cache_breakpoint",
                    "the cache breakpoint: targets of the chat dialect decide themselves what they cache",
                )
            )
        encoded.append(_encode_tool(tool))
    return encoded


def _encode_tool(tool: FunctionTool | CustomTool) -> Json:
    fields: Json = {"name": tool.name}
    if tool.description is not None:
        fields["description"] = tool.description
    if isinstance(tool, CustomTool):
        kind = "custom"
        if tool.grammar is not None:
            held = {"syntax": tool.grammar.syntax, "definition": tool.grammar.definition}
            fields["format"] = {"type": "grammar", "grammar": held}
    else:
        kind = "function"
        if tool.parameters is not UNSET:
            fields["parameters"] = tool.parameters
        if tool.strict is not None:
            fields["strict"] = tool.strict
    encoded: Json = {"type": kind, kind: fields}
    restore(tool.extras, encoded, dialect="chat")
    return encoded


# --- choice ---


def decode_choice(choice: Any) -> ToolChoice | None:
    """The choice of a checked request."""
    if choice is None or isinstance(choice, str):
        return choice  # type: ignore[return-value]  # checked: one of the three words
    if choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        return AllowedTools(allowed["mode"], tuple([_decode_named(tool) for tool in allowed["tools"]]))
    return _decode_named(choice)


def _decode_named(tool: Json) -> NamedTool | NativeChoice:
    kind = tool.get("type")
    held = tool.get(kind) if kind in ("function", "custom") else None
    if not isinstance(held, dict) or held.keys() != {"name"} or len(tool) != 2:
        return NativeChoice("chat", Raw(_encode(tool)))
    return NamedTool(held["name"], "function" if kind == "function" else "custom")


def encode_choice(
    choice: ToolChoice, losses: list[Loss], *, path: str, offered: Collection[tuple[str, str]]
) -> Any:
    """The choice as `chat` says it among the tools that are offered, each as kind and name; None where it cannot."""
    match choice:
        case "required" if not offered:
            reason = "no tool is left that could be called"
        case NamedTool() if (choice.kind, choice.name) in offered:
            return {"type": choice.kind, choice.kind: {"name": choice.name}}
        case NamedTool():
            reason = f"the tool '{choice.name}' is not offered to the target"
        case NativeChoice(dialect="chat"):
            return choice.raw
        case NativeChoice():
            reason = f"only the {choice.dialect} dialect knows this choice"
        case AllowedTools():
            tools = [
                encoded
                for index, tool in enumerate(choice.tools)
                if (
                    encoded := encode_choice(
                        tool, losses, path=where(path, f"tools[{index}]"), offered=offered
                    )
                )
                is not None
            ]
            if tools:
                return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}
            return "none"
        case _:
            return choice
    losses.append(Loss(path, "choice", reason))
    return None


# --- format ---


def decode_format(raw: Raw) -> OutputFormat | None:
    """The format of a checked request; text is none."""
    fields = _object.decode(raw)
    kind = _value(fields["type"])
    if kind == "text":
        return None
    if kind == "json_object":
        return JsonObjectFormat()
    held = _object.decode(fields["json_schema"])
    schema = held.get("schema")
    rest = {
        **_rest(fields, frozenset({"type", "json_schema"})),
        **_rest(held, _KNOWN_SCHEMA, inside="json_schema"),
    }
    return JsonSchemaFormat(
        schema=schema if schema is not None and _given(schema) else UNSET,
        name=_field(held, "name"),
        description=_field(held, "description"),
        strict=_field(held, "strict"),
        extras=extras_of(rest, "chat"),
    )


def encode_format(form: OutputFormat) -> Json:
    """The format as `chat` says it."""
    if isinstance(form, JsonObjectFormat):
        return {"type": "json_object"}
    held: Json = {"name": form.name or _SCHEMA_NAME}
    if form.description is not None:
        held["description"] = form.description
    if form.schema is not UNSET:
        held["schema"] = form.schema
    if form.strict is not None:
        held["strict"] = form.strict
    encoded: Json = {"type": "json_schema", "json_schema": held}
    restore(form.extras, encoded, dialect="chat")
    return encoded
