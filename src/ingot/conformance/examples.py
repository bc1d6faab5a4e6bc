"""Values that rows send: one right value for each field of OpenAI's chat reference, tools, formats, a picture."""

from typing import Any, Final

from ingot.conformance.wire import Json

SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION: Final[Json] = {
    "type": "function",
    "function": {"name": "look_up", "description": "Looks up a city.", "parameters": SCHEMA, "strict": True},
}
CUSTOM: Final[Json] = {"type": "custom", "custom": {"name": "note", "description": "Takes a note."}}
BY_NAME: Final[Json] = {"type": "function", "function": {"name": "look_up"}}
CUSTOM_BY_NAME: Final[Json] = {"type": "custom", "custom": {"name": "note"}}
CALLS: Final[Json] = {"tools": [FUNCTION], "tool_choice": "required"}
"""Makes any model that knows tools call one."""

JSON_SCHEMA: Final[Json] = {
    "type": "json_schema",
    "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
}
FORMATS: Final[list[Json]] = [{"type": "text"}, {"type": "json_object"}, JSON_SCHEMA]
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh")

PIXEL: Final = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
AUDIO: Final[Json] = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}

LONG: Final = "words: 1200"
"""A prompt on which a model that can count says more than 1024 tokens."""

REFERENCE: Final[dict[str, Json]] = {
    "audio": {"audio": {"format": "wav", "voice": "alloy"}},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "function_call": {"function_call": "auto", "functions": [{"name": "f", "parameters": SCHEMA}]},
    "functions": {"functions": [{"name": "f", "parameters": SCHEMA}]},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "logprobs": {"logprobs": True},
    "max_completion_tokens": {"max_completion_tokens": 64},
    "max_tokens": {"max_tokens": 64},
    "metadata": {"metadata": {"team": "blue"}},
    "modalities": {"modalities": ["text"]},
    "n": {"n": 2},
    "parallel_tool_calls": {"parallel_tool_calls": True, "tools": [FUNCTION]},
    "prediction": {"prediction": {"type": "content", "content": "Hello."}},
    "presence_penalty": {"presence_penalty": 0.5},
    "prompt_cache_key": {"prompt_cache_key": "k"},
    "reasoning_effort": {"reasoning_effort": "low"},
    "response_format": {"response_format": {"type": "text"}},
    "safety_identifier": {"safety_identifier": "s"},
    "seed": {"seed": 7},
    "service_tier": {"service_tier": "auto"},
    "stop": {"stop": ["###"]},
    "store": {"store": False},
    "stream": {"stream": False},
    "stream_options": {"stream": True, "stream_options": {"include_usage": True}},
    "temperature": {"temperature": 0.5},
    "tool_choice": {"tool_choice": "auto", "tools": [FUNCTION]},
    "tools": {"tools": [FUNCTION]},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "top_p": {"top_p": 0.5},
    "user": {"user": "u"},
    "verbosity": {"verbosity": "low"},
    "web_search_options": {"web_search_options": {}},
}
"""By field: the fields of a request that uses it."""


def says(text: str) -> list[Json]:
    """A conversation of one user message."""
    return [{"role": "user", "content": text}]


def picture(text: str = "What is this?", *, url: str = PIXEL) -> list[Json]:
    """A conversation of one user message with an image."""
    parts: list[Any] = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]
