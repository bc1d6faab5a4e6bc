"""The fields of a message request as Anthropic's contract has them, one row each: type, range, values, null.

Decides what a known field may hold; an unknown one is nobody's business here and passes through. Rows only: the validator
and the words of every refusal are both made from them. Tools of a dated type are the target's to know; so is what stands
inside of blocks that only a target's own tools make. Source: contract §6.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from ingot.dialects.chat_request import Name, Rows, Schema

MOST_MESSAGES = 100_000
LEAST_BUDGET = 1024
"""Tokens; a thinking budget below it is none."""

Unit = Annotated[float, Meta(ge=0, le=1)]


class CacheControl(Rows, frozen=True, kw_only=True):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


# --- blocks ---


class Block(Rows, frozen=True, kw_only=True, tag_field="type"):
    cache_control: CacheControl | None = None


class TextBlock(Block, frozen=True, kw_only=True, tag="text"):
    text: str
    citations: list[dict[str, Any]] | None = None


class OnlyText(Rows, frozen=True, kw_only=True):
    """A text block where no other kind may stand."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None
    citations: list[dict[str, Any]] | None = None


class Source(Rows, frozen=True, kw_only=True, tag_field="type"):
    pass


class UrlSource(Source, frozen=True, kw_only=True, tag="url"):
    url: Name


class FileSource(Source, frozen=True, kw_only=True, tag="file"):
    file_id: Name


class ImageData(Source, frozen=True, kw_only=True, tag="base64"):
    data: Name
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]


class ImageBlock(Block, frozen=True, kw_only=True, tag="image"):
    source: ImageData | UrlSource | FileSource


class PdfData(Source, frozen=True, kw_only=True, tag="base64"):
    data: Name
    media_type: Literal["application/pdf"]


class PlainText(Source, frozen=True, kw_only=True, tag="text"):
    data: str
    media_type: Literal["text/plain"]


class ContentSource(Source, frozen=True, kw_only=True, tag="content"):
    content: str | list[TextBlock | ImageBlock]


class Citations(Rows, frozen=True, kw_only=True):
    enabled: bool | UnsetType = UNSET


class DocumentBlock(Block, frozen=True, kw_only=True, tag="document"):
    source: PdfData | PlainText | ContentSource | UrlSource | FileSource
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None


class SearchResultBlock(Block, frozen=True, kw_only=True, tag="search_result"):
    source: str
    title: str
    content: list[OnlyText]


class ThinkingBlock(Block, frozen=True, kw_only=True, tag="thinking"):
    thinking: str
    signature: str


class RedactedThinkingBlock(Block, frozen=True, kw_only=True, tag="redacted_thinking"):
    data: str


class ToolUseBlock(Block, frozen=True, kw_only=True, tag="tool_use"):
    id: Name
    name: Name
    input: dict[str, Any]


class ToolReferenceBlock(Block, frozen=True, kw_only=True, tag="tool_reference"):
    tool_name: Name


class ToolResultBlock(Block, frozen=True, kw_only=True, tag="tool_result"):
    tool_use_id: Name
    content: (
        str | list[TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock] | None
    ) = None
    is_error: bool | None = None


class ContainerUploadBlock(Block, frozen=True, kw_only=True, tag="container_upload"):
    file_id: Name


class ServerToolUseBlock(Block, frozen=True, kw_only=True, tag="server_tool_use"):
    id: Name
    name: Name
    input: dict[str, Any]


class McpToolUseBlock(Block, frozen=True, kw_only=True, tag="mcp_tool_use"):
    id: Name
    name: Name
    input: dict[str, Any]


class ServerResult(Block, frozen=True, kw_only=True):
    """What a target's own tool answered, sent back as it came."""

    tool_use_id: Name
    content: Any = None


class WebSearchResult(ServerResult, frozen=True, kw_only=True, tag="web_search_tool_result"):
    pass


class WebFetchResult(ServerResult, frozen=True, kw_only=True, tag="web_fetch_tool_result"):
    pass


class CodeResult(ServerResult, frozen=True, kw_only=True, tag="code_execution_tool_result"):
    pass


class BashResult(ServerResult, frozen=True, kw_only=True, tag="bash_code_execution_tool_result"):
    pass


class EditorResult(ServerResult, frozen=True, kw_only=True, tag="text_editor_code_execution_tool_result"):
    pass


class ToolSearchResult(ServerResult, frozen=True, kw_only=True, tag="tool_search_tool_result"):
    pass


class AdvisorResult(ServerResult, frozen=True, kw_only=True, tag="advisor_tool_result"):
    pass


class McpResult(ServerResult, frozen=True, kw_only=True, tag="mcp_tool_result"):
    pass


class McpListing(Block, frozen=True, kw_only=True, tag="mcp_tool_listing"):
    pass


