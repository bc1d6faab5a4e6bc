"""OpenAI's client on `/v1/conversations`, and responses that belong to one: what comes before, and what is appended."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import OpenAI

from messagehouse import Scene, ask, events, row
from rig import fresh_id, logged, stage

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    native = { base_url = "{up}", dialects = ["responses"], breaker = { failures = 1000 } }
    [models]
    relayed = { targets = ["native"], price = "free" }
    gpt = { targets = ["up"], price = { input = 1, output = 2 }, attempts = 1 }
"""
PATH = "/v1/responses"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("conversations"), CONFIG) as both:
        yield both


@pytest.fixture(scope="module")
def client(scene: Scene) -> Iterator[OpenAI]:
    """The official client, without retries of its own."""
    with OpenAI(base_url=scene[0].v1, api_key=scene[0].key, max_retries=0, timeout=60) as made:
        yield made


def said(client: OpenAI, conversation: str) -> list[tuple[str, str]]:
    """Who said what in a conversation, oldest first."""
    items: list[Any] = [item.to_dict() for item in client.conversations.items.list(conversation, order="asc")]
    return [(item["role"], item["content"][0]["text"]) for item in items]


def test_target_is_told_no_conversation_when_it_speaks_responses(scene: Scene, client: OpenAI) -> None:
    """What came before is its input; the conversation is ours to know, and to say."""
    made = client.conversations.create()
    first = client.responses.create(model="relayed", input="echo: one", conversation=made.id)
    assert first.to_dict()["conversation"] == {"id": made.id}
    request_id = fresh_id()
    with client.responses.stream(
        model="relayed",
        input="echo: two",
        conversation=made.id,
        extra_headers={"x-request-id": request_id},
    ) as stream:
        assert stream.get_final_response().to_dict()["conversation"] == {"id": made.id}
    (record,) = scene[1].seen(request_id)
    assert "conversation" not in record.json
    assert [item["role"] for item in record.json["input"]] == ["user", "assistant", "user"]
    assert len(said(client, made.id)) == 4


def asked(scene: Scene, request_id: str) -> list[tuple[str, str]]:
    """What the target was asked with."""
    (record,) = scene[1].seen(request_id)
    return [(message["role"], message["content"]) for message in record.json["messages"]]


def test_turns_come_before_and_are_appended_when_responses_belong_to_a_conversation(
    scene: Scene, client: OpenAI
) -> None:
    """Input and output of each, whole or streamed, at once when the answer is there; by id or as an object."""
    made = client.conversations.create(items=[{"role": "developer", "content": "Be brief."}])
    first = client.responses.create(model="gpt", input="echo: one", conversation=made.id)
    assert (first.output_text, first.to_dict()["conversation"]) == ("one", {"id": made.id})
    with client.responses.stream(model="gpt", input="echo: two", conversation={"id": made.id}) as stream:
        second = stream.get_final_response()
    assert second.to_dict()["conversation"] == {"id": made.id}
    request_id = fresh_id()
    client.responses.create(
        model="gpt", input="echo: three", conversation=made.id, extra_headers={"x-request-id": request_id}
    )
    turns = [("user", "echo: one"), ("assistant", "one"), ("user", "echo: two"), ("assistant", "two")]
    assert asked(scene, request_id) == [("developer", "Be brief."), *turns, ("user", "echo: three")]
    assert said(client, made.id) == [
        ("developer", "Be brief."),
        *turns,
        ("user", "echo: three"),
        ("assistant", "three"),
    ]
    ids = [item.to_dict()["id"] for item in client.conversations.items.list(made.id, order="asc")]
    assert ids[2] == first.output[0].to_dict()["id"]
    assert ids[1] == client.responses.input_items.list(first.id).data[0].to_dict()["id"]
    assert client.responses.retrieve(first.id).to_dict()["conversation"] == {"id": made.id}


def test_turn_is_appended_when_the_response_itself_is_not_stored(client: OpenAI) -> None:
    """As OpenAI does it: `store: false` is about the response."""
    made = client.conversations.create()
    told = client.responses.create(model="gpt", input="echo: hush", conversation=made.id, store=False)
    assert said(client, made.id) == [("user", "echo: hush"), ("assistant", "hush")]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(told.id)


