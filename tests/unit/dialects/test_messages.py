"""Message requests: what passes, what is refused and in which words, what versions and targets change."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.catalog import Quirks
from ingot.dialects.dialect import Call
from ingot.dialects.messages import (
    COUNT_TOKENS,
    MESSAGES,
    NEWER,
    OLDER,
    decode,
    decode_count,
    take_any_version,
    take_headers,
)
from ingot.errors import ApiError, InvalidRequest, Unsupported
from ingot.schemas import SCHEMA_DEPTH

USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}}
CITED = {"type": "text", "text": "so", "citations": [{"type": "char_location"}]}


def minimal(**fields: Any) -> bytes:
    """A request with these fields beside the plain ones."""
    plain = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({**plain, **fields}).encode()


def talk(*turns: Any) -> list[dict[str, Any]]:
    """Messages that take turns, the user's first."""
    return [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]


def refusal(data: bytes) -> ApiError:
    """What is said against the request; fails where nothing is."""
    with pytest.raises(InvalidRequest) as caught:
        decode(data)
    return caught.value


def under(version: str, **fields: Any) -> Call:
    """The call under a version of the API."""
    return take_headers(decode(minimal(**fields)), {b"anthropic-version": version.encode()})


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0},
        {"system": "Be brief."},
        {
            "system": [
                {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            ]
        },
        {"stop_sequences": ["END"], "temperature": 1, "top_p": 0, "top_k": 5},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1025},
        {"thinking": {"type": "enabled", "budget_tokens": 9000}, "tools": [TOOL]},
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}},
        {"thinking": {"type": "between_tools"}, "metadata": {"user_id": None}, "service_tier": "auto"},
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"tools": [TOOL, {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]},
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
        {"tools": [{"type": "mcp_toolset", "mcp_server_name": "s"}], "tool_choice": {"type": "any"}},
        {"messages": talk([PDF, {"type": "image", "source": {"type": "file", "file_id": "f"}}])},
        {"messages": talk("a", [USE], [RESULT, {"type": "text", "text": "b"}])},
        {"messages": [*talk("a", [USE]), {"role": "system", "content": "s"}, *talk([RESULT])]},
        {"messages": [*talk("a", [USE]), *talk([{"type": "text", "text": "b"}]), *talk([RESULT])]},
        {"messages": talk("a", [{"type": "thinking", "thinking": "t", "signature": "s"}, USE])},
        {"messages": talk("a", [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}])},
        {"x_new": {"any": [1]}, "container": {"skills": []}, "inference_geo": "eu", "speed": "fast"},
    ],
)
def test_request_passes_untouched_when_it_is_sound(fields: dict[str, Any]) -> None:
    """The target gets the very bytes that came."""
    data = minimal(**fields)
    call = decode(data)
    assert MESSAGES.prepare(call, model="m", quirks=Quirks()) is data
    assert (call.model, call.max_tokens, call.n) == ("m", fields.get("max_tokens", 100), 1)


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        (
            {"max_tokens": -1},
            "max_tokens",
            "max_tokens: Below the minimum: expected an integer of at least 0",
        ),
        (
            {"max_tokens": "9"},
            "max_tokens",
            "max_tokens: Invalid type: expected an integer of at least 0, but got a",
        ),
        ({"messages": []}, "messages", "messages: Empty: expected an array of 1 to 100000 items."),
        (
            {"messages": [{"role": "system", "content": "s"}]},
            "messages",
            "messages: Expected at least one message",
        ),
        (
            {"messages": [{"role": "tool", "content": ""}]},
            "messages[0].role",
            "messages.0.role: Invalid value",
        ),
        (
            {"messages": [{"role": "user"}]},
            "messages[0].content",
            "messages.0.content: Field required. It must be",
        ),
        (
            {"messages": talk([{"type": "txt"}])},
            "messages[0].content[0].type",
            "messages.0.content.0.type: Inv",
        ),
        (
            {"messages": talk([USE])},
            "messages[0].content[0].type",
            "messages.0.content.0.type: Invalid value",
        ),
        (
            {"messages": talk("a", [RESULT])},
            "messages[1].content[0].type",
            "messages.1.content.0.type: Invalid",
        ),
        (
            {
                "messages": talk(
                    [{"type": "image", "source": {"type": "base64", "data": "a", "media_type": "x"}}]
                )
            },
            "messages[0].content[0].source.media_type",
            "messages.0.content.0.source.media_type: Invalid value: expected 'image/gif'",
        ),
        (
            {"messages": talk([RESULT])},
            "messages[0].content[0].tool_use_id",
            "messages.0.content.0.tool_use_id: No",
        ),
        (
            {"messages": talk("a", [USE], "b")},
            "messages[1].content[0]",
            "messages.1.content.0: The 'tool_use' block",
        ),
        ({"messages": talk("a", [USE, USE])}, "messages[1].content[1].id", "messages.1.content.1.id: Ids of"),
        (
            {"messages": talk("a", [USE], [RESULT, RESULT])},
            "messages[2].content[1].tool_use_id",
            "messages.2.con",
        ),
        (
            {"temperature": 1.01},
            "temperature",
            "temperature: Above the maximum: expected a number from 0 to 1",
        ),
        ({"top_k": -1}, "top_k", "top_k: Below the minimum"),
        (
            {"thinking": {"type": "enabled"}},
            "thinking.budget_tokens",
            "thinking.budget_tokens: Field required.",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 9}},
            "thinking.budget_tokens",
            "thinking.budget_tok",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            "thinking.budget_tokens",
            "thinking.budget_tokens: Must be less than 'max_tokens', which is 100, but got 2048.",
        ),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema", "tools.0.input_schema: Field required."),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name", "tools.0.name: Field required."),
        ({"tools": [TOOL, TOOL]}, "tools[1].name", "tools.1.name: The name 'f' is given twice"),
        ({"tool_choice": {"type": "any"}}, "tool_choice", "tool_choice: Demands a tool"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}},
            "tool_choice.name",
            "tool_choice.name: N",
        ),
        (
            {"tool_choice": "auto"},
            "tool_choice",
            "tool_choice: Invalid type: expected an object whose 'type' is",
        ),
        ({"stop_sequences": [""]}, "stop_sequences[0]", "stop_sequences.0: Empty"),
        ({"metadata": {"user_id": 7}}, "metadata.user_id", "metadata.user_id: Invalid type"),
        ({"system": [PDF]}, "system[0].type", "system.0.type: Invalid value: expected 'text'"),
        (
            {"output_config": {"effort": "most"}},
            "output_config.effort",
            "output_config.effort: Invalid value",
        ),
        ({"service_tier": "flex"}, "service_tier", "service_tier: Invalid value: expected 'auto'"),
    ],
)
def test_refusal_names_the_field_when_a_request_is_wrong(
    fields: dict[str, Any], param: str, message: str
) -> None:
    """In front, as Anthropic's messages do, and with what would be right."""
    error = refusal(minimal(**fields))
    assert error.param == param
    assert error.message.startswith(message)


