"""`/v1/responses` in front of targets that speak it themselves: bytes that pass, what is ours in them, and state."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

import upstream_responses as theirs
from messagehouse import Scene, ask, events, row
from rig import fresh_id, stage

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["responses"], breaker = { failures = 1000 } }
    other = { base_url = "{up}", dialects = ["responses"] }
    talks = { base_url = "{up}", dialects = ["chat"] }
    quirky = { base_url = "{up}", dialects = ["responses"], quirks = { reject = ["input_image", "reasoning"], set = { store = true } } }
    [models]
    gpt = { targets = [{ target = "up", model = "their-gpt" }], price = { input = 1, cached_input = 0.5, output = 2 }, attempts = 2 }
    other = { targets = ["other"], price = "free", account_ids = "relay" }
    talks = { targets = ["talks"], price = "free" }
    quirky = { targets = ["quirky"], price = "free" }
"""
PATH = "/v1/responses"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("relay"), CONFIG) as both:
        yield both


@pytest.fixture(scope="module")
def client(scene: Scene) -> Iterator[OpenAI]:
    """The official client, without retries of its own."""
    with OpenAI(base_url=scene[0].v1, api_key=scene[0].key, max_retries=0, timeout=60) as made:
        yield made


def test_response_passes_when_the_target_speaks_it(scene: Scene) -> None:
    """All but what is ours is the target's: its items and their ids; the target is told to store nothing."""
    served, upstream = scene
    body = {"model": "gpt", "input": "think: this and that", "metadata": {"a": "b"}, "unknown": [1]}
    status, _, answer, request_id = ask(served, body, path=PATH)
    assert status == 200
    (record,) = upstream.seen(request_id)
    assert record.path == "/v1/responses"
    sent = {"model": "their-gpt", "input": "think: this and that", "unknown": [1], "store": False}
    assert record.json == sent
    told, whole = json.loads(answer), theirs.response(sent)
    assert told.pop("id").startswith("resp_")
    assert told.pop("completed_at") is not None
    ours = {"model": "gpt", "store": True, "metadata": {"a": "b"}}
    assert told == {**{name: held for name, held in whole.items() if name != "id"}, **ours}
    assert row(served, request_id)["fidelity"] == "patched"


def test_stream_passes_when_the_target_speaks_it(scene: Scene, client: OpenAI) -> None:
    """Events are the target's, but for the response in the first and the last; the helper puts them together."""
    served, upstream = scene
    _, _, answer, request_id = ask(served, {"model": "gpt", "input": "words: 4", "stream": True}, path=PATH)
    (record,) = upstream.seen(request_id)
    named, sent = events(answer), theirs.response_events(record.json)
    assert [data for _, data in named[2:-1]] == sent[2:-1]
    ids = {data["response"]["id"] for _, data in named if "response" in data}
    assert len(ids) == 1
    assert (
        client.responses.retrieve(ids.pop()).output_text
        == named[-1][1]["response"]["output"][0]["content"][0]["text"]
    )
    with client.responses.stream(
        model="gpt",
        input='call f with {"a": 1}',
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": False}],
    ) as stream:
        final = stream.get_final_response()
    assert final.output[0].type == "function_call"


@pytest.mark.parametrize("streamed", [False, True])
def test_bill_is_the_targets_count_when_it_is_relayed(scene: Scene, *, streamed: bool) -> None:
    """Cached tokens are a part of the input."""
    served, _ = scene
    body = {"model": "gpt", "input": "echo: one two three {{cached=2}}", "stream": streamed}
    _, _, _, request_id = ask(served, body, path=PATH)
    counted = theirs.count(body)["input_tokens"]
    found = row(served, request_id)
    assert (found["input_tokens"], found["cached_tokens"], found["output_tokens"]) == (counted, 2, 3)
    assert float(found["cost_usd"]) == pytest.approx(((counted - 2) + 2 * 0.5 + 3 * 2) / 1_000_000)


