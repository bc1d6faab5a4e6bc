"""Chat requests: the whole contract is taken, and no mutation of it gets past the rows or breaks them."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.chat import CHAT, decode
from ingot.dialects.dialect import Call, Image
from ingot.errors import ApiError, InvalidRequest
from ingot.schemas import SCHEMA_DEPTH

FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TEXT = {"type": "text", "text": "x"}
FULL: dict[str, Any] = {
    "model": "org/model:tag",
    "messages": [
        {"role": "developer", "content": [TEXT], "name": "d"},
        {"role": "system", "content": "x"},
        {
            "role": "user",
            "name": "u",
            "content": [
                {**TEXT, "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "original"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "f", "filename": "n"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "audio": {"id": "a"}},
        {"role": "tool", "content": [TEXT], "tool_call_id": "c1"},
        {
            "role": "assistant",
            "content": [TEXT, {"type": "refusal", "refusal": "no"}],
            "tool_calls": [{"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}}],
            "function_call": {"name": "f", "arguments": ""},
            "reasoning_content": "unknown keys are welcome",
        },
        {"role": "function", "name": "f", "content": None},
    ],
    "audio": {"format": "opus", "voice": {"id": "v"}},
    "frequency_penalty": -2,
    "function_call": {"name": "f"},
    "functions": [FUNCTION],
    "logit_bias": {"50256": -100, "7": 0.5},
    "logprobs": True,
    "max_completion_tokens": 7,
    "max_tokens": 9,
    "metadata": {"k" * 64: "v" * 512},
    "modalities": ["text", "audio"],
    "moderation": {"model": "m", "policy": {"input": {"mode": "score"}, "output": {"mode": "block"}}},
    "n": 128,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": [TEXT]},
    "presence_penalty": 2.0,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "max",
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
    "safety_identifier": "s" * 128,
    "seed": -(2**63),
    "service_tier": "fast",
    "stop": ["a", "b", "c", "d"],
    "store": True,
    "stream": True,
    "stream_options": {"include_usage": True, "include_obfuscation": False},
    "temperature": 2,
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function"}]},
    },
    "tools": [
        {"type": "function", "function": FUNCTION},
        {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
        {
            "type": "custom",
            "custom": {
                "name": "h",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}},
            },
        },
    ],
    "top_logprobs": 20,
    "top_p": 0.0,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"city": "Bern"}},
    },
    "top_k": 40,
    "chat_template_kwargs": {"enable_thinking": None},
}

# The fields that the contract lets be null; the others may only be absent.
NULLABLE = {
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "moderation",
    "n",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "top_logprobs",
    "top_p",
    "verbosity",
}
UNKNOWN = {"top_k", "chat_template_kwargs"}

JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        10**9,
        "",
        "x" * 600,
        [],
        [None],
        {},
        {"type": "x"},
        {"role": "user"},
        [[{}]],
        {"a": {}},
    ]
)


def minimal(**fields: Any) -> bytes:
    """The least request, and `fields`."""
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}).encode()


def refusal(**fields: Any) -> InvalidRequest:
    """The error that `fields` are refused with."""
    with pytest.raises(InvalidRequest) as caught:
        decode(minimal(**fields))
    return caught.value


def error_of(data: bytes) -> ApiError | None:
    """The error that `data` is refused with, if it is."""
    try:
        decode(data)
    except ApiError as error:
        return error
    return None


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places in a tree."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        found += paths(child, (*path, key))
    return found


def test_decode_when_everything_is_used() -> None:
    """A request with every field of the contract is taken, and what matters of it is told."""
    data = json.dumps(FULL).encode()
    call = decode(data)
    image = Image(("messages", 2, "content", 1, "image_url", "url"), "https://x/y.png")
    assert call == Call(
        model="org/model:tag",
        body=call.body,
        stream=True,
        wants_usage=True,
        n=128,
        max_tokens=7,
        images=(image,),
        files=call.files,
        schemas=call.schemas,
    )
    assert [(each.field, each.schema, each.demanded) for each in call.schemas] == [
        ("tools[0].function.parameters", {"type": "object"}, True),
        ("functions[0].parameters", {"type": "object"}, True),
        ("response_format.json_schema.schema", {"type": "object"}, True),
    ]
    assert image.field == "messages[2].content[1].image_url.url"
    assert call.body.data is data
    assert call.body.value == FULL


def test_token_of_a_bias_is_refused_when_a_line_ends_behind_it() -> None:
    """A number is all digits, to its end."""
    refused = refusal(logit_bias={"5\n": 1})
    assert (refused.param, refused.status) == ("logit_bias", 400)
    assert "that matches ^[0-9]+$" in refused.message


def test_decode_when_minimal() -> None:
    """The least request has the contract's defaults."""
    call = decode(minimal())
    assert (call.model, call.stream, call.wants_usage, call.n, call.max_tokens) == (
        "m",
        False,
        False,
        1,
        None,
    )
    assert decode(minimal(max_tokens=9)).max_tokens == 9
    assert not decode(minimal(stream=True, stream_options={"include_usage": None})).wants_usage


