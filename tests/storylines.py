"""Answers and the many ways in which a server may cut them into a stream, for Hypothesis.

A story is what the answer says; `streams` draws a stream that tells it: pieces of any size, cut inside of characters
too (between the halves of an escaped pair, between the bytes of one character), choices that take turns, deltas
that say nothing, fields that nobody knows, comments, and any line end.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

IDS = {"id": "chatcmpl-1", "created": 1_741_564_800, "model": "mock"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}

# Quotes, backslashes, line ends of all kinds, and characters of one to four bytes.
TEXTS = st.text(st.sampled_from('ab "\\/\n\r\t\u2028\x85é中😀\U0001f469\u200d0{}'), max_size=12)


@dataclass(frozen=True, slots=True)
class Story:
    """What one choice says; `calls` are pairs of name and arguments."""

    content: str | None
    reasoning: str
    refusal: str
    calls: tuple[tuple[str, str], ...]
    logprobs: bool
    finish: str


stories = st.builds(
    Story,
    content=st.none() | TEXTS,
    reasoning=TEXTS,
    refusal=TEXTS,
    calls=st.lists(st.tuples(st.sampled_from(["look_up", "add"]), TEXTS), max_size=2).map(tuple),
    logprobs=st.booleans(),
    finish=st.sampled_from(["stop", "length", "tool_calls"]),
)


def dumped(value: Any, *, escaped: bool) -> bytes:
    """JSON, also of a text that was cut inside a character."""
    if escaped:
        return json.dumps(value).encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def _units(text: str, *, escaped: bool) -> list[str]:
    """The smallest pieces of a text: halves of surrogate pairs, or single bytes."""
    if escaped:
        data = text.encode("utf-16-le")
        return [data[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(data), 2)]
    return [bytes([byte]).decode("utf-8", "surrogateescape") for byte in text.encode()]


@st.composite
def _pieces(draw: st.DrawFn, text: str, *, escaped: bool) -> list[str]:
    units = _units(text, escaped=escaped)
    sizes = draw(st.lists(st.integers(0, 5), min_size=0, max_size=8))
    pieces, at = [], 0
    for size in sizes:
        pieces.append(_glued(units[at : at + size], escaped=escaped))
        at += size
    return [*pieces, _glued(units[at:], escaped=escaped)]


def _glued(units: list[str], *, escaped: bool) -> str:
    """Units as the text that they are, what is half of a character left as it is."""
    errors = "surrogatepass" if escaped else "surrogateescape"
    coding = "utf-16-le" if escaped else "utf-8"
    return "".join(units).encode(coding, errors).decode(coding, errors)


def _logprob(piece: str) -> Json:
    return {"token": piece.encode("utf-8", "replace").decode(), "logprob": -0.125, "bytes": None}


@st.composite
def _deltas(draw: st.DrawFn, story: Story, *, escaped: bool) -> list[tuple[Json, Json | None]]:
    """The deltas of a choice with their log probabilities."""
    opening: Json = {"role": "assistant", "content": None if story.content is None else ""}
    told: list[tuple[Json, Json | None]] = [(opening, None)]
    for name, text in (("reasoning_content", story.reasoning), ("content", story.content or "")):
        for piece in draw(_pieces(text, escaped=escaped)) if text else ():
            logprobs = (
                {"content": [_logprob(piece)], "refusal": None}
                if name == "content" and story.logprobs
                else None
            )
            told.append(({name: piece}, logprobs))
    if story.refusal:
        told += [({"refusal": piece}, None) for piece in draw(_pieces(story.refusal, escaped=escaped))]
    repeats = draw(st.booleans())
    for index, (name, arguments) in enumerate(story.calls):
        head = {"index": index, "id": f"call_{index}", "type": "function"}
        told.append(({"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]}, None))
        for piece in draw(_pieces(arguments, escaped=escaped)):
            known = {**head, "function": {"name": name, "arguments": piece}}
            bare = {"index": index, "function": {"arguments": piece}}
            told.append(({"tool_calls": [known if repeats else bare]}, None))
    for _ in range(draw(st.integers(0, 2))):
        told.insert(draw(st.integers(1, len(told))), ({}, None))
    return told


@st.composite
def streams(draw: st.DrawFn, told: tuple[Story, ...]) -> bytes:
    """A stream that tells these stories, one a choice."""
    escaped = draw(st.booleans())
    columns: list[Iterator[tuple[Json, Json | None]]] = [
        iter(draw(_deltas(story, escaped=escaped))) for story in told
    ]
    extra: Json = draw(
        st.sampled_from([{}, {"system_fingerprint": "fp"}, {"usage": None}, {"obfuscation": "xx"}])
    )
    shared: Json = {**IDS, "object": "chat.completion.chunk", **extra}
    chunks: list[Json] = []
    open_ones = list(range(len(told)))
    while open_ones:
        index = draw(st.sampled_from(open_ones))
        part = next(columns[index], None)
        if part is None:
            open_ones.remove(index)
            choice = {"index": index, "delta": {}, "logprobs": None, "finish_reason": told[index].finish}
            chunks.append({**shared, "choices": [{**choice, "stop_reason": 7}]})
            continue
        choice = {"index": index, "delta": part[0], "logprobs": part[1], "finish_reason": None}
        chunks.append({**shared, "choices": [choice]})
    chunks.append({**shared, "choices": [], "usage": USAGE, "timings": {"ms": 1.5}})
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    events = [b"data: " + dumped(chunk, escaped=escaped) + end * 2 for chunk in chunks]
    events.insert(draw(st.integers(0, len(events))), b": still there" + end * 2)
    return b"".join(events) + b"data: [DONE]" + end * 2
