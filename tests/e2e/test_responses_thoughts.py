"""Thoughts and their seals on `/v1/responses` and `/v1/messages`: back to their maker, and to nobody else."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import upstream_messages as anthropics
import upstream_responses as theirs
from messagehouse import Scene, ask, body_of, events, row
from rig import stage

CONFIG = """
    [targets]
    r = { base_url = "{up}", dialects = ["responses"] }
    r2 = { base_url = "{up}", dialects = ["responses"] }
    m = { base_url = "{up}", dialects = ["messages"] }
    m2 = { base_url = "{up}", dialects = ["messages"] }
    c = { base_url = "{up}", dialects = ["chat"] }
    [models]
    r = { targets = ["r"], price = "free" }
    r2 = { targets = ["r2"], price = "free" }
    m = { targets = ["m"], price = "free" }
    m2 = { targets = ["m2"], price = "free" }
    c = { targets = ["c"], price = "free" }
    trusting = { targets = ["r2"], price = "free", unknown_thoughts = "relay" }
"""
PATH = "/v1/responses"
WISH = ["reasoning.encrypted_content"]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("thoughts"), CONFIG) as both:
        yield both


def told(scene: Scene, model: str, asked: Any, **fields: Any) -> tuple[Json, str, Json]:
    """A response, what the header says of losses, and what its target was sent."""
    body = {"model": model, "input": asked, "max_output_tokens": 4096, **fields}
    status, headers, answer, request_id = ask(scene[0], body, path=PATH)
    assert status == 200, answer
    (record,) = scene[1].seen(request_id)
    return json.loads(answer), headers.get("x-ingot-loss", ""), record.json


def refused(scene: Scene, model: str, asked: Any, **fields: Any) -> Json:
    """The error of a request that would lose something."""
    body = {"model": model, "input": asked, "max_output_tokens": 4096, **fields}
    status, _, answer, _ = ask(scene[0], body, path=PATH)
    assert status == 400, answer
    return dict(json.loads(answer)["error"])


@pytest.mark.parametrize("other", ["r2", "m", "c"])
def test_thoughts_are_a_loss_when_a_chain_goes_on_elsewhere(scene: Scene, other: str) -> None:
    """As the same item is when its client sends it: in the header and in the record."""
    first, _, _ = told(scene, "r", "think: hard", include=WISH)
    body = {
        "model": other,
        "input": "echo: on",
        "max_output_tokens": 4096,
        "previous_response_id": first["id"],
    }
    status, headers, _, request_id = ask(scene[0], body, path=PATH)
    assert status == 200
    assert "previous_response_id=a model's thoughts go back only" in headers["x-ingot-loss"].replace(
        "%27", "'"
    )
    assert row(scene[0], request_id)["losses"][0]["path"] == "previous_response_id"
    (record,) = scene[1].seen(request_id)
    assert theirs.SEALED not in json.dumps(record.json)
    _, loss, sent = told(scene, "r", "echo: on", previous_response_id=first["id"])
    assert (loss, sent["input"][1]["encrypted_content"]) == ("", theirs.SEALED)


def test_loss_is_told_when_a_stream_goes_on_elsewhere(scene: Scene) -> None:
    """The header comes before the first event, also where nothing is translated."""
    first, _, _ = told(scene, "r", "think: hard", include=WISH)
    body = {"model": "r2", "input": "echo: on", "previous_response_id": first["id"], "stream": True}
    _, headers, answer, request_id = ask(scene[0], body, path=PATH)
    assert headers["x-ingot-loss"].startswith("previous_response_id=")
    assert events(answer)[-1][0] == "response.completed"
    assert row(scene[0], request_id)["losses"]


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_return_to_their_target_when_it_speaks_messages(scene: Scene, *, streamed: bool) -> None:
    """Its signature comes sealed, opens in a chain and in what the client sends, and is nothing to another target."""
    body = {"model": "m", "input": "think: hard", "max_output_tokens": 4096, "include": WISH}
    _, headers, answer, _ = ask(scene[0], {**body, "stream": streamed}, path=PATH)
    assert "x-ingot-loss" not in headers
    first = events(answer.replace(b": ping\n\n", b""))[-1][1]["response"] if streamed else json.loads(answer)
    thoughts = first["output"][0]
    assert thoughts["encrypted_content"].startswith("ingot1.")
    assert anthropics.SIGNATURE not in json.dumps(first)
    block = {"type": "thinking", "thinking": "hard", "signature": anthropics.SIGNATURE}
    explicit = [
        {"role": "user", "content": "think: hard"},
        *first["output"],
        {"role": "user", "content": "echo: on"},
    ]
    _, loss, sent = told(scene, "m", "echo: on", previous_response_id=first["id"])
    assert (loss, sent["messages"][1]["content"][0]) == ("", block)
    _, loss, sent = told(scene, "m", explicit)
    assert (loss, sent["messages"][1]["content"][0]) == ("", block)
    for other in ("m2", "c", "r"):
        _, loss, sent = told(scene, other, explicit)
        assert "input[1]=" in loss.replace("%5B", "[").replace("%5D", "]")
        assert "ingot1." not in json.dumps(sent)
        assert anthropics.SIGNATURE not in json.dumps(sent)
        _, loss, sent = told(scene, other, "echo: hi", previous_response_id=first["id"])
        assert "previous_response_id=" in loss
        assert anthropics.SIGNATURE not in json.dumps(sent)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("store", [False, True])
def test_thoughts_return_to_their_maker_when_its_client_sends_them(
    scene: Scene, *, store: bool, streamed: bool
) -> None:
    """Byte for byte, whether the first answer was stored or not; another target of the dialect gets none of them."""
    body = {"model": "r", "input": "think: hard", "include": WISH, "store": store, "stream": streamed}
    _, _, answer, _ = ask(scene[0], body, path=PATH)
    first = events(answer)[-1][1]["response"] if streamed else json.loads(answer)
    asked = [
        {"role": "user", "content": "think: hard"},
        *first["output"],
        {"role": "user", "content": "echo: on"},
    ]
    assert asked[1]["encrypted_content"] == theirs.SEALED
    _, loss, sent = told(scene, "r", asked)
    assert (loss, sent["input"]) == ("", asked)
    _, loss, sent = told(scene, "r2", asked)
    assert loss.replace("%5B", "[").replace("%5D", "]").startswith("input[1]=a model")
    assert [item.get("type") for item in sent["input"]] == [None, "message", None]


def test_thoughts_go_nowhere_when_nobody_knows_whose_they_are(scene: Scene) -> None:
    """That they do not is told; a model may say that they are its target's own, and then the target judges them."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "Zm9yZWlnbg=="}
    asked = [thought, {"role": "user", "content": "echo: on"}]
    _, loss, sent = told(scene, "r", asked)
    assert "nobody" in loss
    assert sent["input"] == asked[1:]
    assert "could not be verified" in refused(scene, "trusting", asked)["message"]
    compacted = [{"type": "compaction", "encrypted_content": "Zm9yZWlnbg=="}, asked[1]]
    error = refused(scene, "r", compacted)
    assert (error["param"], error["code"]) == ("input[0]", "unsupported_parameter")


