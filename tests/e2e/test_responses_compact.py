"""`POST /v1/responses/compact`: a summary that only its own organization can go on from."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import FunctionToolParam

from databases import Place
from messagehouse import ask, row
from operator_hands import Hands, house
from rig import Backstage, fresh_id
from served import Served

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat"] }
    native = { base_url = "{up}", dialects = ["responses"] }
    [models]
    gpt = { targets = ["up"], price = { input = 1, output = 2 } }
    native = { targets = ["native"], price = "free" }
"""
PATH = "/v1/responses/compact"
TOOL: FunctionToolParam = {"type": "function", "name": "weather", "parameters": {}, "strict": False}

Scene = tuple[Served, Backstage, str]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server, and the key of another organization on it."""
    folder = tmp_path_factory.mktemp("compact")
    hands = Hands(Place("sqlite", folder / "data", ""), "open")
    with house(folder, CONFIG, hands) as ((served,), upstream):
        yield served, upstream, str(hands.customer(fresh_id(), plan="pro", postpaid=True).key)


@pytest.fixture(scope="module")
def client(scene: Scene) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(base_url=scene[0].v1, api_key=scene[0].key, max_retries=0, timeout=60) as made:
        yield made


@pytest.mark.parametrize("model", ["gpt", "native"])
def test_conversation_is_gone_on_from_when_it_was_compacted(scene: Scene, client: OpenAI, model: str) -> None:
    """The user's messages and one sealed item come back; what they stand for reaches any target as words."""
    _, upstream, _ = scene
    first = client.responses.create(model=model, input='call weather with {"city": "Oslo"}', tools=[TOOL])
    call = first.output[0]
    assert call.type == "function_call"
    request_id = fresh_id()
    compacted = client.responses.compact(
        model=model,
        previous_response_id=first.id,
        input=[
            {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
            {"role": "user", "content": "echo: thanks"},
        ],
        extra_headers={"x-request-id": request_id},
    )
    assert compacted.object == "response.compaction"
    assert [item.type for item in compacted.output] == ["message", "message", "compaction"]
    assert compacted.usage.output_tokens > 0
    (asked,) = upstream.seen(request_id)
    words = json.dumps(asked.json)
    assert "[calls the tool weather" in words
    assert "[the tool answers: rain]" in words
    more = fresh_id()
    second = client.responses.create(
        model=model,
        input=[
            *(item.model_dump(exclude_unset=True, warnings=False) for item in compacted.output),  # type: ignore[list-item]  # as the client's documentation has it
            {"role": "user", "content": "echo: on"},
        ],
        extra_headers={"x-request-id": more},
    )
    assert second.output_text == "on"
    (record,) = upstream.seen(more)
    assert "Summary of the conversation so far" in json.dumps(record.json)
    assert "compaction" not in json.dumps(record.json)
    third = client.responses.create(model=model, input="echo: still", previous_response_id=second.id)
    assert third.output_text == "still"


def test_compaction_is_billed_as_any_when_it_is_made(scene: Scene) -> None:
    """Its tokens are in the ledger, and a retry with the same key pays nothing."""
    served, _, _ = scene
    body = {"model": "gpt", "input": "echo: hello"}
    key = {"idempotency-key": fresh_id()}
    status, _, answer, request_id = ask(served, body, path=PATH, headers=key)
    assert status == 200
    told, found = json.loads(answer), row(served, request_id)
    assert (found["surface"], found["output_tokens"]) == ("compact", told["usage"]["output_tokens"])
    _, headers, again, _ = ask(served, body, path=PATH, headers=key)
    assert (again, headers["idempotent-replayed"]) == (answer, "true")
    assert served.call(f"/v1/responses/{told['id']}")[0] == 404


def test_compaction_is_refused_when_it_is_another_organizations(scene: Scene, client: OpenAI) -> None:
    """So is one that was changed; the error names its place."""
    served, _, other = scene
    compacted = client.responses.compact(model="gpt", input="echo: secret")
    item = compacted.output[-1].to_dict()
    with OpenAI(base_url=served.v1, api_key=other, max_retries=0) as stranger:
        for asker, sealed in (
            (stranger, item["encrypted_content"]),
            (client, f"{item['encrypted_content']}AAAA"),
        ):
            with pytest.raises(openai.BadRequestError) as refused:
                asker.responses.create(
                    model="gpt", input=[{"type": "compaction", "encrypted_content": str(sealed)}]
                )
            assert (refused.value.code, refused.value.param) == ("invalid_encrypted_content", "input[0]")


def test_response_is_nobody_elses_when_another_organization_asks(scene: Scene, client: OpenAI) -> None:
    """What belongs to another organization cannot be told from what never was."""
    served, _, other = scene
    told = client.responses.create(model="gpt", input="echo: mine")
    with OpenAI(base_url=served.v1, api_key=other, max_retries=0) as stranger:
        for reach in (
            stranger.responses.retrieve,
            stranger.responses.delete,
            stranger.responses.cancel,
            stranger.responses.input_items.list,
        ):
            with pytest.raises(openai.NotFoundError) as hidden:
                reach(told.id)
            with pytest.raises(openai.NotFoundError) as missing:
                reach("resp_unknown")
            assert hidden.value.message.replace(told.id, "resp_unknown") == missing.value.message
        with pytest.raises(openai.BadRequestError) as refused:
            stranger.responses.create(model="gpt", input="echo: hi", previous_response_id=told.id)
        assert refused.value.code == "previous_response_not_found"
    assert client.responses.retrieve(told.id).output_text == "mine"


def test_compaction_fails_when_there_is_no_whole_summary(scene: Scene) -> None:
    """Half a summary stands for nothing."""
    served, _, _ = scene
    body = {"model": "gpt", "input": "{{finish length}} echo: cut off"}
    status, _, answer, _ = ask(served, body, path=PATH)
    assert (status, json.loads(answer)["error"]["code"]) == (502, "upstream_error")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"stream": True}, "stream"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"prompt_cache_key": "k" * 65}, "prompt_cache_key"),
    ],
)
def test_field_is_named_when_it_cannot_be_honoured(scene: Scene, fields: dict[str, Any], param: str) -> None:
    """A 400 in OpenAI's envelope."""
    status, _, answer, _ = ask(scene[0], {"model": "gpt", "input": "echo: hi", **fields}, path=PATH)
    assert (status, json.loads(answer)["error"]["param"]) == (400, param)
