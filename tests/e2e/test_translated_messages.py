"""Anthropic's client in front of targets that speak OpenAI's chat alone, and of the embedded engine."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import Message, MessageParam, ToolParam

import upstream_answers as answers
from messagehouse import Scene, ask, body_of, error_of, events, row
from rig import fresh_id, logged, stage
from served import Served

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat"], api_key = "sk-upstream-0123456789", breaker = { failures = 1000 } }
    [models]
    gpt = { targets = [{ target = "up", model = "their-gpt" }], price = { input = 1, cached_input = 0.5, output = 2 }, attempts = 2 }
    strict = { targets = ["up"], price = "free" }
    lax = { targets = ["up"], price = "free", on_loss = "warn" }
"""
TOOL: ToolParam = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {}}}}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("messages"), CONFIG) as both:
        yield both


@pytest.fixture(scope="module")
def client(scene: Scene) -> Iterator[Anthropic]:
    """The official client."""
    with Anthropic(base_url=scene[0].url, api_key=scene[0].key, max_retries=0) as made:
        yield made


def _says(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]


def test_message_is_translated_when_the_target_speaks_chat(scene: Scene, client: Anthropic) -> None:
    """The target is asked at its path for its model; the client reads a message of ours."""
    _, upstream = scene
    request_id = fresh_id()
    answer = client.messages.create(
        model="gpt",
        max_tokens=64,
        system="Be brief.",
        messages=_says("echo: Hello there"),
        extra_headers={"x-request-id": request_id},
    )
    assert answer.id.startswith("msg_")
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "gpt")
    (block,) = answer.content
    assert block.type == "text"
    assert (block.text, answer.stop_reason, answer.usage.output_tokens) == ("Hello there", "end_turn", 2)
    (record,) = upstream.seen(request_id)
    assert record.path == "/v1/chat/completions"
    assert "x-api-key" not in record.headers
    assert record.headers["authorization"] == "Bearer sk-upstream-0123456789"
    assert record.json["messages"][0] == {"role": "system", "content": "Be brief."}
    assert record.json["model"] == "their-gpt"


def test_stream_is_translated_when_it_is_asked_for(client: Anthropic) -> None:
    """Named events that the stream helper puts together to the same message, usage included."""
    asked = _says("think: this and that")
    whole = client.messages.create(model="gpt", max_tokens=64, messages=asked)
    with client.messages.stream(model="gpt", max_tokens=64, messages=asked) as stream:
        folded = stream.get_final_message()
    assert [block.type for block in folded.content] == [block.type for block in whole.content]
    assert folded.content[0].type == "thinking"
    assert folded.content[0].signature == ""
    assert (folded.model, folded.stop_reason) == ("gpt", whole.stop_reason)
    assert folded.usage.input_tokens == whole.usage.input_tokens
    assert folded.usage.output_tokens == whole.usage.output_tokens


def test_tools_are_called_when_they_are_offered(client: Anthropic) -> None:
    """A call, whole and streamed, and its result back under its id."""
    asked = _says('call weather with {"city": "Oslo"}')
    first = client.messages.create(model="gpt", max_tokens=64, tools=[TOOL], messages=asked)
    assert first.stop_reason == "tool_use"
    [call] = [block for block in first.content if block.type == "tool_use"]
    assert (call.name, call.input) == ("weather", {"city": "Oslo"})
    with client.messages.stream(model="gpt", max_tokens=64, tools=[TOOL], messages=asked) as stream:
        folded = stream.get_final_message()
    assert [block.input for block in folded.content if block.type == "tool_use"] == [{"city": "Oslo"}]
    result: MessageParam = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}],
    }
    second = client.messages.create(
        model="gpt",
        max_tokens=64,
        tools=[TOOL],
        messages=[*asked, {"role": "assistant", "content": first.content}, result],
    )
    assert second.content[0].type == "text"
    assert "rain" in second.content[0].text


@pytest.mark.parametrize("streamed", [False, True])
def test_bill_is_the_targets_count_when_it_is_translated(scene: Scene, *, streamed: bool) -> None:
    """Cached tokens are a part of the input there, and stand beside it here; the ledger knows both."""
    served, _ = scene
    body = body_of("echo: one two three four five {{cached=3}}", model="gpt", stream=streamed)
    _, _, answer, request_id = ask(served, body)
    counted = answers.prompt_tokens(body)
    told = events(answer)[-2][1]["usage"] if streamed else json.loads(answer)["usage"]
    assert (told["input_tokens"], told["cache_read_input_tokens"]) == (counted - 3, 3)
    found = row(served, request_id)
    assert (found["input_tokens"], found["cached_tokens"], found["surface"]) == (counted, 3, "messages")
    cost = (counted - 3) * 1 + 3 * 0.5 + told["output_tokens"] * 2
    assert float(found["cost_usd"]) == pytest.approx(cost / 1_000_000)


@pytest.mark.parametrize("streamed", [False, True])
def test_cached_tokens_are_told_as_billed_when_they_exceed_the_input(scene: Scene, *, streamed: bool) -> None:
    """The target's own input is all there is, for the client as for the ledger."""
    served, _ = scene
    body = body_of("echo: one two {{cached=9000}}", model="gpt", stream=streamed)
    _, _, answer, request_id = ask(served, body)
    counted = answers.prompt_tokens(body)
    told = events(answer)[-2][1]["usage"] if streamed else json.loads(answer)["usage"]
    assert (told["input_tokens"], told["cache_read_input_tokens"]) == (0, counted)
    found = row(served, request_id)
    assert (found["input_tokens"], found["cached_tokens"]) == (counted, counted)


