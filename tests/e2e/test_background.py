"""Work in the background through a whole server: taken at once, polled, cancelled, deleted, billed once, over a restart too."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from retryclient import rows, unique
from rig import Backstage, fresh_id, stage, wait_until
from served import KEY, Served, serving

Scene = tuple[Served, Backstage]

PRICE = "price = { input = 1, output = 2, windows = { flex = { input = 0.5, output = 1 } } }"
CONFIG = f"""
    [targets]
    up = {{ base_url = "{{up}}", dialects = ["chat"], breaker = {{ failures = 1000 }} }}
    fresh = {{ base_url = "{{up}}", dialects = ["chat"], breaker = {{ failures = 1000 }} }}
    frail = {{ base_url = "{{up}}", dialects = ["chat"], breaker = {{ failures = 1, open_seconds = 600 }} }}
    strict = {{ base_url = "{{up}}", dialects = ["chat"] }}
    narrow = {{ base_url = "{{up}}", dialects = ["chat"], capacity = 4 }}
    exact = {{ base_url = "{{up}}", dialects = ["chat"], quirks = {{ gbnf = true }} }}
    [models]
    exact = {{ targets = ["exact"], price = "free", windows = ["asap", "standard"] }}
    either = {{ targets = ["exact", "fresh"], price = "free", windows = ["asap", "standard"] }}
    mock = {{ targets = ["up"], windows = ["asap", "standard", "flex"], {PRICE}, attempts = 1 }}
    quick = {{ targets = ["fresh"], windows = ["hasty"], price = "free", attempts = 1 }}
    lenient = {{ targets = ["fresh"], windows = ["kind"], {PRICE.replace("flex", "kind")}, attempts = 1 }}
    frail = {{ targets = ["frail"], windows = ["asap", "standard"], price = "free", attempts = 1 }}
    strict = {{ targets = ["strict"], windows = ["asap", "standard"], price = "free", attempts = 1 }}
    single = {{ targets = ["narrow"], windows = ["asap", "standard"], price = "free", attempts = 1 }}
    [windows]
    hasty = {{ seconds = 0.5, on_miss = "fail", background_only = true }}
    kind = {{ seconds = 0.5, on_miss = "refund", background_only = true }}
    [hosts]
    "valar.example.org" = "valar"
    "valley.example.org" = "valley"