@pytest.mark.parametrize("fault", ["cut 6", "error-at 6", "no-done"])
def test_stream_ends_as_failed_when_the_target_breaks_off(scene: Scene, client: OpenAI, fault: str) -> None:
    """`response.failed` behind what came, with our words and the text so far; it is read again as such."""
    served, _ = scene
    body = {"model": "gpt", "input": f"words: 20 {{{{{fault}}}}}", "stream": True}
    _, _, answer, request_id = ask(served, body, path=PATH)
    named = events(answer)
    assert [data["sequence_number"] for _, data in named] == list(range(len(named)))
    name, last = named[-1]
    assert (name, last["response"]["status"]) == ("response.failed", "failed")
    assert "scripted" not in last["response"]["error"]["message"]
    text = last["response"]["output"][0]["content"][0]["text"]
    assert text
    assert row(served, request_id)["output_tokens"] == (20 if fault == "no-done" else 2)
    assert client.responses.retrieve(last["response"]["id"]).output_text == text


def test_thoughts_go_back_when_their_maker_is_asked_again(scene: Scene, client: OpenAI) -> None:
    """Encrypted content goes to the target that made it, and to no other; nor do thoughts that only it could look up."""
    _, upstream = scene

    def sent_to(model: str, previous: str) -> list[dict[str, Any]]:
        request_id = fresh_id()
        client.responses.create(
            model=model,
            input="echo: on",
            previous_response_id=previous,
            extra_headers={"x-request-id": request_id},
        )
        (record,) = upstream.seen(request_id)
        assert "previous_response_id" not in record.json
        return list(record.json.get("input") or record.json["messages"])

    sealed = client.responses.create(
        model="gpt", input="think: hard", include=["reasoning.encrypted_content"]
    )
    kinds = [item.get("type", "message") for item in sent_to("gpt", sealed.id)]
    assert kinds == ["message", "reasoning", "message", "message"]
    elsewhere = sent_to("other", sealed.id)
    assert [item["type"] for item in elsewhere] == ["message"] * 3
    assert all("id" not in item for item in elsewhere)
    assert theirs.SEALED not in json.dumps(sent_to("talks", sealed.id))
    open_ = client.responses.create(model="gpt", input="think: hard")
    assert [item["type"] for item in sent_to("gpt", open_.id)] == ["message"] * 3


def test_item_is_found_when_it_is_referred_to(scene: Scene, client: OpenAI) -> None:
    """A reference to an item of the chain, or of a response whose id it tells, becomes the item."""
    _, upstream = scene
    first = client.responses.create(model="gpt", input="echo: one")
    translated = client.responses.create(model="talks", input="echo: two")
    request_id = fresh_id()
    client.responses.create(
        model="gpt",
        previous_response_id=first.id,
        input=[
            {"type": "item_reference", "id": str(first.output[0].to_dict()["id"])},
            {"type": "item_reference", "id": str(translated.output[0].to_dict()["id"])},
            {"role": "user", "content": "echo: three"},
        ],
        extra_headers={"x-request-id": request_id},
    )
    (record,) = upstream.seen(request_id)
    said = [item["content"][0]["text"] for item in record.json["input"][1:-1]]
    assert said == ["one", "one", "two"]
    with pytest.raises(openai.BadRequestError) as unknown:
        client.responses.create(model="gpt", input=[{"type": "item_reference", "id": "msg_unknown"}])
    assert (unknown.value.code, unknown.value.param) == ("item_not_found", "input[0]")


@pytest.mark.parametrize("streamed", [False, True])
def test_item_is_found_when_only_its_id_is_sent(scene: Scene, client: OpenAI, *, streamed: bool) -> None:
    """Without the chain, as some clients go on: to its maker it goes with its id, to another target without thoughts."""
    _, upstream = scene
    asked: dict[str, Any] = {
        "model": "gpt",
        "input": f"think: {streamed}",
        "include": ["reasoning.encrypted_content"],
    }
    if streamed:
        with client.responses.stream(**asked) as stream:
            first = stream.get_final_response()
    else:
        first = client.responses.create(**asked)
    ids = [str(item.to_dict()["id"]) for item in first.output]
    again: list[Any] = [{"type": "item_reference", "id": each} for each in ids]
    again.append({"role": "user", "content": "echo: on"})
    arrived = {}
    for model in ("gpt", "other"):
        request_id = fresh_id()
        client.responses.create(model=model, input=again, extra_headers={"x-request-id": request_id})
        (record,) = upstream.seen(request_id)
        arrived[model] = record.json["input"]
    assert [item.get("id") for item in arrived["gpt"]] == [*ids, None]
    assert [item.get("type") for item in arrived["gpt"]] == ["reasoning", "message", None]
    assert [(item.get("id"), item.get("type")) for item in arrived["other"]] == [
        (None, "message"),
        (None, None),
    ]
    client.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as gone:
        client.responses.create(model="gpt", input=again)
    assert (gone.value.code, gone.value.param) == ("item_not_found", "input[0]")
    unkept = client.responses.create(model="gpt", input=f"echo: unkept {streamed}", store=False)
    alone: Any = {"type": "item_reference", "id": str(unkept.output[0].to_dict()["id"])}
    with pytest.raises(openai.BadRequestError) as missing:
        client.responses.create(model="gpt", input=[alone])
    assert missing.value.code == "item_not_found"


