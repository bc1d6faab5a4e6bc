"""Stop sequences that llama.cpp tells beside its choices: asked for where a client can be told, read from answers and streams."""

import json
from dataclasses import replace
from typing import Any, Literal

import pytest

from ingot.canonical import Origin, Request, Text, Turn
from ingot.catalog import ENGINE_QUIRKS, Quirks
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.chat.choices import ASKS_STOP
from ingot.events import Finished

NEAR = Origin("chat", "target")


def told(value: dict[str, Any], *, n: int = 1) -> tuple[Any, ...]:
    """The ends of an answer's choices, and the fields of it that nobody knows."""
    choices = [{"index": index, "message": {"content": "x"}, "finish_reason": "stop"} for index in range(n)]
    answer, _ = CHAT_CODEC.decode_answer(json.dumps({"choices": choices, **value}).encode(), NEAR)
    ends = [(each.finish, each.stop_sequence) for each in answer.outputs]
    return (*ends, sorted(answer.extras.fields) if answer.extras else [])


@pytest.mark.parametrize(
    ("verbose", "end", "kept"),
    [
        ({"stopping_word": "END"}, ("stop_sequence", "END"), []),
        ({"stopping_word": ""}, ("stop", None), []),
        ({"stopping_word": "END", "prompt": "x"}, ("stop", None), ["__verbose"]),
        ({"stopping_word": 7}, ("stop", None), ["__verbose"]),
        ("END", ("stop", None), ["__verbose"]),
    ],
)
def test_end_when_an_answer_tells_the_word(verbose: object, end: tuple[Any, Any], kept: list[str]) -> None:
    """What else may be told there stays an unknown field."""
    assert told({"__verbose": verbose}) == (end, kept)


def test_end_when_there_are_several_choices() -> None:
    """Whose word it is cannot be known."""
    assert told({"__verbose": {"stopping_word": "END"}}, n=2) == (("stop", None), ("stop", None), [])


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize("early", [True, False])
def test_end_when_a_stream_tells_the_word(*, early: bool, finish: str) -> None:
    """In the chunk that ends its choice, or before it; an answer that was cut met none."""
    met = {"__verbose": {"stopping_word": "END"}}
    begun: dict[str, Any] = {"id": "c", "choices": [{"index": 0, "delta": {"content": "x"}}]}
    ended: dict[str, Any] = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    decoder = CHAT_CODEC.decode_stream(NEAR, 1)
    chunks = [begun | met, ended] if early else [begun, ended | met]
    events = [event for each in chunks for event in decoder.feed(json.dumps(each).encode())]
    (end,) = [event for event in events if isinstance(event, Finished)]
    wanted = ("stop_sequence", "END") if finish == "stop" else ("length", None)
    assert (end.reason, end.stop_sequence) == wanted


@pytest.mark.parametrize(
    ("quirks", "origin", "stop", "asks"),
    [
        (ENGINE_QUIRKS, "messages", ("END",), True),
        (ENGINE_QUIRKS, "messages", (), False),
        (ENGINE_QUIRKS, "responses", ("END",), False),
        (replace(ENGINE_QUIRKS, tells_stop=False), "messages", ("END",), False),
        (Quirks(), "messages", ("END",), False),
    ],
)
def test_word_is_asked_for_when_the_client_can_be_told(
    quirks: Quirks, origin: Literal["messages", "responses"], stop: tuple[str, ...], *, asks: bool
) -> None:
    """Only of a target that tells it, and where there is one to be met."""
    request = Request(origin=origin, model="m", turns=(Turn("user", (Text("x"),)),), stop=stop)
    body, _ = CHAT_CODEC.encode_request(request, Destination(NEAR, "m", quirks, stream=False))
    assert (ASKS_STOP.items() <= json.loads(body).items()) == asks
