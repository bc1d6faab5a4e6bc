"""The demo model behind the embedded engine, through the official client: what a newcomer tries in the first minutes.

Its words are its own and change with its training; what is asserted here holds for any model behind a grammar.
"""

import json
import math
from collections.abc import Iterator
from typing import Literal

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionUserMessageParam
from pydantic import BaseModel, Field

from served import Served

MODEL = "demo-tiny"
HELLO: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hello! What is this server?"}]
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                # Every value is bounded: a small model may never end a free string by itself.
                "city": {"type": "string", "maxLength": 12},
                "unit": {"enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


class Pet(BaseModel):
    """What a structured answer must fit."""

    kind: Literal["cat", "dog"]
    tame: bool
    toys: list[Literal["ball", "bone"]] = Field(min_length=1, max_length=2)


@pytest.fixture(scope="module")
def client(demo: Served) -> Iterator[OpenAI]:
    """The client as a newcomer makes it, but for its patience."""
    with OpenAI(base_url=demo.v1, api_key=demo.key, timeout=60, max_retries=0) as made:
        yield made


def test_demo_when_listed(client: OpenAI) -> None:
    """The demo model is the only one there and says whose it is."""
    [model] = client.models.list()
    assert (model.id, model.owned_by) == (MODEL, "bundled-demo")
    assert client.models.retrieve(MODEL) == model


def test_demo_when_greeted(client: OpenAI) -> None:
    """It answers with text of its own and counts its tokens."""
    answer = client.chat.completions.create(model=MODEL, messages=HELLO)
    choice = answer.choices[0]
    assert answer.model == MODEL
    assert (choice.message.content or "").strip()
    assert choice.finish_reason in {"stop", "length"}
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0


def test_demo_when_its_answer_is_limited(client: OpenAI) -> None:
    """A limit of tokens is kept to the token, whichever of its two names it comes under."""
    schema = {"type": "object", "properties": {"text": {"type": "string", "minLength": 200}}}
    for limit in ({"max_tokens": 5}, {"max_completion_tokens": 5}):
        answer = client.chat.completions.create(
            model=MODEL,
            messages=HELLO,
            extra_body=limit,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "long", "schema": {**schema, "required": ["text"]}},
            },
        )
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 5


@pytest.mark.parametrize("counted", [True, False], ids=["with usage", "without usage"])
def test_demo_when_streamed(client: OpenAI, counted: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Role first, then text, one finish reason, and usage if it was asked for."""
    options = {"stream_options": {"include_usage": True}} if counted else {}
    with client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, extra_body=options
    ) as stream:
        chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {MODEL}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices).strip()
    talk = chunks[:-1] if counted else chunks
    assert [bool(chunk.choices[0].finish_reason) for chunk in talk] == [False] * (len(talk) - 1) + [True]
    assert not any(chunk.usage for chunk in talk)
    if counted:
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens > 0


def test_demo_when_two_choices_are_asked_for(client: OpenAI) -> None:
    """What the engine cannot count is refused by name."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=HELLO, n=2, max_tokens=6)
    assert (caught.value.param, caught.value.code) == ("n", "unsupported_parameter")


def test_demo_when_a_schema_is_demanded(client: OpenAI) -> None:
    """The engine's grammar makes every answer fit the schema, streamed or not."""
    asked: list[ChatCompletionUserMessageParam] = [
        {"role": "user", "content": "Rex is a tame dog with a ball."}
    ]
    for _ in range(3):
        answer = client.chat.completions.parse(model=MODEL, messages=asked, response_format=Pet)
        assert isinstance(answer.choices[0].message.parsed, Pet)
    with client.chat.completions.stream(model=MODEL, messages=asked, response_format=Pet) as stream:
        final = stream.until_done().get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Pet)


def test_demo_when_any_json_will_do(client: OpenAI) -> None:
    """`json_object` gives JSON."""
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Anna is 31. Answer in JSON."}],
        response_format={"type": "json_object"},
        max_tokens=400,
    )
    choice = answer.choices[0]
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content or ""), dict)


