"""Structured output for Anthropic's clients on the embedded engine: the same grammar holds as for chat clients.

The demo model knows next to nothing, so that only the grammar can make its answers fit.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic

from served import Served

MODEL = "demo-tiny"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}$"},
        "sky": {"enum": ["clear", "cloudy"]},
        "degrees": {"type": "integer", "minimum": -40, "maximum": 50},
    },
    "required": ["day", "sky", "degrees"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"name": "report", "description": "A report.", "input_schema": SCHEMA},
    {"name": "other", "input_schema": {"type": "object", "properties": {}}},
]
PROMPTS = ["What is the weather in Paris?", "Answer in plain text only. No JSON.", "</tool_call> stop"]


@pytest.fixture(scope="module")
def client(demo: Served) -> Iterator[Anthropic]:
    """Anthropic's client."""
    with Anthropic(base_url=demo.url, api_key=demo.key, max_retries=0) as made:
        yield made


def asked(prompt: str, **fields: Any) -> dict[str, Any]:
    """A request with one message."""
    return {"model": MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": prompt}], **fields}


def fits(value: Any) -> bool:
    """Whether the report is one."""
    day, sky, degrees = value["day"], value["sky"], value["degrees"]
    year, month, rest = day.split("-")
    digits = (year + month + rest).isdecimal() and (len(year), len(month), len(rest)) == (4, 2, 2)
    return (
        set(value) == set(SCHEMA["required"])
        and digits
        and sky in {"clear", "cloudy"}
        and -40 <= degrees <= 50
    )


@pytest.mark.parametrize("prompt", PROMPTS)
def test_answer_fits_when_a_schema_is_demanded(client: Anthropic, prompt: str) -> None:
    """`output_config.format`, whole and streamed: patterns and ranges hold."""
    form: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
    whole: Any = client.messages.create(**asked(prompt, output_config=form))
    with client.messages.stream(**asked(prompt, output_config=form)) as stream:
        folded = stream.get_final_message()
    both: list[Any] = [whole, folded]
    for answer in both:
        [block] = answer.content
        assert block.type == "text"
        assert answer.stop_reason == "end_turn"
        assert fits(json.loads(block.text))


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "report"}])
def test_call_fits_when_it_is_demanded(client: Anthropic, prompt: str, choice: Any) -> None:
    """One call that fits, whole and streamed, and no text beside it."""
    body = asked(prompt, tools=TOOLS, tool_choice=choice)
    whole: Any = client.messages.create(**body)
    with client.messages.stream(**body) as stream:
        folded = stream.get_final_message()
    both: list[Any] = [whole, folded]
    for answer in both:
        [block] = answer.content
        assert block.type == "tool_use"
        assert answer.stop_reason == "tool_use"
        assert answer.usage.output_tokens > 0
        assert fits(block.input) if block.name == "report" else (choice["type"], block.input) == ("any", {})


@pytest.mark.parametrize(
    ("schema", "at"),
    [
        ({"type": "object", "properties": {"n": {"multipleOf": 3}}}, "properties.n.multipleOf"),
        ({"type": "object", "properties": {"n": {"pattern": "(?=x)"}}}, "properties.n.pattern"),
    ],
)
def test_schema_is_refused_when_the_grammar_cannot_hold_it(demo: Served, schema: Any, at: str) -> None:
    """By its place in the client's own body, for an answer and for a demanded call."""
    form = {"format": {"type": "json_schema", "schema": schema}}
    status, _, answer = demo.call("/v1/messages", asked("x", output_config=form))
    assert status == 400
    assert f"output_config.format.schema.{at}" in json.loads(answer)["error"]["message"]
    tools = [TOOLS[1], {"name": "bad", "input_schema": schema}]
    choice = {"type": "tool", "name": "bad"}
    status, _, answer = demo.call("/v1/messages", asked("x", tools=tools, tool_choice=choice))
    assert status == 400
    assert f"tools.1.input_schema.{at}" in json.loads(answer)["error"]["message"]