class ToolAddition(Block, frozen=True, kw_only=True, tag="tool_addition"):
    pass


class ToolRemoval(Block, frozen=True, kw_only=True, tag="tool_removal"):
    pass


class Compaction(Block, frozen=True, kw_only=True, tag="compaction"):
    pass


class Fallback(Block, frozen=True, kw_only=True, tag="fallback"):
    pass


UserBlock = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ToolResultBlock
    | ContainerUploadBlock
    | McpResult
    | ToolAddition
    | ToolRemoval
    | Compaction
)
AssistantBlock = (
    TextBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ContainerUploadBlock
    | ServerToolUseBlock
    | WebSearchResult
    | WebFetchResult
    | CodeResult
    | BashResult
    | EditorResult
    | ToolSearchResult
    | AdvisorResult
    | McpToolUseBlock
    | McpResult
    | McpListing
    | Compaction
    | Fallback
)
SystemBlock = TextBlock | ToolAddition | ToolRemoval


class Message(Rows, frozen=True, kw_only=True, tag_field="role"):
    pass


class UserMessage(Message, frozen=True, kw_only=True, tag="user"):
    content: str | list[UserBlock]


class AssistantMessage(Message, frozen=True, kw_only=True, tag="assistant"):
    content: str | list[AssistantBlock]


class SystemMessage(Message, frozen=True, kw_only=True, tag="system"):
    content: str | list[SystemBlock]


# --- tools ---


class Tool(Rows, frozen=True, kw_only=True):
    """A client's tool (`type` is `custom` or not given), or one of a dated type."""

    type: Name | None = None
    name: Name | UnsetType = UNSET
    description: str | UnsetType = UNSET
    input_schema: Schema | UnsetType = UNSET
    strict: bool | None = None
    cache_control: CacheControl | None = None

    @property
    def custom(self) -> bool:
        """Whether it is the client's own."""
        return self.type is None or self.type == "custom"


class Choice(Rows, frozen=True, kw_only=True, tag_field="type"):
    disable_parallel_tool_use: bool | UnsetType = UNSET


class AutoChoice(Choice, frozen=True, kw_only=True, tag="auto"):
    pass


class AnyChoice(Choice, frozen=True, kw_only=True, tag="any"):
    pass


class ToolChoice(Choice, frozen=True, kw_only=True, tag="tool"):
    name: Name


class NoChoice(Rows, frozen=True, kw_only=True, tag_field="type", tag="none"):
    pass


# --- the rest ---


class Thinking(Rows, frozen=True, kw_only=True, tag_field="type"):
    pass


class ThinkingEnabled(Thinking, frozen=True, kw_only=True, tag="enabled"):
    budget_tokens: Annotated[int, Meta(ge=LEAST_BUDGET)]
    display: Literal["summarized", "omitted"] | None = None


class ThinkingAdaptive(Thinking, frozen=True, kw_only=True, tag="adaptive"):
    display: Literal["summarized", "omitted"] | None = None


class ThinkingDisabled(Thinking, frozen=True, kw_only=True, tag="disabled"):
    pass


class ThinkingBetweenTools(Thinking, frozen=True, kw_only=True, tag="between_tools"):
    pass


class OutputFormat(Rows, frozen=True, kw_only=True):
    type: Literal["json_schema"]
    schema: Schema


class OutputConfig(Rows, frozen=True, kw_only=True):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class McpServer(Rows, frozen=True, kw_only=True):
    """A server whose tools a target calls."""

    url: str | UnsetType = UNSET


class Metadata(Rows, frozen=True, kw_only=True):
    user_id: str | None = None


class CountRequest(Rows, frozen=True, kw_only=True):
    """What is counted: all of a message request but how much may be answered, and how."""

    model: Name
    messages: Annotated[
        list[UserMessage | AssistantMessage | SystemMessage], Meta(min_length=1, max_length=MOST_MESSAGES)
    ]
    cache_control: CacheControl | None = None
    mcp_servers: list[McpServer] | None = None
    output_config: OutputConfig | None = None
    system: str | list[OnlyText] | None = None
    temperature: Unit | None = None
    thinking: ThinkingEnabled | ThinkingAdaptive | ThinkingDisabled | ThinkingBetweenTools | None = None
    tool_choice: AutoChoice | AnyChoice | ToolChoice | NoChoice | None = None
    tools: list[Tool] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    top_p: Unit | None = None


class MessagesRequest(CountRequest, frozen=True, kw_only=True):
    """The top level, field by field; `max_tokens` of 0 only warms a cache."""

    max_tokens: Annotated[int, Meta(ge=0)]
    container: str | dict[str, Any] | None = None
    inference_geo: str | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    speed: Literal["standard", "fast"] | None = None
    stop_sequences: list[Name] | None = None
    stream: bool | None = None
    thread: dict[str, Any] | None = None
