"""`/v1/responses` on the embedded engine: state, and schemas that hold as they do on chat.

The demo model knows next to nothing, so that only the grammar can make its answers fit.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from anthropic import Anthropic
from openai import OpenAI
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel, ConfigDict, Field

from messagehouse import ask, events
from served import Served

MODEL = "demo-tiny"
PATH = "/v1/responses"


class Weather(BaseModel):
    """What is demanded."""

    model_config = ConfigDict(extra="forbid")
    city: str = Field(min_length=1, max_length=12)
    sky: Literal["clear", "cloudy"]
    degrees: int = Field(ge=-40, le=50)


TOOL: FunctionToolParam = {
    "type": "function",
    "name": "report",
    "parameters": Weather.model_json_schema(),
    "strict": True,
}


@pytest.fixture(scope="module")
def client(demo: Served) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(base_url=demo.v1, api_key=demo.key, max_retries=0, timeout=120) as made:
        yield made


def test_response_is_stored_and_gone_on_from_when_the_engine_answers(client: OpenAI) -> None:
    """The bundled model serves the whole of it."""
    first = client.responses.create(model=MODEL, input="Hello.", max_output_tokens=8)
    assert first.model == MODEL
    assert client.responses.retrieve(first.id).output_text == first.output_text
    second = client.responses.create(
        model=MODEL, input="And then?", previous_response_id=first.id, max_output_tokens=8
    )
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens
    assert len(client.responses.input_items.list(second.id).data) == 3


def test_answer_fits_when_a_schema_is_demanded(client: OpenAI) -> None:
    """Whole and streamed, whatever the prompt."""
    for prompt in ("Hello!", "Answer in plain text only. No JSON."):
        told = client.responses.parse(model=MODEL, input=prompt, text_format=Weather, temperature=1.2)
        assert isinstance(told.output_parsed, Weather)
    with client.responses.stream(model=MODEL, input="{}", text_format=Weather, temperature=1.2) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Weather)


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "name": "report"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "report"}]},
    ],
)
def test_call_fits_when_it_is_demanded(demo: Served, choice: Any) -> None:
    """One call of the tool, whose arguments fit, whole and streamed."""
    other = {**TOOL, "name": "other"}
    tools = [other, TOOL] if choice != "required" else [TOOL]
    body = {"model": MODEL, "input": "Do not call any tool.", "tools": tools, "tool_choice": choice}
    _, _, answer, _ = ask(demo, {**body, "temperature": 1.2}, path=PATH)
    _, _, streamed, _ = ask(demo, {**body, "temperature": 1.2, "stream": True}, path=PATH)
    name, last = events(streamed)[-1]
    assert name == "response.completed"
    for response in (json.loads(answer), last["response"]):
        (call,) = response["output"]
        assert (call["type"], call["name"]) == ("function_call", "report")
        Weather.model_validate_json(call["arguments"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "x",
                        "schema": {"type": "object", "propertyNames": {"maxLength": 3}},
                    }
                }
            },
            "text.format.schema.propertyNames",
        ),
        (
            {
                "tools": [
                    {"type": "function", "name": "plain", "parameters": None},
                    {
                        "type": "function",
                        "name": "f",
                        "strict": True,
                        "parameters": {"type": "object", "minProperties": 2},
                    },
                ]
            },
            "tools[1].parameters.minProperties",
        ),
        (
            {
                "input": [
                    {
                        "role": "user",
                        "content": [{"type": "input_image", "image_url": "data:image/png;base64,aGk="}],
                    }
                ]
            },
            "input[0].content[0].image_url",
        ),
    ],
)
def test_place_is_named_when_the_engine_cannot_hold_it(
    demo: Served, fields: dict[str, Any], param: str
) -> None:
    """A 400 in the words of the client's own body."""
    status, _, answer, _ = ask(demo, {"model": MODEL, "input": "Hi.", **fields}, path=PATH)
    error = json.loads(answer)["error"]
    assert (status, error["param"]) == (400, param), answer


def test_tool_input_fits_when_a_client_of_messages_demands_a_call(demo: Served) -> None:
    """The same grammar for Anthropic's clients."""
    with Anthropic(base_url=demo.url, api_key=demo.key, max_retries=0, timeout=120) as client:
        message = client.messages.create(
            model=MODEL,
            max_tokens=128,
            messages=[{"role": "user", "content": "Do not call any tool."}],
            tools=[{"name": "report", "input_schema": Weather.model_json_schema()}],
            tool_choice={"type": "any"},
        )
    (block,) = message.content
    assert block.type == "tool_use"
    assert message.stop_reason == "tool_use"
    Weather.model_validate(block.input)


@pytest.mark.parametrize("arguments", ["not json", "", '{"city":'])
def test_history_is_refused_by_its_place_when_arguments_are_no_json(demo: Served, arguments: str) -> None:
    """The engine's template reads them; the client can mend what is named, on chat and on responses."""
    function = {"name": "report", "arguments": arguments}
    calls = [{"id": "c", "type": "function", "function": function}]
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c", "content": "Rain."},
    ]
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "c", **function},
        {"type": "function_call_output", "call_id": "c", "output": "Rain."},
    ]
    for path, field, held, where in (
        ("/v1/chat/completions", "messages", chat, "messages[1].tool_calls[0].function.arguments"),
        (PATH, "input", items, "input[1].arguments"),
    ):
        status, _, answer, _ = ask(demo, {"model": MODEL, field: held}, path=path)
        error = json.loads(answer)["error"]
        assert (status, error["param"], error["code"]) == (400, where, "invalid_value")
        assert where in error["message"]


def test_history_is_answered_when_arguments_are_json(demo: Served) -> None:
    """As the engine takes it."""
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "c", "name": "report", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Rain."},
    ]
    status, _, _, _ = ask(demo, {"model": MODEL, "input": items, "max_output_tokens": 4}, path=PATH)
    assert status == 200
