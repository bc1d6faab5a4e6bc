"""The other surfaces, headers and credentials with the official OpenAI client for Python, against a relay on a real port.

What the upstream says is a function of the prompt, so that every test knows the right answer: see `upstream_answers`.
"""

import openai
import pytest
from openai import OpenAI

from standing import NAMES, Standing, says
from upstream_opaque import vector


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
