"""What the scripted upstream says in Anthropic's format: the chat's answer to the same words, in other clothes. Pure.

The prompt's forms are those of `upstream_answers`; `think: X` makes a thinking block with a signature. A token is a word, and
so `count` tells what `usage` will. Of the step, `cached` and `written` are parts of the prompt that a cache had, or got.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from upstream_answers import Choice, Json, choose, completion_tokens, digest, prompt_tokens, tokens
from upstream_script import Step

SIGNATURE = "c2lnbmF0dXJl"
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_WISHES = {"auto": "auto", "any": "required", "none": "none"}


def as_chat(body: Json) -> Json:
    """The chat request that asks for the same."""
    messages: list[Json] = []
    system = body.get("system")
    if system:
        messages.append({"role": "system", "content": system})
    for message in body["messages"]:
        content = message["content"]
        results = [
            block for block in content if isinstance(block, dict) and block.get("type") == "tool_result"
        ]
        messages.append({"role": "tool" if results else message["role"], "content": content})
        for block in results:
            messages[-1]["content"] = block.get("content")
    chat: Json = {"model": body.get("model"), "messages": messages, "max_tokens": body.get("max_tokens")}
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    if body.get("tools"):
        chat["tools"] = [
            {"type": "function", "function": {"name": tool["name"], "parameters": tool.get("input_schema")}}
            for tool in body["tools"]
        ]
    choice = body.get("tool_choice")
    if choice:
        name = choice.get("name")
        chat["tool_choice"] = (
            {"type": "function", "function": {"name": name}} if name else _WISHES[choice["type"]]
        )
        chat["parallel_tool_calls"] = not choice.get("disable_parallel_tool_use", False)
    form = (body.get("output_config") or {}).get("format")
    if form:
        chat["response_format"] = {"type": form["type"], "json_schema": {"schema": form["schema"]}}
    return chat


def usage(body: Json, choice: Choice, *, step: Step) -> Any:
    """The usage object, or the odd one that the step asks for."""
    prompt, output = prompt_tokens(as_chat(body)), completion_tokens(choice)
    if step.usage == "null":
        return None
    if step.usage == "wrong":
        output += 1_000_000
    if step.usage == "text":
        return {"input_tokens": str(prompt), "output_tokens": "many"}
    sign = -1 if step.usage == "negative" else 1
    return {
        "input_tokens": sign * (prompt - step.cached - step.written),
        "cache_creation_input_tokens": step.written,
        "cache_read_input_tokens": step.cached,
        "output_tokens": sign * output,
        "output_tokens_details": {"thinking_tokens": len(tokens(choice.reasoning or ""))},
        "service_tier": "standard",
    }


def blocks_of(choice: Choice) -> list[Json]:
    """The content of a message."""
    blocks: list[Json] = []
    if choice.reasoning is not None:
        blocks.append({"type": "thinking", "thinking": choice.reasoning, "signature": SIGNATURE})
    said = choice.text if choice.refusal is None else choice.refusal
    if said is not None:
        blocks.append({"type": "text", "text": said})
    blocks += [
        {
            "type": "tool_use",
            "id": "toolu_" + call.id.removeprefix("call_"),
            "name": call.name,
            "input": json.loads(call.arguments),
        }
        for call in choice.calls
    ]
    return blocks


def message(body: Json, *, step: Step | None = None) -> Json:
    """The whole message for a request."""
    step = step or Step()
    chat = as_chat(body)
    choice = choose(chat, 0, step=step)
    uncut = choose({**chat, "stop": None, "max_tokens": None}, 0, step=step).text or ""
    reason = "refusal" if choice.refusal is not None else _STOPS.get(choice.finish, choice.finish)
    stops = [each for each in body.get("stop_sequences") or () if each in uncut]
    stop = min(stops, key=uncut.find) if stops and choice.finish == "stop" else None
    whole: Json = {
        "id": "msg_" + digest(json.dumps([body["messages"], body.get("model")]))[:24],
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": blocks_of(choice),
        "stop_reason": "stop_sequence" if stop else reason,
        "stop_sequence": stop,
    }
    if step.usage != "missing":
        whole["usage"] = usage(body, choice, step=step)
    return whole


def deltas(block: Json) -> Iterator[Json]:
    """The deltas of a block, a word each."""
    match block["type"]:
        case "thinking":
            for piece in tokens(block["thinking"]):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            for piece in ["", *tokens(json.dumps(block["input"]))]:
                yield {"type": "input_json_delta", "partial_json": piece}
        case _:
            for piece in tokens(block["text"]):
                yield {"type": "text_delta", "text": piece}


def message_events(body: Json, *, step: Step | None = None) -> list[Json]:
    """The events of a streamed message; `no_done` leaves the last one out."""
    step = step or Step()
    whole = message(body, step=step)
    counts = whole.pop("usage", None)
    begun = {**whole, "content": [], "stop_reason": None, "stop_sequence": None}
    if isinstance(counts, dict):
        begun["usage"] = {**counts, "output_tokens": 1}
    events: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    empty: dict[str, Json] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    for index, block in enumerate(whole["content"]):
        opened = {**block, **empty[block["type"]]}
        events.append({"type": "content_block_start", "index": index, "content_block": opened})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas(block)]
        events.append({"type": "content_block_stop", "index": index})
    end: Json = {
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]},
    }
    if isinstance(counts, dict):
        end["usage"] = {name: count for name, count in counts.items() if name != "service_tier"}
    return [*events, end] if step.no_done else [*events, end, {"type": "message_stop"}]


def count(body: Json) -> Json:
    """The answer of `count_tokens`."""
    return {"input_tokens": prompt_tokens(as_chat(body))}


def error_object(text: str, status: int, *, code: str | None = None) -> Json:
    """Anthropic's error envelope for a status; `code` is the type where it is given."""
    kinds = {
        401: "authentication_error",
        404: "not_found_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    kind = kinds.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": code or kind, "message": text}, "request_id": "req_upstream"}


def error_body(status: int, *, step: Step) -> bytes:
    """The body of a failure."""
    return msgspec.json.encode(
        error_object(step.message or f"scripted failure {status}", status, code=step.code)
    )
