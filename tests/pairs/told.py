"""What targets answer: each feature in the words of each dialect that has it."""

from typing import Any

from pairs.words import SEALED, SIGNED, Json, call, text, tool_use

Told = dict[str, Json]

GREETING = "Grüße, 世界 🌍!"
WRITTEN = 'line\n"quoted" \\ tab\t ü 😀 </script>'


def chat(
    message: Json | None = None, finish: str = "stop", *, usage: Json | None = None, **more: Any
) -> Json:
    """A completion."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": GREETING, "refusal": None, **(message or {})},
    }
    return {
        "id": "chatcmpl-77",
        "object": "chat.completion",
        "created": 1_790_000_001,
        "model": "upstream-model",
        "choices": [{**choice, "logprobs": None, "finish_reason": finish, **more.pop("choice", {})}],
        "usage": usage or {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
        **more,
    }


def mess(*content: Json, stop: str = "end_turn", usage: Json | None = None, **more: Any) -> Json:
    """A message."""
    return {
        "id": "msg_77",
        "type": "message",
        "role": "assistant",
        "model": "upstream-model",
        "content": list(content) or [text(GREETING)],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage or {"input_tokens": 9, "output_tokens": 4},
        **more,
    }


def resp(*output: Json, status: str = "completed", usage: Json | None = None, **more: Any) -> Json:
    """A response."""
    return {
        "id": "resp_77",
        "object": "response",
        "created_at": 1_790_000_001,
        "status": status,
        "model": "upstream-model",
        "output": list(output) or [message(spoken(GREETING))],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage or counts(9, 4),
        **more,
    }


def counts(given: int, made: int, *, cached: int = 0, written: int = 0, thought: int = 0) -> Json:
    """Usage as `responses` tells it."""
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": given + made,
    }


def message(*content: Json) -> Json:
    """A message among the items of a response."""
    return {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": list(content),
    }


def spoken(told: str, **more: Any) -> Json:
    """A text that the assistant of `responses` says."""
    return {"type": "output_text", "text": told, "annotations": [], "logprobs": [], **more}


def called(number: int, name: str, arguments: str) -> Json:
    """A call among the items of a response."""
    return {
        "id": f"fc_{number}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{number}",
        "name": name,
        "arguments": arguments,
    }


def _token(told: str) -> Json:
    near = [{"token": told, "logprob": -0.1, "bytes": list(told.encode())}]
    return {**near[0], "top_logprobs": [*near, {"token": "x", "logprob": -3, "bytes": None}]}


TOKENS = [_token("Grü"), _token("ße")]
_WEB: Json = {"start_index": 0, "end_index": 4, "title": "Weather", "url": "https://example.com"}
_SOURCE: Json = {
    "type": "web_search_result_location",
    "cited_text": "It rained.",
    "url": "https://example.com",
    "title": "Weather",
    "encrypted_index": "Eo8BCioIAhgB",
}
_SCORED = '{"score": 3, "why": "ü"}'
_EDIT = '{"path": "a.py", "text": "line\\n\\"quoted\\" \\\\ \\u00fc \\ud83d\\ude00 ü 😀", "n": 1.50}'

TOLD: dict[str, Told] = {
    "text": {"chat": chat(), "messages": mess(), "responses": resp()},
    "tools_parallel": {
        "chat": chat(
            {
                "content": "I look.",
                "tool_calls": [call(3, "weather", '{"city": "Bern"}'), call(4, "now", "{}")],
            },
            "tool_calls",
        ),
        "messages": mess(
            text("I look."), tool_use(3, "weather", {"city": "Bern"}), tool_use(4, "now", {}), stop="tool_use"
        ),
        "responses": resp(
            message(spoken("I look.")), called(3, "weather", '{"city": "Bern"}'), called(4, "now", "{}")
        ),
    },
    "tool_named": {
        "chat": chat({"content": None, "tool_calls": [call(3, "weather", '{"city":"Bern"}')]}, "stop"),
        "messages": mess(tool_use(3, "weather", {"city": "Bern"}), stop="tool_use"),
        "responses": resp(called(3, "weather", '{"city":"Bern"}')),
    },
    "tools_custom": {
        "chat": chat(
            {
                "content": None,
                "tool_calls": [
                    {"id": "call_3", "type": "custom", "custom": {"name": "sql", "input": WRITTEN}}
                ],
            },
            "tool_calls",
        ),
        "messages": mess(tool_use(3, "sql", {"input": WRITTEN}), stop="tool_use"),
        "responses": resp(
            {
                "id": "ctc_3",
                "type": "custom_tool_call",
                "status": "completed",
                "call_id": "call_3",
                "name": "sql",
                "input": WRITTEN,
            }
        ),
    },
    "arguments": {
        "chat": chat(
            {"content": None, "tool_calls": [call(3, "edit", _EDIT), call(4, "edit", '{"path": "a')]},
            "tool_calls",
        ),
        "messages": mess(
            tool_use(3, "edit", {"path": "a.py", "text": WRITTEN, "n": 1.5, "deep": [{}, None]}),
            stop="tool_use",
        ),
        "responses": resp(called(3, "edit", _EDIT), called(4, "edit", '{"path": "a')),
    },
    "json_schema": {
        "chat": chat({"content": _SCORED}),
        "messages": mess(text(_SCORED)),
        "responses": resp(message(spoken(_SCORED))),
    },
    "thinking": {
        "chat": chat({"reasoning_content": "Three and\nthree.", "content": "6"}),
        "messages": mess(
            {"type": "thinking", "thinking": "Three and\nthree.", "signature": SIGNED},
            {"type": "redacted_thinking", "data": "EmwKAhgB"},
            text("6"),
        ),
        "responses": resp(
            {
                "id": "rs_2",
                "type": "reasoning",
                "summary": [],
                "content": [text("Three and\nthree.", "reasoning_text")],
                "encrypted_content": SEALED,
            },
            message(spoken("6")),
        ),
    },
    "summaries": {
        "messages": mess(
            {"type": "thinking", "thinking": "It is a greeting.", "signature": SIGNED}, text("Hello.")
        ),
        "responses": resp(
            {
                "id": "rs_2",
                "type": "reasoning",
                "summary": [text("**Greeting**", "summary_text"), text("Answer it.", "summary_text")],
                "encrypted_content": SEALED,
            },
            message(spoken("Hello.")),
        ),
    },
    "refusal": {
        "chat": chat({"content": None, "refusal": "I still will not."}),
        "messages": mess(
            text("I still will not."),
            stop="refusal",
            stop_details={"type": "refusal", "category": "harm", "explanation": None},
        ),
        "responses": resp(message({"type": "refusal", "refusal": "I still will not."})),
    },
    "citations": {
        "chat": chat({"content": "Rain.", "annotations": [{"type": "url_citation", "url_citation": _WEB}]}),
        "messages": mess(
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            {**text("Rain."), "citations": [_SOURCE]},
        ),
        "responses": resp(
            {
                "id": "ws_1",
                "type": "web_search_call",
                "status": "completed",
                "action": {"type": "search", "query": "rain"},
            },
            message(spoken("Rain.", annotations=[{"type": "url_citation", **_WEB}])),
        ),
    },
    "logprobs": {
        "chat": chat({"content": "Grüße"}, choice={"logprobs": {"content": TOKENS, "refusal": None}}),
        "responses": resp(message(spoken("Grüße", logprobs=TOKENS))),
    },
    "end_length": {
        "chat": chat(finish="length"),
        "messages": mess(stop="max_tokens"),
        "responses": resp(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    },
    "end_stop_sequence": {
        "chat": chat(choice={"stop_reason": "END"}),
        "messages": mess(stop="stop_sequence", stop_sequence="END"),
    },
    "end_filter": {
        "chat": chat(finish="content_filter"),
        "responses": resp(status="incomplete", incomplete_details={"reason": "content_filter"}),
    },
    "end_refusal": {"messages": mess(stop="refusal")},
    "end_pause": {"messages": mess(stop="pause_turn")},
    "end_context": {"messages": mess(stop="model_context_window_exceeded")},
    "end_other": {
        "chat": chat(finish="eos"),
        "messages": mess(stop="compaction"),
        "responses": resp(status="incomplete", incomplete_details={"reason": "steered"}),
    },
    "cached_tokens": {
        "chat": chat(
            usage={
                "prompt_tokens": 100,
                "completion_tokens": 30,
                "total_tokens": 130,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 20, "accepted_prediction_tokens": 2},
            },
            service_tier="default",
            system_fingerprint="fp_1",
        ),
        "messages": mess(
            usage={
                "input_tokens": 30,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 10,
                "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
                "output_tokens": 30,
                "output_tokens_details": {"thinking_tokens": 20},
                "service_tier": "standard",
                "inference_geo": "eu",
            }
        ),
        "responses": resp(usage=counts(100, 30, cached=60, written=10, thought=20), service_tier="default"),
    },
    "usage_unknown": {
        "chat": chat(usage={"prompt_tokens": "many"}),
        "messages": mess(usage={"input_tokens": -1, "output_tokens": 4}),
        "responses": resp(usage={"input_tokens": None}),
    },
}
