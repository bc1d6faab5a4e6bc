"""An answer as each dialect streams it, in pieces of a few characters: cut in words and in escapes of arguments."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from pairs.words import Json

PIECE = 5
Cut = Callable[[str], list[str]]
_BEGUN: dict[str, Any] = {
    "content": [],
    "summary": [],
    "arguments": "",
    "input": "",
    "encrypted_content": None,
}
_BARE: dict[str, Any] = {"text": "", "refusal": "", "annotations": [], "logprobs": []}


def pieces(told: str) -> list[str]:
    """A text in pieces."""
    return [told[at : at + PIECE] for at in range(0, len(told), PIECE)]


def dumped(value: Any) -> bytes:
    """JSON as servers write it, texts that were cut inside of a character too: as bytes, or as escapes."""
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return told.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return json.dumps(value).encode()


# --- chat ---


def chat_stream(answer: Json, cut: Cut = pieces) -> bytes:
    """The chunks of a completion of one choice."""
    top = {name: held for name, held in answer.items() if name not in {"choices", "usage", "object"}}
    choice = answer["choices"][0]
    rest = {
        name: choice[name] for name in choice if name not in {"index", "message", "logprobs", "finish_reason"}
    }
    told = [_chunk(top, delta, logprobs) for delta, logprobs in _deltas(choice, cut)]
    told.append(_chunk(top, {}, None, finish_reason=choice["finish_reason"], **rest))
    counted = {**top, "object": "chat.completion.chunk", "choices": [], "usage": answer["usage"]}
    return b"".join([b"data: " + dumped(chunk) + b"\n\n" for chunk in [*told, counted]]) + b"data: [DONE]\n\n"


def _chunk(top: Json, delta: Json, logprobs: Json | None, **end: Any) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": None, **end}
    return {**top, "object": "chat.completion.chunk", "choices": [choice], "usage": None}


def _deltas(choice: Json, cut: Cut) -> Iterator[tuple[Json, Json | None]]:
    message = choice["message"]
    yield {"role": "assistant", "content": ""}, None
    for name in ("reasoning_content", "refusal"):
        for piece in cut(message.get(name) or ""):
            yield {name: piece}, None
    if choice["logprobs"] is None:
        for piece in cut(message["content"] or ""):
            yield {"content": piece}, None
    else:
        for token in choice["logprobs"]["content"]:
            yield {"content": token["token"]}, {"content": [token], "refusal": None}
    if message.get("annotations"):
        yield {"annotations": message["annotations"]}, None
    for index, call in enumerate(message.get("tool_calls") or ()):
        kind = call["type"]
        text = "arguments" if kind == "function" else "input"
        yield {"tool_calls": [{"index": index, **call, kind: {**call[kind], text: ""}}]}, None
        for piece in cut(call[kind][text]):
            yield {"tool_calls": [{"index": index, kind: {text: piece}}]}, None


# --- messages ---


def messages_stream(answer: Json, cut: Cut = pieces) -> bytes:
    """The events of a message."""
    counts = answer["usage"]
    begun = {
        **answer,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**counts, "output_tokens": 1},
    }
    begun.pop("stop_details", None)
    told: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(answer["content"]):
        deltas, emptied = _block_deltas(block, cut)
        told.append({"type": "content_block_start", "index": index, "content_block": {**block, **emptied}})
        told += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        told.append({"type": "content_block_stop", "index": index})
    end = {name: answer[name] for name in ("stop_reason", "stop_sequence", "stop_details") if name in answer}
    last = {name: counts[name] for name in ("output_tokens", "output_tokens_details") if name in counts}
    told += [{"type": "message_delta", "delta": end, "usage": last}, {"type": "message_stop"}]
    return _named(told)


def _block_deltas(block: Json, cut: Cut) -> tuple[list[Json], Json]:
    """The deltas of a block, and what stands in their place at its start."""
    match block["type"]:
        case "thinking":
            told: list[Json] = [
                {"type": "thinking_delta", "thinking": each} for each in cut(block["thinking"])
            ]
            seal = {"type": "signature_delta", "signature": block["signature"]}
            return [*told, seal], {"thinking": "", "signature": ""}
        case "tool_use" | "server_tool_use":
            given = ["", *cut(dumped(block["input"]).decode())]
            return [{"type": "input_json_delta", "partial_json": each} for each in given], {"input": {}}
        case "text":
            said: list[Json] = [{"type": "text_delta", "text": each} for each in cut(block["text"])]
            cited = block.get("citations")
            told = [{"type": "citations_delta", "citation": each} for each in cited or ()]
            return told + said, {"text": "", **({"citations": []} if cited else {})}
        case _:
            return [], {}


def _named(told: list[Json]) -> bytes:
    return b"".join(
        [b"event: " + event["type"].encode() + b"\ndata: " + dumped(event) + b"\n\n" for event in told]
    )


# --- responses ---


def responses_stream(answer: Json, cut: Cut = pieces) -> bytes:
    """The events of a response."""
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    begun.pop("incomplete_details", None)
    told: list[Json] = [
        {"type": f"response.{word}", "response": begun} for word in ("created", "in_progress")
    ]
    for index, item in enumerate(answer["output"]):
        bare = {name: _BEGUN.get(name, held) for name, held in item.items()}
        told.append({"type": "response.output_item.added", "output_index": index, "item": bare})
        at = {"output_index": index, "item_id": item["id"]}
        told += [{**event, **at} for event in _item_events(item, cut)]
        told.append({"type": "response.output_item.done", "output_index": index, "item": item})
    told.append({"type": f"response.{answer['status']}", "response": answer})
    return _named([{**event, "sequence_number": number} for number, event in enumerate(told)])


def _item_events(item: Json, cut: Cut) -> Iterator[Json]:
    match item["type"]:
        case "message":
            for index, part in enumerate(item["content"]):
                here = {"content_index": index}
                yield {
                    "type": "response.content_part.added",
                    **here,
                    "part": {n: _BARE.get(n, v) for n, v in part.items()},
                }
                yield from _content_events(part, here, cut)
                yield {"type": "response.content_part.done", **here, "part": part}
        case "reasoning":
            for index, part in enumerate(item["summary"]):
                here = {"summary_index": index}
                bare = {**part, "text": ""}
                yield {"type": "response.reasoning_summary_part.added", **here, "part": bare}
                yield from _deltas_of(cut, "reasoning_summary_text", part["text"], here)
                yield {"type": "response.reasoning_summary_part.done", **here, "part": part}
            for index, part in enumerate(item.get("content") or ()):
                yield from _deltas_of(cut, "reasoning_text", part["text"], {"content_index": index})
        case "function_call":
            yield from _deltas_of(cut, "function_call_arguments", item["arguments"], {}, last="arguments")
        case "custom_tool_call":
            yield from _deltas_of(cut, "custom_tool_call_input", item["input"], {}, last="input")
        case _:
            pass


def _content_events(part: Json, here: Json, cut: Cut) -> Iterator[Json]:
    if part["type"] == "refusal":
        yield from _deltas_of(cut, "refusal", part["refusal"], here, last="refusal")
        return
    tokens = part["logprobs"]
    told = [(token["token"], [token]) for token in tokens] or [(piece, []) for piece in cut(part["text"])]
    for piece, of in told:
        yield {"type": "response.output_text.delta", **here, "delta": piece, "logprobs": of}
    for index, annotation in enumerate(part["annotations"]):
        yield {
            "type": "response.output_text.annotation.added",
            **here,
            "annotation_index": index,
            "annotation": annotation,
        }
    yield {"type": "response.output_text.done", **here, "text": part["text"], "logprobs": tokens}


def _deltas_of(cut: Cut, name: str, told: str, here: Json, *, last: str = "text") -> Iterator[Json]:
    for piece in cut(told):
        yield {"type": f"response.{name}.delta", **here, "delta": piece}
    yield {"type": f"response.{name}.done", **here, last: told}


STREAMS: dict[str, Callable[..., bytes]] = {
    "chat": chat_stream,
    "messages": messages_stream,
    "responses": responses_stream,
}
