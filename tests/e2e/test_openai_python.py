"""The newest official OpenAI client for Python, unmodified, against a relay on a real port.

What the upstream says is a function of the prompt, so that every test knows the right answer: see `upstream_answers`.
"""

from collections.abc import Iterator
from typing import Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import (
    ChatCompletionChunk,
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionUserMessageParam,
)
from pydantic import BaseModel

from standing import Standing
from upstream_opaque import vector

NAMES = ["mock", "org/renamed"]
"""A model that is relayed verbatim, and one whose answers are patched."""

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


def says(text: str) -> list[ChatCompletionUserMessageParam]:
    """A conversation of one user message."""
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def client(standing: Standing) -> Iterator[OpenAI]:
    """The client as a newcomer makes it, but for its patience."""
    with OpenAI(base_url=standing.served.v1, api_key=standing.served.key, timeout=60, max_retries=0) as made:
        yield made


# --- chat ---


@pytest.mark.parametrize("model", NAMES)
def test_chat_when_answered(client: OpenAI, model: str) -> None:
    """Text, finish reason, usage and the public model name arrive."""
    answer = client.chat.completions.create(model=model, messages=says("echo: Hello there"))
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == model
    choice = answer.choices[0]
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello there")
    assert choice.message.refusal is None
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens == 2


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
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
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


def test_chat_when_two_choices_are_asked_for(client: OpenAI) -> None:
    """`n=2` gives two different choices, and usage that counts both."""
    answer = client.chat.completions.create(model="mock", messages=says("words: 6"), n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].message.content != answer.choices[1].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12


def test_chat_when_the_limit_cuts_it(client: OpenAI) -> None:
    """`max_completion_tokens` ends the answer with finish reason `length`, a stop string with `stop`."""
    cut = client.chat.completions.create(model="mock", messages=says("words: 9"), max_completion_tokens=4)
    assert cut.choices[0].finish_reason == "length"
    stopped = client.chat.completions.create(model="mock", messages=says("echo: one two three"), stop="three")
    assert (stopped.choices[0].finish_reason, stopped.choices[0].message.content) == ("stop", "one two ")