"""
SURFACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "/v1/chat/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
    "/v1/messages": lambda text: {"messages": [{"role": "user", "content": text}], "max_tokens": 50},
    "/v1/responses": lambda text: {"input": text},
}
ENDED = {"completed", "failed", "cancelled", "incomplete"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("background"), CONFIG) as both:
        yield both


def ask(
    served: Served, path: str, text: str, *, model: str = "mock", headers: Any = None, **fields: Any
) -> tuple[int, dict[str, str], Any]:
    """A request in the background on a surface."""
    body = {"model": model, "background": True, **SURFACES[path](text), **fields}
    status, told, answer = served.call(path, body, headers=headers)
    return status, told, json.loads(answer)


def read(served: Served, path: str, which: str) -> Any:
    """The record."""
    status, _, answer = served.call(f"{path}/{which}")
    assert status == 200, answer
    return json.loads(answer)


def poll(served: Served, path: str, which: str) -> Any:
    """The record once it has ended; its states are those of the table, in their order."""
    seen: list[str] = []

    def over() -> bool:
        seen.append(read(served, path, which)["status"])
        return seen[-1] in ENDED

    wait_until(over, f"{which} has ended")
    order = ["queued", "in_progress", seen[-1]]
    assert [each for each in order if each in seen] == list(dict.fromkeys(seen))
    return read(served, path, which)


def billed(served: Served, which: str) -> list[tuple[Any, ...]]:
    """The ledger rows of a response: amount and window."""
    return rows(served.data, "SELECT amount, window FROM ledger WHERE billable_id = ?", which)


def texts(path: str, record: Any) -> str:
    """What an answer says."""
    if path == "/v1/responses":
        return str(record["output"][0]["content"][0]["text"])
    return str(
        record["choices"][0]["message"]["content"] if "choices" in record else record["content"][0]["text"]
    )


@pytest.mark.parametrize("path", SURFACES)
def test_answer_is_polled_when_nobody_waits_for_it(scene: Scene, path: str) -> None:
    """A record at once, the answer later under the same id; window, queue time, price and cost are told; billed once."""
    served, upstream = scene
    text = unique()
    status, _, taken = ask(served, path, text, metadata={"completion_window": "flex"})
    assert (status, taken["status"]) == (200, "queued")
    record = poll(served, path, taken["id"])
    assert (record["id"], record["status"], record["background"]) == (taken["id"], "completed", True)
    assert text.removeprefix("echo: ") in texts(path, record)
    window = record["completion_window"]
    assert (window["asked"], window["price"]["input"], window["price"]["output"]) == ("flex", "0.5", "1")
    assert window["achieved"] in {"asap", "priority"}
    assert window["queue_ms"] >= 0
    [(amount, name)] = billed(served, taken["id"])
    assert (f"{-amount / 1e12:.12f}".rstrip("0"), name) == (window["cost_usd"], "flex")
    _, _, listed = served.call("/v1/usage/requests")
    [told] = [each for each in json.loads(listed)["data"] if each["id"] == taken["id"]]
    assert (told["window"], told["achieved_window"], told["price"]) == (
        "flex",
        window["achieved"],
        window["price"],
    )
    assert told["queue_ms"] == window["queue_ms"]
    [seen] = [record for record in upstream.up.log if text.encode() in record.body]
    assert not any(word in seen.body for word in (b"background", b"completion_window"))


def test_window_is_told_when_a_client_waits(scene: Scene) -> None:
    """On each surface, where one was named: what was asked for, that it was begun at once, and the price; else nothing is."""
    served, _ = scene
    for path, make in SURFACES.items():
        body = {"model": "mock", **make("echo: now")}
        status, headers, _ = served.call(path, {**body, "metadata": {"completion_window": "standard"}})
        told = "asked=standard, achieved=asap, queue_ms=0, input=1, cached_input=1, output=2"
        assert (status, headers["x-ingot-window"]) == (200, told)
        assert "x-ingot-window" not in served.call(path, body)[1]


def test_background_runs_when_openai_polls_and_cancels(scene: Scene) -> None:
    """The official client: create with background, retrieve until it is over, cancel twice, delete."""
    served, _ = scene
    with OpenAI(base_url=served.v1, api_key=KEY, max_retries=0, timeout=60) as client:
        response = client.responses.create(model="mock", input="echo: hello from afar", background=True)
        assert (response.status, response.background) == ("queued", True)
        while response.status in {"queued", "in_progress"}:
            time.sleep(0.05)
            response = client.responses.retrieve(response.id)
        assert (response.status, response.output_text) == ("completed", "hello from afar")
        silent = client.responses.create(model="mock", input="{{silent}} never", background=True)
        cancelled = client.responses.cancel(silent.id)
        assert (cancelled.id, cancelled.status) == (silent.id, "cancelled")
        assert client.responses.cancel(silent.id).status == "cancelled"
        client.responses.delete(silent.id)
        assert served.call(f"/v1/responses/{silent.id}")[0] == 404
        assert billed(served, silent.id) == []
        follow = client.responses.create(model="mock", input="echo: and on", previous_response_id=response.id)
        assert follow.output_text == "and on"


def test_field_reaches_the_target_when_the_preset_has_no_background(scene: Scene) -> None:
    """On a surface without background the field is a target's own, as any unknown one."""
    served, upstream = scene
    text = unique()
    status, _, told = ask(served, "/v1/chat/completions", text, headers={"host": "valley.example.org"})
    assert (status, told["object"], "status" in told) == (200, "chat.completion", False)
    [seen] = [record for record in upstream.up.log if text.encode() in record.body]
    assert seen.json["background"] is True


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": "yes"}, "background"),
        ({"background": False, "metadata": {"completion_window": "flex"}}, "metadata.completion_window"),
        ({"metadata": {"completion_window": "priority"}}, "metadata.completion_window"),
    ],
)
def test_field_is_named_when_it_cannot_be_honoured(scene: Scene, fields: dict[str, Any], param: str) -> None:
    """A 400, and nothing is put into the queue."""
    before = rows(scene[0].data, "SELECT count(*) FROM items")
    status, _, told = ask(scene[0], "/v1/chat/completions", "x", **fields)
    assert (status, told["error"]["param"]) == (400, param)
    assert rows(scene[0].data, "SELECT count(*) FROM items") <= before


