"""The canonical request: tools, settings and the whole.

Decides which settings the three dialects have in common. Knows no wire format and no default of any dialect.
"""

from typing import Literal

from msgspec import UNSET, Raw, Struct

from ingot.canonical.parts import CacheHint, DialectName, Extras, Json, Turn


class Tool(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", omit_defaults=True):
    """What all tools have in common."""

    at: str = ""
    cache: CacheHint | None = None
    extras: Extras | None = None


class FunctionTool(Tool, frozen=True, tag="function"):
    """`parameters` is a JSON schema; unset: no parameters."""

    name: str
    description: str | None = None
    parameters: Json = UNSET
    strict: bool | None = None


class Grammar(Struct, frozen=True, gc=False):
    syntax: str
    definition: str


class CustomTool(Tool, frozen=True, tag="custom"):
    """Takes free text, or text of a grammar."""

    name: str
    description: str | None = None
    grammar: Grammar | None = None


class NativeTool(Tool, frozen=True, tag="native"):
    """A hosted or dated tool, whole; it exists at its own dialect only."""

    dialect: DialectName
    kind: str
    raw: Raw


AnyTool = FunctionTool | CustomTool | NativeTool


class NamedTool(Struct, frozen=True, gc=False, tag="named", omit_defaults=True):
    """The model must call this tool, or, inside of `AllowedTools`, may."""

    name: str
    kind: Literal["function", "custom"] = "function"


class NativeChoice(Struct, frozen=True, gc=False, tag="native"):
    """A choice of a hosted tool, whole."""

    dialect: DialectName
    raw: Raw


class AllowedTools(Struct, frozen=True, gc=False, tag="allowed"):
    """The model may (auto) or must (required) call, and only these."""

    mode: Literal["auto", "required"]
    tools: tuple[NamedTool | NativeChoice, ...]


ToolChoice = Literal["auto", "none", "required"] | NamedTool | AllowedTools | NativeChoice


# --- settings ---


class JsonObjectFormat(Struct, frozen=True, gc=False, tag="json_object"):
    """Any JSON object."""


class JsonSchemaFormat(Struct, frozen=True, gc=False, tag="json_schema", omit_defaults=True):
    """JSON of this schema; `name` is None where the dialect has none."""

    schema: Json = UNSET
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    extras: Extras | None = None


# Plain text is None: no format is asked for.
OutputFormat = JsonObjectFormat | JsonSchemaFormat


class ReasoningSettings(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """How much the model shall think, as the client said it: `efforts` converts between effort and budget.

    `mode` is the switch of `messages`; `summary` is auto, concise, detailed or none, for `messages` its `display`.
    """

    effort: str | None = None
    budget: int | None = None
    mode: Literal["enabled", "disabled", "adaptive"] | None = None
    summary: str | None = None
    extras: Extras | None = None


class CacheSettings(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Wishes for the prompt cache as a whole; `hint` asks for a breakpoint behind the last part."""

    key: str | None = None
    retention: str | None = None
    hint: CacheHint | None = None
    options: Json = UNSET


class Request(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One request. None, and an empty tuple of stops, mean that the client did not say.

    `max_output_tokens` is 0 only where `messages` warms the cache. `cache_key` and its like are in `cache`.
    `stream_usage` is the wish of `chat` for counts at the end of a stream. `places` is the dialect's own table from
    names of settings here to paths in its bodies, for those that differ.
    """

    origin: DialectName
    model: str
    turns: tuple[Turn, ...]
    tools: tuple[AnyTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output_format: OutputFormat | None = None
    verbosity: str | None = None
    reasoning: ReasoningSettings | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    logit_bias: Json = UNSET
    logprobs: bool | None = None
    top_logprobs: int | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    cache: CacheSettings | None = None
    service_tier: str | None = None
    store: bool | None = None
    stream: bool = False
    stream_usage: bool = False
    obfuscation: bool | None = None
    extras: Extras | None = None
    places: dict[str, str] = {}

    def place(self, setting: str) -> str:
        """The path of a setting in the client's body."""
        return self.places.get(setting, setting)
