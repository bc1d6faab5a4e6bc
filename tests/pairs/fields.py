"""Every field that a client may send, one at a time, as the reference page shows them: a request that has it, in each dialect.

A request here is a greeting with a bound of the output, and the one field that its label names.
"""

from typing import Any

from pairs.words import (
    CITY,
    DATA,
    GRAMMAR,
    HINT,
    IMAGE,
    LINK,
    PDF,
    SCORE,
    SEALED,
    SIGNED,
    WEATHER,
    WEATHER_FLAT,
    WEATHER_TOOL,
    Json,
    call,
    chat,
    function_call,
    mess,
    output,
    resp,
    result,
    said,
    text,
    tool_use,
    user,
)

Fields = dict[str, Json]

_PDF_URL = f"data:application/pdf;base64,{PDF}"
_AGAIN = user("And now?")
BASES: dict[str, Json] = {
    "chat": chat(max_completion_tokens=9000),
    "messages": mess(),
    "responses": resp(user("Hello"), max_output_tokens=9000),
}


def _chat(*messages: Json, **fields: Any) -> Json:
    return chat(*messages, **{"max_completion_tokens": 9000, **fields})


def _resp(*items: Json, **fields: Any) -> Json:
    return resp(*(items or (user("Hello"),)), **{"max_output_tokens": 9000, **fields})


def _part(kind: str, **held: Any) -> Json:
    return {"type": kind, kind: held}


def _custom(**fields: Any) -> Json:
    return {"type": "custom", "custom": {"name": "sql", **fields}}


def _source(kind: str, **held: Any) -> Json:
    return {"type": "document", "source": {"type": kind, **held}}


def _with_tools(**fields: Any) -> Json:
    return _chat(tools=[WEATHER], **fields)


_CHAT_SETTINGS: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "logit_bias": {"50256": -100},
    "max_completion_tokens": 500,
    "metadata": {"a": "b"},
    "moderation": {"model": "omni"},
    "n": 2,
    "prediction": {"type": "content", "content": "Hi"},
    "presence_penalty": 0.5,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "medium",
    "safety_identifier": "s",
    "seed": 7,
    "service_tier": "flex",
    "stop": ["END"],
    "store": True,
    "temperature": 0.5,
    "top_k": 40,
    "top_p": 0.5,
    "user": "ada",
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}
CHAT: Fields = {
    "messages: `system` at the start": _chat(said("system", "Be brief."), user("Hello")),
    "messages: `system` or `developer` later": _chat(user("Hello"), said("developer", "Be brief."), user("Hello")),
    "messages[].name": _chat({**user("Hello"), "name": "ada"}),
    "`messages[].name`, where several speak": _chat(user("Hello"), {**user("Hello"), "name": "ada"}),
    "image_url, data": _chat(user(_part("image_url", url=DATA))),
    "image_url, URL": _chat(user(_part("image_url", url=LINK))),
    "image_url.detail": _chat(user(_part("image_url", url=LINK, detail="low"))),
    "input_audio": _chat(user(text("Hello"), _part("input_audio", data="UklGRg==", format="wav"))),
    "file.file_data": _chat(user(_part("file", file_data=_PDF_URL, filename="a.pdf"))),
    "file.file_id": _chat(user(_part("file", file_id="file-1"))),
    "prompt_cache_breakpoint": _chat(user({**text("Hello"), "prompt_cache_breakpoint": {"mode": "explicit"}})),
    "assistant: refusal": _chat(user("Hello"), said("assistant", None, refusal="No."), _AGAIN),
    "assistant: reasoning_content": _chat(user("Hello"), said("assistant", "Hi", reasoning_content="Hm."), _AGAIN),
    "assistant: tool_calls, and their results": _chat(
        user("Hello"), said("assistant", None, tool_calls=[call(1, "weather", "{}")]), said("tool", "4", tool_call_id="call_1")
    ),
    "assistant: tool_calls with arguments that are no JSON": _chat(
        user("Hello"), said("assistant", None, tool_calls=[call(1, "weather", '{"a')]), said("tool", "4", tool_call_id="call_1")
    ),
    "tools: function": _chat(tools=[WEATHER]),
    "tools: function, strict": _chat(tools=[{"type": "function", "function": {"name": "f", "strict": True, "parameters": CITY}}]),
    "tools: custom": _chat(tools=[_custom(format={"type": "grammar", "grammar": {"syntax": "lark", "definition": GRAMMAR}})]),
    "tool_choice: a word": _with_tools(tool_choice="required"),
    "tool_choice: function": _with_tools(tool_choice={"type": "function", "function": {"name": "weather"}}),
    "tool_choice: allowed_tools": _with_tools(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]}}
    ),
    "parallel_tool_calls": _with_tools(parallel_tool_calls=False),
    "response_format: json_object": _chat(response_format={"type": "json_object"}),
    "response_format: json_schema": _chat(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": SCORE}}),
    "reasoning_effort: none": _chat(reasoning_effort="none"),
    "modalities, audio": _chat(modalities=["text", "audio"], audio={"format": "wav", "voice": "ash"}),
    "logprobs, top_logprobs": _chat(logprobs=True, top_logprobs=2),
    **{name: _chat(**{name: value}) for name, value in _CHAT_SETTINGS.items()},
    "any field that only chat knows": _chat(guided_regex="[a-z]+"),
}  # fmt: skip

