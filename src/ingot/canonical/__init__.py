"""The canonical form: what the three dialects say in common, as frozen records between two codecs.

    client's body --decode_request--> Request --encode_request--> target's body
    target's answer --decode_answer--> Answer --encode_answer--> client's answer

What a codec author relies on:

- **Meaning, not spelling.** Null and absent are one; a lone text part and a string are one; a single stop string and a
  list of it are one. A field that asks for the dialect's default may be left out by a decoder.
- **Turns are as the client wrote them.** A turn is one message, or one item of `responses`; neighbours of one role are
  allowed and mean what one turn with all their parts would. A `ToolResult` stands in a tool turn or among the parts of
  a user turn. The encoder of a dialect that wants it otherwise joins or splits; it never re-orders parts.
- **Not interpreted is not lost.** A field without a place here goes into `extras`, a part, tool or choice without one
  becomes `Native*`, both as raw JSON with the dialect they came from. That dialect's encoder writes them back; any
  other lists each as a `Loss` (`lost_extras`), unless it is null.
- **Seals stay what they are.** Reasoning goes back only to its own origin (`Reasoning.returns_to`), seals in their
  order and unchanged. None is ever made up. Text and summaries may be shown to a client in any dialect.
- **Places.** `at` says where in the source something stood: a turn's, a tool's and an answer's part from the top, the
  part of a turn or of a tool's result from what holds it. `where(turn.at, part.at)` is the path for a `Loss`, and
  `Request.place` the path of a setting, with those of records by dotted name (`reasoning.effort`, `cache.key`).
- `item` is the id of the `responses` item that held a part; parts of one message share it.

Knows no wire format, no quirk and no price.
"""

from ingot.canonical.answer import Answer, Failure, FinishReason, Logprobs, Output, Usage
from ingot.canonical.losses import Kind, Loss, Losses, kind_at, lost_extras, matters
from ingot.canonical.parts import (
    AnyPart,
    Audio,
    CacheHint,
    Citation,
    DialectName,
    Extras,
    File,
    Image,
    Json,
    NativePart,
    Origin,
    Part,
    Reasoning,
    Refusal,
    Role,
    Seal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    where,
)
from ingot.canonical.request import (
    AllowedTools,
    AnyTool,
    CacheSettings,
    CustomTool,
    FunctionTool,
    Grammar,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    NativeChoice,
    NativeTool,
    OutputFormat,
    ReasoningSettings,
    Request,
    Tool,
    ToolChoice,
)

__all__ = [
    "AllowedTools",
    "Answer",
    "AnyPart",
    "AnyTool",
    "Audio",
    "CacheHint",
    "CacheSettings",
    "Citation",
    "CustomTool",
    "DialectName",
    "Extras",
    "Failure",
    "File",
    "FinishReason",
    "FunctionTool",
    "Grammar",
    "Image",
    "Json",
    "JsonObjectFormat",
    "JsonSchemaFormat",
    "Kind",
    "Logprobs",
    "Loss",
    "Losses",
    "NamedTool",
    "NativeChoice",
    "NativePart",
    "NativeTool",
    "Origin",
    "Output",
    "OutputFormat",
    "Part",
    "Reasoning",
    "ReasoningSettings",
    "Refusal",
    "Request",
    "Role",
    "Seal",
    "Text",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "Turn",
    "Usage",
    "kind_at",
    "lost_extras",
    "matters",
    "where",
]
