"""Where a chat request brings schemas, and which of their faults are told at once."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ingot.catalog import ENGINE_QUIRKS, Quirks
from ingot.dialects.chat import CHAT, decode
from ingot.errors import InvalidRequest, Unsupported

LOOKING = {"type": "object", "properties": {"mail": {"type": "string", "pattern": r"^(?!\.)\S+@\S+$"}}}
ENDLESS = {"$ref": "#"}
FUNCTION = {"type": "function", "function": {"name": "f"}}
FIRST = "tools[0].function.parameters"


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}).encode()


def tool(schema: Any, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": schema, **more}}


def answer(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": answer(LOOKING)}, "response_format.json_schema.schema.properties.mail.pattern"),
        ({"tools": [tool(LOOKING, strict=True)]}, f"{FIRST}.properties.mail.pattern"),
        ({"tools": [tool(LOOKING)], "tool_choice": "required"}, f"{FIRST}.properties.mail.pattern"),
        ({"tools": [tool(LOOKING)], "tool_choice": FUNCTION}, f"{FIRST}.properties.mail.pattern"),
        (
            {
                "tools": [tool(LOOKING)],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [FUNCTION]},
                },
            },
            f"{FIRST}.properties.mail.pattern",
        ),
        ({"functions": [{"name": "f", "parameters": ENDLESS}]}, "functions[0].parameters.$ref"),
        ({"tools": [tool(ENDLESS)]}, f"{FIRST}.$ref"),
        ({"response_format": answer(ENDLESS)}, "response_format.json_schema.schema.$ref"),
    ],
)
def test_decode_when_schema_is_refused(fields: dict[str, Any], param: str) -> None:
    """A pattern with look-around is refused where the schema is demanded, and what no engine can bear everywhere."""
    with pytest.raises(InvalidRequest) as caught:
        decode(body(**fields))
    assert caught.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [tool({"type": "object"}, "g"), tool(LOOKING)]},
        {"tools": [tool({"type": "object"}, "g"), tool(LOOKING)], "tool_choice": "auto"},
        {
            "tools": [tool({"type": "object"}, "g"), tool(LOOKING)],
            "tool_choice": {"type": "function", "function": {"name": "g"}},
        },
        {"functions": [{"name": "f", "parameters": LOOKING}]},
    ],
)
def test_check_target_when_pattern_is_a_hint(fields: dict[str, Any]) -> None:
    """In a tool that nothing demands such a pattern only describes, and llama.cpp alone compiles it."""
    call = decode(body(**fields))
    CHAT.check_target(call, Quirks(), "m")
    assert CHAT.prepare(call, model="m", quirks=Quirks()) is call.body.data
    with pytest.raises(InvalidRequest, match="looks around") as caught:
        CHAT.check_target(call, ENGINE_QUIRKS, "m")
    assert str(caught.value.param).endswith(".properties.mail.pattern")


def test_check_target_when_schema_is_only_a_hint() -> None:
    """What llama.cpp's grammar leaves out matters only where it is demanded."""
    schema = {"type": "object", "properties": {"n": {"type": "number", "minimum": 1}}}
    CHAT.check_target(decode(body(tools=[tool(schema)])), ENGINE_QUIRKS, "m")
    with pytest.raises(Unsupported, match="'minimum'"):
        CHAT.check_target(decode(body(tools=[tool(schema, strict=True)])), ENGINE_QUIRKS, "m")
    CHAT.check_target(decode(body(tools=[tool(schema, strict=True)])), Quirks(), "m")


def test_prepare_when_target_is_llama() -> None:
    """Patterns reach llama.cpp in its own form, in answers and in tools; other targets get the client's bytes."""
    schema = {"type": "object", "properties": {"d": {"type": "string", "pattern": r"^\d{2}$"}}}
    call = decode(body(tools=[tool(schema)], response_format=answer(schema), temperature=1.0))
    sent = json.loads(CHAT.prepare(call, model="m", quirks=ENGINE_QUIRKS))
    expected = {"type": "object", "properties": {"d": {"type": "string", "pattern": "^[0-9]{2}$"}}}
    assert sent["tools"][0]["function"]["parameters"] == expected
    assert sent["response_format"] == answer(expected)
    assert CHAT.prepare(call, model="m", quirks=Quirks()) is call.body.data


@pytest.mark.parametrize(
    ("fields", "banned"),
    [
        ({}, False),
        ({"response_format": {"type": "text"}}, False),
        ({"response_format": {"type": "json_object"}}, True),
        ({"response_format": answer({"type": "object"})}, True),
        ({"tools": [tool({"type": "object"})], "tool_choice": "required"}, True),
        ({"tools": [tool({"type": "object"})]}, False),
    ],
)
def test_prepare_when_tokens_have_no_text(fields: dict[str, Any], *, banned: bool) -> None:
    """Where a grammar holds the whole answer, tokens that would vanish from it are out of reach; other biases stay."""
    quirks = replace(ENGINE_QUIRKS, silent=(7, 9))
    call = decode(body(logit_bias={"5": 1.5, "7": 100}, **fields))
    sent = json.loads(CHAT.prepare(call, model="m", quirks=quirks))
    assert sent["logit_bias"] == {"5": 1.5, **({"7": False, "9": False} if banned else {"7": 100})}
