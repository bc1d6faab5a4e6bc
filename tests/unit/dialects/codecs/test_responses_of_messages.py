"""A request of messages that a target of responses can hardly take: what becomes of each thing in it."""

import json
from typing import Any

from msgspec import Raw, structs

from ingot.canonical import (
    CacheHint,
    CacheSettings,
    Citation,
    FunctionTool,
    Image,
    NativeChoice,
    NativePart,
    NativeTool,
    Origin,
    Refusal,
    Request,
    Text,
    ToolCall,
    Turn,
)
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.responses import RESPONSES_CODEC

Json = dict[str, Any]

RAW = Raw(b"{}")
CITED = Citation("messages", RAW, url="https://a.example", title="T", quote="q")
OF_MESSAGES = Request(
    origin="messages",
    model="m",
    turns=(
        Turn(
            "user",
            (Refusal("no", at="content[0]"), Text("hi", (CITED,), at="content[1]")),
            at="messages[0]",
        ),
        Turn(
            "assistant",
            (
                NativePart("messages", "server_tool_use", RAW, at="content[0]"),
                Text("Rain.", (CITED,), at="content[1]"),
                Image(url="https://a.example/1", at="content[2]"),
                ToolCall("c", "f", "{}", at="content[3]", cache=CacheHint()),
            ),
            at="messages[1]",
        ),
    ),
    tools=(
        FunctionTool("f", at="tools[0]", cache=CacheHint("1h")),
        NativeTool("messages", "bash", RAW, at="tools[1]"),
    ),
    tool_choice=NativeChoice("messages", RAW),
    cache=CacheSettings(hint=CacheHint()),
    max_output_tokens=0,
    service_tier="batch",
)


def sent(request: Request) -> tuple[Json, list[str]]:
    """What a target of responses gets, and the places of what is lost."""
    to = Destination(Origin("responses", "t"), "m", Quirks())
    data, losses = RESPONSES_CODEC.encode_request(request, to)
    return json.loads(data), [loss.path for loss in losses]


def test_request_when_much_of_it_is_of_messages() -> None:
    """What exists in that dialect only is listed, each at its own place."""
    told, lost = sent(OF_MESSAGES)
    annotation = {
        "type": "url_citation",
        "start_index": 0,
        "end_index": 5,
        "title": "T",
        "url": "https://a.example",
    }
    assert told == {
        "model": "m",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Rain.", "annotations": [annotation]}],
            },
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": False}],
        "max_output_tokens": 1,
        "store": False,
    }
    assert lost == [
        "messages[0].content[0]",
        "messages[0].content[1]",
        "messages[1].content[0]",
        "messages[1].content[1]",
        "messages[1].content[2]",
        "messages[1].content[3]",
        "tools[0]",
        "tools[1]",
        "tool_choice",
        "max_output_tokens",
        "cache.hint",
        "service_tier",
    ]
    assert sent(structs.replace(OF_MESSAGES, service_tier="standard_only"))[0]["service_tier"] == "default"
