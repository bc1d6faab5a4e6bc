"""The fields of a responses request as OpenAI's contract has them, one row each: type, range, values, null.

Decides what a known field may hold; an unknown one is nobody's business here and passes through, and so do items and
tools of types that only a target knows. Rows only: the validator and the words of every refusal are both made from
them. Nothing is ever encoded from these structs. Source: contract §3.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from ingot.dialects.chat_request import (
    CacheBreakpoint,
    Metadata,
    Moderation,
    Name,
    Positive,
    Rows,
    Schema,
)

Detail = Literal["auto", "low", "high", "original"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Summary = Literal["auto", "concise", "detailed"]
Json = dict[str, Any]


# --- content parts ---


class Part(Rows, frozen=True, kw_only=True, tag_field="type"):
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class InputText(Part, frozen=True, kw_only=True, tag="input_text"):
    text: str


class PlainText(Part, frozen=True, kw_only=True, tag="text"):
    text: str


class OutputText(Part, frozen=True, kw_only=True, tag="output_text"):
    """An earlier answer, sent back."""

    text: str
    annotations: list[Json] | None = None
    logprobs: list[Json] | None = None


class RefusalPart(Part, frozen=True, kw_only=True, tag="refusal"):
    refusal: str


class InputImage(Part, frozen=True, kw_only=True, tag="input_image"):
    image_url: str | None = None
    file_id: str | None = None
    detail: Detail | None = None


class InputFile(Part, frozen=True, kw_only=True, tag="input_file"):
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: Detail | None = None


Parts = list[InputText | PlainText | OutputText | RefusalPart | InputImage | InputFile]
Shown = list[InputText | PlainText | OutputText | InputImage | InputFile]

Status = Literal["in_progress", "completed", "incomplete"]


# --- items ---


class Item(Rows, frozen=True, kw_only=True):
    id: str | None = None
    status: Status | None = None


class Message(Item, frozen=True, kw_only=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Parts
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCall(Item, frozen=True, kw_only=True):
    call_id: Name
    name: Name
    arguments: str


class FunctionCallOutput(Item, frozen=True, kw_only=True):
    call_id: Name
    output: str | Shown


class CustomToolCall(Item, frozen=True, kw_only=True):
    call_id: Name
    name: Name
    input: str


class CustomToolCallOutput(Item, frozen=True, kw_only=True):
    call_id: Name
    output: str | Shown


class Thought(Rows, frozen=True, kw_only=True):
    type: Literal["summary_text", "reasoning_text", "text"]
    text: str


class ReasoningItem(Item, frozen=True, kw_only=True):
    summary: list[Thought] | None = None
    content: list[Thought] | None = None
    encrypted_content: str | None = None


class Compaction(Rows, frozen=True, kw_only=True):
    id: str | None = None
    encrypted_content: Name


class ItemReference(Rows, frozen=True, kw_only=True):
    id: Name


ITEMS: Final[dict[str, type[Rows]]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    "custom_tool_call": CustomToolCall,
    "custom_tool_call_output": CustomToolCallOutput,
    "reasoning": ReasoningItem,
    "compaction": Compaction,
    "item_reference": ItemReference,
}
"""By type; an item without one is a message where it has a role, and a reference where it has only an id."""


# --- tools and formats ---


class FunctionTool(Rows, frozen=True, kw_only=True):
    name: Name
    description: str | None = None
    parameters: Schema | None = None
    strict: bool | None = None


class TextGrammar(Rows, frozen=True, kw_only=True, tag_field="type", tag="text"):
    pass


class Grammar(Rows, frozen=True, kw_only=True, tag_field="type", tag="grammar"):
    syntax: Literal["lark", "regex"]
    definition: str


class CustomTool(Rows, frozen=True, kw_only=True):
    name: Name
    description: str | None = None
    format: TextGrammar | Grammar | None = None


class Named(Rows, frozen=True, kw_only=True):
    """A choice of one tool."""

    name: Name


class AllowedTools(Rows, frozen=True, kw_only=True):
    """A choice among tools."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[Json], Meta(min_length=1)]


TOOLS: Final[dict[str, type[Rows]]] = {"function": FunctionTool, "custom": CustomTool}
"""The tools that run where the client is, by type; those of any other type run at a target."""


class TextFormat(Rows, frozen=True, kw_only=True, tag_field="type", tag="text"):
    pass


class JsonObjectFormat(Rows, frozen=True, kw_only=True, tag_field="type", tag="json_object"):
    pass


class JsonSchemaFormat(Rows, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    name: Name
    schema: Schema
    description: str | None = None
    strict: bool | None = None


class TextSettings(Rows, frozen=True, kw_only=True):
    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningSettings(Rows, frozen=True, kw_only=True):
    effort: Effort | None = None
    summary: Summary | None = None
    generate_summary: Summary | None = None
    mode: Literal["standard", "pro"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None


# --- the rest ---


class CacheOptions(Rows, frozen=True, kw_only=True):
    mode: Literal["implicit", "explicit"] | UnsetType = UNSET
    ttl: Literal["30m", "12h"] | UnsetType = UNSET
    comparison_response_id: str | None = None
    prewarm: bool | None = None


class StreamOptions(Rows, frozen=True, kw_only=True):
    include_obfuscation: bool | None = None


class StoredPrompt(Rows, frozen=True, kw_only=True):
    id: Name
    version: str | None = None
    variables: Json | None = None


class ConversationId(Rows, frozen=True, kw_only=True):
    id: Name


class Compacting(Rows, frozen=True, kw_only=True):
    type: Literal["compaction"]
    compact_threshold: Annotated[int, Meta(ge=1000)] | None = None


class Asked(Rows, frozen=True, kw_only=True):
    """What every request of this dialect may hold, also one that asks for no answer."""

    model: Name
    input: str | list[Json] | None = None
    instructions: str | None = None
    previous_response_id: Name | None = None
    conversation: Name | ConversationId | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningSettings | None = None
    text: TextSettings | None = None
    tool_choice: Literal["none", "auto", "required"] | Json | None = None
    tools: list[Json] | None = None
    truncation: Literal["auto", "disabled"] | None = None


class CompactRequest(Asked, frozen=True, kw_only=True):
    """The top level of a request to compact a conversation."""

    prompt_cache_key: Annotated[str, Meta(max_length=64)] | None = None
    prompt_cache_options: CacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    service_tier: Literal["auto", "default", "fast", "flex", "priority"] | None = None


class ResponsesRequest(Asked, frozen=True, kw_only=True):
    """The top level, field by field."""

    background: bool | None = None
    context_management: Annotated[list[Compacting], Meta(min_length=1)] | None = None
    include: list[str] | None = None
    max_output_tokens: Positive | None = None
    max_tool_calls: Positive | None = None
    metadata: Metadata | None = None
    moderation: Moderation | None = None
    prompt: StoredPrompt | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: CacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    # OpenAI's document says 64, its newer client 128: the wider one harms nobody.
    safety_identifier: Annotated[str, Meta(max_length=128)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    user: str | None = None