def test_demo_when_logprobs_are_asked_for(client: OpenAI) -> None:
    """Each token has a logarithm and its alternatives, the best one first."""
    answer = client.chat.completions.create(
        model=MODEL, messages=HELLO, logprobs=True, top_logprobs=3, max_tokens=4
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    for item in logprobs.content:
        assert item.logprob <= 0
        assert len(item.top_logprobs) == 3
        ranked = [each.logprob for each in item.top_logprobs]
        assert ranked == sorted(ranked, reverse=True)
    said = b"".join(bytes(item.bytes or []) for item in logprobs.content)
    assert said.decode(errors="ignore").startswith(answer.choices[0].message.content or "")


def test_demo_when_a_tool_is_required(client: OpenAI) -> None:
    """A required tool is called, with arguments that fit its schema."""
    asked: list[ChatCompletionUserMessageParam] = [
        {"role": "user", "content": "What is the weather in Paris?"}
    ]
    answer = client.chat.completions.create(
        model=MODEL,
        messages=asked,
        tools=[WEATHER],
        tool_choice="required",
        # A small model may go on calling for ever.
        parallel_tool_calls=False,
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    call = (choice.message.tool_calls or [])[0]
    assert call.type == "function"
    assert call.id
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"city", "unit"}
    assert arguments["unit"] in {"celsius", "fahrenheit"}
    after = client.chat.completions.create(
        model=MODEL,
        messages=[
            *asked,
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": '{"sky": "clear", "degrees": 21}'},
        ],
        tools=[WEATHER],
        tool_choice="none",
        max_tokens=40,
    )
    assert after.choices[0].message.content


def test_demo_when_a_tool_call_is_streamed(client: OpenAI) -> None:
    """The fragments of a call add up: id and name first, then arguments."""
    with client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        stream=True,
    ) as stream:
        chunks = list(stream)
    pieces = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    first = pieces[0]
    assert first.id
    assert first.function is not None
    assert first.function.name == "get_weather"
    assert all(piece.index == 0 for piece in pieces)
    spoken = "".join(piece.function.arguments or "" for piece in pieces if piece.function)
    assert set(json.loads(spoken)) == {"city", "unit"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_demo_when_embedding(client: OpenAI) -> None:
    """The demo shows every surface: embeddings come as floats and as base64, alike and of length one."""
    packed = client.embeddings.create(model=MODEL, input=["hello", "goodbye"])
    plain = client.embeddings.create(model=MODEL, input=["hello", "goodbye"], encoding_format="float")
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-3)
        assert math.hypot(*one.embedding) == pytest.approx(1.0, abs=1e-3)


def test_demo_when_completing(client: OpenAI) -> None:
    """Legacy completions go on from a prompt, whole and streamed."""
    whole = client.completions.create(model=MODEL, prompt="Hello", max_tokens=8)
    assert whole.object == "text_completion"
    assert whole.usage is not None
    with client.completions.create(model=MODEL, prompt="Hello", max_tokens=8, stream=True) as stream:
        chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason in {"stop", "length"}


def test_demo_when_the_prompt_is_too_long(client: OpenAI) -> None:
    """A prompt beyond the context is the client's to mend and says so."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hello there " * 60_000}]
        )
    assert caught.value.code == "context_length_exceeded"


def test_answer_ends_when_no_limit_was_set(demo: Served) -> None:
    """A request without a limit of its own cannot hold a slot until the context is full."""
    body = {
        "model": "demo-tiny",
        "messages": [{"role": "user", "content": "Hello"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "endless",
                "schema": {
                    "type": "object",
                    "properties": {"words": {"type": "array", "items": {"type": "string"}, "minItems": 900}},
                    "required": ["words"],
                },
            },
        },
    }
    status, _, answer = demo.call("/v1/chat/completions", body)
    assert status == 200, answer
    told = json.loads(answer)
    assert told["choices"][0]["finish_reason"] == "length"
    assert told["usage"]["completion_tokens"] == 1024
