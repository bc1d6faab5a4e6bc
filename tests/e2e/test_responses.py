"""OpenAI's client on `/v1/responses`, in front of targets that speak chat alone: answers, streams, state."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import FunctionToolParam, Response
from pydantic import BaseModel

from messagehouse import Scene, ask, events, row
from rig import fresh_id, stage

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    [models]
    gpt = { targets = [{ target = "up", model = "their-gpt" }], price = { input = 1, cached_input = 0.5, output = 2 }, attempts = 2 }
    lax = { targets = ["up"], price = "free", on_loss = "warn" }
"""
PATH = "/v1/responses"
TOOL: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": None,
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("responses"), CONFIG) as both:
        yield both


@pytest.fixture(scope="module")
def client(scene: Scene) -> Iterator[OpenAI]:
    """The official client, without retries of its own."""
    with OpenAI(base_url=scene[0].v1, api_key=scene[0].key, max_retries=0, timeout=60) as made:
        yield made


def text_of(response: Response) -> str:
    """What a response says."""
    return response.output_text


def test_response_is_given_and_read_again_when_the_target_speaks_chat(scene: Scene, client: OpenAI) -> None:
    """The target is asked at its path for its model; the response is ours by id and name, and the same when it is read."""
    _, upstream = scene
    request_id = fresh_id()
    told = client.responses.create(
        model="gpt",
        instructions="Be brief.",
        input="echo: Hello there",
        metadata={"topic": "greeting"},
        extra_headers={"x-request-id": request_id},
    )
    assert told.id.startswith("resp_")
    assert (told.object, told.model, told.status) == ("response", "gpt", "completed")
    assert text_of(told) == "Hello there"
    assert told.completed_at is not None
    assert told.completed_at >= told.created_at
    assert told.usage is not None
    assert told.usage.output_tokens == 2
    (record,) = upstream.seen(request_id)
    assert record.path == "/v1/chat/completions"
    assert record.json["model"] == "their-gpt"
    assert record.json["messages"][0] == {"role": "system", "content": "Be brief."}
    read = client.responses.retrieve(told.id)
    assert read.to_dict() == told.to_dict()
    assert read.metadata == {"topic": "greeting"}


def test_stream_is_given_in_order_when_it_is_asked_for(scene: Scene, client: OpenAI) -> None:
    """Events are numbered from 0 without a gap, and the helper puts them together to what is stored."""
    served, _ = scene
    _, _, answer, _ = ask(served, {"model": "gpt", "input": "words: 6", "stream": True}, path=PATH)
    named = events(answer)
    assert [data["sequence_number"] for _, data in named] == list(range(len(named)))
    assert all(name == data["type"] for name, data in named)
    kinds = [name for name, _ in named]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    with client.responses.stream(model="gpt", input="words: 6") as stream:
        final = stream.get_final_response()
    assert final.completed_at is not None
    read = client.responses.retrieve(final.id)
    assert (read.output_text, read.usage) == (final.output_text, final.usage)
    assert [item.to_dict()["id"] for item in read.output] == [item.to_dict()["id"] for item in final.output]


@pytest.mark.parametrize("streamed", [False, True])
def test_bill_is_the_targets_count_when_it_is_translated(scene: Scene, *, streamed: bool) -> None:
    """What the response tells of its use is what the ledger has."""
    served, _ = scene
    body = {"model": "gpt", "input": "echo: one two three four {{cached=3}}", "stream": streamed}
    _, _, answer, request_id = ask(served, body, path=PATH)
    response = events(answer)[-1][1]["response"] if streamed else json.loads(answer)
    usage = response["usage"]
    found = row(served, request_id)
    assert (found["input_tokens"], found["cached_tokens"], found["output_tokens"]) == (
        usage["input_tokens"],
        3,
        4,
    )
    assert found["surface"] == "responses"


