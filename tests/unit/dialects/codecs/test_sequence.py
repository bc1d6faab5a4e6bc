"""Results of tools between a call and what is said behind it."""

import json
from typing import Any

import pytest

from ingot.canonical import Origin, Text, ToolCall, ToolResult, Turn
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination
from ingot.dialects.codecs import CODECS
from ingot.dialects.codecs.sequence import results_first
from ingot.rawjson import parse

CALL = Turn("assistant", (ToolCall("call_1", "f", "{}"),), at="a")
RESULT = ToolResult("call_1", (Text("4"),), at="content[1]")
SAID = Turn("user", (Text("mid", at="content"),), at="b")
LATE = Turn("system", (Text("Be brief.", at="content"),), at="c")
DONE = Turn("tool", (RESULT,), at="d")
END = Turn("assistant", (Text("It is 4."),), at="e")


@pytest.mark.parametrize(
    ("turns", "order", "moved"),
    [
        ((CALL, DONE, SAID, END), (CALL, DONE, SAID, END), []),
        ((SAID, CALL, SAID, DONE, END, LATE), (SAID, CALL, DONE, SAID, END, LATE), ["b.content"]),
        ((CALL, LATE, SAID, DONE), (CALL, DONE, LATE, SAID), ["c.content", "b.content"]),
        ((CALL, END, LATE, DONE), (CALL, END, DONE, LATE), ["c.content"]),
        ((SAID, DONE), (SAID, DONE), []),
        (
            (CALL, Turn("user", (Text("mid", at="content[0]"), RESULT, Text("end")), at="f")),
            (
                CALL,
                Turn("user", (RESULT,), at="f"),
                Turn("user", (Text("mid", at="content[0]"), Text("end")), at="f"),
            ),
            ["f.content[0]", "f"],
        ),
    ],
)
def test_results_come_first_when_something_stands_before_them(
    turns: tuple[Turn, ...], order: tuple[Turn, ...], moved: list[str]
) -> None:
    """All else keeps its order behind them, and what had to move is told as a hint."""
    found, losses = results_first(turns)
    assert found == order
    assert [loss.path for loss in losses] == moved
    assert {loss.kind for loss in losses} <= {"earlier_answer"}


CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "system", "content": "mid"},
    {"role": "tool", "tool_call_id": "call_1", "content": "4"},
]
ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
    {"role": "user", "content": "mid"},
    {"type": "function_call_output", "call_id": "call_1", "output": "4"},
]
BLOCKS: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "f", "input": {}}]},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "mid"},
            {"type": "tool_result", "tool_use_id": "call_1", "content": "4"},
        ],
    },
]


SAYS: dict[str, dict[str, Any]] = {
    "chat": {"messages": CHAT},
    "responses": {"input": ITEMS},
    "messages": {"messages": BLOCKS, "max_tokens": 5},
}


@pytest.mark.parametrize(
    ("client", "target"),
    [("responses", "chat"), ("messages", "chat"), ("chat", "messages"), ("responses", "messages")],
)
def test_request_is_right_when_its_client_spoke_in_between(client: str, target: Any) -> None:
    """Tool messages follow their call in chat, and results lead the user's turn in messages."""
    request, _ = CODECS[client].decode_request(parse(json.dumps({"model": "m", **SAYS[client]}).encode()))
    data, losses = CODECS[target].encode_request(request, Destination(Origin(target, "t"), "up", Quirks()))
    messages = json.loads(data)["messages"]
    if target == "chat":
        assert [each["role"] for each in messages][2:3] == ["tool"]
        assert messages[3]["content"] == "mid"
    else:
        assert [block["type"] for block in messages[2]["content"]] == ["tool_result", "text"]
    assert any("behind them" in loss.reason for loss in losses)