@pytest.mark.parametrize("fault", ["cut 6", "error-at 6"])
def test_stream_ends_in_an_error_when_the_target_breaks_off(scene: Scene, fault: str) -> None:
    """An event `error` in Anthropic's envelope and no `message_stop`; what came is billed by estimate."""
    served, _ = scene
    _, _, answer, request_id = ask(served, body_of(f"words: 20 {{{{{fault}}}}}", model="gpt", stream=True))
    named = events(answer)
    assert named[-1][0] == "error"
    assert named[-1][1]["error"]["type"] == "api_error"
    assert named[-1][1]["request_id"] == request_id
    assert "message_stop" not in [name for name, _ in named]
    found = row(served, request_id)
    assert (found["state"], found["output_tokens"] > 0) == ("failed", True)
    assert logged(served, request_id)["usage_estimated"]


def test_stream_is_whole_when_only_its_end_is_missing(scene: Scene) -> None:
    """Each choice had its reason: the message ends as it should, with the counts that came."""
    served, _ = scene
    _, _, answer, request_id = ask(served, body_of("words: 5 {{no-done}}", model="gpt", stream=True))
    assert [name for name, _ in events(answer)][-2:] == ["message_delta", "message_stop"]
    assert row(served, request_id)["output_tokens"] == 5


def test_losses_are_told_or_refused_when_something_cannot_be_translated(scene: Scene) -> None:
    """A beta in a header, whatever the model says; a field of it there as well, or a 400 that names it."""
    served, _ = scene
    beta = {"anthropic-beta": "new-thing"}
    status, headers, _, _ = ask(served, body_of("echo: hi", model="strict"), headers=beta)
    assert status == 200
    assert headers["x-ingot-loss"].startswith("anthropic-beta=")
    body = body_of("echo: hi", model="strict", container="box")
    status, _, answer, request_id = ask(served, body, headers=beta)
    assert status == 400
    assert (
        "'container' cannot be translated for the model 'strict'" in error_of(answer, request_id)["message"]
    )
    status, headers, _, _ = ask(served, {**body, "model": "lax"}, headers=beta)
    assert status == 200
    assert headers["x-ingot-loss"].startswith("container=")


def test_error_wears_anthropics_envelope_when_the_target_refuses(client: Anthropic) -> None:
    """The client raises what it knows."""
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(model="gpt", max_tokens=8, messages=_says("x {{fail 429}}"))
    with pytest.raises(anthropic.BadRequestError, match="chat dialect"):
        client.messages.create(model="gpt", max_tokens=8, messages=_says("x {{fail 400}}"))


@pytest.mark.parametrize("streamed", [False, True])
def test_demo_model_answers_when_asked_by_anthropics_client(demo: Served, *, streamed: bool) -> None:
    """The embedded engine speaks chat; nobody has to know."""
    with Anthropic(base_url=demo.url, api_key=demo.key, max_retries=0) as client:
        asked = _says("Hello! What is this server?")
        if streamed:
            with client.messages.stream(model="demo-tiny", max_tokens=48, messages=asked) as stream:
                answer: Message = stream.get_final_message()
        else:
            answer = client.messages.create(model="demo-tiny", max_tokens=48, messages=asked)
    assert answer.content[0].type == "text"
    assert answer.content[0].text
    assert answer.stop_reason in {"end_turn", "max_tokens"}
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


@pytest.mark.parametrize("streamed", [False, True])
def test_demo_model_makes_one_call_when_it_is_demanded(demo: Served, *, streamed: bool) -> None:
    """One call, no word before it, and input that fits: as a client of chat gets it from the same engine."""
    fields: dict[str, Any] = {
        "model": "demo-tiny",
        "max_tokens": 256,
        "messages": _says("Rex is a tame dog."),
        "tools": [
            {
                "name": "note",
                "input_schema": {
                    "type": "object",
                    "properties": {"kind": {"enum": ["cat", "dog"]}, "tame": {"type": "boolean"}},
                    "required": ["kind", "tame"],
                    "additionalProperties": False,
                },
            }
        ],
        "tool_choice": {"type": "tool", "name": "note"},
    }
    with Anthropic(base_url=demo.url, api_key=demo.key, max_retries=0) as client:
        if streamed:
            with client.messages.stream(**fields) as stream:
                answer: Message = stream.get_final_message()
        else:
            answer = client.messages.create(**fields)
    (call,) = answer.content
    assert call.type == "tool_use"
    assert (call.name, answer.stop_reason) == ("note", "tool_use")
    assert set(call.input) == {"kind", "tame"}
    assert call.input["kind"] in {"cat", "dog"}


def test_demo_model_refuses_a_schema_when_it_cannot_hold_it(demo: Served) -> None:
    """The place is named as this client wrote it."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "uniqueItems": True}},
        "required": ["a"],
    }
    asked = {"model": "demo-tiny", "max_tokens": 9, "messages": _says("hi")}
    format_ = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    forced = {"tools": [{"name": "f", "input_schema": schema}], "tool_choice": {"type": "any"}}
    for fields, place in (
        (format_, "output_config.format.schema.properties.a"),
        (forced, "tools.0.input_schema.properties.a"),
    ):
        status, _, answer, request_id = ask(demo, {**asked, **fields})
        assert status == 400
        assert place in error_of(answer, request_id)["message"]
