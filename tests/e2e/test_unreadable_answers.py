"""Targets that send bytes which are no UTF-8: a fault of the target, and never part of a result, a record or another's line."""

import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from batchhouse import CHAT, Scene, chat, make, named, over
from retryclient import rows
from rig import logged, stage, wait_until

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat", "responses", "messages"], breaker = { failures = 1000 } }
    next = { base_url = "{up}", dialects = ["chat", "responses", "messages"], breaker = { failures = 1000 } }
    chat = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    responses = { base_url = "{up}", dialects = ["responses"], breaker = { failures = 1000 } }
    messages = { base_url = "{up}", dialects = ["messages"], breaker = { failures = 1000 } }
    [models]
    m = { targets = ["up"], price = "free", attempts = 1 }
    dying-completions = { targets = ["chat"], windows = ["late"], price = "free", attempts = 1 }
    dying-responses = { targets = ["responses"], windows = ["late"], price = "free", attempts = 1 }
    dying-messages = { targets = ["messages"], windows = ["late"], price = "free", attempts = 1 }
    two = { targets = ["up", "next"], price = "free", attempts = 2 }
    [windows]
    late = { seconds = 60, batch_seconds = 1.0, batch_on_miss = "escalate" }
    [worker]
    request_seconds = 0.01
"""
BAD = "{{bad-utf8 0}} echo: broken"
BODIES: dict[str, Any] = {
    CHAT: lambda text: chat(text, model="m"),
    "/v1/responses": lambda text: {"model": "m", "input": text},
    "/v1/messages": lambda text: {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": text}],
    },
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("utf8"), CONFIG) as both:
        yield both


@pytest.mark.parametrize("path", BODIES)
def test_error_is_told_when_an_answer_is_no_text(scene: Scene, path: str) -> None:
    """A 502 that names the target, as for a body that is no JSON."""
    status, _, told = scene[0].call(path, BODIES[path](BAD))
    assert (status, "no answer" in json.loads(told)["error"]["message"]) == (502, True)


def test_other_target_is_asked_when_an_answer_is_no_text(scene: Scene) -> None:
    """The answer is the other's."""
    status, _, told = scene[0].call(CHAT, chat("{{bad-utf8 0 times=1}} echo: whole", model="two"))
    assert (status, json.loads(told)["choices"][0]["message"]["content"]) == (200, "whole")


@pytest.mark.parametrize("path", BODIES)
def test_results_are_read_when_an_answer_of_them_is_no_text(scene: Scene, path: str) -> None:
    """That request fails with a body in JSON, the others have their answers, and all of the file is text.

    Each at a target of its own: what was measured of another's failures would refuse a window that is over so soon.
    """
    served, _ = scene
    texts = {"good": "echo: \u00fcber", "bad": BAD}
    late = f"dying-{path.rpartition('/')[2]}"
    requests = [
        {"custom_id": name, "params": BODIES[path](text) | {"model": late}} for name, text in texts.items()
    ]
    made, _, batch = make(served, requests, endpoint=path)
    assert made == 200, batch
    batch = over(served, batch["id"])
    assert (batch["request_counts"]["completed"], batch["request_counts"]["failed"]) == (1, 1)
    _, _, told = served.call(f"/v1/batches/{batch['id']}/results")
    lines = {line["custom_id"]: line for line in map(json.loads, told.decode().splitlines())}
    assert lines["good"]["response"]["status_code"] == 200
    assert lines["bad"]["response"]["status_code"] == 502
    assert "no answer" in lines["bad"]["response"]["body"]["error"]["message"]
    _, _, one = served.call(f"/v1/batches/{batch['id']}/bad")
    assert json.loads(one.decode())


