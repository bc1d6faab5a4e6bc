"""What the scripted upstream answers on its pass-through routes: legacy completions, embeddings, models. Pure."""

import base64
import math
import struct
from typing import Any

from upstream_answers import CREATED, TAIL, Json, answer, cut, digest, envelope, tokens
from upstream_script import Step, strip_markers

DIMENSIONS = 8


def prompts_of(body: Json, field: str) -> list[str]:
    """The prompts of a completion or embedding request; a list of token numbers becomes its text."""
    given = body.get(field)
    if isinstance(given, str):
        return [given]
    items: list[Any] = given if isinstance(given, list) else []
    if items and all(isinstance(item, int) for item in items):
        items = [items]
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in items]


def completed(body: Json) -> list[tuple[str, str]]:
    """Text and finish reason of each choice: `n` for each prompt in turn; the chat answer to the same words."""
    found = []
    for prompt in prompts_of(body, "prompt"):
        for index in range(body.get("n") or 1):
            text, finish = cut(answer([{"role": "user", "content": prompt}], index), body)
            found.append((strip_markers(prompt) + text if body.get("echo") else text, finish))
    return found


def completion_usage(body: Json, texts: list[str], *, step: Step) -> Json:
    """Words in and words out."""
    prompt = sum(len(tokens(text)) for text in prompts_of(body, "prompt"))
    completion = sum(len(tokens(text)) for text in texts) + (1_000_000 if step.usage == "wrong" else 0)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(body: Json, *, step: Step | None = None) -> Json:
    """The whole `text_completion` for a request."""
    step = step or Step()
    found = completed(body)
    choices = [
        {"index": index, "text": text, "logprobs": None, "finish_reason": step.finish or finish}
        for index, (text, finish) in enumerate(found)
    ]
    result = {**envelope(body, "text_completion"), "choices": choices}
    if step.usage != "missing":
        result["usage"] = completion_usage(body, [text for text, _ in found], step=step)
    return {**result, "system_fingerprint": TAIL["system_fingerprint"]}


def completion_chunks(body: Json, *, step: Step | None = None) -> list[Json]:
    """The same as a stream: one chunk a token, one with the finish reason, usage last where asked for."""
    step = step or Step()
    counted = bool((body.get("stream_options") or {}).get("include_usage")) and step.usage != "missing"
    base = {**envelope(body, "text_completion"), "system_fingerprint": TAIL["system_fingerprint"]}
    plain = {"usage": None} if counted else {}
    chunks = []
    found = completed(body)
    for index, (text, finish) in enumerate(found):
        pieces: list[tuple[str, str | None]] = [(piece, None) for piece in tokens(text)]
        for piece, end in [*pieces, ("", step.finish or finish)]:
            choice = {"index": index, "text": piece, "logprobs": None, "finish_reason": end}
            chunks.append({**base, "choices": [choice], **plain})
    if counted:
        chunks.append(
            {**base, "choices": [], "usage": completion_usage(body, [text for text, _ in found], step=step)}
        )
    return chunks


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A unit vector that depends on the text alone, exact in single precision."""
    raw = [int(digest(f"{text}/{place}")[:6], 16) / 0x800000 - 1.0 for place in range(dimensions)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    single = struct.Struct("<f")
    return [float(single.unpack(single.pack(value / length))[0]) for value in raw]


def embeddings(body: Json) -> Json:
    """The embedding list for a request, as floats or as base64 of little-endian single precision."""
    texts = [strip_markers(text) for text in prompts_of(body, "input")]
    data = []
    for index, text in enumerate(texts):
        values = vector(text, body.get("dimensions") or DIMENSIONS)
        packed = base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
        shown = packed if body.get("encoding_format") == "base64" else values
        data.append({"object": "embedding", "index": index, "embedding": shown})
    count = sum(len(tokens(text)) for text in texts)
    counted = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": body.get("model"), "usage": counted}


def models(names: tuple[str, ...]) -> Json:
    """The model list."""
    shown = [{"id": name, "object": "model", "created": CREATED, "owned_by": "scripted"} for name in names]
    return {"object": "list", "data": shown}
