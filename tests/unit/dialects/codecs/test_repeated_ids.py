"""Calls whose ids a server counts anew in each answer, for targets that take each id once."""

import json
from typing import Any

import pytest

from ingot.canonical import Origin
from ingot.catalog import Quirks
from ingot.dialects.codec import Destination
from ingot.dialects.codecs import CODECS
from ingot.rawjson import parse

TARGET = Destination(Origin("messages", "t"), "up", Quirks())


def calls(*ids: str) -> dict[str, Any]:
    """An answer of the assistant that calls."""
    told = [{"id": each, "type": "function", "function": {"name": "f", "arguments": "{}"}} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": told}


def result(call_id: str, text: str) -> dict[str, Any]:
    """What a tool said."""
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def sent(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Blocks for a target of messages: ids of calls, and of results with what they say."""
    body = parse(json.dumps({"model": "m", "messages": messages}).encode())
    request, _ = CODECS["chat"].decode_request(body)
    data, _ = CODECS["messages"].encode_request(request, TARGET)
    told = json.loads(data)
    blocks = [block for message in told["messages"] for block in message["content"] if type(block) is dict]
    return [
        (block.get("id") or block["tool_use_id"], block.get("content", ""))
        for block in blocks
        if block["type"] in {"tool_use", "tool_result"}
    ]


@pytest.mark.parametrize(
    ("messages", "blocks"),
    [
        (
            [calls("call_0"), result("call_0", "a"), calls("call_0"), result("call_0", "b")],
            [("call_0", ""), ("call_0", "a"), ("call_0_2", ""), ("call_0_2", "b")],
        ),
        (
            [calls("0", "0_2"), result("0_2", "b"), result("0", "a"), calls("0"), result("0", "c")],
            [("0", ""), ("0_2", ""), ("0_2", "b"), ("0", "a"), ("0_3", ""), ("0_3", "c")],
        ),
        (
            [calls("x", "x"), result("x", "first"), result("x", "second")],
            [("x", ""), ("x_2", ""), ("x", "first"), ("x_2", "second")],
        ),
        (
            [calls("f.0"), result("f.0", "a"), calls("f_2e_0"), result("f_2e_0", "b")],
            [("f_2e_0", ""), ("f_2e_0", "a"), ("f_2e_0_2", ""), ("f_2e_0_2", "b")],
        ),
    ],
)
def test_ids_stay_apart_when_calls_repeat_them(
    messages: list[dict[str, Any]], blocks: list[tuple[str, str]]
) -> None:
    """Each call has its own, and each result that of the first call of its id that has none yet."""
    assert sent([{"role": "user", "content": "Hi"}, *messages]) == blocks
