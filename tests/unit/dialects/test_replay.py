"""Replaying a stored answer as a stream: valid events that spell the answer, for clients that cannot tell."""

import json
from typing import Any

import pytest

from ingot.dialects.fold import assemble
from ingot.dialects.replay import PIECE, replay, replayed
from upstream_answers import chat

JSON = "application/json"


def whole(prompt: str = "words: 5", **fields: Any) -> bytes:
    """A stored chat answer."""
    return json.dumps(
        chat({"model": "m", "messages": [{"role": "user", "content": prompt}], **fields})
    ).encode()


def chunks(answer: bytes, *, wants_usage: bool = False) -> list[Any]:
    """The chunks of a replay; it ends as a stream must."""
    events = replay(answer, wants_usage=wants_usage)
    assert events is not None
    *told, last, rest = events.split(b"\n\n")
    assert (last, rest) == (b"data: [DONE]", b"")
    return [json.loads(each.removeprefix(b"data: ")) for each in told]


def test_every_chunk_carries_the_ids_of_the_answer() -> None:
    """Same id, time, model and fingerprint as the answer that is told again."""
    answer = json.loads(whole())
    for each in chunks(whole()):
        assert each["object"] == "chat.completion.chunk"
        for name in ("id", "created", "model", "system_fingerprint", "service_tier"):
            assert each[name] == answer[name]


def test_role_comes_first_and_the_reason_last() -> None:
    """As from any server: an opening delta, texts, and an empty delta with the finish reason."""
    told = [each["choices"][0] for each in chunks(whole("think: hm")) if each["choices"]]
    assert told[0]["delta"]["role"] == "assistant"
    assert told[0]["delta"]["content"] == ""
    assert [key for choice in told[1:-1] for key in choice["delta"]] == ["reasoning_content", "content"]
    assert told[-1]["delta"] == {}
    assert [choice["finish_reason"] for choice in told] == [None] * (len(told) - 1) + ["stop"]


def test_tool_calls_come_whole() -> None:
    """One event a call, with its index, its id and all of its arguments."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    answer = whole('call f with {"x": 1} and call f with {"y": 2}', tools=tools)
    calls = [
        call
        for each in chunks(answer)
        for choice in each["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    original = json.loads(answer)["choices"][0]["message"]["tool_calls"]
    assert calls == [{"index": place, **call} for place, call in enumerate(original)]


def test_usage_comes_last_when_it_is_asked_for() -> None:
    """A chunk without choices carries the counts, the others null; unasked, nothing tells of it."""
    told = chunks(whole(), wants_usage=True)
    assert told[-1]["choices"] == []
    assert told[-1]["usage"] == json.loads(whole())["usage"]
    assert all(each["usage"] is None for each in told[:-1])
    assert all("usage" not in each for each in chunks(whole()))


def test_log_probabilities_come_once() -> None:
    """All of them beside the first piece of the text."""
    answer = whole(logprobs=True)
    found = [
        choice["logprobs"] for each in chunks(answer) for choice in each["choices"] if choice["logprobs"]
    ]
    assert found == [json.loads(answer)["choices"][0]["logprobs"]]


def test_long_text_comes_in_pieces() -> None:
    """No event is too long for a reader with a bounded line; the text is the same."""
    text = "é😀 " * PIECE
    answer = json.loads(whole())
    answer["choices"][0]["message"]["content"] = text
    told = [
        choice["delta"].get("content") or ""
        for each in chunks(json.dumps(answer).encode())
        for choice in each["choices"]
    ]
    assert "".join(told) == text
    assert max(map(len, told)) == PIECE


def test_text_completion_is_replayed_as_one() -> None:
    """The older kind keeps its object and its texts."""
    answer = {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"text": "once", "index": 0, "logprobs": {"tokens": ["once"]}, "finish_reason": "stop"},
            {"text": "", "index": 1, "logprobs": None, "finish_reason": "length"},
        ],
        "usage": {"prompt_tokens": 1},
    }
    data = json.dumps(answer).encode()
    told = chunks(data, wants_usage=True)
    assert [choice["text"] for each in told for choice in each["choices"]] == ["once", "", ""]
    assert {each["object"] for each in told} == {"text_completion"}
    events = replay(data, wants_usage=True)
    assert events is not None
    assert json.loads(assemble(events)) == answer


@pytest.mark.parametrize(
    "answer",
    [b"", b"no json", b"[]", b'{"object":"list","data":[]}', b'{"object":"chat.completion"}',
     b'{"object":"chat.completion","choices":[1]}', b"[" * 5000],
)  # fmt: skip
def test_nothing_is_replayed_when_it_is_no_completion(answer: bytes) -> None:
    """Whoever asks then gets it as it is."""
    assert replay(answer) is None


def test_outcome_is_told_as_it_was_when_it_cannot_be_streamed() -> None:
    """Plain answers, errors, and streams that were stored as they went out keep their type and bytes."""
    cut = b'data: {"error":{}}\n\n'
    kept = [
        (whole(), 200, JSON, False),
        (b'{"error":{}}', 400, JSON, True),
        (cut, 200, "text/event-stream; charset=utf-8", True),
        (b'{"object":"list"}', 200, JSON, True),
    ]
    for answer, status, kind, stream in kept:
        given = replayed(answer, status=status, content_type=kind, stream=stream, wants_usage=False)
        assert given == (kind, answer)
    kind, events = replayed(whole(), status=200, content_type=JSON, stream=True, wants_usage=False)
    assert kind == "text/event-stream; charset=utf-8"
    assert events == replay(whole())
