"""Settings of requests, in each dialect's own words, and requests for answers that end as they like."""

from pairs.words import HINT, SCORE, Asked, Json, chat, every, mess, resp, text, user

_NAMED: Json = {"name": "score", "schema": SCORE, "strict": True}
_FORMAT: Json = {"type": "json_schema", "schema": SCORE}
SETTINGS: dict[str, Asked] = {
    "json_schema": every(
        {"response_format": {"type": "json_schema", "json_schema": {**_NAMED, "description": "A mark."}}},
        {"output_config": {"format": _FORMAT}},
        {"text": {"format": {"type": "json_schema", **_NAMED}, "verbosity": "low"}},
    ),
    "json_object": {
        "chat": chat(response_format={"type": "json_object"}),
        "responses": resp(text={"format": {"type": "json_object"}}),
    },
    "output_config": every(
        {"response_format": {"type": "json_schema", "json_schema": _NAMED}, "reasoning_effort": "high"},
        {"output_config": {"format": _FORMAT, "effort": "high"}},
        {"text": {"format": {"type": "json_schema", **_NAMED}}, "reasoning": {"effort": "high"}},
    ),
    "effort_low": every(
        {"reasoning_effort": "low", "max_completion_tokens": 4000},
        {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4000},
        {"reasoning": {"effort": "low"}, "max_output_tokens": 4000},
    ),
    "effort_max": every(
        {"reasoning_effort": "max"},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        {"reasoning": {"effort": "max"}},
    ),
    "effort_none": every(
        {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, {"reasoning": {"effort": "none"}}
    ),
    "summaries": {
        "messages": mess(thinking={"type": "enabled", "budget_tokens": 8192, "display": "summarized"}),
        "responses": resp(reasoning={"effort": "medium", "summary": "detailed"}),
    },
    "logprobs": {
        "chat": chat(logprobs=True, top_logprobs=2),
        "responses": resp(include=["message.output_text.logprobs"], top_logprobs=2),
    },
    "caching": {
        "chat": chat(
            user({**text("Long."), "prompt_cache_breakpoint": {"mode": "explicit"}}, text("Short.")),
            prompt_cache_key="tenant-1",
        ),
        "messages": mess(
            user({**text("Long."), "cache_control": HINT}, text("Short.")),
            system=[{**text("Be brief."), "cache_control": {"type": "ephemeral"}}],
            cache_control={"type": "ephemeral"},
        ),
        "responses": resp(user("Long."), prompt_cache_key="tenant-1", prompt_cache_retention="24h"),
    },
    "max_tokens_0": {"messages": mess(max_tokens=0)},
    "sampling": every(
        {
            "temperature": 1.5,
            "top_p": 0.9,
            "top_k": 40,
            "frequency_penalty": 0.5,
            "presence_penalty": 0.5,
            "seed": 7,
            "stop": ["\n", "END"],
            "n": 2,
            "logit_bias": {"50256": -100},
            "max_completion_tokens": 200,
        },
        {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "stop_sequences": ["\n", "END", "a", "b", "c"]},
        {"temperature": 1.5, "top_p": 0.9, "max_output_tokens": 200, "truncation": "auto"},
    ),
    "labels": every(
        {"user": "ada", "safety_identifier": "s-1", "metadata": {"a": "b"}, "service_tier": "flex"},
        {"metadata": {"user_id": "ada"}, "service_tier": "standard_only"},
        {"user": "ada", "metadata": {"a": "b"}, "service_tier": "flex", "store": False},
    ),
    "unknown": every(
        {"guided_regex": "[a-z]+", "verbosity": "low"},
        {"container": "c_1", "speed": "fast"},
        {"max_tool_calls": 3, "prompt": {"id": "pmpt_1"}},
    ),
}  # fmt: skip

_PLAIN = every({}, {}, {})
# Features of answers: the question is any.
PLAIN = dict.fromkeys(
    (
        "end_length",
        "end_stop_sequence",
        "end_filter",
        "end_refusal",
        "end_pause",
        "end_context",
        "end_other",
        "cached_tokens",
        "usage_unknown",
    ),
    _PLAIN,
)