def test_thread_is_refused_when_a_client_means_it_to_be_kept() -> None:
    """The code is the one on which Anthropic's tool runners send the whole conversation; it comes before the missing turns."""
    for thread in ({"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}):
        error = refusal(minimal(messages=talk([RESULT]), thread=thread))
        assert (error.param, error.code) == ("thread", "thread_unsupported_request")
    assert decode(minimal(thread=None)).model == "m"


def test_missing_fields_are_named_when_nothing_else_is_there() -> None:
    """`max_tokens` has no default; to count takes none."""
    data = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    error = refusal(data)
    assert (error.param, error.code) == ("max_tokens", "missing_required_parameter")
    assert error.message == "max_tokens: Field required. It must be an integer of at least 0."
    call = decode_count(data)
    assert (call.max_tokens, call.stream, COUNT_TOKENS.format) == (0, False, "messages")


@pytest.mark.parametrize("schema", [{"pattern": "(a+)+$"}, {"pattern": "(a)\\1"}])
def test_s12_schema_is_judged_when_an_answer_or_a_call_must_fit_it(schema: dict[str, Any]) -> None:
    """As on the other surfaces: a strict tool, a call that is demanded, the format of the answer; else a pattern is text."""
    held = {"type": "object", "properties": {"e": {"type": "string", **schema}}}
    tool = {"name": "f", "input_schema": held}
    said: list[dict[str, Any]] = [
        {"tools": [{**tool, "strict": True}]},
        {"tools": [tool], "tool_choice": {"type": "any"}},
        {"tools": [tool], "tool_choice": {"type": "tool", "name": "f"}},
        {"output_config": {"format": {"type": "json_schema", "schema": held}}},
    ]
    base = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    for fields in said:
        with pytest.raises(InvalidRequest, match="pattern"):
            decode(json.dumps({**base, **fields}).encode())
    decode(json.dumps({**base, "tools": [tool]}).encode())


def test_schemas_are_bounded_when_they_nest() -> None:
    """As on the other surfaces."""
    schema: dict[str, Any] = {}
    for _ in range(SCHEMA_DEPTH - 1):
        schema = {"a": schema}
    decode(minimal(tools=[{"name": "f", "input_schema": schema}]))
    error = refusal(minimal(tools=[{"name": "f", "input_schema": {"a": schema}}]))
    assert error.message.startswith("tools.0.input_schema: Nests too deep")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 1}, "temperature"),
        ({"top_p": None}, "top_p"),
        ({"top_k": 1}, "top_k"),
        ({"messages": talk("a", [PDF])}, "messages[1].content[0].type"),
        ({"messages": talk([CITED])}, "messages[0].content[0].citations"),
    ],
)
def test_newer_version_refuses_what_it_took_away_when_asked(fields: dict[str, Any], param: str) -> None:
    """Each of them is fine under the older one, and where no version is looked at."""
    with pytest.raises(InvalidRequest) as caught:
        under(NEWER, **fields)
    assert caught.value.param == param
    assert dict(under(OLDER, **fields).headers) == {"anthropic-version": OLDER}
    ignored = take_any_version(decode(minimal(**fields)), {b"anthropic-version": NEWER.encode()})
    assert dict(ignored.headers) == {"anthropic-version": OLDER}