@pytest.mark.parametrize("field", sorted(FULL))
def test_decode_when_field_is_null(field: str) -> None:
    """Null is taken where the contract takes it, and refused elsewhere by the field's name."""
    null = {field: None, **({"stream": True} if field == "stream_options" else {})}
    if field in NULLABLE | UNKNOWN:
        assert field in decode(minimal(**null)).body.value
    else:
        error = refusal(**null)
        assert (error.param, error.code) == (field, "invalid_type")


@pytest.mark.parametrize("field", sorted(set(FULL) - UNKNOWN))
def test_decode_when_type_is_wrong(field: str) -> None:
    """Each known field refuses a value of a type that it never has, and says what would be right."""
    error = refusal(**{field: [[0]] if not isinstance(FULL[field], list) else 0})
    assert error.param is not None
    assert error.param.startswith(field)
    assert error.code == "invalid_type"
    assert "expected" in error.message


@given(st.sampled_from(paths(FULL)), JUNK)
def test_decode_when_mutated(path: tuple[Any, ...], junk: Any) -> None:
    """A request with junk in any one place is a call or an ApiError that can be encoded, and nothing else."""
    value = copy.deepcopy(FULL)
    node = value
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = junk
    error = error_of(json.dumps(value).encode())
    if error is not None:
        assert error.param is not None
        assert json.loads(CHAT.encode_error(error, "r")[1])["error"]["param"] == error.param


@given(st.sampled_from(paths(FULL)))
def test_decode_when_something_is_missing(path: tuple[Any, ...]) -> None:
    """A request that lacks any one thing is a call, or an error that names the place."""
    value = copy.deepcopy(FULL)
    node = value
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    with suppress(ApiError):
        decode(json.dumps(value).encode())


@pytest.mark.parametrize(
    "echo", [{"tool_calls": []}, {"tool_calls": None}, {"function_call": None}, {"content": ""}]
)
def test_decode_when_answer_is_sent_back(echo: dict[str, Any]) -> None:
    """An assistant message as some servers write it is taken back as it is."""
    assert decode(minimal(messages=[{"role": "assistant", "content": "x", "annotations": [], **echo}])).n == 1


@pytest.mark.parametrize("choice", ["none", "auto"])
def test_decode_when_tool_choice_demands_nothing(choice: str) -> None:
    """A choice that demands no call needs no tools."""
    assert decode(minimal(tool_choice=choice)).model == "m"


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("required", "tool_choice"),
        ({"type": "function", "function": {"name": "f"}}, "tool_choice"),
    ],
)
def test_decode_when_tools_are_missing(choice: Any, param: str) -> None:
    """A choice that demands a call needs tools."""
    assert refusal(tool_choice=choice).param == param


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ({"type": "function", "function": {"name": "g"}}, "tool_choice.function.name"),
        ({"type": "custom", "custom": {"name": "f"}}, "tool_choice.custom.name"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
            "tool_choice.allowed_tools.tools",
        ),
    ],
)
def test_decode_when_chosen_tool_is_unknown(choice: Any, param: str) -> None:
    """A named tool must be among the tools, of its own kind."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert refusal(tools=tools, tool_choice=choice).param == param
    assert decode(minimal(tools=tools, tool_choice={"type": "function", "function": {"name": "f"}})).n == 1


def nested(levels: int) -> dict[str, Any]:
    """An object so many levels deep."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"items": value}
    return value


@pytest.mark.parametrize(
    ("place", "param"),
    [
        (
            lambda s: {"tools": [{"type": "function", "function": {"name": "f", "parameters": s}}]},
            "tools[0].function.parameters",
        ),
        (lambda s: {"functions": [{"name": "f", "parameters": s}]}, "functions[0].parameters"),
        (
            lambda s: {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": s}}},
            "response_format.json_schema.schema",
        ),
    ],
)
def test_decode_when_schema_is_out_of_bounds(place: Any, param: str) -> None:
    """Schemas are bounded in depth and size before any engine compiles them."""
    assert decode(minimal(**place(nested(SCHEMA_DEPTH)))).n == 1
    error = refusal(**place(nested(SCHEMA_DEPTH + 1)))
    assert (error.param, "16 levels" in error.message) == (param, True)
    assert decode(minimal(**place({"x": "y" * 32_000}))).n == 1
    error = refusal(**place({"x": "y" * 33_000}))
    assert (error.param, "32768 bytes" in error.message) == (param, True)
    # A long prompt beside a small schema is no large schema.
    assert decode(minimal(user="u" * 40_000, **place({}))).n == 1


def test_decode_when_grammar_is_too_large() -> None:
    """A grammar has the bound of a schema."""
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "é" * 17_000}}
    error = refusal(tools=[{"type": "custom", "custom": {"name": "g", "format": grammar}}])
    assert error.param == "tools[0].custom.format.grammar.definition"
