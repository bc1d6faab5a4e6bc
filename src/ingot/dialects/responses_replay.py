"""A stored response told once more as a stream: the events that spell it out, each text in one piece, numbered from zero.

    response.created, response.in_progress
    each item      added; its parts, texts and arguments; done
    the end        response.completed, .incomplete or .failed, with the whole response

Decides which events an item makes; one of a type that is not known here is added and done. Knows no store.
Source: contract §3.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from ingot.sse import encode_event

Json = dict[str, Any]
Event = tuple[str, Json]

_ENDS: Final = {
    "completed": "response.completed",
    "failed": "response.failed",
    "incomplete": "response.incomplete",
    # There is no event of that name that clients know.
    "cancelled": "response.incomplete",
}
_CALLS: Final = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def replay(answer: bytes) -> list[bytes]:
    """The events of a whole response, in order; raises ValueError where it is none."""
    response = _decode(answer)
    told = []
    for number, (kind, fields) in enumerate(_events(response)):
        data = _encode({"type": kind, **fields, "sequence_number": number})
        told.append(encode_event(data, kind.encode()))
    return told


def _events(response: Json) -> Iterator[Event]:
    begun = {
        **response,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    items = response.get("output")
    for index, item in enumerate(items if type(items) is list else ()):
        if type(item) is dict:
            yield from _item_events(item, index)
    status = response.get("status")
    yield _ENDS.get(status if type(status) is str else "", "response.completed"), {"response": response}


def _item_events(item: Json, index: int) -> Iterator[Event]:
    at = {"output_index": index}
    yield "response.output_item.added", {**at, "item": _shell(item)}
    place = {**at, "item_id": item.get("id")}
    kind = item.get("type")
    if kind in _CALLS:
        name, event = _CALLS[kind]
        text = item.get(name)
        if type(text) is str:
            yield f"{event}.delta", {**place, "delta": text}
            yield f"{event}.done", {**place, name: text}
    for number, part in _parts(item, "summary"):
        yield from _summary_events(part, {**place, "summary_index": number})
    for number, part in _parts(item, "content"):
        yield from _content_events(part, {**place, "content_index": number})
    yield "response.output_item.done", {**at, "item": item}


def _shell(item: Json) -> Json:
    """The item as it began."""
    empty: Json = {"status": "in_progress"} if "status" in item else {}
    for name in ("content", "summary"):
        if type(item.get(name)) is list:
            empty[name] = []
    if item.get("type") in _CALLS:
        empty[_CALLS[item["type"]][0]] = ""
    return {**item, **empty}


def _parts(item: Json, holder: str) -> Iterator[tuple[int, Json]]:
    parts = item.get(holder)
    for index, part in enumerate(parts if type(parts) is list else ()):
        if type(part) is dict:
            yield index, part


def _summary_events(part: Json, place: Mapping[str, Any]) -> Iterator[Event]:
    yield "response.reasoning_summary_part.added", {**place, "part": {**part, "text": ""}}
    yield "response.reasoning_summary_text.delta", {**place, "delta": part.get("text")}
    yield "response.reasoning_summary_text.done", {**place, "text": part.get("text")}
    yield "response.reasoning_summary_part.done", {**place, "part": part}


def _content_events(part: Json, place: Mapping[str, Any]) -> Iterator[Event]:
    kind = part.get("type")
    if kind == "output_text":
        logprobs = part.get("logprobs") or []
        yield (
            "response.content_part.added",
            {**place, "part": {**part, "text": "", "annotations": [], "logprobs": []}},
        )
        yield "response.output_text.delta", {**place, "delta": part.get("text"), "logprobs": logprobs}
        for number, annotation in enumerate(part.get("annotations") or ()):
            told = {"annotation_index": number, "annotation": annotation}
            yield "response.output_text.annotation.added", {**place, **told}
        yield "response.output_text.done", {**place, "text": part.get("text"), "logprobs": logprobs}
    elif kind in ("refusal", "reasoning_text"):
        name = "refusal" if kind == "refusal" else "text"
        yield "response.content_part.added", {**place, "part": {**part, name: ""}}
        yield f"response.{kind}.delta", {**place, "delta": part.get(name)}
        yield f"response.{kind}.done", {**place, name: part.get(name)}
    else:
        yield "response.content_part.added", {**place, "part": part}
    yield "response.content_part.done", {**place, "part": part}
