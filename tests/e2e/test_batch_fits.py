"""Requests of batches that no target of their model takes: refused when the batch is made, in the words of who waits."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError
from openai import OpenAI

from batchhouse import CHAT, Scene, chat, make, named, over, results
from retryclient import rows
from rig import stage, wait_until

CONFIG = """
    [targets]
    any = { base_url = "{up}", dialects = ["chat"] }
    strict = { base_url = "{up}", dialects = ["chat"], quirks = { reject = ["logit_bias"] } }
    engine = { base_url = "{up}", dialects = ["chat"], quirks = { gbnf = true, reject = ["service_tier"] } }
    [models]
    strict = { targets = ["strict"], price = "free" }
    either = { targets = ["any", "strict"], price = "free" }
    engine = { targets = ["engine"], windows = ["standard", "flex"], price = "free" }
    blind = { targets = ["any"], price = "free", images = "refuse" }
    [worker]
    request_seconds = 0.01
"""
BIAS = {"logit_bias": {"1": 2}}
SEARCH: Any = {"type": "web_search_20250305", "name": "web_search"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("fits"), CONFIG) as both:
        yield both


def test_request_is_refused_when_no_target_takes_it(scene: Scene) -> None:
    """The line is named, the words are those of a client who waits, and nothing of the batch is left."""
    served, upstream = scene
    _, _, body = served.call(CHAT, chat("x", model="strict", **BIAS))
    waits = json.loads(body)["error"]
    before, asked = rows(served.data, "SELECT count(*) FROM batches"), len(upstream.up.log)
    requests = [
        *named({"a": "x", "b": "y"}, model="strict"),
        {"custom_id": "c", "params": chat("z", model="strict", **BIAS)},
    ]
    status, _, told = make(served, requests)
    error = told["error"]
    assert (status, error["param"], error["code"]) == (400, "requests[2].params.logit_bias", waits["code"])
    assert error["message"] == f"requests[2]: {waits['message']} Nothing of the batch was taken."
    wait_until(lambda: rows(served.data, "SELECT count(*) FROM batches") == before, "nothing is left")
    assert len(upstream.up.log) == asked


def test_request_is_taken_when_one_target_takes_it(scene: Scene) -> None:
    """Another that refuses it is no reason."""
    served, _ = scene
    status, _, batch = make(served, named({"a": "echo: hi"}, model="either", **BIAS))
    assert status == 200, batch
    assert over(served, batch["id"])["request_counts"]["completed"] == 1


def test_window_is_no_fault_when_the_target_takes_no_tier(scene: Scene) -> None:
    """A tier that names a window is said to this server; one that names none goes to the target, and is refused here."""
    served, _ = scene
    status, _, batch = make(served, named({"a": "echo: hi"}, model="engine", service_tier="flex"))
    assert status == 200, batch
    assert over(served, batch["id"])["request_counts"]["completed"] == 1
    status, _, told = make(served, named({"a": "x"}, model="engine", service_tier="scale"))
    assert (status, told["error"]["param"]) == (400, "requests[0].params.service_tier")


def test_image_is_refused_when_the_model_reads_none(scene: Scene) -> None:
    """Before anything runs."""
    part = {"type": "image_url", "image_url": {"url": "https://a.org/b.png"}}
    params = {"model": "blind", "messages": [{"role": "user", "content": [part]}]}
    status, _, told = make(scene[0], [{"custom_id": "a", "params": params}])
    assert (status, "model 'blind' does not support image input" in told["error"]["message"]) == (400, True)
    assert told["error"]["param"] == "requests[0].params.messages[0].content[0].image_url.url"


def test_line_is_named_when_a_file_holds_what_no_target_takes(scene: Scene) -> None:
    """The batch fails with the line's number, its field, and the same words."""
    served, _ = scene
    lines = [
        {"custom_id": "a", "method": "POST", "url": CHAT, "body": chat("x", model="strict")},
        {"custom_id": "b", "method": "POST", "url": CHAT, "body": chat("x", model="strict", **BIAS)},
    ]
    data = b"\n".join(json.dumps(line).encode() for line in lines)
    with OpenAI(base_url=served.v1, api_key=served.key, max_retries=0) as client:
        file = client.files.create(file=("in.jsonl", data), purpose="batch")
        made = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    batch = over(served, made.id)
    (fault,) = batch["errors"]["data"]
    assert (batch["status"], fault["line"], fault["param"]) == ("failed", 2, "body.logit_bias")
    assert "'logit_bias' is not supported by the model 'strict'" in fault["message"]


def test_request_is_refused_when_its_translation_loses_what_matters(scene: Scene) -> None:
    """Anthropic's batches of a model that speaks chat: a tool that only Anthropic runs has no place there."""
    served, _ = scene
    with Anthropic(base_url=served.url, api_key=served.key, max_retries=0) as client:
        params: Any = {
            "model": "either",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "echo: hi"}],
        }
        taken: Any = {"custom_id": "a", "params": params}
        lossy: Any = {"custom_id": "b", "params": {**params, "tools": [SEARCH]}}
        with pytest.raises(BadRequestError) as caught:
            client.messages.batches.create(requests=[taken, lossy])
        assert "requests[1]" in caught.value.message
        assert "tools[0]" in caught.value.message
        batch = client.messages.batches.create(requests=[taken])
    wait_until(
        lambda: json.loads(served.call(f"/v1/messages/batches/{batch.id}")[2])["processing_status"] == "ended"
    )
    _, _, told = served.call(f"/v1/messages/batches/{batch.id}/results")
    assert json.loads(told)["result"]["type"] == "succeeded"


def test_response_is_left_to_its_run_when_it_goes_on_from_another(scene: Scene) -> None:
    """What came before is read when it runs, and judged with it: that there is none fails the request alone."""
    served, _ = scene
    params = {"model": "either", "input": "x", "previous_response_id": "resp_nobody"}
    status, _, batch = make(served, [{"custom_id": "a", "params": params}], endpoint="/v1/responses")
    assert status == 200, batch
    assert over(served, batch["id"])["request_counts"]["failed"] == 1
    assert results(served, batch["id"])["a"]["response"]["status_code"] == 400


def test_quote_is_refused_when_no_target_takes_a_request(scene: Scene) -> None:
    """A quote of a batch says what the batch would be told."""
    body = {"endpoint": CHAT, "requests": named({"a": "x"}, model="strict", **BIAS)}
    status, _, told = scene[0].call("/v1/quotes", body)
    assert (status, json.loads(told)["error"]["param"]) == (400, "requests[0].params.logit_bias")