def test_tool_call_is_answered_when_it_stands_in_the_conversation(client: OpenAI) -> None:
    """The call needs not be sent again."""
    made = client.conversations.create()
    tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": None}
    first = client.responses.create(
        model="gpt", input="call weather with {}", tools=[tool], conversation=made.id
    )
    [call] = first.output
    assert call.type == "function_call"
    second = client.responses.create(
        model="gpt",
        tools=[tool],
        conversation=made.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}],
    )
    assert "rain" in second.output_text
    kinds = [item.type for item in client.conversations.items.list(made.id, order="asc")]
    assert kinds == ["message", "function_call", "function_call_output", "message"]


@pytest.mark.parametrize("model", ["gpt", "relayed"])
@pytest.mark.parametrize("way", ["conversation", "previous_response_id"])
def test_request_is_refused_when_a_call_has_no_output(
    scene: Scene, client: OpenAI, model: str, way: str
) -> None:
    """As OpenAI refuses it, and before the target is called; with the output it goes on, and nothing was kept of the rest."""
    tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": None}
    made = client.conversations.create() if way == "conversation" else None
    asked: Any = {"model": model, "tools": [tool]} | ({} if made is None else {"conversation": made.id})
    first = client.responses.create(**asked, input="call weather with {}")
    [call] = [item for item in first.output if item.type == "function_call"]
    state: Any = asked if made is not None else {**asked, "previous_response_id": first.id}
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    stranger: Any = {**output, "call_id": "call_stranger"}
    refused: list[tuple[Any, str]] = [
        ([{"role": "user", "content": "Well?"}], f"No tool output found for function call {call.call_id}."),
        ([output, stranger], "No tool call found for function call output with call_id call_stranger."),
    ]
    for told, words in refused:
        request_id = fresh_id()
        with pytest.raises(openai.BadRequestError, match=words) as caught:
            client.responses.create(**state, input=told, extra_headers={"x-request-id": request_id})
        assert caught.value.param == "input"
        assert scene[1].seen(request_id) == []
    assert client.responses.create(**state, input=[output]).status == "completed"
    if made is not None:
        kinds = [item.type for item in client.conversations.items.list(made.id, order="asc")]
        assert kinds.count("function_call_output") == 1


@pytest.mark.parametrize("model", ["gpt", "relayed"])
def test_whole_input_is_refused_when_a_call_has_no_output(scene: Scene, client: OpenAI, model: str) -> None:
    """As a chain is; the first missing one of the input is named."""
    calls: Any = [
        {"type": "function_call", "call_id": f"call_{name}", "name": "weather", "arguments": "{}"}
        for name in ("z", "a")
    ]
    output: Any = {"type": "function_call_output", "call_id": "call_z", "output": "rain"}
    for told, words in (
        (calls, "No tool output found for function call call_z."),
        ([output, calls[0]], "No tool call found for function call output with call_id call_z."),
    ):
        request_id = fresh_id()
        with pytest.raises(openai.BadRequestError, match=words) as caught:
            client.responses.create(model=model, input=told, extra_headers={"x-request-id": request_id})
        assert caught.value.param == "input"
        assert scene[1].seen(request_id) == []
    assert client.responses.create(model=model, input=[calls[0], output]).status == "completed"


def test_chain_can_be_compacted_when_a_call_has_no_output(client: OpenAI) -> None:
    """Nobody is to answer it then, and its output may follow what is left of it."""
    tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": None}
    first = client.responses.create(model="gpt", input="call weather with {}", tools=[tool])
    [call] = first.output
    assert call.type == "function_call"
    compacted = client.responses.compact(model="gpt", previous_response_id=first.id)
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    told: Any = [*[item.to_dict(warnings=False) for item in compacted.output], output]
    assert client.responses.create(model="gpt", input=told, tools=[tool]).status == "completed"


def test_conversation_is_as_it_was_when_it_is_compacted(client: OpenAI) -> None:
    """The summary is of all its items, and goes where the client takes it: into another conversation, too."""
    made = client.conversations.create(items=[{"role": "user", "content": "echo: a long story"}])
    compacted = client.responses.compact(model="gpt", extra_body={"conversation": made.id})
    assert len(said(client, made.id)) == 1
    item: Any = compacted.output[-1].to_dict()
    assert item["type"] == "compaction"
    other = client.conversations.create(items=[item])
    told = client.responses.create(model="gpt", input="echo: next", conversation=other.id)
    assert told.output_text == "next"
    kinds = [each.type for each in client.conversations.items.list(other.id, order="asc")]
    assert kinds == ["compaction", "message", "message"]


