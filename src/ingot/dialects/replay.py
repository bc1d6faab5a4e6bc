"""A stored answer told again as a stream: whole JSON becomes the events that spell it out.

What is stored of a streamed answer is its fold (`fold.assemble`) and not its bytes: a chunk takes some 250 bytes for
the 4 of its text, so that a day of answers would take fifty times the room, and the fold is what the record of the
response keeps anyway. The price is that chunk boundaries are ours the second time, which no client may rely on; texts,
ids, times and counts are the same. Only a stream that cannot be folded (cut off, or of an odd shape) is stored as it
went out, and goes out again as that.

Knows the two kinds that have a stream, chat and text completions; every other answer is replayed as it is.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from ingot.dialects.fold import CHAT, TEXT
from ingot.sse import DONE, encode_event

Json = dict[str, Any]

EVENT_STREAM = "text/event-stream"

PIECE = 4096
"""Characters of a text in one event; some readers take no longer lines than 64 KB."""

_SHARED = ("id", "object", "created", "model", "service_tier", "system_fingerprint")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def replayed(
    answer: bytes, *, status: int, content_type: str, stream: bool, wants_usage: bool
) -> tuple[str, bytes]:
    """The content type and the body with which a stored outcome answers a request that does or does not stream."""
    if stream and status == 200 and not content_type.startswith(EVENT_STREAM):
        events = replay(answer, wants_usage=wants_usage)
        if events is not None:
            return f"{EVENT_STREAM}; charset=utf-8", events
    return content_type, answer


def replay(answer: bytes, *, wants_usage: bool = False) -> bytes | None:
    """The events of a whole answer, to `[DONE]`; None where it is no completion."""
    try:
        whole = _decode(answer)
    except (ValueError, RecursionError):
        return None
    if type(whole) is not dict or whole.get("object") not in {CHAT, TEXT}:
        return None
    choices = whole.get("choices")
    if type(choices) is not list or any(type(choice) is not dict for choice in choices):
        return None
    return b"".join([encode_event(_encode(chunk)) for chunk in _chunks(whole, wants_usage)]) + encode_event(
        DONE
    )


def _chunks(whole: Json, wants_usage: bool) -> Iterator[Json]:  # noqa: FBT001  # the only one, and named as everywhere
    shared = {name: whole[name] for name in _SHARED if name in whole}
    if whole["object"] == CHAT:
        shared["object"] = "chat.completion.chunk"
    usage = whole.get("usage")
    uncounted = {"usage": None} if wants_usage and usage is not None else {}
    spell = _chat if whole["object"] == CHAT else _text
    for choice in whole["choices"]:
        for told in spell(choice):
            yield {**shared, "choices": [told], **uncounted}
    # What stands beside the choices comes once, with the end, as servers send it.
    rest = {name: each for name, each in whole.items() if name not in {*_SHARED, "choices", "usage"}}
    if rest:
        yield {**shared, "choices": [], **uncounted, **rest}
    if uncounted:
        yield {**shared, "choices": [], "usage": usage}


def _chat(choice: Json) -> Iterator[Json]:
    """The choices of the chunks that spell a chat choice."""
    message = choice.get("message") or {}
    logprobs = choice.get("logprobs")
    opening, deltas = _spell(message)
    yield _said(choice, {"delta": opening})
    for name, delta in deltas:
        given, logprobs = (logprobs, None) if name in {"content", "refusal"} else (None, logprobs)
        yield _said(choice, {"delta": delta}, logprobs=given)
    yield _said(choice, {"delta": {}}, logprobs=logprobs, last=True)


def _spell(message: Json) -> tuple[Json, list[tuple[str, Json]]]:
    """A message as its first delta, with all that is empty, and the deltas that follow."""
    opening: Json = {"role": message.get("role", "assistant")}
    deltas: list[tuple[str, Json]] = []
    for name, value in message.items():
        if name == "tool_calls" and value:
            calls = [{"index": place, **call} for place, call in enumerate(value)]
            deltas += [(name, {name: [call]}) for call in calls]
        elif name == "role":
            continue
        elif not value:
            opening[name] = value
        elif type(value) is str:
            opening |= {name: ""} if name == "content" else {}
            deltas += [(name, {name: piece}) for piece in _pieces(value)]
        else:
            deltas.append((name, {name: value}))
    # A reader is shown the thought before the answer; calls come last.
    order = {"content": 1, "refusal": 1, "tool_calls": 2}
    deltas.sort(key=lambda each: order.get(each[0], 0))
    return opening, deltas


def _text(choice: Json) -> Iterator[Json]:
    """The choices of the chunks that spell a text completion's choice."""
    logprobs = choice.get("logprobs")
    for piece in _pieces(choice.get("text") or ""):
        yield _said(choice, {"text": piece}, logprobs=logprobs)
        logprobs = None
    yield _said(choice, {"text": ""}, logprobs=logprobs, last=True)


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]


def _said(choice: Json, told: Json, *, logprobs: Any = None, last: bool = False) -> Json:
    """A chunk's choice; what stands beside the message comes with the last."""
    shown = {"index": choice.get("index", 0), **told}
    if "logprobs" in choice:
        shown["logprobs"] = logprobs
    shown["finish_reason"] = choice.get("finish_reason") if last else None
    if last:
        known = {"index", "message", "text", "logprobs", "finish_reason"}
        shown |= {name: each for name, each in choice.items() if name not in known}
    return shown
