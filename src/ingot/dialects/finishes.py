"""Why an answer ended, in the words of the three dialects: one table each way for each of them.

Decides which end of one dialect is which of another. Where a dialect has no word, it says the nearest that is true:
a filter's and a model's own refusal are one to `messages`, a stop sequence is a plain stop to the other two.
Knows no wire format beyond these words.
"""

from typing import Any, Final

from ingot.canonical import FinishReason

CHAT: dict[FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context_length": "length",
    "tool_calls": "tool_calls",
    "pause": "stop",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "other": "stop",
}
FROM_CHAT: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}

MESSAGES: dict[FinishReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context_length": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "pause": "pause_turn",
    "content_filter": "refusal",
    "refusal": "refusal",
    "other": "end_turn",
}
# What `messages` says beside the end `refusal`, where nobody told more.
REFUSED: Final[dict[str, Any]] = {"type": "refusal", "category": None, "explanation": None}
FROM_MESSAGES: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context_length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}

# The status of a response, and the reason of one that is incomplete.
RESPONSES: dict[FinishReason, tuple[str, str | None]] = {
    "stop": ("completed", None),
    "stop_sequence": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "context_length": ("incomplete", "max_output_tokens"),
    "tool_calls": ("completed", None),
    "pause": ("completed", None),
    "content_filter": ("incomplete", "content_filter"),
    "refusal": ("incomplete", "content_filter"),
    "other": ("completed", None),
}
# A completed response that ends in a tool call is `tool_calls`; what it holds decides, not its status.
FROM_RESPONSES: dict[tuple[str, str | None], FinishReason] = {
    ("completed", None): "stop",
    ("incomplete", "max_output_tokens"): "length",
    ("incomplete", "content_filter"): "content_filter",
}