def test_line_is_mended_when_it_was_stored_before(scene: Scene) -> None:
    """What an earlier version took as it came is shown as text, in a page of lines and by its name."""
    served, _ = scene
    _, _, batch = make(served, named({"a": "echo: over"}, model="m"))
    over(served, batch["id"])
    find = "SELECT response_id FROM batch_lines WHERE batch_id = ?"
    ((response_id,),) = rows(served.data, find, batch["id"])
    with sqlite3.connect(served.data / "ingot.db") as db:
        ((held,),) = db.execute("SELECT answer FROM responses WHERE id = ?", (response_id,))
        broken = bytes(held).replace(b"over", b"o\xffver")
        assert broken != bytes(held)
        db.execute("UPDATE responses SET answer = ? WHERE id = ?", (broken, response_id))
    _, _, told = served.call(f"/v1/batches/{batch['id']}/results")
    assert "o\ufffdver" in json.dumps(json.loads(told.decode()), ensure_ascii=False)
    _, _, one = served.call(f"/v1/batches/{batch['id']}/a")
    assert json.loads(one.decode())["choices"][0]["message"]["content"] == "o\ufffdver"


@pytest.mark.parametrize("index", [0, 1, 3])
@pytest.mark.parametrize("model", ["dying-completions", "dying-responses", "dying-messages"])
@pytest.mark.parametrize("path", BODIES)
def test_stream_ends_in_an_error_when_an_event_is_no_text(
    scene: Scene, path: str, model: str, index: int
) -> None:
    """Relayed or translated: in the client's dialect, after what came before it, and never as if it were whole."""
    served, _ = scene
    body = BODIES[path](f"{{{{bad-utf8 {index}}}}} echo: hi there") | {"model": model, "stream": True}
    status, _, stream = served.call(path, body)
    told = stream.decode()
    assert (status, "sent bytes that are no UTF-8 text" in told, "\ufffd" in told) == (200, True, False), told
    last = json.loads(told.strip().rpartition("data: ")[2])
    assert last.get("error") or last["type"] in {"error", "response.failed"}
    assert not any(end in told for end in ("[DONE]", "message_stop", "response.completed"))


def test_bill_is_of_what_was_given_when_a_later_event_is_no_text(scene: Scene) -> None:
    """Both words of it, as an estimate: what the target counted did not come."""
    served, _ = scene
    _, headers, stream = served.call(CHAT, chat("{{bad-utf8 4}} echo: hi there", model="m", stream=True))
    assert b"no UTF-8" in stream
    assert stream.count(b'"content":"') == 3
    line = logged(served, headers["x-request-id"])
    assert (line["output_tokens"], line["usage_estimated"], line["code"]) == (2, True, "upstream_error")


@pytest.mark.parametrize(("index", "status"), [(1, 404), (3, 404), (9, 200)])
def test_stored_response_is_what_was_given_when_its_stream_was_no_text(
    scene: Scene, index: int, status: int
) -> None:
    """One that broke off before it said anything is none; another is kept as failed, with what came, and all of it is text."""
    served, _ = scene
    body = {"model": "m", "input": f"{{{{bad-utf8 {index}}}}} echo: hi there", "stream": True}
    _, _, stream = served.call("/v1/responses", body)
    named_there = re.search(rb'"(resp_[0-9a-f]+)"', stream)
    assert named_there is not None
    found, _, told = served.call(f"/v1/responses/{named_there[1].decode()}")
    assert found == status
    if status == 200:
        assert json.loads(told.decode())["status"] == "failed"
        assert b"hi there" in told


@pytest.mark.parametrize("index", [1, 3])
def test_background_response_fails_when_its_stream_is_no_text(scene: Scene, index: int) -> None:
    """Its record says why."""
    served, _ = scene
    body = {
        "model": "m",
        "input": f"{{{{bad-utf8 {index}}}}} echo: hi there",
        "background": True,
        "stream": True,
    }
    _, _, stream = served.call("/v1/responses", body)
    which = re.search(rb"(resp_[0-9a-f]+)", stream)
    assert which is not None
    path = f"/v1/responses/{which[1].decode()}"
    wait_until(lambda: json.loads(served.call(path)[2].decode())["status"] == "failed")
    assert "UTF-8" in json.loads(served.call(path)[2])["error"]["message"]


def test_background_response_fails_when_its_answer_is_no_text(scene: Scene) -> None:
    """The record says why."""
    served, _ = scene
    _, _, told = served.call("/v1/responses", {"model": "m", "input": BAD, "background": True})
    path = f"/v1/responses/{json.loads(told)['id']}"
    wait_until(lambda: json.loads(served.call(path)[2].decode())["status"] == "failed")
    assert "no answer" in json.loads(served.call(path)[2])["error"]["message"]