def test_chat_when_fields_are_not_openais(client: OpenAI, standing: Standing) -> None:
    """Fields that only some upstream knows reach it untouched."""
    client.chat.completions.create(
        model="mock",
        messages=says("echo: extra fields"),
        seed=7,
        metadata={"team": "a"},
        extra_body={"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}},
    )
    [record] = standing.received("echo: extra fields")
    assert record.json is not None
    assert record.json["top_k"] == 20
    assert record.json["chat_template_kwargs"] == {"enable_thinking": False}
    assert (record.json["seed"], record.json["metadata"]) == (7, {"team": "a"})


def test_chat_when_the_model_reasons(client: OpenAI) -> None:
    """`reasoning_content`, which OpenAI does not have, is still there for those who look."""
    answer = client.chat.completions.create(model="mock", messages=says("think: step by step"))
    assert answer.choices[0].message.model_extra == {"reasoning_content": "step by step"}


# --- streams ---


def _text(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    return "".join(
        choice.delta.content or "" for chunk in chunks for choice in chunk.choices if choice.index == index
    )


@pytest.mark.parametrize("counted", [True, False], ids=["with usage", "without usage"])
@pytest.mark.parametrize("model", NAMES)
def test_stream_in_the_order_of_the_contract(client: OpenAI, model: str, counted: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Role, text, one empty delta with the finish reason, then usage if it was asked for and else no trace of it."""
    options = {"stream_options": {"include_usage": True}} if counted else {}
    with client.chat.completions.create(
        model=model, messages=says("words: 30"), stream=True, extra_body=options
    ) as stream:
        chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].model == model
    assert chunks[0].choices[0].delta.role == "assistant"
    talk, last = (chunks[:-1], chunks[-1]) if counted else (chunks, None)
    reasons = [chunk.choices[0].finish_reason for chunk in talk]
    assert reasons == [None] * (len(talk) - 1) + ["stop"]
    assert not talk[-1].choices[0].delta.content
    assert len(_text(talk).split()) == 30
    assert all(chunk.usage is None for chunk in talk)
    assert all(("usage" in chunk.model_fields_set) is counted for chunk in talk)
    if last is not None:
        assert last.choices == []
        assert last.usage is not None
        assert last.usage.completion_tokens == 30


def test_stream_as_bytes_when_it_ends(client: OpenAI) -> None:
    """Every event is one `data:` line and an empty one, and the last says [DONE]."""
    with client.chat.completions.with_streaming_response.create(
        model="mock", messages=says("words: 3"), stream=True
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        lines = list(response.iter_lines())
    assert all(line.startswith("data: ") for line in lines[::2])
    assert not any(lines[1::2])
    assert [line for line in lines if line][-1] == "data: [DONE]"


def test_stream_of_two_choices_when_they_take_turns(client: OpenAI) -> None:
    """Both choices of a stream come whole, each with a role and a finish reason of its own."""
    with client.chat.completions.create(
        model="mock", messages=says("words: 5"), n=2, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    whole = client.chat.completions.create(model="mock", messages=says("words: 5"), n=2)
    assert [_text(chunks, 0), _text(chunks, 1)] == [choice.message.content for choice in whole.choices]
    ends = [choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert sorted(ends) == [0, 1]
    assert chunks[-1].usage == whole.usage


async def test_stream_when_read_asynchronously(standing: Standing) -> None:
    """The asynchronous client iterates the same stream, several at a time."""
    async with AsyncOpenAI(
        base_url=standing.served.v1, api_key=standing.served.key, timeout=60, max_retries=0
    ) as client:
        streams = [
            await client.chat.completions.create(
                model="mock", messages=says(f"echo: this is number {number}"), stream=True
            )
            for number in range(4)
        ]
        texts = [_text([chunk async for chunk in stream]) for stream in streams]
    assert texts == [f"this is number {number}" for number in range(4)]


def test_stream_helper_when_it_accumulates(client: OpenAI) -> None:
    """`chat.completions.stream` sends its events and puts the whole answer together."""
    with client.chat.completions.stream(
        model="mock", messages=says("words: 4"), stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    # The first delta has the role and an empty text.
    assert kinds.count("content.delta") == 1 + 4
    assert kinds.count("content.done") == 1
    assert len((final.choices[0].message.content or "").split()) == 4
    assert final.usage is not None
    assert final.usage.completion_tokens == 4


# --- tools ---


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


# --- structured answers ---


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


# --- logprobs ---


def test_logprobs_when_asked_for(client: OpenAI) -> None:
    """Each token has its logarithm, its bytes and as many alternatives as were asked for."""
    answer = client.chat.completions.create(
        model="mock", messages=says("echo: one two"), logprobs=True, top_logprobs=3
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert [item.token for item in logprobs.content or []] == ["one", " two"]
    for item in logprobs.content or []:
        assert item.logprob <= 0
        assert bytes(item.bytes or []).decode() == item.token
        assert len(item.top_logprobs) == 3


def test_logprobs_when_streamed(client: OpenAI) -> None:
    """Each delta of a stream has the logprobs of its own tokens."""
    with client.chat.completions.create(
        model="mock", messages=says("echo: one two"), logprobs=True, top_logprobs=2, stream=True
    ) as stream:
        found = [
            (choice.delta.content, [item.token for item in choice.logprobs.content or []])
            for chunk in stream
            for choice in chunk.choices
            if choice.logprobs is not None
        ]
    assert found == [("one", ["one"]), (" two", [" two"])]


# --- the other surfaces ---


@pytest.mark.parametrize("model", NAMES)
def test_embeddings_when_the_encoding_is_the_clients(client: OpenAI, standing: Standing, model: str) -> None:
    """The client asks for base64 by itself and decodes it to the very same numbers."""
    texts = [f"first of {model}", f"second of {model}"]
    packed = client.embeddings.create(model=model, input=texts)
    plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
    formats = [(record.json or {})["encoding_format"] for record in standing.received(texts[0])]
    assert formats == ["base64", "float"]
    assert packed.model == model
    assert [item.index for item in packed.data] == [0, 1]
    expected = [vector(text) for text in texts]
    assert [item.embedding for item in plain.data] == expected
    assert [[float(value) for value in item.embedding] for item in packed.data] == expected
    assert packed.usage.prompt_tokens == packed.usage.total_tokens > 0


def test_embeddings_with_tokens_and_dimensions(client: OpenAI) -> None:
    """Token lists and a number of dimensions are passed through."""
    answer = client.embeddings.create(model="mock", input=[[1, 2, 3], [4]], dimensions=4)
    assert [len(item.embedding) for item in answer.data] == [4, 4]


def test_embeddings_when_the_target_has_none(client: OpenAI) -> None:
    """A model whose targets do not speak this dialect says so and says what it does speak."""
    with pytest.raises(openai.BadRequestError, match="it serves chat") as caught:
        client.embeddings.create(model="chat-only", input="hello")
    assert (caught.value.param, caught.value.code) == ("model", "unsupported_endpoint")


@pytest.mark.parametrize("model", NAMES)
def test_completions_when_whole_and_streamed(client: OpenAI, model: str) -> None:
    """Legacy completions answer both ways, with the same text."""
    whole = client.completions.create(model=model, prompt="words: 5", max_tokens=16)
    with client.completions.create(
        model=model,
        prompt="words: 5",
        max_tokens=16,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    assert whole.object == "text_completion"
    assert whole.model == chunks[0].model == model
    assert whole.choices[0].finish_reason == "stop"
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage


def test_completions_when_usage_was_not_asked_for(client: OpenAI) -> None:
    """The usage that is read for us leaves no trace in the client's stream."""
    with client.completions.create(model="mock", prompt="words: 3", stream=True) as stream:
        chunks = list(stream)
    assert all(chunk.choices and "usage" not in chunk.model_fields_set for chunk in chunks)


def test_models_when_listed_and_retrieved(client: OpenAI) -> None:
    """Every model is listed, and found by its id, one with a slash too."""
    listed = {model.id: model for model in client.models.list()}
    assert set(NAMES) <= set(listed)
    assert (listed["mock"].owned_by, listed["mock"].created) == ("scripted", 1_700_000_000)
    for name in NAMES:
        found = client.models.retrieve(name)
        assert found == listed[name]
        assert found.object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("org/unheard-of")
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")


# --- headers and credentials ---


def test_headers_when_read_raw(client: OpenAI) -> None:
    """The request id goes in and comes out: in the header, on the result, on streams and on errors."""
    raw = client.chat.completions.with_raw_response.create(
        model="mock", messages=says("echo: raw"), extra_headers={"x-request-id": "my-own.id-1"}
    )
    assert raw.headers["x-request-id"] == "my-own.id-1"
    assert raw.headers["content-type"] == "application/json"
    assert raw.parse()._request_id == "my-own.id-1"
    fresh = {
        client.chat.completions.with_raw_response.create(model="mock", messages=says("echo: raw")).headers[
            "x-request-id"
        ]
        for _ in range(2)
    }
    assert len(fresh) == 2
    assert all(made.startswith("req_") for made in fresh)
    with client.chat.completions.with_streaming_response.create(
        model="mock",
        messages=says("echo: raw"),
        stream=True,
        extra_headers={"x-request-id": "my-own.id-2"},
    ) as response:
        assert response.headers["x-request-id"] == "my-own.id-2"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nothing", extra_headers={"x-request-id": "my-own.id-3"})
    assert caught.value.request_id == "my-own.id-3"


def test_headers_when_the_upstream_is_asked(client: OpenAI, standing: Standing) -> None:
    """The upstream learns the request's id, and never the client's key or its other headers."""
    client.chat.completions.create(
        model="mock",
        messages=says("echo: what leaves"),
        extra_headers={"x-request-id": "my-own.id-4", "x-private": "stays here"},
    )
    [record] = standing.received("echo: what leaves")
    assert record.headers["x-request-id"] == "my-own.id-4"
    assert not {"authorization", "x-private", "x-stainless-lang", "cookie"} & set(record.headers)


def test_credentials_when_in_x_api_key(client: OpenAI, standing: Standing) -> None:
    """A key in `x-api-key` counts as one in Authorization."""
    served = standing.served
    status, _, _ = served.call("/v1/models", key=None, headers={"x-api-key": served.key})
    assert status == 200
    both = client.with_options(default_headers={"x-api-key": served.key})
    assert both.chat.completions.create(model="mock", messages=says("echo: in")).choices[0].message.content
    headers: dict[str, str | openai.Omit] = {"Authorization": openai.Omit(), "x-api-key": served.key}
    alone = client.chat.completions.create(model="mock", messages=says("echo: in"), extra_headers=headers)
    assert alone.choices[0].message.content == "in"
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(
            model="mock",
            messages=says("echo: out"),
            extra_headers={"Authorization": openai.Omit(), "x-api-key": "wrong"},
        )


# --- errors ---


def test_error_when_the_key_is_wrong(standing: Standing) -> None:
    """A wrong key is a 401 with OpenAI's code; none of it is repeated."""
    with (
        OpenAI(base_url=standing.served.v1, api_key="sk-wrong-0123456789", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="mock", messages=says("echo: hi"))
    assert caught.value.code == "invalid_api_key"
    assert "0123456789" not in str(caught.value)


def test_error_when_the_model_or_the_route_is_unknown(client: OpenAI) -> None:
    """An unknown model and an unknown route are NotFoundErrors that say what there is."""
    with pytest.raises(openai.NotFoundError, match="mock") as caught:
        client.chat.completions.create(model="gpt-unheard-of", messages=says("echo: hi"))
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model="mock", prompt="a cat")
    assert caught.value.code == "unknown_url"


@pytest.mark.parametrize(
    ("field", "wrong", "param"),
    [
        ("temperature", 3, "temperature"),
        ("n", 0, "n"),
        ("messages", [{"role": "user"}], "messages[0].content"),
        ("messages", [], "messages"),
        ("tool_choice", "required", "tool_choice"),
        ("stream_options", {"include_usage": True}, "stream_options"),
    ],
)
def test_error_when_a_field_is_wrong(client: OpenAI, field: str, wrong: object, param: str) -> None:
    """A BadRequestError names the field by its path."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="mock", messages=says("echo: hi"), extra_body={field: wrong})
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.code


def test_error_when_the_upstream_refuses_the_request(client: OpenAI) -> None:
    """What the client can mend comes back with the upstream's own words."""
    with pytest.raises(openai.BadRequestError, match="scripted failure 400"):
        client.chat.completions.create(model="mock", messages=says("{{fail 400}} hi"))
    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(model="mock", messages=says("{{fail 422}} hi"))


@pytest.mark.parametrize(
    ("script", "status"), [("fail 500", 502), ("fail 503", 503), ("hangup rst", 502), ("silent", 504)]
)
def test_error_when_the_upstream_fails(client: OpenAI, script: str, status: int) -> None:
    """A broken, lost or silent upstream is an InternalServerError, which clients try again."""
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="failing", messages=says(f"{{{{{script}}}}} hi"))
    assert caught.value.status_code == status
    assert caught.value.type == "server_error"


def test_error_when_rate_limited(client: OpenAI, standing: Standing) -> None:
    """Without retries of its own the client sees a RateLimitError with Retry-After; with them it obeys and succeeds."""
    prompt = "echo: python is patient {{fail 429 retry-after=1 times=1}}"
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="limited", messages=says("{{fail 429 retry-after=1}} hi"))
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.code == "rate_limit_exceeded"

    patient = client.with_options(max_retries=2)
    raw = patient.chat.completions.with_raw_response.create(model="limited-too", messages=says(prompt))
    assert raw.retries_taken == 1
    assert raw.parse().choices[0].message.content == "python is patient"
    first, second = standing.received("echo: python is patient")
    # A lower bound holds however slow the machine is; unasked, the client would come back after half a second.
    assert second.started - first.started > 0.9


@pytest.mark.parametrize("script", ["error-at 3", "cut 3", "rst 3"])
@pytest.mark.parametrize("model", NAMES)
def test_error_when_a_stream_breaks(client: OpenAI, model: str, script: str) -> None:
    """What came before is given, then the client raises: a broken stream never looks like a whole one."""
    chunks = []

    def read() -> None:
        with client.chat.completions.create(
            model=model, messages=says(f"words: 9 {{{{{script}}}}}"), stream=True
        ) as stream:
            for chunk in stream:
                chunks.append(chunk)  # noqa: PERF402  # what came before the error is to be kept

    with pytest.raises(openai.APIError) as caught:
        read()
    assert len(chunks) == 3
    assert caught.value.type == "server_error"
    assert caught.value.code == "upstream_error"
    after = client.chat.completions.create(model=model, messages=says("echo: still here"))
    assert after.choices[0].message.content == "still here"


def test_error_when_the_client_is_impatient(client: OpenAI, standing: Standing) -> None:
    """A client that times out raises, and its request is no longer anybody's work."""
    hasty = client.with_options(timeout=0.5)
    with pytest.raises(openai.APITimeoutError):
        hasty.chat.completions.create(model="mock", messages=says("{{silent}} impatient"))
    with (
        pytest.raises(openai.APITimeoutError),
        hasty.chat.completions.create(
            model="mock", messages=says("words: 4 {{hang 2}} impatient"), stream=True
        ) as stream,
    ):
        list(stream)
    assert len(standing.received("impatient")) == 2