@pytest.mark.parametrize("fault", ["cut 6", "error-at 6"])
def test_stream_ends_as_failed_when_the_target_breaks_off(scene: Scene, client: OpenAI, fault: str) -> None:
    """`response.failed`, numbered on, with what came; and so it is read again."""
    served, _ = scene
    body = {"model": "gpt", "input": f"words: 20 {{{{{fault}}}}}", "stream": True}
    _, _, answer, request_id = ask(served, body, path=PATH)
    named = events(answer)
    assert [data["sequence_number"] for _, data in named] == list(range(len(named)))
    name, last = named[-1]
    assert (name, last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["code"] == "server_error"
    assert last["response"]["output"][0]["content"][0]["text"]
    assert (row(served, request_id)["state"]) == "failed"
    read = client.responses.retrieve(last["response"]["id"])
    assert (read.status, read.output_text) == ("failed", last["response"]["output"][0]["content"][0]["text"])


def test_nothing_is_read_when_it_was_not_to_be_stored(client: OpenAI) -> None:
    """`store: false` is honoured, and said in the response."""
    told = client.responses.create(model="gpt", input="echo: hush", store=False)
    assert told.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.retrieve(told.id)
    assert missing.value.code == "content_not_kept"


def test_nothing_is_left_when_it_is_deleted(client: OpenAI) -> None:
    """A deletion is answered as OpenAI does it; then there is nothing to read, to go on from or to delete."""
    told = client.responses.create(model="gpt", input="echo: away")
    client.responses.delete(told.id)
    for gone in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            gone(told.id)
    with pytest.raises(openai.BadRequestError) as missing:
        client.responses.create(model="gpt", input="echo: more", previous_response_id=told.id)
    assert missing.value.code == "previous_response_not_found"


def test_stored_response_is_told_as_a_stream_when_it_is_asked_for(client: OpenAI) -> None:
    """All events from 0, or those behind a number; the helper reads the same response from them."""
    told = client.responses.create(model="gpt", input="think: this and that")
    with client.responses.stream(response_id=told.id) as stream:
        assert stream.get_final_response().output_text == told.output_text
    every = list(client.responses.retrieve(told.id, stream=True))
    assert [event.sequence_number for event in every] == list(range(len(every)))
    rest = list(client.responses.retrieve(told.id, stream=True, starting_after=3))
    assert [event.to_dict() for event in rest] == [event.to_dict() for event in every[4:]]
    with pytest.raises(openai.BadRequestError) as beyond:
        list(client.responses.retrieve(told.id, stream=True, starting_after=len(every)))
    assert beyond.value.param == "starting_after"


def test_response_is_not_cancelled_when_it_ran_in_the_foreground(client: OpenAI) -> None:
    """A clear 400, and a 404 where there is none."""
    told = client.responses.create(model="gpt", input="echo: done")
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(told.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_unknown")


def test_chain_is_gone_on_from_when_a_response_is_named(scene: Scene, client: OpenAI) -> None:
    """Items in and items out of each come before the new ones, at once; instructions are not carried over."""
    _, upstream = scene
    first = client.responses.create(model="gpt", instructions="Secret rule.", input="echo: one")
    second = client.responses.create(model="gpt", input="echo: two", previous_response_id=first.id)
    request_id = fresh_id()
    third = client.responses.create(
        model="gpt",
        input=[{"role": "user", "content": "echo: three"}],
        previous_response_id=second.id,
        extra_headers={"x-request-id": request_id},
    )
    assert (third.output_text, third.previous_response_id) == ("three", second.id)
    (record,) = upstream.seen(request_id)
    said = [(message["role"], message["content"]) for message in record.json["messages"]]
    assert [role for role, _ in said] == ["user", "assistant", "user", "assistant", "user"]
    assert "Secret rule." not in json.dumps(record.json)
    assert [text for _, text in said] == ["echo: one", "one", "echo: two", "two", "echo: three"]
    items = client.responses.input_items.list(third.id, order="asc", limit=2)
    assert [item.to_dict()["role"] for item in items] == [role for role, _ in said]
    newest: dict[str, Any] = client.responses.input_items.list(third.id, limit=1).data[0].to_dict()
    assert newest["content"][0]["text"] == "echo: three"


def test_tools_are_called_when_they_are_offered(client: OpenAI) -> None:
    """A call, and its result on top of the response that made it."""
    first = client.responses.create(model="gpt", input='call weather with {"city": "Oslo"}', tools=[TOOL])
    (call,) = first.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Oslo"})
    second = client.responses.create(
        model="gpt",
        tools=[TOOL],
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}],
    )
    assert "rain" in second.output_text


class Place(BaseModel):
    """What the structured answer is."""

    city: str


