"""What the scripted upstream says as responses: the chat's answer to the same words, in other clothes. Pure.

The prompt's forms are those of `upstream_answers`; `think: X` makes a reasoning item, with `encrypted_content` where that is
asked for, and `search: X` a call of the hosted tool `web_search`, where it is offered. It keeps nothing: a request that goes
on from a response, or refers to an item, is refused by name.
"""

import json
from collections.abc import Iterator
from typing import Any

from upstream_answers import Choice, Json, choose, completion_tokens, digest, prompt_of, prompt_tokens, tokens
from upstream_script import Step

SEALED = "c2VhbGVk"
_ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}


def refusal(body: Json) -> str:
    """Why a request cannot be answered; empty where it can."""
    if body.get("previous_response_id"):
        return "this server keeps no responses"
    items = body["input"] if isinstance(body["input"], list) else []
    if any(item.get("type") == "item_reference" for item in items):
        return "this server keeps no items"
    if any(item.get("type") == "reasoning" and not item.get("encrypted_content") for item in items):
        return "items are not persisted"
    if any(item.get("encrypted_content", SEALED) != SEALED for item in items):
        return "the encrypted content could not be verified"
    return ""


def as_chat(body: Json) -> Json:
    """The chat request that asks for the same."""
    messages: list[Json] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    told = body["input"]
    for item in [{"role": "user", "content": told}] if isinstance(told, str) else told:
        if "role" in item:
            messages.append({"role": item["role"], "content": item["content"]})
        elif item["type"].endswith("_output"):
            messages.append({"role": "tool", "content": item["output"]})
    chat: Json = {
        "model": body.get("model"),
        "messages": messages,
        "max_tokens": body.get("max_output_tokens"),
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
    }
    local = [tool for tool in body.get("tools") or () if tool["type"] in ("function", "custom")]
    if local:
        chat["tools"] = [{"type": tool["type"], tool["type"]: tool} for tool in local]
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        named = [{"type": each["type"], each["type"]: each} for each in choice["tools"]]
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": named}}
    elif isinstance(choice, dict):
        choice = {"type": choice["type"], choice["type"]: {"name": choice.get("name")}}
    if choice:
        chat["tool_choice"] = choice
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        chat["response_format"] = {"type": "json_schema", "json_schema": form}
    elif form:
        chat["response_format"] = form
    return chat


def usage(body: Json, choice: Choice, *, step: Step) -> Any:
    """The usage object, or the odd one that the step asks for."""
    prompt, output = prompt_tokens(as_chat(body)), completion_tokens(choice)
    if step.usage == "null":
        return None
    if step.usage == "text":
        return {"input_tokens": str(prompt), "output_tokens": "many", "total_tokens": None}
    sign = -1 if step.usage == "negative" else 1
    return {
        "input_tokens": sign * prompt,
        "input_tokens_details": {"cached_tokens": step.cached, "cache_write_tokens": step.written},
        "output_tokens": sign * output,
        "output_tokens_details": {"reasoning_tokens": len(tokens(choice.reasoning or ""))},
        "total_tokens": sign * (prompt + output),
    }


