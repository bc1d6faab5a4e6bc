"""What clients ask and targets answer in the benchmark of translation, in each dialect: short, long, and as a stream."""

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

SYSTEM = "You are a careful assistant. Answer in one paragraph, and say what you are not sure of."
QUESTION = "Why is the sky blue at noon and red in the evening? My daughter, who is nine, wants to know."
ANSWER = "Sunlight is made of many colours, and the air scatters blue light far more than red. " * 4
SCHEMA: Json = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
CODE = (
    "def total(rows):\n    # Σ of all that was paid, refunds included\n    return sum(row['amount'] for row in rows)\n\n\n"
    * 10
)


def asked(dialect: str) -> Json:
    """A short question."""
    if dialect == "chat":
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        return {"model": "demo", "messages": messages, "temperature": 0.7, "max_completion_tokens": 500}
    if dialect == "messages":
        user = [{"role": "user", "content": QUESTION}]
        return {"model": "demo", "max_tokens": 500, "system": SYSTEM, "messages": user, "temperature": 0.7}
    return {
        "model": "demo",
        "instructions": SYSTEM,
        "input": QUESTION,
        "temperature": 0.7,
        "max_output_tokens": 500,
    }


def conversation(dialect: str, size: int) -> Json:
    """A coding agent's conversation of about this many bytes: text, a call and its result, over and over."""
    build = {"chat": _chat, "messages": _messages, "responses": _responses}[dialect]
    one = len(json.dumps(build(2), ensure_ascii=False).encode()) - len(
        json.dumps(build(1), ensure_ascii=False).encode()
    )
    return build(size // one)


def _rounds(count: int) -> Iterator[tuple[str, str, Json, str]]:
    for number in range(count):
        yield f"call_{number}", f"I look at file {number}.", {"path": f"src/part_{number}.py"}, CODE


def _chat(count: int) -> Json:
    messages: list[Json] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    for name, words, given, result in _rounds(count):
        call = {"id": name, "type": "function", "function": {"name": "read", "arguments": json.dumps(given)}}
        messages.append({"role": "assistant", "content": words, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": name, "content": result})
    tool = {"type": "function", "function": {"name": "read", "parameters": SCHEMA}}
    return {"model": "demo", "messages": messages, "tools": [tool]}


def _messages(count: int) -> Json:
    messages: list[Json] = [{"role": "user", "content": QUESTION}]
    for name, words, given, result in _rounds(count):
        call = {"type": "tool_use", "id": name, "name": "read", "input": given}
        messages.append({"role": "assistant", "content": [{"type": "text", "text": words}, call]})
        messages.append(
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": name, "content": result}]}
        )
    tool = {"name": "read", "input_schema": SCHEMA}
    return {"model": "demo", "max_tokens": 500, "system": SYSTEM, "messages": messages, "tools": [tool]}


def _responses(count: int) -> Json:
    items: list[Json] = [{"role": "user", "content": QUESTION}]
    for name, words, given, result in _rounds(count):
        items.append({"role": "assistant", "content": words})
        items.append(
            {"type": "function_call", "call_id": name, "name": "read", "arguments": json.dumps(given)}
        )
        items.append({"type": "function_call_output", "call_id": name, "output": result})
    tool = {"type": "function", "name": "read", "parameters": SCHEMA}
    return {"model": "demo", "instructions": SYSTEM, "input": items, "tools": [tool]}


ANSWERS: dict[str, Json] = {
    "chat": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "upstream-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 60, "completion_tokens": 90, "total_tokens": 150},
    },
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "upstream-model",
        "content": [{"type": "text", "text": ANSWER}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 60, "output_tokens": 90},
    },
    "responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": "upstream-model",
        "output": [
            {
                "id": "msg_1",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}],
            }
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 60,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 90,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 150,
        },
    },
}


def stream_of(dialect: str, chunks: int) -> bytes:
    """A stream of this many short pieces of text."""
    return {"chat": _chat_stream, "messages": _messages_stream, "responses": _responses_stream}[dialect](
        chunks
    )


def _words(chunks: int) -> Iterator[str]:
    return (f" word{number}" for number in range(chunks))


def _written(events: list[tuple[str, Json]]) -> bytes:
    return b"".join(
        [
            (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"
            for name, value in events
        ]
    )


def _chat_stream(chunks: int) -> bytes:
    top = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "upstream-model",
    }

    def chunk(delta: Json, finish: str | None = None) -> tuple[str, Json]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return "", {**top, "choices": [choice], "usage": None}

    told = [
        chunk({"role": "assistant", "content": ""}),
        *[chunk({"content": word}) for word in _words(chunks)],
    ]
    last = ("", {**top, "choices": [], "usage": ANSWERS["chat"]["usage"]})
    return _written([*told, chunk({}, "stop"), last]) + b"data: [DONE]\n\n"


def _messages_stream(chunks: int) -> bytes:
    begun = {**ANSWERS["messages"], "content": [], "stop_reason": None}
    told: list[Json] = [{"type": "message_start", "message": begun}]
    told.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for word in _words(chunks):
        delta = {"type": "text_delta", "text": word}
        told.append({"type": "content_block_delta", "index": 0, "delta": delta})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    told += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 90}},
        {"type": "message_stop"},
    ]
    return _written([(event["type"], event) for event in told])


def _responses_stream(chunks: int) -> bytes:
    whole = ANSWERS["responses"]
    [item] = whole["output"]
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    text = "".join(_words(chunks))
    said = {**part, "text": text}
    done = {**item, "content": [said]}
    told: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": part},
    ]
    told += [
        {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
        for word in _words(chunks)
    ]
    told += [
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": said},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": {**whole, "output": [done]}},
    ]
    return _written(
        [(event["type"], {**event, "sequence_number": number}) for number, event in enumerate(told)]
    )
