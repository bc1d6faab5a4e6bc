"""What targets are asked for counts, and how their answers are read."""

import json

import pytest

from ingot.dialects import tallies

BODY = json.dumps(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "input": "hi",
        "tools": [],
        "max_tokens": 4,
        "stream": True,
        "metadata": {"user_id": "u"},
    }
).encode()


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (tallies.MESSAGES, {"model", "messages", "tools"}),
        (tallies.RESPONSES, {"model", "input", "tools"}),
        (tallies.TOKENIZE, {"model", "messages", "tools"}),
        (tallies.TEMPLATE, {"messages", "tools"}),
    ],
)
def test_request_says_the_prompt_alone_when_it_is_fitted(path: str, kept: set[str]) -> None:
    """What says how to answer is no part of it."""
    assert json.loads(tallies.fitted(BODY, path)).keys() == kept


def test_request_stays_as_it_is_when_all_of_it_may_be_sent() -> None:
    """To llama.cpp, byte for byte."""
    assert tallies.fitted(BODY, tallies.CHAT) is BODY


def test_answer_is_read_when_it_tells_a_count() -> None:
    """By either name; an answer of another shape says nothing."""
    told = tallies.read(b'{"object":"response.input_tokens","input_tokens":7}')
    assert told is not None
    assert (told.input_tokens, told.count, told.tokens) == (7, None, None)
    told = tallies.read(b'{"tokens":[1,{"id":2,"piece":"a"}]}')
    assert told is not None
    assert told.tokens is not None
    assert len(told.tokens) == 2
    assert tallies.read(b'{"input_tokens":"many"}') is None
    assert tallies.read(b"<html>") is None


def test_answer_has_the_clients_shape_when_it_is_told() -> None:
    """Those of Anthropic and of OpenAI."""
    assert json.loads(tallies.answer_of("messages", 3)) == {"input_tokens": 3}
    assert json.loads(tallies.answer_of("responses", 3)) == {
        "object": "response.input_tokens",
        "input_tokens": 3,
    }