def test_i05_retry_gets_the_record_when_it_has_a_key(scene: Scene) -> None:
    """One piece of work for a key: the record as it is then, and a changed body is refused."""
    served, upstream = scene
    text, key = unique(), {"idempotency-key": fresh_id()}
    path = "/v1/chat/completions"
    _, _, first = ask(served, path, text, headers=key)
    _, told, again = ask(served, path, text, headers=key)
    assert (again["id"], told["idempotent-replayed"]) == (first["id"], "true")
    poll(served, path, first["id"])
    status, _, last = ask(served, path, text, headers=key)
    assert (status, last["status"], text.removeprefix("echo: ") in texts(path, last)) == (
        200,
        "completed",
        True,
    )
    status, _, refused = ask(served, path, text + " more", headers=key)
    assert (status, refused["error"]["code"]) == (400, "idempotency_key_reused")
    assert sum(text.encode() in record.body for record in upstream.up.log) == 1
    assert len(billed(served, first["id"])) == 1


def test_record_says_why_when_the_target_refuses(scene: Scene) -> None:
    """A target's last word ends the work: the record is failed and has its words, and nothing is billed."""
    served, _ = scene
    path = "/v1/chat/completions"
    _, _, taken = ask(served, path, "{{fail 400 message=nonsense}} x")
    record = poll(served, path, taken["id"])
    assert (record["status"], record["choices"]) == ("failed", [])
    assert "nonsense" in record["error"]["message"]
    assert billed(served, taken["id"]) == []


def test_q10_work_is_tried_again_when_a_target_fails(scene: Scene) -> None:
    """What a target fails at for a while is answered all the same, and billed once."""
    served, upstream = scene
    text = unique("{{fail 503 times=2}} echo:")
    path = "/v1/chat/completions"
    _, _, taken = ask(served, path, text)
    assert poll(served, path, taken["id"])["status"] == "completed"
    assert sum(text.encode() in record.body for record in upstream.up.log) == 3
    assert len(billed(served, taken["id"])) == 1


@pytest.mark.parametrize(("model", "fault"), [("frail", "fail 503"), ("strict", "fail 429 retry-after=600")])
def test_who_waits_is_served_when_a_target_refuses_queued_work(scene: Scene, model: str, fault: str) -> None:
    """What queued work meets holds off queued work; a client that waits finds out by itself, and then it is held off, too."""
    served, upstream = scene
    path, text = "/v1/chat/completions", unique(f"{{{{{fault}}}}} echo:")
    _, _, taken = ask(served, path, text, model=model)
    wait_until(lambda: _gone(served, taken["id"]), "it went back")
    for _ in range(2):
        assert _waited(served, model, "echo: at once")[0] == 200
    assert sum(text.encode() in record.body for record in upstream.up.log) == 1
    assert _waited(served, model, f"{{{{{fault}}}}} {text}")[0] in (429, 502, 503)
    status, told = _waited(served, model, "echo: too late")
    assert status in (429, 502, 503)
    assert "retry-after" in told
    assert served.call(f"{path}/{taken['id']}/cancel", b"")[0] == 200


def _waited(served: Served, model: str, text: str) -> tuple[int, dict[str, str]]:
    """What a client is answered that waits."""
    status, told, _ = served.call(
        "/v1/chat/completions", {"model": model, **SURFACES["/v1/chat/completions"](text)}
    )
    return status, told


def _gone(served: Served, which: str) -> bool:
    """Whether work was tried once, and waits for another try."""
    query = "SELECT count(*) FROM jobs WHERE batch_id = ? AND state = 'queued' AND epoch > 1"
    return rows(served.data, query, which) == [(1,)]


