"""Messages with the newest official Anthropic client for Python, unmodified, against a relay on a real port.

The client speaks version 2026-10-21 of the API, and sends its key as a bearer token.
"""

import base64
from collections.abc import Iterator
from typing import Literal

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from anthropic.types import MessageParam, ToolParam
from pydantic import BaseModel

from messagehouse import CONFIG, Scene
from pictures import png
from rig import fresh_id, stage
from upstream_messages import SIGNATURE

TOOL: ToolParam = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
NAMES = ["claude", "org/renamed"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("sdk"), CONFIG) as both:
        yield both


@pytest.fixture(scope="module")
def client(scene: Scene) -> Iterator[Anthropic]:
    """The official client as a newcomer makes it: the server's address, a key."""
    with Anthropic(base_url=scene[0].url, api_key=scene[0].key, max_retries=0) as made:
        yield made


def says(text: str) -> list[MessageParam]:
    """A conversation of one user message."""
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("model", NAMES)
def test_message_when_answered(client: Anthropic, model: str) -> None:
    """Text, stop reason, usage, the public model name and the request's id arrive."""
    answer = client.messages.create(model=model, max_tokens=64, messages=says("echo: Hello there"))
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", model)
    (block,) = answer.content
    assert block.type == "text"
    assert block.text == "Hello there"
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 2)
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


@pytest.mark.parametrize("model", NAMES)
def test_message_when_streamed(client: Anthropic, model: str) -> None:
    """The stream helper puts the same message together."""
    asked = says("think: this and that")
    whole = client.messages.create(model=model, max_tokens=64, messages=asked)
    with client.messages.stream(model=model, max_tokens=64, messages=asked) as stream:
        pieces = list(stream.text_stream)
        folded = stream.get_final_message()
    assert len(pieces) > 1
    assert [block.type for block in folded.content] == [block.type for block in whole.content]
    assert folded.content[1].type == whole.content[1].type == "text"
    assert folded.content[1].text == whole.content[1].text == "".join(pieces)
    assert (folded.id, folded.model, folded.stop_reason) == (whole.id, model, whole.stop_reason)
    assert folded.usage.output_tokens == whole.usage.output_tokens
    assert folded.content[0].type == "thinking"
    assert folded.content[0].signature == SIGNATURE


def test_tools_when_called_and_answered(client: Anthropic) -> None:
    """The call's input arrives whole from a stream; its result goes back in the next turn."""
    asked = says('call weather with {"city": "Bern"}')
    with client.messages.stream(model="claude", max_tokens=64, messages=asked, tools=[TOOL]) as stream:
        answer = stream.get_final_message()
    (call,) = answer.content
    assert call.type == "tool_use"
    assert (call.name, call.input, answer.stop_reason) == ("weather", {"city": "Bern"}, "tool_use")
    turns: list[MessageParam] = [
        *asked,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
    ]
    (said,) = client.messages.create(model="claude", max_tokens=64, messages=turns, tools=[TOOL]).content
    assert said.type == "text"
    assert said.text == "The tool said: rain"


def test_tool_runner_when_it_loops(client: Anthropic) -> None:
    """It calls, answers and finishes; a thread that it would have kept here is refused, and it goes on without one."""
    called: list[str] = []

    @beta_tool
    def weather(city: str) -> str:
        """The weather in a city."""
        called.append(city)
        return "rain"

    runner = client.beta.messages.tool_runner(
        model="claude",
        max_tokens=64,
        messages=[{"role": "user", "content": 'call weather with {"city": "Bern"}'}],
        tools=[weather],
    )
    (said,) = runner.until_done().content
    assert said.type == "text"
    assert (said.text, called) == ("The tool said: rain", ["Bern"])


class Pet(BaseModel):
    """What a structured answer is parsed into."""

    kind: Literal["cat", "dog"]
    name: str


def test_answer_is_parsed_when_it_has_a_schema(client: Anthropic) -> None:
    """Whole, and out of a stream."""
    asked = says("Which pet?")
    whole = client.messages.parse(model="claude", max_tokens=64, messages=asked, output_format=Pet)
    assert whole.parsed_output == Pet(kind="cat", name="text")
    with client.messages.stream(model="claude", max_tokens=64, messages=asked, output_format=Pet) as stream:
        assert stream.get_final_message().parsed_output == whole.parsed_output


@pytest.mark.parametrize("model", NAMES)
def test_image_arrives_when_it_is_shown(scene: Scene, client: Anthropic, model: str) -> None:
    """As it was sent, to the byte."""
    data = base64.b64encode(png(16, 16)).decode()
    request_id = fresh_id()
    answer = client.messages.create(
        model=model,
        max_tokens=64,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "echo: seen"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
                ],
            }
        ],
        extra_headers={"x-request-id": request_id},
    )
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "seen"
    (record,) = scene[1].seen(request_id)
    assert record.json is not None
    assert record.json["messages"][0]["content"][1]["source"]["data"] == data


async def test_message_when_asked_without_blocking(scene: Scene) -> None:
    """The other client is served the same."""
    async with AsyncAnthropic(base_url=scene[0].url, auth_token=scene[0].key, max_retries=0) as client:
        answer = await client.messages.create(model="claude", max_tokens=9, messages=says("words: 30"))
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 9)


def test_tokens_when_counted(client: Anthropic) -> None:
    """As many as the answer's usage says."""
    asked = says("one two three")
    counted = client.messages.count_tokens(model="claude", messages=asked)
    used = client.messages.create(model="claude", max_tokens=9, messages=asked).usage
    assert counted.input_tokens == used.input_tokens


def test_models_when_listed(client: Anthropic) -> None:
    """Page after page, and one alone whose id has a slash."""
    names = [model.id for model in client.models.list(limit=2)]
    assert names == ["claude", "fixed", "quirky", "gpt", "org/renamed"]
    one = client.models.retrieve("org/renamed")
    assert (one.id, one.type, one.lifecycle) == ("org/renamed", "model", "active")


def test_errors_when_raised(client: Anthropic) -> None:
    """Each is of the class that its status has, with our code and the request's id."""
    with pytest.raises(anthropic.NotFoundError) as lost:
        client.messages.create(model="nobody", max_tokens=9, messages=says("hi"))
    assert lost.value.type == "not_found_error"
    assert lost.value.request_id is not None
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs are not permitted"):
        client.messages.create(
            model="claude", max_tokens=9, messages=says("hi"), extra_body={"temperature": 1}
        )
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="ik_wrong").messages.create(
            model="claude", max_tokens=9, messages=says("hi")
        )
    with (
        pytest.raises(anthropic.APIStatusError) as broken,
        client.messages.stream(
            model="claude", max_tokens=64, messages=says("words: 9 {{error-at 6}}")
        ) as stream,
    ):
        stream.get_final_message()
    assert "The upstream reported an error" in str(broken.value)
