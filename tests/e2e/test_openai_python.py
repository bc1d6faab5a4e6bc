"""Chat and streams with the newest official OpenAI client for Python, unmodified, against a relay on a real port.

What the upstream says is a function of the prompt, so that every test knows the right answer: see `upstream_answers`.
"""

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import (
    ChatCompletionChunk,
)

from standing import NAMES, Standing, says


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