def test_nothing_is_appended_when_the_answer_fails(scene: Scene, client: OpenAI) -> None:
    """The conversation is as it was, and the next request goes on from there."""
    made = client.conversations.create()
    for fault in ("fail 400", "cut 6"):
        body = {
            "model": "gpt",
            "input": f"words: 20 {{{{{fault}}}}}",
            "stream": True,
            "conversation": made.id,
        }
        status, _, answer, _ = ask(scene[0], body, path=PATH)
        assert status == 400 or events(answer)[-1][0] == "response.failed"
    assert said(client, made.id) == []
    client.responses.create(model="gpt", input="echo: still", conversation=made.id)
    assert len(said(client, made.id)) == 2


def test_bill_is_written_once_when_a_turn_is_retried_with_its_key(scene: Scene, client: OpenAI) -> None:
    """And the turn is appended once."""
    made = client.conversations.create()
    key = {"idempotency-key": fresh_id()}
    body = {"model": "gpt", "input": "echo: once", "conversation": made.id}
    _, _, first, request_id = ask(scene[0], body, path=PATH, headers=key)
    _, headers, again, _ = ask(scene[0], body, path=PATH, headers=key)
    assert (headers["idempotent-replayed"], again) == ("true", first)
    assert said(client, made.id) == [("user", "echo: once"), ("assistant", "once")]
    assert row(scene[0], request_id)["state"] == "completed"


def test_turns_stay_whole_when_they_are_taken_at_once(client: OpenAI) -> None:
    """In some order, each question followed by its answer."""
    made = client.conversations.create()

    def turn(number: int) -> None:
        client.responses.create(model="gpt", input=f"echo: {number}", conversation=made.id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(turn, range(8)))
    found = said(client, made.id)
    assert len(found) == 16
    pairs = {(question[1], answer[1]) for question, answer in zip(found[::2], found[1::2], strict=True)}
    assert pairs == {(f"echo: {number}", str(number)) for number in range(8)}


def test_deleted_item_is_not_said_again_when_the_conversation_goes_on(scene: Scene, client: OpenAI) -> None:
    """And a deleted conversation cannot be gone on from."""
    made = client.conversations.create(
        items=[{"role": "user", "content": "forget me"}, {"role": "user", "content": "keep me"}]
    )
    [_, oldest] = [item.to_dict()["id"] for item in client.conversations.items.list(made.id)]
    client.conversations.items.delete(str(oldest), conversation_id=made.id)
    request_id = fresh_id()
    reference: Any = {"type": "item_reference", "id": client.conversations.items.list(made.id).data[0].id}
    client.responses.create(
        model="gpt",
        input=[reference, {"role": "user", "content": "echo: go"}],
        conversation=made.id,
        extra_headers={"x-request-id": request_id},
    )
    assert "forget me" not in json.dumps(asked(scene, request_id))
    client.conversations.delete(made.id)
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(model="gpt", input="echo: go", conversation=made.id)
    assert made.id in str(missing.value)


def test_ids_stay_out_of_the_log_when_conversations_are_asked_for(scene: Scene) -> None:
    """The log names the kind of page."""
    served, _ = scene
    for path, name in (("", "{id}"), ("/items", "{id}/items"), ("/items/msg_1", "{id}/items/{item_id}")):
        request_id = fresh_id()
        served.call(f"/v1/conversations/conv_secret{path}", headers={"x-request-id": request_id})
        assert logged(served, request_id)["path"] == f"/v1/conversations/{name}"


def test_request_is_refused_when_it_says_twice_what_came_before(client: OpenAI) -> None:
    """Each in OpenAI's words, naming the field."""
    mine: Any = {"id": "msg_mine", "type": "message", "role": "user", "content": "x"}
    made = client.conversations.create(items=[mine])
    first = client.responses.create(model="gpt", input="echo: one")
    with pytest.raises(openai.BadRequestError) as both:
        client.responses.create(
            model="gpt", input="echo: two", conversation=made.id, previous_response_id=first.id
        )
    assert (both.value.param, both.value.code) == ("previous_response_id", "mutually_exclusive_parameters")
    with pytest.raises(openai.BadRequestError) as twice:
        client.responses.create(model="gpt", input=[mine], conversation=made.id)
    assert twice.value.param == "input[0].id"
    with pytest.raises(openai.BadRequestError) as neither:
        client.responses.create(model="gpt", conversation={"id": ""})
    assert neither.value.param == "conversation.id"
