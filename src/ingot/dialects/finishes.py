"""Why an answer ended, in the words of the three dialects: one table each way for each of them.

Decides which end of one dialect is which of another. Where a dialect has no word, it says the nearest that is true:
a filter's and a model's own refusal are one to `messages`, a stop sequence is a plain stop to the other two.
An end that comes back as another one from there is a loss. Knows no wire format beyond these words.
"""

from typing import Any, Final

from ingot.canonical import DialectName, FinishReason, Loss, Losses

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


_FIELDS: dict[DialectName, str] = {"chat": "finish_reason", "messages": "stop_reason", "responses": "status"}
# Which sequence was met stands beside the word, or is a loss of its own; a call speaks for itself.
_TOLD_ELSEWHERE: tuple[FinishReason, ...] = ("stop_sequence", "tool_calls")
_UNTOLD: dict[DialectName, frozenset[FinishReason]] = {
    "chat": frozenset([end for end, word in CHAT.items() if FROM_CHAT[word] != end]),
    "messages": frozenset([end for end, word in MESSAGES.items() if FROM_MESSAGES[word] != end]),
    "responses": frozenset([end for end, word in RESPONSES.items() if FROM_RESPONSES[word] != end]),
}


def lost_finish(reason: FinishReason | None, told: str | None, *, of: DialectName, to: DialectName) -> Losses:
    """The loss of an end for which `to` has only the nearest word; `told` is the target's own for `other`."""
    if reason is None or of == to or reason in _TOLD_ELSEWHERE or reason not in _UNTOLD[to]:
        return ()
    status, why = RESPONSES[reason]
    word = {"chat": CHAT[reason], "messages": MESSAGES[reason], "responses": why or status}[to]
    return (
        Loss(_FIELDS[of], "answer", f"that it ended with '{told or reason}': the {to} dialect says '{word}'"),
    )
