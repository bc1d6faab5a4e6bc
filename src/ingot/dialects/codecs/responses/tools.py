"""Tools in their flat form, the choice among them and the format of the answer, both ways.

Schemas are passed on as they came, byte for byte. Decides what of another dialect's tools this one can offer.
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
from ingot.dialects.codecs.checks import objects, wrong
from ingot.dialects.codecs.leftovers import extras_of, restore
from ingot.dialects.codecs.responses import checks
from ingot.errors import InvalidRequest
from ingot.rawjson import clip

Json = dict[str, Any]
RawObject = dict[str, Raw]

_KNOWN_FUNCTION: Final = frozenset({"type", "name", "description", "parameters", "strict"})
_KNOWN_CUSTOM: Final = frozenset({"type", "name", "description", "format"})
_KNOWN_SCHEMA: Final = frozenset({"type", "name", "description", "schema", "strict"})
_WORDS: Final = ("auto", "none", "required")
_MODES: Final = ("auto", "required")
_NAMED: Final = ("function", "custom")

# `messages` has no names for its schemas, and this dialect demands one.
_SCHEMA_NAME: Final = "response"

_objects = msgspec.json.Decoder(list[RawObject])
_object = msgspec.json.Decoder(RawObject)
_encode = msgspec.json.Encoder().encode


def _rest(fields: RawObject, known: frozenset[str]) -> RawObject:
    return {name: raw for name, raw in fields.items() if name not in known and _given(raw)}


def _given(raw: Raw | None) -> bool:
    return raw is not None and bytes(raw) != b"null"


def _schema(fields: RawObject, name: str) -> Any:
    raw = fields.get(name)
    return raw if _given(raw) else UNSET


# --- tools ---


def decode_tools(value: Any, raw: Raw) -> tuple[AnyTool, ...]:
    """The tools of a list, decoded and raw; raises InvalidRequest for one that is none."""
    tools = objects(value, path="tools")
    pairs = zip(tools, _objects.decode(raw), strict=True)
    return tuple(
        [_decode_tool(tool, fields, f"tools[{index}]") for index, (tool, fields) in enumerate(pairs)]
    )


def _decode_tool(tool: Json, fields: RawObject, at: str) -> AnyTool:
    kind = checks.text(tool, "type", path=at)
    if kind not in {"function", "custom"}:
        return NativeTool("responses", kind, Raw(_encode(fields)), at=at)
    name = checks.text(tool, "name", path=at)
    description = checks.optional(tool, "description", str, path=at)
    if kind == "function":
        checks.optional(tool, "parameters", dict, path=at)
        extras = extras_of(_rest(fields, _KNOWN_FUNCTION), "responses")
        strict = checks.optional(tool, "strict", bool, path=at)
        return FunctionTool(name, description, _schema(fields, "parameters"), strict, at=at, extras=extras)
    rest = _rest(fields, _KNOWN_CUSTOM)
    form = checks.optional(tool, "format", dict, path=at) or {"type": "text"}
    grammar = None
    if form.get("type") == "grammar":
        path = f"{at}.format"
        grammar = Grammar(checks.text(form, "syntax", path=path), checks.text(form, "definition", path=path))
    elif form != {"type": "text"}:
        rest["format"] = fields["format"]
    return CustomTool(name, description, grammar, at=at, extras=extras_of(rest, "responses"))


def encode_tools(
    tools: Iterable[AnyTool], losses: list[Loss], *, custom: bool, native: bool
) -> list[Json | Raw]:
    """The tools that a target is offered; `custom`: it takes custom ones. `native`: a client of this dialect asks."""
    encoded: list[Json | Raw] = []
    for tool in tools:
        if isinstance(tool, NativeTool):
            if tool.dialect == "responses":
                encoded.append(tool.raw)
            else:
                reason = f"a tool of type '{tool.kind}' exists in the {tool.dialect} dialect only"
                losses.append(Loss(tool.at, "tool", reason))
            continue
        if isinstance(tool, CustomTool) and not custom:
            losses.append(Loss(tool.at, "tool", "the target takes function tools only"))
            continue
        losses += lost_extras(tool.extras, "responses", at=tool.at)
        if tool.cache is not None:
            reason = (
                "the cache breakpoint: targets of the responses dialect decide themselves what they cache"
            )
            losses.append(Loss(tool.at, "cache_breakpoint", reason))
        encoded.append(_encode_tool(tool, native=native))
    return encoded


def _encode_tool(tool: FunctionTool | CustomTool, *, native: bool) -> Json:
    encoded: Json = {"type": "custom", "name": tool.name}
    if tool.description is not None:
        encoded["description"] = tool.description
    if isinstance(tool, FunctionTool):
        encoded["type"] = "function"
        # Both must be there. Left open, OpenAI's servers make a schema strict; in other dialects they do not.
        encoded["parameters"] = None if tool.parameters is UNSET else tool.parameters
        encoded["strict"] = tool.strict if native else bool(tool.strict)
    elif tool.grammar is not None:
        grammar = tool.grammar
        encoded["format"] = {"type": "grammar", "syntax": grammar.syntax, "definition": grammar.definition}
    restore(tool.extras, encoded, dialect="responses")
    return encoded


# --- choice ---


def decode_choice(choice: Any) -> ToolChoice | None:
    """The choice of a request; raises InvalidRequest where it is neither a word nor an object with a type."""
    if choice is None:
        return None
    if type(choice) is str:
        word = next((word for word in _WORDS if word == choice), None)
        if word is None:
            raise InvalidRequest(
                "Invalid value for 'tool_choice': expected 'auto', 'none', 'required' or an object, "
                f"but got '{clip(choice)}'.",
                param="tool_choice",
            )
        return word
    if type(choice) is not dict:
        raise wrong(choice, dict, path="tool_choice")
    if checks.text(choice, "type", path="tool_choice") == "allowed_tools":
        return _decode_allowed(choice)
    return _decode_named(choice)


def _decode_allowed(choice: Json) -> AllowedTools:
    mode = checks.text(choice, "mode", path="tool_choice")
    word = next((word for word in _MODES if word == mode), None)
    if word is None:
        raise InvalidRequest(
            f"Invalid value for 'tool_choice.mode': expected 'auto' or 'required', but got '{clip(mode)}'.",
            param="tool_choice.mode",
        )
    tools = objects(choice.get("tools"), path="tool_choice.tools")
    return AllowedTools(word, tuple([_decode_named(tool) for tool in tools]))


def _decode_named(tool: Json) -> NamedTool | NativeChoice:
    kind, name = tool.get("type"), tool.get("name")
    if kind not in _NAMED or tool.keys() != {"type", "name"} or type(name) is not str:
        return NativeChoice("responses", Raw(_encode(tool)))
    return NamedTool(name, "function" if kind == "function" else "custom")


def encode_choice(
    choice: ToolChoice, losses: list[Loss], *, path: str, offered: Collection[tuple[str, str]]
) -> Any:
    """The choice among the tools that are offered, each as kind and name; None where it cannot be said."""
    match choice:
        case "required" if not offered:
            reason = "no tool is left that could be called"
        case NamedTool() if (choice.kind, choice.name) in offered:
            return {"type": choice.kind, "name": choice.name}
        case NamedTool():
            reason = f"the tool '{choice.name}' is not offered to the target"
        case NativeChoice(dialect="responses"):
            return choice.raw
        case NativeChoice():
            reason = f"only the {choice.dialect} dialect knows this choice"
        case AllowedTools():
            return _encode_allowed(choice, losses, path=path, offered=offered)
        case _:
            return choice
    losses.append(Loss(path, "choice", reason))
    return None


def _encode_allowed(
    choice: AllowedTools, losses: list[Loss], *, path: str, offered: Collection[tuple[str, str]]
) -> Any:
    tools = []
    for index, tool in enumerate(choice.tools):
        encoded = encode_choice(tool, losses, path=where(path, f"tools[{index}]"), offered=offered)
        if encoded is not None:
            tools.append(encoded)
    return {"type": "allowed_tools", "mode": choice.mode, "tools": tools} if tools else "none"


def names_of(tools: Iterable[Json | Raw]) -> set[tuple[str, str]]:
    """Kind and name of encoded tools; a hosted one has its kind alone."""
    names = set()
    for tool in tools:
        value = msgspec.json.decode(tool) if isinstance(tool, Raw) else tool
        names.add((str(value.get("type")), str(value.get("name") or "")))
    return names


# --- format ---


def decode_format(text: Json, raw: Raw) -> tuple[OutputFormat | None, RawObject]:
    """The format of a checked `text`, and those of its fields that nobody here knows; plain text is no format."""
    fields = _object.decode(raw)
    rest = {
        f"text.{name}": held
        for name, held in fields.items()
        if name not in {"format", "verbosity"} and _given(held)
    }
    form = text.get("format")
    if not form:
        return None, rest
    path = "text.format"
    match checks.text(form, "type", path=path):
        case "text":
            return None, rest
        case "json_object":
            return JsonObjectFormat(), rest
        case "json_schema":
            held = _object.decode(fields["format"])
            checks.optional(form, "schema", dict, path=path)
            schema = JsonSchemaFormat(
                _schema(held, "schema"),
                checks.text(form, "name", path=path),
                checks.optional(form, "description", str, path=path),
                checks.optional(form, "strict", bool, path=path),
                extras_of(_rest(held, _KNOWN_SCHEMA), "responses"),
            )
            return schema, rest
        case _:
            return None, {**rest, "text.format": fields["format"]}


def encode_format(form: OutputFormat) -> Json:
    """The format as this dialect says it."""
    if isinstance(form, JsonObjectFormat):
        return {"type": "json_object"}
    encoded: Json = {"type": "json_schema", "name": form.name or _SCHEMA_NAME}
    if form.description is not None:
        encoded["description"] = form.description
    # It must be there.
    encoded["schema"] = {"type": "object"} if form.schema is UNSET else form.schema
    if form.strict is not None:
        encoded["strict"] = form.strict
    restore(form.extras, encoded, dialect="responses")
    return encoded
