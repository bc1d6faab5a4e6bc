"""Demanded calls on llama.cpp: asked for by a schema, turned back into a call, whole and streamed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.catalog import ENGINE_QUIRKS, Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.demanded import CallTap, by_schema
from ingot.dialects.demanded import turn_back_call as turn_back
from ingot.dialects.dialect import Call
from ingot.dialects.turning import CALLED

PARAMETERS = {
    "type": "object",
    "properties": {"n": {"$ref": "#/$defs/n"}},
    "$defs": {"n": {"type": "integer"}},
}
TOOLS = [
    {"type": "function", "function": {"name": "add", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "now"}},
]
ADD = {"type": "function", "function": {"name": "add"}}


def call(choice: Any, **fields: Any) -> Call:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "tools": TOOLS,
        "tool_choice": choice,
    }
    return CHAT.decode(json.dumps({**body, **fields}).encode())


def outgoing(asked: Call) -> dict[str, Any]:
    return dict(json.loads(CHAT.prepare(asked, model="m", quirks=ENGINE_QUIRKS)))


@pytest.mark.parametrize(
    ("choice", "demanded"),
    [
        ("required", True),
        (ADD, True),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [ADD]}}, True),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [ADD]}}, False),
        ("auto", False),
        ("none", False),
    ],
)
def test_by_schema_when_choice_differs(choice: Any, *, demanded: bool) -> None:
    """Only what must be called is asked for by a schema, and only of llama.cpp."""
    asked = call(choice)
    assert by_schema(asked, ENGINE_QUIRKS) is demanded
    assert not by_schema(asked, Quirks())
    assert ("response_format" in outgoing(asked)) is demanded


def test_prepare_when_any_tool_will_do() -> None:
    """The schema has one form for each tool, the tools stay for the model to read, and what contradicts is gone."""
    sent = outgoing(
        call("required", parallel_tool_calls=True, response_format={"type": "json_object"}, seed=1)
    )
    schema = sent.pop("response_format")["json_schema"]["schema"]
    assert [each["properties"]["name"]["const"] for each in schema["anyOf"]] == ["add", "now"]
    assert [each["properties"]["arguments"] for each in schema["anyOf"]] == [
        {"$ref": "#/$defs/f0"},
        {"$ref": "#/$defs/f1"},
    ]
    assert schema["$defs"]["f0"]["properties"]["n"] == {"$ref": "#/$defs/f0/$defs/n"}
    assert schema["$defs"]["f1"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert sent["tools"] == TOOLS
    assert set(sent) == {"model", "messages", "tools", "seed"}


def test_prepare_when_one_tool_is_named() -> None:
    """Only that one is left."""
    sent = outgoing(call(ADD))
    assert sent["tools"] == TOOLS[:1]
    assert len(sent["response_format"]["json_schema"]["schema"]["anyOf"]) == 1


def whole(content: str, reason: str = "stop") -> bytes:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    return json.dumps({"id": "chatcmpl-AbC", "choices": [choice], "usage": {"total_tokens": 3}}).encode()


def test_turn_back_when_answer_is_whole() -> None:
    """The content becomes a call with the very text of its arguments; all else stays."""
    turned = json.loads(turn_back(whole('{ "name" : "a\\"dd", "arguments": {"n": [1, "}"], "x": {}} }\n')))
    [choice] = turned["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_AbC",
                "type": "function",
                "function": {"name": 'a"dd', "arguments": '{"n": [1, "}"], "x": {}}'},
            }
        ],
    }
    assert (turned["id"], turned["usage"]) == ("chatcmpl-AbC", {"total_tokens": 3})


@pytest.mark.parametrize(
    ("content", "arguments"),
    [('{"name": "add", "arguments": {"n": 1', '{"n": 1'), ('{"name": "add", "argum', None), ("", None)],
)
def test_turn_back_when_answer_is_cut(content: str, arguments: str | None) -> None:
    """A limit of tokens is told as such, with what there is of the call."""
    [choice] = json.loads(turn_back(whole(content, "length")))["choices"]
    assert choice["finish_reason"] == "length"
    calls = choice["message"].get("tool_calls")
    assert (calls and calls[0]["function"]["arguments"]) == arguments


@pytest.mark.parametrize("answer", [b"[]", b"1", b"{"])
def test_turn_back_when_answer_is_no_object(answer: bytes) -> None:
    """What is no JSON object is the caller's to tell."""
    with pytest.raises(msgspec.DecodeError):
        turn_back(answer)


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return json.dumps({"id": "chatcmpl-AbC", "model": "m", "choices": [choice], **more}).encode()


ARGUMENTS = {"n": 1, 'k"{': ['a\\"}', {"x": "é😀"}]}


@given(st.lists(st.integers(1, 90), max_size=12), st.booleans())
def test_feed_when_text_comes_in_any_pieces(cuts: list[int], spaced: bool) -> None:  # noqa: FBT001  # drawn
    """However the text is cut, name and id come first and once, and the pieces add up to the arguments."""
    text = json.dumps({"name": "add", "arguments": ARGUMENTS}, indent=1 if spaced else None)
    text = text.replace('"arguments": ', '"arguments":   ')
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    pieces = [text[low:high] for low, high in zip([0, *ends], ends, strict=False)]
    tap = CHAT.tap(call("required", stream=True), model="m", public="pub", turn=CALLED)
    assert isinstance(tap, CallTap)
    events = [
        chunk({"role": "assistant", "content": None}),
        *(chunk({"content": piece}) for piece in pieces),
        chunk({}, "stop"),
        b'{"id":"chatcmpl-AbC","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}',
        b"[DONE]",
    ]
    given_ = [data for data in map(tap.feed, events) if data is not None]
    assert given_[-1] == b"[DONE]"
    chunks = [json.loads(data) for data in given_[:-1]]
    assert {each["model"] for each in chunks} == {"pub"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert chunks[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]
    first, *rest = [entry for each in chunks[1:-1] for entry in each["choices"][0]["delta"]["tool_calls"]]
    assert (first["id"], first["type"], first["function"]["name"]) == ("call_AbC", "function", "add")
    assert all(set(entry) == {"index", "function"} for entry in rest)
    assert "".join(entry["function"]["arguments"] for entry in (first, *rest)).startswith("{")
    assert json.loads("".join(entry["function"]["arguments"] for entry in (first, *rest))) == ARGUMENTS
    assert (tap.done, tap.finished, tap.failed, tap.id) == (True, True, False, "chatcmpl-AbC")
    assert tap.usage is not None
    assert (tap.usage.input, tap.usage.output) == (5, 7)
    assert b"tool_calls" in tap.given


def test_feed_when_stream_fails() -> None:
    """An error and what is no JSON pass as they do without a call."""
    tap = CHAT.tap(call("required", stream=True), model="m", public="m", turn=CALLED)
    assert tap.feed(b"not json") == b"not json"
    assert tap.feed(b"[1]") == b"[1]"
    assert b"error" in (tap.feed(b'{"error":{"message":"secret"}}') or b"")
    assert tap.failed