def test_headers_are_passed_on_when_they_are_on_the_list() -> None:
    """Version and betas; a beta that is no list of names is refused, lest it become a header of ours."""
    call = take_headers(decode(minimal()), {b"anthropic-beta": b"a-1, b.2", b"authorization": b"Bearer x"})
    assert call.headers == (("anthropic-version", OLDER), ("anthropic-beta", "a-1, b.2"))
    for version in (b"", b"2026", b"\xff"):
        with pytest.raises(InvalidRequest) as caught:
            take_headers(decode(minimal()), {b"anthropic-version": version})
        assert caught.value.param == "anthropic-version"
    for beta in (b"a b", b"a,,b", b"x: y", b"\xe9"):
        with pytest.raises(InvalidRequest) as caught:
            take_headers(decode(minimal()), {b"anthropic-beta": beta})
        assert caught.value.param == "anthropic-beta"


def test_target_is_not_asked_when_it_cannot_honour_a_block() -> None:
    """Blocks inside of a tool's result count; a field that asks for nothing does not."""
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    quirks = Quirks(reject=frozenset({"image", "metadata", "thinking"}))
    MESSAGES.check_target(decode(minimal(metadata={}, thinking=None)), quirks, "m")
    call = decode(minimal(messages=talk("a", [USE], [{**RESULT, "content": [image]}])))
    with pytest.raises(Unsupported) as caught:
        MESSAGES.check_target(call, quirks, "m")
    assert caught.value.param == "messages[2].content[0].content[0]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["text", "tool_use", "user", "t1", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "role", "content", "id", "tool_use_id", "text", "name", "input", "source"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(messages=JSON, tools=JSON, system=JSON)
def test_anything_is_answered_when_it_is_json(messages: Any, tools: Any, system: Any) -> None:
    """A body passes with its own bytes, or is refused with a field's name; there is no third way."""
    data = minimal(messages=messages, tools=tools, system=system)
    answered: Call | str | None
    try:
        answered = decode(data)
    except InvalidRequest as error:
        answered = error.param
    assert answered
    if isinstance(answered, Call):
        assert answered.body.data is data
        take_any_version(answered, {})