def test_seal_is_refused_when_it_was_changed(scene: Scene) -> None:
    """A 400 that names the item."""
    first, _, _ = told(scene, "m", "think: hard", include=WISH)
    thoughts = first["output"][0]
    changed = {**thoughts, "encrypted_content": thoughts["encrypted_content"][:-6] + "AAAA=="}
    error = refused(
        scene, "m", [{"role": "user", "content": "hi"}, changed, {"role": "user", "content": "on"}]
    )
    assert (error["code"], error["param"]) == ("invalid_encrypted_content", "input[1]")


def test_thoughts_are_left_out_when_they_have_no_signature(scene: Scene) -> None:
    """What a chat's answer gave a client of messages goes to no target of that dialect; that it does not is told."""
    _, _, answer, _ = ask(scene[0], body_of("think: hard", model="c"))
    said = json.loads(answer)["content"]
    assert said[0]["signature"] == ""
    signed = {"type": "thinking", "thinking": "so", "signature": "c2ln"}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [signed, *said]},
        {"role": "user", "content": "echo: on"},
    ]
    body = {"model": "m", "max_tokens": 64, "messages": messages}
    status, headers, _, request_id = ask(scene[0], body)
    assert status == 200
    assert headers["x-ingot-loss"].startswith("messages")
    (record,) = scene[1].seen(request_id)
    assert record.json["messages"][1]["content"] == [signed, *said[1:]]


def test_truncated_response_is_gone_on_from_when_the_target_speaks_otherwise(scene: Scene) -> None:
    """That an item broke off is told by what it says, and is no loss."""
    first, _, _ = told(scene, "c", "words: 40", max_output_tokens=16)
    assert (first["status"], first["output"][0]["status"]) == ("incomplete", "incomplete")
    for model in ("c", "m"):
        _, loss, _ = told(scene, model, "echo: on", previous_response_id=first["id"])
        assert "previous_response_id" not in loss


@pytest.mark.parametrize("field", ["context", "generate_summary"])
@pytest.mark.parametrize("model", ["m", "c"])
def test_settings_of_thoughts_are_a_loss_when_the_target_has_no_place(
    scene: Scene, model: str, field: str
) -> None:
    """Alike on both dialects: told where thoughts alone are shown otherwise, refused where the answer would be another."""
    _, loss, _ = told(scene, model, "echo: hi", reasoning={"effort": "low", field: "auto"})
    assert f"reasoning.{field}=" in loss
    assert refused(scene, model, "echo: hi", reasoning={"mode": "pro"})["param"] == "reasoning.mode"
