"""A chat client's request in the canonical form: where things stood, and what is kept for chat alone."""

import json
from typing import Any

import pytest

from ingot.canonical import Loss, NativePart, Origin, Reasoning, Request, Text, ToolResult, lost_extras, where
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.chat import CHAT_CODEC

USER = {"role": "user", "content": "x"}
THERE = Origin("chat", "target")


def decode(*messages: Any, **settings: Any) -> Request:
    """A checked request, decoded."""
    body = {"model": "m", "messages": list(messages or [USER]), **settings}
    request, losses = CHAT_CODEC.decode_request(CHAT.decode(json.dumps(body).encode()).body)
    assert losses == ()
    return request


def encode(request: Request, *, stream: bool = False) -> dict[str, Any]:
    """What a chat target gets of it, of which nothing is lost."""
    data, losses = CHAT_CODEC.encode_request(request, Destination(THERE, "m", Quirks(), stream=stream))
    assert losses == ()
    told: dict[str, Any] = json.loads(data)
    return told


def test_places_when_parts_are_nested() -> None:
    """Every part says where it stood, so that a loss can say it."""
    request = decode(
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}],
        },
        {
            "role": "assistant",
            "content": "b",
            "reasoning_content": "t",
            "refusal": "r",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "z"}]},
    )
    assert [where(turn.at, part.at) for turn in request.turns for part in turn.parts] == [
        "messages[0].content",
        "messages[1].content[0]",
        "messages[1].content[1]",
        "messages[2].reasoning_content",
        "messages[2].content",
        "messages[2].refusal",
        "messages[2].tool_calls[0]",
        "messages[3]",
    ]
    result = request.turns[3].parts[0]
    assert isinstance(result, ToolResult)
    assert result.parts[0].at == "content[0]"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"max_completion_tokens": 5}, "max_completion_tokens"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"max_completion_tokens": 5, "max_tokens": 9}, "max_completion_tokens"),
    ],
)
def test_bound_when_given_by_either_name(given: dict[str, int], place: str) -> None:
    """The newer name counts, and a loss names the one that the client wrote."""
    request = decode(**given)
    assert request.max_output_tokens == 5
    assert request.place("max_output_tokens") == place
    # The older one beside it is not ours to interpret; it goes along.
    assert encode(request).get("max_tokens") == (9 if len(given) == 2 else None)


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("reasoning.effort", "reasoning_effort"),
        ("output_format", "response_format"),
        ("cache.key", "prompt_cache_key"),
        ("stream_usage", "stream_options.include_usage"),
        ("temperature", "temperature"),
    ],
)
def test_place_when_chat_has_another_name(setting: str, place: str) -> None:
    """Settings have their path in the client's body."""
    assert decode().place(setting) == place


@pytest.mark.parametrize(
    "default",
    [
        {"modalities": ["text"]},
        {"response_format": {"type": "text"}},
        {"stop": None},
        {"tools": []},
        {"temperature": None, "logit_bias": None, "reasoning_effort": None},
        {"stream": False},
    ],
)
def test_field_when_it_asks_for_nothing(default: dict[str, Any]) -> None:
    """It is as good as absent."""
    assert decode(**default) == decode()


@pytest.mark.parametrize("stop", ["end", ["end"]])
def test_stop_when_written_either_way(stop: Any) -> None:
    """One string and a list of one are the same."""
    assert decode(stop=stop).stop == ("end",)


def test_unknown_fields_when_the_target_speaks_another_dialect() -> None:
    """Each is a loss by its name; null asks for nothing."""
    request = decode(
        {**USER, "mood": 1},
        guided_json={"a": 1},
        nothing=None,
        modalities=["text", "audio"],
        audio={"format": "wav", "voice": "v"},
    )
    assert lost_extras(request.extras, "chat") == ()
    assert {loss.path for loss in lost_extras(request.extras, "messages")} == {
        "guided_json",
        "modalities",
        "audio",
    }
    (turn,) = request.turns
    assert lost_extras(turn.extras, "responses", at=turn.at) == [
        Loss("messages[0].mood", "field", "only the chat dialect knows it")
    ]


def test_unknown_options_of_a_stream_when_the_target_streams_or_not() -> None:
    """They are part of the stream's options, and of nothing else."""
    request = decode(stream=True, stream_options={"continuous_usage_stats": True})
    assert encode(request, stream=True)["stream_options"] == {
        "continuous_usage_stats": True,
        "include_usage": True,
    }
    assert encode(request).keys() == {"model", "messages"}


def test_top_level_field_when_its_name_has_a_dot() -> None:
    """It stays where it is."""
    assert encode(decode(**{"a.b": 1}))["a.b"] == 1


def test_bytes_of_schemas_and_unknown_fields_when_sent_on() -> None:
    """They are not rewritten: not their numbers, not their spaces, not their order."""
    schema = b'{"z": 1.00, "a":[ 1e3 ]}'
    data = (
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"x":'
        + schema
        + b',"tools":[{"type":"function",'
        b'"function":{"name":"f","parameters":' + schema + b'}}],"response_format":{"type":"json_schema",'
        b'"json_schema":{"name":"s","schema":' + schema + b"}}}"
    )
    request, _ = CHAT_CODEC.decode_request(CHAT.decode(data).body)
    sent, _ = CHAT_CODEC.encode_request(request, Destination(THERE, "m", Quirks()))
    assert sent.count(schema) == 3


def test_thoughts_when_given_under_both_names() -> None:
    """The same text is one; another one stays, uninterpreted."""
    same = decode({"role": "assistant", "content": "a", "reasoning": "t", "reasoning_content": "t"}).turns[0]
    assert same.parts == (Reasoning(Origin("chat"), ("t",), at="reasoning_content"), Text("a", at="content"))
    assert same.extras is None
    other = decode({"role": "assistant", "content": "a", "reasoning": "u", "reasoning_content": "t"})
    assert encode(other)["messages"][0] == {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "t",
        "reasoning": "u",
    }


def test_results_when_they_are_of_custom_tools() -> None:
    """A result is of the kind of its call, which other dialects ask for."""
    calls = [{"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}]
    request = decode(
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c", "content": "y"},
        {"role": "tool", "tool_call_id": "d", "content": "z"},
    )
    kinds = [part.kind for turn in request.turns[1:] for part in turn.parts if isinstance(part, ToolResult)]
    assert kinds == ["custom", "function"]


def test_legacy_function_when_it_answers() -> None:
    """Its message is kept whole, for chat alone."""
    message = {"role": "function", "name": "f", "content": "{}"}
    request = decode(USER, message)
    (part,) = request.turns[1].parts
    assert isinstance(part, NativePart)
    assert (part.dialect, part.kind) == ("chat", "function")
    assert encode(request)["messages"][1] == message
