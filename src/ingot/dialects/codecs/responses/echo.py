"""The response object around its output: what it says of us, of the answer's end, and of the client's own request.

Settings are echoed from the client's body, or with OpenAI's defaults: clients that parse strictly demand nearly all of
them. What authorizes somebody at a tool's server is not said back. Knows neither items nor streams.
"""

from collections.abc import Mapping
from typing import Any, Final

from ingot.dialects.codec import Reply

Json = dict[str, Any]

# Fields of a response that say what its request asked, or who we are: of a target's response they are not read.
ECHOED: Final = frozenset(
    {
        "background",
        "completed_at",
        "conversation",
        "frequency_penalty",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "object",
        "output_text",
        "parallel_tool_calls",
        "presence_penalty",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
# In the order of OpenAI's own answers; None where nothing is the default.
_SETTINGS: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
# Echoed only where they were given.
_GIVEN: Final = ("prompt", "prompt_cache_retention")
_SECRETS: Final = frozenset({"authorization", "headers"})
_FORMAT: Final = {"type": "text"}


class Envelope:
    """The response object of one reply, which a stream tells several times."""

    __slots__ = ("_head", "_settings")

    def __init__(self, reply: Reply) -> None:
        asked = reply.body.value
        self._head: Json = {"id": reply.id, "object": "response", "created_at": reply.created}
        self._settings: Json = {"model": reply.model, **_settings(asked)}

    def write(
        self,
        status: str,
        *,
        output: list[Any],
        tier: str | None,
        usage: Json | None = None,
        reason: str | None = None,
        error: Json | None = None,
    ) -> Json:
        """The object with this status; `reason` is why it is incomplete."""
        return {
            **self._head,
            "status": status,
            "completed_at": None,
            "error": error,
            "incomplete_details": None if reason is None else {"reason": reason},
            **self._settings,
            "service_tier": tier or "default",
            "output": output,
            "usage": usage,
        }


def _settings(asked: Mapping[str, Any]) -> Json:
    told = {name: default if asked.get(name) is None else asked[name] for name, default in _SETTINGS.items()}
    told["background"] = asked.get("background") is True
    reasoning = asked.get("reasoning") or {}
    told["reasoning"] = {"effort": None, "summary": None, **reasoning}
    text = asked.get("text") or {}
    told["text"] = {**text, "format": text.get("format") or _FORMAT}
    told["tools"] = [_tool(tool) for tool in asked.get("tools") or ()]
    conversation = asked.get("conversation")
    if conversation is not None:
        told["conversation"] = {"id": conversation} if isinstance(conversation, str) else conversation
    for name in _GIVEN:
        if asked.get(name) is not None:
            told[name] = asked[name]
    options = asked.get("prompt_cache_options")
    # A response that has them must have both.
    if options and {"mode", "ttl"} <= options.keys():
        told["prompt_cache_options"] = {name: held for name, held in options.items() if name != "prewarm"}
    return told


def _tool(tool: Json) -> Json:
    if tool.get("type") == "function":
        return {"description": None, "parameters": None, "strict": None, **tool}
    return {name: held for name, held in tool.items() if name not in _SECRETS}