def test_hosted_tool_runs_when_the_target_has_it(client: OpenAI) -> None:
    """Its call is an item like any other, also in the stream of a stored response."""
    told = client.responses.create(model="gpt", input="search: amber", tools=[{"type": "web_search"}])
    assert [item.type for item in told.output] == ["web_search_call", "message"]
    kinds = [event.type for event in client.responses.retrieve(told.id, stream=True)]
    assert kinds[-1] == "response.completed"


def test_quirks_are_kept_to_when_the_target_has_some(scene: Scene) -> None:
    """What it rejects is refused by name; what is set, is set."""
    served, upstream = scene
    picture = {"role": "user", "content": [{"type": "input_image", "image_url": "https://x.org/a.png"}]}
    for fields, param in (
        ({"input": [picture]}, "input[0].content[0].type"),
        ({"input": "hi", "reasoning": {"effort": "low"}}, "reasoning"),
    ):
        status, _, answer, _ = ask(served, {"model": "quirky", **fields}, path=PATH)
        assert (status, json.loads(answer)["error"]["param"]) == (400, param)
    _, _, _, request_id = ask(served, {"model": "quirky", "input": "echo: hi"}, path=PATH)
    assert upstream.seen(request_id)[0].json["store"] is True


def test_ids_of_the_account_are_refused_when_the_model_does_not_pass_them_on(scene: Scene) -> None:
    """Before a target is asked, for an answer and for a count; a model that does sends them as they are."""
    served, upstream = scene
    tool = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    body = {"model": "gpt", "input": "echo: hi", "tools": [tool]}
    for path in (PATH, f"{PATH}/input_tokens"):
        status, _, answer, request_id = ask(served, body, path=path)
        error = json.loads(answer)["error"]
        assert (status, error["param"]) == (400, "tools[0].vector_store_ids")
        assert upstream.seen(request_id) == []
    status, _, answer, request_id = ask(served, {**body, "model": "other"}, path=PATH)
    assert status == 200, answer
    assert upstream.seen(request_id)[0].json["tools"] == [tool]


def test_tokens_are_counted_when_the_target_counts(scene: Scene, client: OpenAI) -> None:
    """The target's count, of what came before too; an estimate where no target counts."""
    served, _ = scene
    body = {"model": "gpt", "input": "one two three"}
    first = client.responses.create(model="gpt", input="echo: four five")
    counted = client.responses.input_tokens.count(model="gpt", input="one two three")
    assert counted.input_tokens == theirs.count(body)["input_tokens"]
    more = client.responses.input_tokens.count(
        model="gpt", input="one two three", previous_response_id=first.id
    )
    assert more.input_tokens > counted.input_tokens + 4
    status, headers, answer, _ = ask(served, {"model": "talks", "input": "hi"}, path=f"{PATH}/input_tokens")
    assert (status, headers["x-ingot-estimated"]) == (200, "true")
    assert json.loads(answer)["input_tokens"] == 1


def test_other_clients_are_served_when_the_target_speaks_responses(scene: Scene, client: OpenAI) -> None:
    """Chat and messages, whole and streamed."""
    chat = client.chat.completions.create(
        model="gpt", messages=[{"role": "user", "content": "echo: hi there"}]
    )
    assert chat.choices[0].message.content == "hi there"
    stream = client.chat.completions.create(
        model="gpt", messages=[{"role": "user", "content": "echo: hi there"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "hi there"
    with Anthropic(base_url=scene[0].url, api_key=scene[0].key, max_retries=0) as anthropic:
        message = anthropic.messages.create(
            model="gpt", max_tokens=64, messages=[{"role": "user", "content": "think: so"}]
        )
        assert [block.type for block in message.content] == ["thinking", "text"]
        with anthropic.messages.stream(
            model="gpt", max_tokens=64, messages=[{"role": "user", "content": "echo: hi there"}]
        ) as told:
            assert told.get_final_text() == "hi there"