def test_answer_is_parsed_when_it_has_a_schema(client: OpenAI) -> None:
    """The client's own parsing of a structured answer."""
    told = client.responses.parse(model="gpt", input="Where?", text_format=Place)
    assert isinstance(told.output_parsed, Place)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"background": 1}, "background"),
        ({"tools": [TOOL, {"type": "web_search"}]}, "tools[1].type"),
        ({"max_tool_calls": 2}, "max_tool_calls"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tool_choice": {"type": "function", "name": "other"}, "tools": [TOOL]}, "tool_choice.name"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "compaction", "encrypted_content": "gAAA"}]}, "input[0]"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"stream_options": {}}, "stream_options"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_field_is_named_when_it_cannot_be_honoured(scene: Scene, fields: dict[str, Any], param: str) -> None:
    """A 400 in OpenAI's envelope."""
    status, _, answer, _ = ask(scene[0], {"model": "gpt", "input": "echo: hi", **fields}, path=PATH)
    error = json.loads(answer)["error"]
    assert (status, error["param"], error["type"]) == (400, param, "invalid_request_error"), answer


def test_place_is_the_clients_own_when_a_chain_comes_before_it(scene: Scene, client: OpenAI) -> None:
    """Errors and losses name items as the client sent them, whatever was put before these."""
    served, _ = scene
    first = client.responses.create(model="gpt", input="echo: one")
    shown = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    body: dict[str, Any] = {
        "model": "gpt",
        "previous_response_id": first.id,
        "input": [
            {"role": "user", "content": "echo: hi"},
            {"role": "user", "content": [{"type": "input_text", "text": "echo: hi"}, shown]},
        ],
    }
    status, _, answer, _ = ask(served, body, path=PATH)
    error = json.loads(answer)["error"]
    assert (status, error["param"]) == (400, "input[1].content[1].image_url")
    assert "'input[1].content[1].image_url'" in error["message"]
    body["input"] = [{"role": "user", "content": [{"type": "input_text", "text": "echo: hi", "odd": 1}]}]
    status, headers, _, _ = ask(served, {**body, "model": "lax"}, path=PATH)
    assert status == 200
    assert headers["x-ingot-loss"].startswith("input[0].content[0].odd=")
    status, _, answer, _ = ask(served, body, path=PATH)
    assert (status, json.loads(answer)["error"]["param"]) == (400, "input[0].content[0].odd")


@pytest.mark.parametrize("streamed", [False, True])
def test_retry_gets_the_same_response_when_it_has_a_key(scene: Scene, *, streamed: bool) -> None:
    """A replay is the same response, and as a stream it is one that can be read."""
    served, _ = scene
    key = {"idempotency-key": fresh_id()}
    body = {"model": "gpt", "input": "words: 5", "stream": streamed}
    _, _, first, _ = ask(served, body, path=PATH, headers=key)
    _, headers, again, _ = ask(served, body, path=PATH, headers=key)
    assert headers["idempotent-replayed"] == "true"
    if not streamed:
        assert again == first
        return
    named, told = events(again), events(first)
    assert [data["sequence_number"] for _, data in named] == list(range(len(named)))
    assert named[-1][1]["response"] == told[-1][1]["response"]
    assert len(named) < len(told)


def test_retry_joins_when_the_first_request_still_runs(scene: Scene) -> None:
    """Two at once with one key are one call of the target, and get one response."""
    served, upstream = scene
    key = {"idempotency-key": fresh_id()}
    text = f"echo: {fresh_id()} {{{{delay 0.5}}}}"
    body = {"model": "gpt", "input": text, "stream": True}
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda _: ask(served, body, path=PATH, headers=key)[2], range(2)))
    first, second = (events(each)[-1][1]["response"] for each in told)
    assert first == second
    assert len([record for record in list(upstream.up.log) if text.encode() in record.body]) == 1


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"conversation": "conv_unknown"}, 404, "conversation"),
        ({"input": [{"type": "odd_call", "id": "x_1"}]}, 400, "input[0]"),
        ({"input": [{"type": "odd_call", "id": "x_1"}], "model": "lax"}, 400, "input"),
    ],
)
def test_field_is_named_when_nothing_is_behind_it(
    scene: Scene, fields: dict[str, Any], status: int, param: str
) -> None:
    """What the request names is not there, or nothing of it can be told to the target."""
    served, upstream = scene
    told, _, answer, request_id = ask(served, {"model": "gpt", "input": "hi", **fields}, path=PATH)
    error = json.loads(answer)["error"]
    assert (told, error["param"]) == (status, param), error
    assert upstream.seen(request_id) == []
