"""Tools and structured answers with the official OpenAI client for Python, against a relay on a real port.

What the upstream says is a function of the prompt, so that every test knows the right answer: see `upstream_answers`.
"""

from typing import Literal

import openai
import pytest
from openai import OpenAI
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCall,
)
from pydantic import BaseModel

from pictures import data_uri, png
from standing import NAMES, Standing, says

WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}


class Person(BaseModel):
    """What structured answers are parsed into."""

    name: str
    age: int
    mood: Literal["glad", "grim"]


def test_chat_with_every_kind_of_message(client: OpenAI) -> None:
    """Developer, parts with an image, an earlier tool call and its result all pass the checks."""
    answer = client.chat.completions.create(
        model="mock",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": data_uri(png())}},
                ],
            },
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        ],
        tools=[WEATHER],
    )
    assert answer.choices[0].message.content == "The tool said: rain"


@pytest.mark.parametrize("model", NAMES)
def test_image_arrives_when_it_is_shown(client: OpenAI, standing: Standing, model: str) -> None:
    """As it was sent, to the byte."""
    url = data_uri(png(16, 16))
    text = f"echo: seen by {model}"
    answer = client.chat.completions.create(
        model=model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": text},
                    {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
                ],
            }
        ],
    )
    assert answer.choices[0].message.content == f"seen by {model}"
    (record,) = standing.received(text)
    assert record.json is not None
    assert record.json["messages"][0]["content"][1]["image_url"] == {"url": url, "detail": "low"}


def _function(call: object) -> tuple[str, str]:
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    return call.function.name, call.function.arguments


@pytest.mark.parametrize("model", NAMES)
def test_tools_when_the_model_calls_two(client: OpenAI, model: str) -> None:
    """Parallel tool calls come with ids, names and arguments."""
    prompt = 'call weather with {"city": "Oslo"} and call weather with {"city": "Bergen"}'
    answer = client.chat.completions.create(model=model, messages=says(prompt), tools=[WEATHER])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls = choice.message.tool_calls or []
    assert [_function(call) for call in calls] == [
        ("weather", '{"city": "Oslo"}'),
        ("weather", '{"city": "Bergen"}'),
    ]
    assert len({call.id for call in calls}) == 2


def test_tools_when_streamed_in_fragments(client: OpenAI) -> None:
    """Id and name come in the first delta of a call's index, then pieces of its arguments."""
    prompt = 'call weather with {"city": "Oslo", "days": 3} and call weather with {"city": "Rome"}'
    with client.chat.completions.create(
        model="mock", messages=says(prompt), tools=[WEATHER], stream=True
    ) as stream:
        chunks = list(stream)
    fragments = [
        call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []
    ]
    for index, wanted in enumerate(['{"city": "Oslo", "days": 3}', '{"city": "Rome"}']):
        first, *rest = [fragment for fragment in fragments if fragment.index == index]
        assert first.id
        assert first.type == "function"
        assert first.function is not None
        assert (first.function.name, first.function.arguments) == ("weather", "")
        assert all(fragment.id is None for fragment in rest)
        assert len(rest) > 1
        assert "".join(fragment.function.arguments or "" for fragment in rest if fragment.function) == wanted
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_tools_when_the_choice_is_forced_or_forbidden(client: OpenAI) -> None:
    """`tool_choice` arrives in all its forms: none, required, a named function."""
    asked = says("What is the weather?")
    forbidden = client.chat.completions.create(
        model="mock",
        messages=says('call weather with {"city": "Oslo"}'),
        tools=[WEATHER],
        tool_choice="none",
    )
    assert forbidden.choices[0].message.tool_calls is None
    required = client.chat.completions.create(
        model="mock", messages=asked, tools=[WEATHER], tool_choice="required"
    )
    named = client.chat.completions.create(
        model="mock",
        messages=asked,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )
    for answer in (required, named):
        [call] = answer.choices[0].message.tool_calls or []
        assert _function(call)[0] == "weather"


def test_tools_when_one_is_custom(client: OpenAI) -> None:
    """A custom tool gets free text."""
    answer = client.chat.completions.create(
        model="mock",
        messages=says("Run it."),
        tools=[{"type": "custom", "custom": {"name": "shell"}}],
        tool_choice="required",
    )
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "custom"
    assert call.custom.name == "shell"


def test_tools_when_parsed_into_a_model(client: OpenAI) -> None:
    """A strict function made from a pydantic model comes back as an instance of it."""
    answer = client.chat.completions.parse(
        model="mock",
        messages=says('call Person with {"name": "Ada", "age": 36, "mood": "glad"}'),
        tools=[openai.pydantic_function_tool(Person)],
    )
    [call] = answer.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Person(name="Ada", age=36, mood="glad")


@pytest.mark.parametrize("model", NAMES)
def test_parse_when_a_model_is_the_format(client: OpenAI, model: str) -> None:
    """`.parse()` sends a JSON schema and makes an instance of the answer."""
    answer = client.chat.completions.parse(
        model=model, messages=says("Describe somebody."), response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="text", age=0, mood="glad")


def test_parse_when_streamed(client: OpenAI) -> None:
    """The streaming helper parses what the deltas add up to."""
    with client.chat.completions.stream(
        model="mock", messages=says("Describe somebody."), response_format=Person
    ) as stream:
        final = stream.until_done().get_final_completion()
    assert final.choices[0].message.parsed == Person(name="text", age=0, mood="glad")


def test_parse_when_the_answer_is_cut_or_refused(client: OpenAI) -> None:
    """A cut answer raises, a refusal is told as one."""
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="mock", messages=says("{{finish length}} Describe somebody."), response_format=Person
        )
    refused = client.chat.completions.parse(
        model="mock", messages=says("refuse: not this one"), response_format=Person
    )
    assert refused.choices[0].message.refusal == "not this one"
    assert refused.choices[0].message.parsed is None


def test_response_format_when_any_json_will_do(client: OpenAI) -> None:
    """`json_object` arrives as it was sent."""
    answer = client.chat.completions.create(
        model="mock", messages=says("echo: hi"), response_format={"type": "json_object"}
    )
    assert answer.choices[0].message.content == '{"answer": "hi"}'