def items_of(body: Json, choice: Choice, seed: str) -> list[Json]:
    """The output of a response."""
    items: list[Json] = []
    if choice.reasoning is not None:
        thought: Json = {
            "id": f"rs_{seed}",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": choice.reasoning}],
        }
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            thought["encrypted_content"] = SEALED
        items.append(thought)
    prompt = prompt_of(as_chat(body)["messages"])
    if prompt.startswith("search:") and any(tool["type"] == "web_search" for tool in body.get("tools") or ()):
        action = {"type": "search", "query": prompt.removeprefix("search:").strip()}
        items.append({"id": f"ws_{seed}", "type": "web_search_call", "status": "completed", "action": action})
    part: Json | None = None
    if choice.refusal is not None:
        part = {"type": "refusal", "refusal": choice.refusal}
    elif choice.text is not None:
        part = {"type": "output_text", "text": choice.text, "annotations": [], "logprobs": []}
    if part is not None:
        items.append(
            {
                "id": f"msg_{seed}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        )
    for place, call in enumerate(choice.calls):
        custom = call.kind == "custom"
        items.append(
            {
                "id": f"{'ctc' if custom else 'fc'}_{seed}{place}",
                "type": "custom_tool_call" if custom else "function_call",
                "status": "completed",
                "call_id": call.id,
                "name": call.name,
                "input" if custom else "arguments": call.arguments,
            }
        )
    return items


def response(body: Json, *, step: Step | None = None) -> Json:
    """The whole response for a request."""
    step = step or Step()
    choice = choose(as_chat(body), 0, step=step)
    seed = digest(json.dumps([body["input"], body.get("model")]))[:24]
    cut = choice.finish == "length"
    whole: Json = {
        "id": f"resp_{seed}",
        "object": "response",
        "created_at": 1_741_564_800,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": body.get("model"),
        "output": items_of(body, choice, seed),
        "service_tier": "default",
        **{name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()},
    }
    if step.usage != "missing":
        whole["usage"] = usage(body, choice, step=step)
    return whole


def response_events(body: Json, *, step: Step | None = None) -> list[Json]:
    """The events of a streamed response; `no_done` leaves the last one out."""
    step = step or Step()
    whole = response(body, step=step)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(whole["output"]):
        events += _item_events(item, index)
    if not step.no_done:
        events.append({"type": f"response.{whole['status']}", "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _item_events(item: Json, index: int) -> Iterator[Json]:
    place = {"output_index": index, "item_id": item["id"]}
    empty: dict[str, Json] = {
        "message": {"content": [], "status": "in_progress"},
        "reasoning": {"summary": []},
        "function_call": {"arguments": "", "status": "in_progress"},
        "custom_tool_call": {"input": "", "status": "in_progress"},
    }
    opened = {**item, **empty.get(item["type"], {"status": "in_progress"})}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    match item["type"]:
        case "message":
            yield from _part_events(item["content"][0], {**place, "content_index": 0})
        case "reasoning":
            part, at = item["summary"][0], {**place, "summary_index": 0}
            yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
            for piece in tokens(part["text"]):
                yield {"type": "response.reasoning_summary_text.delta", **at, "delta": piece}
            yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
            yield {"type": "response.reasoning_summary_part.done", **at, "part": part}
        case "function_call" | "custom_tool_call":
            custom = item["type"] == "custom_tool_call"
            kind, name = (
                ("custom_tool_call_input", "input") if custom else ("function_call_arguments", "arguments")
            )
            for piece in tokens(item[name]):
                yield {"type": f"response.{kind}.delta", **place, "delta": piece}
            yield {"type": f"response.{kind}.done", **place, name: item[name]}
        case _:
            yield {"type": f"response.{item['type']}.completed", **place}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part_events(part: Json, place: Json) -> Iterator[Json]:
    name, kind = ("refusal", "refusal") if part["type"] == "refusal" else ("text", "output_text")
    more: Json = {} if name == "refusal" else {"logprobs": []}
    yield {"type": "response.content_part.added", **place, "part": {**part, name: ""}}
    for piece in tokens(part[name]):
        yield {"type": f"response.{kind}.delta", **place, "delta": piece, **more}
    yield {"type": f"response.{kind}.done", **place, name: part[name], **more}
    yield {"type": "response.content_part.done", **place, "part": part}


def count(body: Json) -> Json:
    """The answer of `input_tokens`."""
    return {"object": "response.input_tokens", "input_tokens": prompt_tokens(as_chat(body))}


def error_object(text: str, *, code: str | None = None) -> Json:
    """The error of a stream that has begun."""
    return {
        "type": "error",
        "code": code or "server_error",
        "message": text,
        "param": None,
        "sequence_number": 99,
    }
