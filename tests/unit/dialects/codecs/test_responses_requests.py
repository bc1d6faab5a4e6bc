"""Requests of responses: what is refused, and how its forms mean the same."""

import json
from typing import Any

import pytest

from ingot.canonical import (
    Origin,
    Request,
    Text,
    ToolCall,
)
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.errors import InvalidRequest
from ingot.rawjson import parse

Json = dict[str, Any]


def read(**fields: Any) -> Request:
    """A client's request of these fields."""
    body = {"model": "m", "input": "hi", **fields}
    request, losses = RESPONSES_CODEC.decode_request(parse(json.dumps(body).encode()))
    assert losses == ()
    return request


def sent(
    request: Request, *, quirks: Quirks | None = None, origin: Origin | None = None, stream: bool = False
) -> tuple[Json, list[str]]:
    """What a target of responses gets, and the places of what is lost."""
    to = Destination(origin or Origin("responses", "t"), "m", quirks or Quirks(), stream=stream)
    data, losses = RESPONSES_CODEC.encode_request(request, to)
    return json.loads(data), [loss.path for loss in losses]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{"content": "hi"}]}, "input[0].type"),
        ({"input": [{"role": "robot", "content": "hi"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [1]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": 5}]}, "input[0].name"),
        ({"input": [{"type": "custom_tool_call", "call_id": "c", "name": "f"}]}, "input[0].input"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"role": "user", "content": "hi", "id": 5}]}, "input[0].id"),
        ({"instructions": ["x"]}, "instructions"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": 5}}}, "text.format.schema"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f", "strict": 1}]}, "tools[0].strict"),
        (
            {"tools": [{"type": "custom", "name": "f", "format": {"type": "grammar"}}]},
            "tools[0].format.syntax",
        ),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": {"name": "f"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "x", "tools": []}}, "tool_choice.mode"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice.tools"),
        ({"stream_options": {"include_obfuscation": "no"}}, "stream_options.include_obfuscation"),
        ({"include": "all"}, "include"),
    ],
)
def test_request_when_a_field_is_wrong(fields: Json, param: str) -> None:
    """The error names the field and says what would be right."""
    body = {name: held for name, held in {"model": "m", "input": "hi", **fields}.items() if held is not None}
    with pytest.raises(InvalidRequest) as refused:
        RESPONSES_CODEC.decode_request(parse(json.dumps(body).encode()))
    assert refused.value.param == param
    assert param in refused.value.message


def test_input_when_it_is_elsewhere() -> None:
    """A stored prompt, an earlier response or a conversation stands in for it."""
    for name in ("prompt", "previous_response_id", "conversation"):
        body = parse(json.dumps({"model": "m", name: "x"}).encode())
        request, _ = RESPONSES_CODEC.decode_request(body)
        assert request.turns == ()
        told, lost = sent(request)
        assert told == {"model": "m", name: "x"}
        assert lost == []


def test_messages_when_easy_or_full() -> None:
    """Both forms, a string and a lone text part mean the same."""
    easy = read(input=[{"role": "user", "content": "hi"}])
    full = read(
        input=[
            {
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_text", "text": "hi"}],
            }
        ]
    )
    assert [(turn.role, turn.extras) for turn in easy.turns + full.turns] == [("user", None)] * 2
    assert [turn.parts[0].text for turn in easy.turns + full.turns if isinstance(turn.parts[0], Text)] == [
        "hi",
        "hi",
    ]


def test_reference_when_short() -> None:
    """An item with an id alone is a reference."""
    request = read(input=[{"id": "msg_1"}, {"role": "user", "content": "hi"}])
    assert sent(request)[0]["input"][0] == {"id": "msg_1"}


def test_stream_options_when_the_target_streams() -> None:
    """They go along with a stream only, whoever asked for it."""
    request = read(stream=True, stream_options={"include_obfuscation": False, "x": 1})
    assert sent(request, stream=True)[0]["stream_options"] == {"include_obfuscation": False, "x": 1}
    assert "stream_options" not in sent(request)[0]


def test_call_when_it_has_an_id_of_its_own() -> None:
    """The item goes back as an answer said it, with a status that is not the usual one."""
    item = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    request = read(input=[{**item, "status": "completed"}, {**item, "status": "incomplete"}])
    assert [each["status"] for each in sent(request)[0]["input"]] == ["completed", "incomplete"]
    assert isinstance(request.turns[0].parts[0], ToolCall)
    chat = CHAT_CODEC.encode_request(request, Destination(Origin("chat", "t"), "m", Quirks()))[1]
    assert chat == ()


def test_fields_when_nobody_here_knows_them() -> None:
    """They go back to a target of responses as they came, be they inside of what is known."""
    fields: Json = {
        "input": [
            {"type": "message", "role": "user", "content": [], "status": "incomplete"},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "other"}}
                ],
            },
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "other"}]},
        ],
        "tools": [{"type": "custom", "name": "g", "format": {"type": "json"}}],
        "text": {"format": {"type": "xml"}},
    }
    told, lost = sent(read(**fields))
    assert told == {"model": "m", **fields}
    assert lost == []


def test_settings_when_they_ask_for_nothing() -> None:
    """Defaults and empty objects are left out."""
    told, lost = sent(
        read(
            reasoning={"effort": None},
            text={"format": {"type": "text"}},
            truncation="disabled",
            background=False,
        )
    )
    assert told == {"model": "m", "input": "hi"}
    assert lost == []
