"""The rows about `/v1/messages`: Valar's under its preset, one test a row, and what `open` has beyond them."""

import json
from typing import Any

import pytest

from ingot.dialects.dialect import Call
from ingot.dialects.messages import COUNT_TOKENS, MESSAGES
from ingot.errors import ApiError
from ingot.presets import dressed, load
from ingot.web.surfaces import build_surfaces
from ruled import GONE

PLAIN: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
USE = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "4"}


def ask(fields: dict[str, Any], headers: dict[bytes, bytes] | None = None) -> Call:
    """A message request with these fields under Valar's preset."""
    dialect = dressed(MESSAGES, load("valar"))
    body = {key: value for key, value in {**PLAIN, **fields}.items() if value is not GONE}
    call = dialect.decode(json.dumps(body).encode())
    assert dialect.take_headers is not None
    return dialect.take_headers(call, headers or {})


def refused(fields: dict[str, Any]) -> str | None:
    """The field that the refusal names."""
    with pytest.raises(ApiError) as caught:
        ask(fields)
    assert caught.value.status == 400
    return caught.value.param


def says(*content: Any) -> list[dict[str, Any]]:
    """One user message of these blocks."""
    return [{"role": "user", "content": list(content)}]


@pytest.mark.parametrize("field", ["model", "max_tokens", "messages"])
def test_s4_110_required_fields_are_accepted_and_missed(field: str) -> None:
    """All three together pass; each alone is missed."""
    assert ask({}).body.value == PLAIN
    assert refused({field: GONE}) == field


def test_c_02_least_values_are_one() -> None:
    """`max_tokens` and the number of messages."""
    assert refused({"max_tokens": 0}) == "max_tokens"
    assert refused({"messages": []}) == "messages"


def test_s4_111_temperature_and_top_p_go_from_0_to_1() -> None:
    """Each of them."""
    assert ask({"temperature": 1, "top_p": 0}).body.value["temperature"] == 1
    assert refused({"temperature": 1.1}) == "temperature"
    assert refused({"top_p": 1.1}) == "top_p"


def test_s4_112_output_format_is_a_schema() -> None:
    """Type json_schema passes, another does not."""
    form = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert ask({"output_config": form}).body.value["output_config"] == form
    assert refused({"output_config": {"format": {"type": "text"}}}) == "output_config.format.type"


def test_s4_113_metadata_pairs_pass() -> None:
    """Pairs of strings beside `user_id`."""
    pairs = {"completion_window": "asap", "completion_webhook": "https://example.org/hook"}
    assert ask({"metadata": pairs}).body.value["metadata"] == pairs


def test_s4_114_image_blocks_pass() -> None:
    """Whether the model takes them is its target's to say."""
    assert ask({"messages": says(IMAGE)}).body.value["messages"] == says(IMAGE)


def test_s4_115_tools_are_accepted_and_ignored() -> None:
    """The model never sees them."""
    value = ask({"tools": [TOOL], "tool_choice": {"type": "any"}}).body.value
    assert not {"tools", "tool_choice"} & value.keys()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"stream": True}, "stream", id="S4-120"),
        pytest.param({"system": "x"}, "system", id="S4-121"),
        pytest.param({"thinking": {"type": "adaptive"}}, "thinking", id="S4-122"),
        pytest.param({"stop_sequences": ["x"]}, "stop_sequences", id="S4-123"),
        pytest.param({"top_k": 1}, "top_k", id="S4-124"),
        pytest.param({"messages": says(DOCUMENT)}, "messages[0].content[0].type", id="S4-125"),
        pytest.param(
            {"messages": [*says("a"), {"role": "assistant", "content": [USE]}, *says(RESULT)]},
            "messages[2].content[0].type",
            id="S4-126",
        ),
        pytest.param({"service_tier": "auto"}, "service_tier", id="S4-127"),
        pytest.param({"inference_geo": "eu"}, "inference_geo", id="S4-128"),
    ],
)
def test_field_is_refused_when_valar_does(fields: dict[str, Any], param: str) -> None:
    """By name."""
    assert refused(fields) == param


def test_s4_129_count_tokens_is_not_there() -> None:
    """On Valar; `open` has it."""
    paths = {surface.path for surface in build_surfaces(load("valar"))}
    assert "/v1/messages" in paths
    assert "/v1/messages/count_tokens" not in paths
    assert {surface.dialect.name for surface in build_surfaces(load("open"))} >= {
        MESSAGES.name,
        COUNT_TOKENS.name,
    }


@pytest.mark.parametrize("version", [b"2026-10-21", b"nonsense", None])
def test_s4_145_version_is_not_looked_at(version: bytes | None) -> None:
    """None, any, or nonsense: the target is asked under the version that takes sampling fields."""
    headers = {} if version is None else {b"anthropic-version": version}
    assert ask({"temperature": 0.5}, headers).headers == (("anthropic-version", "2023-06-01"),)


@pytest.mark.parametrize("preset", ["valley", "aurora", "aurora-v2", "metask"])
def test_messages_are_not_there_when_a_preset_stands_in_for_a_chat_api(preset: str) -> None:
    """Only chat is in what they stand in for."""
    assert not {"messages", "count_tokens"} & load(preset).surfaces


def test_c_02_either_header_carries_the_key_of_a_retry() -> None:
    """On messages alone: chat knows one."""
    headers = {surface.path: surface.retry_headers for surface in build_surfaces(load("valar"))}
    assert headers["/v1/messages"] == (b"idempotency-key", b"anthropic-idempotency-key")
    assert headers["/v1/chat/completions"] == (b"idempotency-key",)
