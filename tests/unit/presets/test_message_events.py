"""Rules on messages, kept by their streams: what the events spell out is what the rules make of the whole message."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.config import ConfigError
from ingot.dialects.messages import MESSAGES
from ingot.dialects.messages_fold import assemble
from ingot.presets import Preset, dressed
from ingot.sse import SseSplitter, encode_event, event_data
from ruled import written

EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 3,
                "cache_read_input_tokens": 1,
                "output_tokens": 1,
                "service_tier": "standard",
            },
            "extra": {"a": 1},
        },
    },
    {"type": "ping"},
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "thinking", "thinking": "", "signature": ""},
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s1"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "lo"}},
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "citations_delta", "citation": {"url": "u"}},
    },
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": '{"x": 1}'},
    },
    {"type": "content_block_stop", "index": 2},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
        "usage": {"output_tokens": 9, "cache_read_input_tokens": 1},
    },
    {"type": "message_stop"},
]


def raw(event: dict[str, Any]) -> bytes:
    return encode_event(json.dumps(event).encode(), event["type"].encode())


STREAM = b"".join(raw(event) for event in EVENTS)


def preset(rules: str) -> Preset:
    return written(f"[answers.messages]\n{rules}")


def streamed(rules: str, stream: bytes = STREAM) -> bytes:
    """What a client gets of the stream under these rules."""
    dialect = dressed(MESSAGES, preset(rules))
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "x"}]}
    tap = dialect.tap(dialect.decode(json.dumps(body).encode()), model="m", public="m")
    given_ = b""
    for event in SseSplitter().feed(stream):
        data = event_data(event)
        assert data is not None
        kept = tap.feed(data)
        given_ += event if kept is data else b"" if kept is None else tap.frame(kept)
    assert (tap.done, tap.finished) == (True, True)
    assert tap.usage is not None
    assert tap.usage.output == 9
    assert json.loads(assemble(tap.given)) == json.loads(assemble(given_))
    return given_


RULES = (
    '"*" = "drop"',
    'id = { prefix = "ours_" }',
    'type = "accept"',
    'model = { told = { m = "theirs" } }',
    'stop_reason = { told = { max_tokens = "end_turn" } }',
    'stop_reason = { default = "end_turn" }',
    'stop_sequence = "drop"',
    'stop_sequence = "null"',
    'stop_details = "present"',
    'stop_details = { default = { type = "none" } }',
    'container = { default = { id = "c" } }',
    'extra = "drop"',
    '"extra.a" = "null"',
    '"usage.cache_read_input_tokens" = "drop"',
    '"usage.cache_creation_input_tokens" = { default = 0 }',
    '"usage.service_tier" = "drop"',
    '"content.signature" = "drop"',
    '"content.citations" = "drop"',
    '"content.input" = "drop"',
    '"content.note" = "present"',
    '"content.name" = { prefix = "f_" }',
    'content = "one_text"',
    '"usage.fresh_tokens" = { copy = "input_tokens" }',
    '"usage.completion_tokens" = { copy = "output_tokens" }',
)


@given(st.sets(st.sampled_from(RULES), max_size=6))
def test_stream_spells_what_the_rules_make_of_the_whole(chosen: set[str]) -> None:
    """Whatever the rules are: dropped, null, told, filled in, at the top, in the counts and in blocks."""
    by_path = {rule.partition(" = ")[0]: rule for rule in chosen}
    rules = "\n".join(by_path.values())
    ruled = preset(rules).answers.get("messages")
    folded = assemble(STREAM)
    expected = json.loads(folded if ruled is None else ruled.whole(folded))
    if "content" in expected:
        assert json.loads(assemble(streamed(rules))) == expected
    else:
        assert b"content_block" not in streamed(rules)


def test_events_keep_their_bytes_when_no_rule_names_them() -> None:
    """Only the events that a rule changes are written anew."""
    told = streamed('"usage.cache_read_input_tokens" = "drop"')
    changed = [event for event in EVENTS if raw(event) not in told]
    assert [event["type"] for event in changed] == ["message_start", "message_delta"]


def test_end_is_filled_in_when_it_comes() -> None:
    """What is known at the end alone is not told at the start."""
    told = streamed('stop_reason = { default = "end_turn" }\nstop_details = "present"')
    events = [json.loads(data) for event in SseSplitter().feed(told) if (data := event_data(event))]
    assert events[0]["message"]["stop_reason"] is None
    assert "stop_details" not in events[0]["message"]
    assert events[-2]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None, "stop_details": None}


@pytest.mark.parametrize(
    "data", [b"not json", b"[1]", b'{"type":3}', b'{"type":"message_start","message":3}', b"{}"]
)
def test_events_pass_when_they_are_shaped_like_none(data: bytes) -> None:
    """The client sees what the target wrote."""
    rules = preset('"*" = "drop"\n"usage.x" = "drop"').answers["messages"]
    assert rules.follow().feed(data) == data


def block(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


LISTS: list[list[dict[str, Any]]] = [
    [],
    [block("thinking", thinking="Hm.", signature="s")],
    [block("text", text="Hi")],
    [block("thinking", thinking="Hm.", signature="s"), block("text", text="Hi")],
    [
        block("text", text="Hel", citations=[{"url": "a"}]),
        block("tool_use", id="t", name="f", input={}),
        block("text", text="lo", citations=[{"url": "b"}]),
    ],
    [block("text", text="Hel"), block("redacted_thinking", data="x"), block("text", text="")],
]


def spelled(content: list[dict[str, Any]]) -> bytes:
    """A stream whose blocks say all at their start, as some servers send them."""
    told: list[dict[str, Any]] = [EVENTS[0]]
    for index, each in enumerate(content):
        told.append({"type": "content_block_start", "index": index, "content_block": each})
        told.append({"type": "content_block_stop", "index": index})
    return b"".join(map(raw, [*told, *EVENTS[-2:]]))


@pytest.mark.parametrize("content", LISTS)
def test_content_is_one_text_when_the_rule_says_so(content: list[dict[str, Any]]) -> None:
    """Whole and streamed the same: all texts together, nothing else, and an empty text where nothing is said."""
    rules = 'content = "one_text"'
    answer = json.dumps({"type": "message", "content": content}).encode()
    whole = json.loads(preset(rules).answers["messages"].whole(answer))["content"]
    assert [each["type"] for each in whole] == ["text"]
    assert whole[0]["text"] == "".join(each.get("text", "") for each in content)
    told = streamed(rules, spelled(content))
    assert json.loads(assemble(told))["content"] == whole
    events = [json.loads(data) for event in SseSplitter().feed(told) if (data := event_data(event))]
    kinds = [each["type"] for each in events]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1
    assert {each["index"] for each in events if "index" in each} == {0}


@pytest.mark.parametrize(
    ("surface", "rules", "wrong"),
    [
        ("chat", 'content = "one_text"', "only content of messages can be made one text"),
        ("messages", '"content.text" = "one_text"', "only content of messages can be made one text"),
        ("messages", "content = { one_text = true, null = true }", "stands alone"),
        ("messages", 'id = { copy = "id" }', "is the field itself"),
    ],
)
def test_preset_is_refused_when_its_rule_cannot_hold(surface: str, rules: str, wrong: str) -> None:
    """The problem names the rule."""
    with pytest.raises(ConfigError, match=wrong):
        written(f"[answers.{surface}]\n{rules}")
