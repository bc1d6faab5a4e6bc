"""The fields of a chat completion request as OpenAI's contract has them, one row each: type, range, values, null.

Decides what a known field may hold; an unknown one is nobody's business here and passes through. Rows only: the
validator and the words of every refusal are both made from them. Nothing is ever encoded from these structs.
A field that may be null says so; one that may only be absent is UNSET.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ingot.dialects.complaint import END

Name = Annotated[str, Meta(min_length=1)]
Schema = dict[str, Any]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Positive = Annotated[int, Meta(ge=1)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


class Rows(Struct, frozen=True, kw_only=True, gc=False):
    """A JSON object of known fields; more are welcome."""


# --- messages ---


class CacheBreakpoint(Rows, frozen=True, kw_only=True):
    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] | UnsetType = UNSET


class Part(Rows, frozen=True, kw_only=True, tag_field="type"):
    prompt_cache_breakpoint: CacheBreakpoint | UnsetType = UNSET


class TextPart(Part, frozen=True, kw_only=True, tag="text"):
    text: str


class RefusalPart(Part, frozen=True, kw_only=True, tag="refusal"):
    refusal: str


class ImageUrl(Rows, frozen=True, kw_only=True):
    url: str
    detail: Literal["auto", "low", "high", "original"] | UnsetType = UNSET


class ImagePart(Part, frozen=True, kw_only=True, tag="image_url"):
    image_url: ImageUrl


class InputAudio(Rows, frozen=True, kw_only=True):
    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Part, frozen=True, kw_only=True, tag="input_audio"):
    input_audio: InputAudio


class File(Rows, frozen=True, kw_only=True):
    file_data: str | UnsetType = UNSET
    file_id: str | UnsetType = UNSET
    filename: str | UnsetType = UNSET


class FilePart(Part, frozen=True, kw_only=True, tag="file"):
    file: File


class OnlyText(Rows, frozen=True, kw_only=True):
    """A text part where no other kind may stand."""

    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: CacheBreakpoint | UnsetType = UNSET


Texts = str | Annotated[list[OnlyText], Meta(min_length=1)]


class CalledFunction(Rows, frozen=True, kw_only=True):
    name: str
    arguments: str


class CalledCustom(Rows, frozen=True, kw_only=True):
    name: str
    input: str


class ToolCall(Rows, frozen=True, kw_only=True, tag_field="type"):
    id: str


class FunctionToolCall(ToolCall, frozen=True, kw_only=True, tag="function"):
    function: CalledFunction


class CustomToolCall(ToolCall, frozen=True, kw_only=True, tag="custom"):
    custom: CalledCustom


class PastAudio(Rows, frozen=True, kw_only=True):
    id: str


class Message(Rows, frozen=True, kw_only=True, tag_field="role"):
    name: str | UnsetType = UNSET


class DeveloperMessage(Message, frozen=True, kw_only=True, tag="developer"):
    content: Texts


class SystemMessage(Message, frozen=True, kw_only=True, tag="system"):
    content: Texts


class UserMessage(Message, frozen=True, kw_only=True, tag="user"):
    content: str | Annotated[list[TextPart | ImagePart | AudioPart | FilePart], Meta(min_length=1)]


class AssistantMessage(Message, frozen=True, kw_only=True, tag="assistant"):
    """An earlier answer, sent back: what answers hold as null or empty is taken back as such."""

    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    audio: PastAudio | None = None
    tool_calls: list[FunctionToolCall | CustomToolCall] | None = None
    function_call: CalledFunction | None = None


class ToolMessage(Message, frozen=True, kw_only=True, tag="tool"):
    content: Texts
    tool_call_id: str


class FunctionMessage(Rows, frozen=True, kw_only=True, tag_field="role", tag="function"):
    content: str | None
    name: str


Messages = list[
    DeveloperMessage | SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage
]


# --- tools and formats ---


class Function(Rows, frozen=True, kw_only=True):
    name: Name
    description: str | UnsetType = UNSET
    parameters: Schema | UnsetType = UNSET
    strict: bool | None = None


class Grammar(Rows, frozen=True, kw_only=True):
    syntax: Literal["lark", "regex"]
    definition: str


class TextFormat(Rows, frozen=True, kw_only=True, tag_field="type", tag="text"):
    pass


class GrammarFormat(Rows, frozen=True, kw_only=True, tag_field="type", tag="grammar"):
    grammar: Grammar


class Custom(Rows, frozen=True, kw_only=True):
    name: Name
    description: str | UnsetType = UNSET
    format: TextFormat | GrammarFormat | UnsetType = UNSET


class FunctionTool(Rows, frozen=True, kw_only=True, tag_field="type", tag="function"):
    function: Function


class CustomTool(Rows, frozen=True, kw_only=True, tag_field="type", tag="custom"):
    custom: Custom


class Named(Rows, frozen=True, kw_only=True):
    name: Name


class FunctionChoice(Rows, frozen=True, kw_only=True, tag_field="type", tag="function"):
    function: Named


class CustomChoice(Rows, frozen=True, kw_only=True, tag_field="type", tag="custom"):
    custom: Named


class AllowedTools(Rows, frozen=True, kw_only=True):
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class AllowedChoice(Rows, frozen=True, kw_only=True, tag_field="type", tag="allowed_tools"):
    allowed_tools: AllowedTools


class JsonSchema(Rows, frozen=True, kw_only=True):
    name: Name
    description: str | UnsetType = UNSET
    schema: Schema | UnsetType = UNSET
    strict: bool | None = None


class JsonObjectFormat(Rows, frozen=True, kw_only=True, tag_field="type", tag="json_object"):
    pass


class JsonSchemaFormat(Rows, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    json_schema: JsonSchema


# --- the rest ---


class VoiceId(Rows, frozen=True, kw_only=True):
    id: str


class Audio(Rows, frozen=True, kw_only=True):
    format: Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"]
    voice: str | VoiceId


class ModeratedInput(Rows, frozen=True, kw_only=True):
    mode: Literal["score", "block"]


class ModerationPolicy(Rows, frozen=True, kw_only=True):
    input: ModeratedInput | UnsetType = UNSET
    output: ModeratedInput | UnsetType = UNSET


class Moderation(Rows, frozen=True, kw_only=True):
    model: str
    policy: ModerationPolicy | UnsetType = UNSET


class Prediction(Rows, frozen=True, kw_only=True):
    type: Literal["content"]
    content: Texts


class CacheOptions(Rows, frozen=True, kw_only=True):
    mode: Literal["implicit", "explicit"] | UnsetType = UNSET
    ttl: Literal["30m"] | UnsetType = UNSET


class StreamOptions(Rows, frozen=True, kw_only=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Place(Rows, frozen=True, kw_only=True):
    city: str | UnsetType = UNSET
    country: str | UnsetType = UNSET
    region: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET


class UserLocation(Rows, frozen=True, kw_only=True):
    type: Literal["approximate"]
    approximate: Place


class WebSearch(Rows, frozen=True, kw_only=True):
    search_context_size: Literal["low", "medium", "high"] | UnsetType = UNSET
    user_location: UserLocation | None = None


class ChatRequest(Rows, frozen=True, kw_only=True):
    """The top level, field by field."""

    model: Name
    messages: Annotated[Messages, Meta(min_length=1)]
    audio: Audio | None = None
    frequency_penalty: Penalty | None = None
    function_call: Literal["none", "auto"] | Named | UnsetType = UNSET
    functions: Annotated[list[Function], Meta(min_length=1, max_length=128)] | UnsetType = UNSET
    logit_bias: (
        dict[Annotated[str, Meta(pattern=f"^[0-9]+{END}")], Annotated[float, Meta(ge=-100, le=100)]] | None
    ) = None
    logprobs: bool | None = None
    max_completion_tokens: Positive | None = None
    max_tokens: Positive | None = None
    metadata: Metadata | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    moderation: Moderation | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    parallel_tool_calls: bool | UnsetType = UNSET
    prediction: Prediction | UnsetType = UNSET
    presence_penalty: Penalty | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: CacheOptions | UnsetType = UNSET
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | UnsetType = UNSET
    # OpenAI's document says 64, its newer client 128: the wider one harms nobody.
    safety_identifier: Annotated[str, Meta(max_length=128)] | UnsetType = UNSET
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    stop: str | Annotated[list[str], Meta(min_length=1, max_length=4)] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    tool_choice: (
        Literal["none", "auto", "required"] | FunctionChoice | CustomChoice | AllowedChoice | UnsetType
    ) = UNSET
    tools: list[FunctionTool | CustomTool] | UnsetType = UNSET
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    user: str | UnsetType = UNSET
    verbosity: Literal["low", "medium", "high"] | None = None
    web_search_options: WebSearch | UnsetType = UNSET