def test_window_fails_or_is_free_when_it_is_missed(scene: Scene) -> None:
    """`fail` ends late work unpaid, with a code that says so; `refund` answers it and charges nothing."""
    served, _ = scene
    path = "/v1/chat/completions"
    _, _, quick = ask(served, path, "{{fail 503 times=9}} echo: x", model="quick")
    _, _, lenient = ask(served, path, "{{delay 1}} echo: better late", model="lenient")
    failed = poll(served, path, quick["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "window_missed")
    late = poll(served, path, lenient["id"])
    assert (late["status"], late["completion_window"]["cost_usd"]) == ("completed", "0")
    assert billed(served, lenient["id"]) == [(0, "kind")]


def test_asap_finds_a_place_when_much_work_waits(scene: Scene) -> None:
    """Of a target with four places queued work leaves one to who comes at once; all of it is done in the end."""
    served, upstream = scene
    path = "/v1/chat/completions"
    mark = fresh_id()
    ids = [ask(served, path, f"{{{{delay 0.05}}}} echo: {mark}", model="single")[2]["id"] for _ in range(12)]
    status, _, _ = served.chat(f"echo: {mark}", model="single", metadata={"completion_window": "asap"})
    assert status == 200
    assert {poll(served, path, each)["status"] for each in ids} == {"completed"}
    assert sum(mark.encode() in record.body for record in upstream.up.log) == 13


def test_answer_can_be_read_for_a_while_when_content_is_not_kept(scene: Scene) -> None:
    """`store: false` keeps it for ten minutes, no longer: whoever did not wait has to read it somehow."""
    served, _ = scene
    path = "/v1/responses"
    _, _, taken = ask(served, path, "echo: off the record", store=False)
    record = poll(served, path, taken["id"])
    assert texts(path, record) == "off the record"
    [(kept,)] = rows(served.data, "SELECT expires_at - finished_at FROM responses WHERE id = ?", taken["id"])
    assert kept == 600_000_000


def test_token_stays_here_when_a_webhook_is_named(scene: Scene) -> None:
    """W03: neither a record, nor the database, nor a target sees the token."""
    served, upstream = scene
    secret = fresh_id() + "-token"
    _, _, taken = ask(served, "/v1/responses", "echo: x", metadata={"webhook_token": secret, "a": "b"})
    record = poll(served, "/v1/responses", taken["id"])
    assert record["metadata"] == {"a": "b"}
    assert not any(secret.encode() in seen.body for seen in upstream.up.log)
    with closing(sqlite3.connect(served.data / "ingot.db")) as conn:
        assert secret not in "\n".join(conn.iterdump())


TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "web_search"}]},
        {"truncation": "auto"},
        {"max_tool_calls": 3, "tools": [TOOL]},
        {"prompt": {"id": "pmpt_1"}},
        {
            "model": "exact",
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "x",
                    "strict": True,
                    "schema": {"type": "object", "properties": {"v": {"type": "number", "minimum": 0}}},
                }
            },
        },
    ],
)
def test_work_is_refused_when_no_target_would_be_asked(scene: Scene, fields: dict[str, Any]) -> None:
    """What every target of the model refuses is refused at the door, in the words of the foreground."""
    served, _ = scene
    body = {"model": "mock", "input": "echo: x", **fields}
    told, _, waited = served.call("/v1/responses", body)
    status, _, answer = served.call("/v1/responses", {**body, "background": True})
    error, refused = json.loads(waited)["error"], json.loads(answer)["error"]
    assert (status, told) == (400, 400)
    assert {**refused, "request_id": ""} == {**error, "request_id": ""}


def test_work_is_taken_when_one_target_takes_it(scene: Scene) -> None:
    """Where another target of the model takes what the first one refuses, the work is taken."""
    served, _ = scene
    schema = {"type": "object", "properties": {"v": {"type": "number", "minimum": 0}}}
    form = {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": schema}}
    body = {"model": "either", "input": "echo: x", "text": form}
    status, _, taken = served.call("/v1/responses", {**body, "background": True})
    assert status == 200, taken


def test_record_has_a_clients_code_when_the_request_is_at_fault(scene: Scene) -> None:
    """A response that failed for its own request says so by a code that clients know."""
    served, _ = scene
    path = "/v1/responses"
    _, _, taken = ask(served, path, "{{fail 400 message=nonsense}} x")
    assert poll(served, path, taken["id"])["error"]["code"] == "invalid_prompt"


def test_work_waits_for_another_process_when_this_one_has_no_worker(tmp_path: Path) -> None:
    """`--no-worker` takes work and leaves it; the next start that has a worker does it. Deleting a waiting one ends it."""
    with Backstage() as upstream:
        config = "[engine]\nenabled = false\n" + CONFIG.replace("{up}", upstream.url)
        path = "/v1/chat/completions"
        with serving(config, tmp_path, options=("--no-worker",)) as served:
            text = unique()
            _, _, taken = ask(served, path, text)
            _, _, other = ask(served, path, "echo: not wanted any more")
            assert read(served, path, taken["id"])["status"] == "queued"
            assert served.call(f"{path}/{other['id']}", method="DELETE")[0] == 200
            assert served.call(f"{path}/{other['id']}")[0] == 404
            assert upstream.up.log == []
            served.stop()
        with serving(config, tmp_path) as served:
            assert poll(served, path, taken["id"])["status"] == "completed"
            assert len(billed(served, taken["id"])) == 1
