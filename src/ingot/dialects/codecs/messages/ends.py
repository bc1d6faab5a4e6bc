"""How an answer ends and what stands around it, the same for whole answers and for streams.

Decides the word for an end, and which tier of another dialect is which here. Knows neither blocks nor events.
"""

from typing import Any, Final

from ingot.canonical import FinishReason
from ingot.dialects.codecs.values import text_of
from ingot.dialects.finishes import FROM_MESSAGES, MESSAGES

Json = dict[str, Any]

DETAILS: Final = "stop_details"
TIER: Final = "service_tier"
KNOWN_TOP: Final = frozenset(
    {
        "id",
        "type",
        "role",
        "model",
        "content",
        "stop_reason",
        "stop_sequence",
        DETAILS,
        "usage",
    }
)
NO_USAGE: Final[dict[str, int]] = {"input_tokens": 0, "output_tokens": 0}
# The usual tier goes by the name that the other dialects have for it.
_TIERS: Final = {"default": "standard", "priority": "priority", "batch": "batch"}


def decode_end(word: str) -> tuple[FinishReason, str | None]:
    """The reason, and the target's own word for `other`."""
    reason = FROM_MESSAGES.get(word)
    return ("other", word) if reason is None else (reason, None)


def encode_end(
    reason: FinishReason | None,
    told: str | None,
    *,
    native: bool,
    refused: bool = False,
    called: bool = False,
) -> str | None:
    """The word of this dialect; a model that said its refusal in a part of its own has refused, however it ended.

    Where it stopped behind a call it wants the tool's result: servers of `chat` say so of free choices only.
    """
    if reason is None:
        return None
    if native and reason == "other" and told:
        return told
    if reason == "stop" and not native:
        reason = "refusal" if refused else "tool_calls" if called else reason
    return MESSAGES[reason]


def decode_tier(usage: Any) -> str | None:
    """The tier that an answer's usage tells."""
    tier = text_of(usage.get(TIER)) if type(usage) is dict else None
    return "default" if tier == "standard" else tier


def encode_tier(tier: str | None) -> str | None:
    """The tier that an answer was made with; None where this dialect has no word for it."""
    return None if tier is None else _TIERS.get(tier)
