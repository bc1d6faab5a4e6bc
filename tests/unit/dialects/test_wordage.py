"""How much text an answer holds, whatever its shape."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.wordage import length_in_json, length_of, length_of_answer, length_of_choice

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_length_when_any_text(text: str) -> None:
    """Characters and bytes of UTF-8, however the text is spelled in JSON."""
    exact = (len(text), len(text.encode()))
    assert length_of(text) == exact
    for ascii_only in (False, True):
        assert length_in_json(json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode()) == exact


@pytest.mark.parametrize("odd", [b"\xff\xfe", b"\\", b'a"b\xc3', b"\\ud800", b"\\x"])
def test_length_when_it_is_no_text(odd: bytes) -> None:
    """What a broken upstream sends counts as it stands."""
    assert length_in_json(odd) == (len(odd), len(odd))


@pytest.mark.parametrize(
    ("said", "length"),
    [
        ({}, 0),
        ({"role": "assistant", "content": None}, 0),
        ({"content": "four"}, 4),
        ({"role": "assistant", "content": "four"}, 4),
        ({"content": [{"type": "text", "text": "four"}, {"type": "image", "url": "x" * 99}, 5]}, 4),
        ({"reasoning_content": "four", "content": ""}, 4),
        ({"reasoning_content": "four", "reasoning": "four"}, 4),
        ({"refusal": "no!!"}, 4),
        ({"tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{ }"}}]}, 4),
        ({"tool_calls": [{"custom": {"name": "c", "input": "abc"}}, 5]}, 4),
        ({"function_call": {"name": "f", "arguments": "{ }"}}, 4),
        ({"audio": {"id": "a", "data": "AAAA" * 99, "transcript": "four"}}, 4),
        ({"content": 5, "tool_calls": {"a": 1}, "audio": "x"}, 0),
    ],
)  # fmt: skip
def test_length_when_a_choice_says_something(said: dict[str, Any], length: int) -> None:
    """Words, thoughts, refusals and calls count, in a delta and in a message; ids, roles and media do not."""
    assert length_of_choice({"index": 0, "delta": said}) == (length, length)
    assert length_of_choice({"index": 0, "message": said, "finish_reason": "stop"}) == (length, length)


def test_length_when_an_answer_is_whole() -> None:
    """All choices count, of a chat and of a completion; what is no such answer has no length."""
    chat = {"choices": [{"message": {"content": "one"}}, {"message": {"content": "zwö"}}], "usage": None}
    assert length_of_answer(json.dumps(chat).encode()) == (6, 7)
    assert length_of_answer(b'{"choices":[{"text":"one"},{"text":""},7]}') == (3, 3)
    assert length_of_answer(b'{"choices":[]}') == (0, 0)
    for other in (b"", b"[]", b"{", b'{"data":[]}', b'{"choices":{}}', b"\xff"):
        assert length_of_answer(other) is None