_MESSAGES_SETTINGS: dict[str, Any] = {
    "cache_control": HINT,
    "container": "c_1",
    "diagnostics": {"previous_message_id": None, "x": 1},
    "inference_geo": "eu",
    "max_tokens": 500,
    "metadata": {"user_id": "ada"},
    "service_tier": "standard_only",
    "speed": "fast",
    "stop_sequences": ["END"],
    "temperature": 0.5,
    "top_k": 40,
    "top_p": 0.5,
}
MESSAGES: Fields = {
    "system": mess(system="Be brief."),
    "messages: `system`": mess(user("Hello"), said("system", "Be brief."), user("Hello")),
    "image, base64": mess(user(IMAGE)),
    "image, url": mess(user({"type": "image", "source": {"type": "url", "url": LINK}})),
    "image, file": mess(user(text("Hello"), {"type": "image", "source": {"type": "file", "file_id": "file_1"}})),
    "document, base64": mess(user(_source("base64", media_type="application/pdf", data=PDF))),
    "document, text": mess(user(_source("text", media_type="text/plain", data="It rained."))),
    "document, url": mess(user(text("Hello"), _source("url", url="https://example.com/a.pdf"))),
    "document, file": mess(user(_source("file", file_id="file_1"))),
    "document: context": mess(user({**_source("text", media_type="text/plain", data="Rain."), "context": "Old."})),
    "document: title": mess(user({**_source("text", media_type="text/plain", data="Rain."), "title": "Old"})),
    "document: citations": mess(
        user({**_source("text", media_type="text/plain", data="Rain."), "citations": {"enabled": True}})
    ),
    "search_result": mess(
        user(text("Hello"), {"type": "search_result", "source": "s", "title": "t", "content": [text("Rain.")]})
    ),
    "cache_control of a block": mess(user({**text("Hello"), "cache_control": HINT})),
    "assistant: thinking": mess(
        user("Hello"), said("assistant", [{"type": "thinking", "thinking": "Hm.", "signature": SIGNED}, text("Hi")]), _AGAIN
    ),
    "assistant: redacted_thinking": mess(
        user("Hello"), said("assistant", [{"type": "redacted_thinking", "data": SIGNED}, text("Hi")]), _AGAIN
    ),
    "assistant: tool_use, and tool_result": mess(
        user("Hello"), said("assistant", [tool_use(1, "weather", {})]), user(result(1, "4"))
    ),
    "tool_result: images": mess(
        user("Hello"), said("assistant", [tool_use(1, "weather", {})]), user(result(1, [text("4"), IMAGE]))
    ),
    "tool_result: is_error": mess(
        user("Hello"), said("assistant", [tool_use(1, "weather", {})]), user(result(1, "4", is_error=True))
    ),
    "tools": mess(tools=[WEATHER_TOOL]),
    "tools: strict": mess(tools=[{**WEATHER_TOOL, "strict": True}]),
    "tools: allowed_callers": mess(tools=[{**WEATHER_TOOL, "allowed_callers": ["code_execution_20260120"]}]),
    "tools: allowed_callers, direct": mess(tools=[{**WEATHER_TOOL, "allowed_callers": ["direct"]}]),
    "tools: input_examples and the like": mess(tools=[{**WEATHER_TOOL, "input_examples": [{"city": "Oslo"}]}]),
    "tools: server tools and dated ones": mess(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
    "tool_choice": mess(tools=[WEATHER_TOOL], tool_choice={"type": "any"}),
    "tool_choice: tool": mess(tools=[WEATHER_TOOL], tool_choice={"type": "tool", "name": "weather"}),
    "tool_choice: disable_parallel_tool_use": mess(
        tools=[WEATHER_TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True}
    ),
    "thinking: enabled": mess(thinking={"type": "enabled", "budget_tokens": 8192}),
    "thinking: adaptive": mess(thinking={"type": "adaptive"}),
    "thinking: disabled": mess(thinking={"type": "disabled"}),
    "thinking: display": mess(thinking={"type": "adaptive", "display": "summarized"}, output_config={"effort": "high"}),
    "output_config: effort": mess(output_config={"effort": "high"}),
    "output_config: format": mess(output_config={"format": {"type": "json_schema", "schema": SCORE}}),
    "max_tokens: 0": mess(max_tokens=0),
    **{name: mess(**{name: value}) for name, value in _MESSAGES_SETTINGS.items()},
    "any field that only messages knows": mess(mood="kind"),
}  # fmt: skip

_RESPONSES_SETTINGS: dict[str, Any] = {
    "context_management": [{"type": "compaction", "compact_threshold": 1000}],
    "instructions": "Be brief.",
    "max_output_tokens": 500,
    "max_tool_calls": 3,
    "metadata": {"a": "b"},
    "moderation": {"model": "omni"},
    "prompt": {"id": "pmpt_1"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "implicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": False,
    "temperature": 0.5,
    "top_p": 0.5,
    "truncation": "auto",
    "user": "ada",
}
RESPONSES: Fields = {
    "input: `system` or `developer` later": _resp(user("Hello"), said("developer", "Be brief."), user("Hello")),
    "input_image, data": _resp(user({"type": "input_image", "image_url": DATA})),
    "input_image, URL": _resp(user({"type": "input_image", "image_url": LINK})),
    "input_image, file_id": _resp(user(text("Hello", "input_text"), {"type": "input_image", "file_id": "file-1"})),
    "input_image.detail": _resp(user({"type": "input_image", "image_url": LINK, "detail": "low"})),
    "input_file.file_data": _resp(user({"type": "input_file", "file_data": _PDF_URL, "filename": "a.pdf"})),
    "input_file.file_url": _resp(
        user(text("Hello", "input_text"), {"type": "input_file", "file_url": "https://example.com/a.pdf"})
    ),
    "input_file.file_id": _resp(user({"type": "input_file", "file_id": "file-1"})),
    "prompt_cache_breakpoint": _resp(
        user({**text("Hello", "input_text"), "prompt_cache_breakpoint": {"mode": "explicit"}})
    ),
    "refusal": _resp(user("Hello"), said("assistant", [{"type": "refusal", "refusal": "No."}]), _AGAIN),
    "reasoning": _resp(
        user("Hello"),
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALED},
        said("assistant", "Hi"),
        _AGAIN,
    ),
    "function_call and its output": _resp(user("Hello"), function_call(1, "weather", "{}"), output(1, "4")),
    "function_call_output: images": _resp(
        user("Hello"),
        function_call(1, "weather", "{}"),
        output(1, [text("4", "input_text"), {"type": "input_image", "image_url": DATA}]),
    ),
    "custom_tool_call": _resp(
        user("Hello"),
        {"type": "custom_tool_call", "call_id": "call_1", "name": "sql", "input": "SELECT a"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "4"},
    ),
    "item_reference to what is not stored": _resp(user("Hello"), {"type": "item_reference", "id": "msg_1"}),
    "items of hosted tools": _resp(user("Hello"), {"type": "web_search_call", "id": "ws_1", "status": "completed"}),
    "tools: function": _resp(tools=[WEATHER_FLAT]),
    "tools: function, strict": _resp(tools=[{**WEATHER_FLAT, "strict": True}]),
    "tools: custom": _resp(
        tools=[{"type": "custom", "name": "sql", "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR}}]
    ),
    "tools: hosted ones": _resp(tools=[{"type": "web_search"}]),
    "tool_choice: a word": _resp(tools=[WEATHER_FLAT], tool_choice="required"),
    "tool_choice: function": _resp(tools=[WEATHER_FLAT], tool_choice={"type": "function", "name": "weather"}),
    "tool_choice: allowed_tools": _resp(
        tools=[WEATHER_FLAT],
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
    ),
    "parallel_tool_calls": _resp(tools=[WEATHER_FLAT], parallel_tool_calls=False),
    "text.format: json_object": _resp(text={"format": {"type": "json_object"}}),
    "text.format: json_schema": _resp(text={"format": {"type": "json_schema", "name": "s", "schema": SCORE}}),
    "text.verbosity": _resp(text={"verbosity": "low"}),
    "reasoning.effort": _resp(reasoning={"effort": "medium"}),
    "reasoning.effort: none": _resp(reasoning={"effort": "none"}),
    "reasoning.summary": _resp(reasoning={"effort": "medium", "summary": "auto"}),
    "include: message.output_text.logprobs": _resp(include=["message.output_text.logprobs"], top_logprobs=2),
    "include: reasoning.encrypted_content": _resp(include=["reasoning.encrypted_content"]),
    "include: anything else": _resp(include=["file_search_call.results"]),
    "reasoning: anything else": _resp(reasoning={"effort": "medium", "context": "auto"}),
    **{name: _resp(**{name: value}) for name, value in _RESPONSES_SETTINGS.items()},
    "any field that only responses knows": _resp(mood="kind"),
}  # fmt: skip

FIELDS: dict[str, Fields] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}

_ANSWERED = said("assistant", [text("Hi")])
_CALLED = said("assistant", [tool_use(1, "weather", {})])
_WORDS = user(text("Hello", "input_text"))
# What a request says without its field, where that is more than a greeting.
WITHOUT: dict[str, Fields] = {
    "chat": {
        "messages: `system` or `developer` later": _chat(user("Hello"), user("Hello")),
        "`messages[].name`, where several speak": _chat(user("Hello"), user("Hello")),
        "image_url.detail": _chat(user(_part("image_url", url=LINK))),
        "input_audio": _chat(user(text("Hello"))),
        "prompt_cache_breakpoint": _chat(user(text("Hello"))),
        "assistant: refusal": _chat(user("Hello"), _AGAIN),
        "assistant: reasoning_content": _chat(user("Hello"), said("assistant", "Hi"), _AGAIN),
        **dict.fromkeys(
            ("tool_choice: a word", "tool_choice: function", "tool_choice: allowed_tools", "parallel_tool_calls"),
            _with_tools(),
        ),
    },
    "messages": {
        "messages: `system`": mess(user("Hello"), user("Hello")),
        **dict.fromkeys(("image, file", "document, url", "search_result", "cache_control of a block"), mess(user(text("Hello")))),
        **dict.fromkeys(
            ("document: context", "document: title", "document: citations"),
            mess(user(_source("text", media_type="text/plain", data="Rain."))),
        ),
        **dict.fromkeys(
            ("assistant: thinking", "assistant: redacted_thinking"), mess(user("Hello"), _ANSWERED, _AGAIN)
        ),
        "tool_result: images": mess(user("Hello"), _CALLED, user(result(1, [text("4")]))),
        "tool_result: is_error": mess(user("Hello"), _CALLED, user(result(1, "4"))),
        **dict.fromkeys(
            (
                "tools: strict",
                "tools: allowed_callers",
                "tools: allowed_callers, direct",
                "tools: input_examples and the like",
                "tool_choice",
                "tool_choice: tool",
            ),
            mess(tools=[WEATHER_TOOL]),
        ),
        "tool_choice: disable_parallel_tool_use": mess(tools=[WEATHER_TOOL], tool_choice={"type": "auto"}),
        "thinking: display": mess(thinking={"type": "adaptive"}, output_config={"effort": "high"}),
    },
    "responses": {
        "input: `system` or `developer` later": _resp(user("Hello"), user("Hello")),
        "input_image.detail": _resp(user({"type": "input_image", "image_url": LINK})),
        **dict.fromkeys(("input_image, file_id", "input_file.file_url", "prompt_cache_breakpoint"), _resp(_WORDS)),
        "refusal": _resp(user("Hello"), _AGAIN),
        "reasoning": _resp(user("Hello"), said("assistant", "Hi"), _AGAIN),
        "function_call_output: images": _resp(
            user("Hello"), function_call(1, "weather", "{}"), output(1, [text("4", "input_text")])
        ),
        **dict.fromkeys(
            (
                "tools: function, strict",
                "tool_choice: a word",
                "tool_choice: function",
                "tool_choice: allowed_tools",
                "parallel_tool_calls",
            ),
            _resp(tools=[WEATHER_FLAT]),
        ),
        "reasoning.summary": _resp(reasoning={"effort": "medium"}),
    },
}  # fmt: skip
