"""The fields of a chat request as OpenAI's contract has them: for each what is right and what is wrong. Rows F-01 to F-35.

Source: contract §2.
"""

from typing import Any, Final

from ingot.conformance.examples import BY_NAME, CUSTOM, CUSTOM_BY_NAME, FORMATS, FUNCTION, REFERENCE, SCHEMA
from ingot.conformance.record import Check, Row, row
from ingot.conformance.rows.chat import TURNS
from ingot.conformance.subject import GONE
from ingot.conformance.trying import both, refuses, takes, values
from ingot.conformance.wire import Json

OPEN: Final = "open"
PENALTY: Final[tuple[list[Any], list[Any]]] = ([-2, 0, 2, None], [-2.1, 2.1, "1"])
ALLOWED: Final[Json] = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [BY_NAME]}}
GRAMMAR: Final[Json] = {
    "type": "custom",
    "custom": {
        "name": "note",
        "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-z]+"}},
    },
}

VALUES: Final[dict[str, tuple[list[Any], list[Any]]]] = {
    "frequency_penalty": PENALTY,
    "presence_penalty": PENALTY,
    "logit_bias": ([{"5": -100}, {"5": 100}, None], [{"5": 101}, {"five": 1}, [5]]),
    "logprobs": ([True, False, None], ["yes"]),
    "max_completion_tokens": ([1, None], [0, 1.5]),
    "max_tokens": ([1, None], [0, 1.5]),
    "metadata": ([{}, {"k" * 64: "v" * 512}, None], [{"k" * 65: "v"}, {"k": "v" * 513}, {"k": 1}, {str(n): "v" for n in range(17)}]),
    "modalities": ([["text"], None], [["video"], "text"]),
    "n": ([1, 2, None], [0, 129, 1.5]),
    "prediction": ([{"type": "content", "content": "Hello."}], [{"type": "content"}, "Hello."]),
    "prompt_cache_key": (["k", None], [5]),
    "prompt_cache_options": ([{"mode": "explicit", "ttl": "30m"}], [{"mode": "always"}]),
    "prompt_cache_retention": (["in_memory", "24h", None], ["1h"]),
    "reasoning_effort": (["none", "minimal", "low", "medium", "high", "xhigh", "max", None], ["best", 1]),
    "safety_identifier": (["s"], [5]),
    "seed": ([0, -5, 2**62, None], [1.5, "1"]),
    "service_tier": (["auto", "default", "flex", "scale", "priority", "fast", None], ["slow"]),
    "stop": (["###", ["a", "b", "c", "d"], None], [["a", "b", "c", "d", "e"], 5]),
    "store": ([True, False, None], ["yes"]),
    "temperature": ([0, 2, None], [-0.1, 2.1, "1"]),
    "top_p": ([0, 1, None], [-0.1, 1.1]),
    "user": (["u"], [5]),
    "verbosity": (["low", "medium", "high", None], ["loud"]),
    "web_search_options": ([{}, {"search_context_size": "low"}], [{"search_context_size": "huge"}]),
}  # fmt: skip


def several(field: str, right: list[Json], wrong: list[Json]) -> Check:
    """Requests in which the field stands beside others; `wrong` ones are refused for it."""
    return both(takes(*right), refuses(*wrong, param=field))


def turns(*wrong: Json) -> Check:
    """Messages of each role, and what is no message."""
    right = [{"messages": [{"role": role, **rest}]} for role, rest in TURNS.items()]
    return both(takes(*right), refuses(*({"messages": [each]} for each in wrong)))


MIXED: Final[dict[str, Check]] = {
    "messages": both(
        refuses({"messages": GONE}, {"messages": []}),
        turns({"role": "user"}, {"content": "Hi"}, {"role": "boss", "content": "Hi"}, {"role": "tool", "content": "Hi"}),
    ),
    "model": refuses({"model": GONE}, {"model": ""}, {"model": 5}),
    "audio": several("audio", [{"modalities": ["text", "audio"], **REFERENCE["audio"]}], [{"modalities": ["text", "audio"]}]),
    "functions": several("functions", [REFERENCE["functions"]], [{"functions": []}, {"functions": [{}]}]),
    "function_call": several("function_call", [REFERENCE["function_call"]], [{"function_call": "must", **REFERENCE["functions"]}]),
    "top_logprobs": several("top_logprobs", [REFERENCE["top_logprobs"]], [{"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 21}]),
    "stream_options": several("stream_options", [REFERENCE["stream_options"]], [{"stream_options": {"include_usage": True}}]),
    "response_format": several(
        "response_format",
        [{"response_format": each} for each in FORMATS],
        [{"response_format": {"type": "xml"}}, {"response_format": {"type": "json_schema"}}],
    ),
    "tools": several(
        "tools",
        [{"tools": [FUNCTION, CUSTOM]}, {"tools": [GRAMMAR]}, {"tools": []}],
        [{"tools": [{"type": "function"}]}, {"tools": [{"type": "function", "function": {"parameters": SCHEMA}}]}, {"tools": "look_up"}],
    ),
    "tool_choice": several(
        "tool_choice",
        [{"tools": [FUNCTION, CUSTOM], "tool_choice": each} for each in ("none", "auto", "required", BY_NAME, CUSTOM_BY_NAME, ALLOWED)],
        [{"tools": [CUSTOM], "tool_choice": BY_NAME}, {"tool_choice": "required"}, {"tools": [FUNCTION], "tool_choice": "maybe"}],
    ),
    "parallel_tool_calls": several("parallel_tool_calls", [REFERENCE["parallel_tool_calls"]], [{"tools": [FUNCTION], "parallel_tool_calls": "no"}]),
}  # fmt: skip

CHECKS: Final[dict[str, Check]] = {
    **MIXED,
    **{field: values(field, right, wrong) for field, (right, wrong) in VALUES.items()},
}

ROWS: Final[tuple[Row, ...]] = tuple(
    row(f"F-{number:02}", OPEN, f"{field} takes what OpenAI's reference allows and refuses the rest.", check)
    for number, (field, check) in enumerate(sorted(CHECKS.items()), 1)
)
