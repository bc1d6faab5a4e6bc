"""Batches through a whole server: three shapes, their results, retries, cancellation, refusals, money; the official clients."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from batchhouse import CHAT, CONFIG, ENDED, Scene, chat, make, named, over, read, results, said
from databases import Place
from operator_hands import Hands
from retryclient import rows, unique
from rig import fresh_id, stage, wait_until
from served import KEY


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("batches"), CONFIG) as both:
        yield both


def test_requests_are_answered_when_they_come_in_the_body(scene: Scene) -> None:
    """At once a batch that is seen whole; each answer by its name, one at a time and as lines; billed once, in its window."""
    served, upstream = scene
    text = unique()
    wanted = {f"r{number}": f"{text} {number}" for number in range(70)}
    status, _, batch = make(served, named(wanted), label="nightly_1", metadata={"completion_window": "flex"})
    assert (status, batch["request_counts"]["total"], batch["label"]) == (200, 70, "nightly_1")
    batch = over(served, batch["id"])
    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 70)
    lines = results(served, batch["id"])
    assert {name: said(line) for name, line in lines.items()} == {
        name: each.removeprefix("echo: ") for name, each in wanted.items()
    }
    status, _, one = served.call(f"/v1/batches/{batch['id']}/r7")
    assert json.loads(one)["completion_window"]["asked"] == "flex"
    assert sum(text.encode() in record.body for record in upstream.up.log) == 70
    billed = rows(
        served.data,
        "SELECT window, count(*), count(DISTINCT billable_id) FROM ledger JOIN batch_lines ON response_id = billable_id "
        "WHERE batch_id = ? GROUP BY window",
        batch["id"],
    )
    assert billed == [("flex", 70, 70)]
    used = batch["usage"]
    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"] > 0


def test_lines_are_paged_when_there_are_many(scene: Scene) -> None:
    """Behind the last line of a page comes the next one, until a page is empty."""
    served, _ = scene
    _, _, batch = make(served, named({f"r{number}": f"echo: {number}" for number in range(10)}))
    over(served, batch["id"])
    found: list[str] = []
    query = "?limit=4"
    while page := results(served, batch["id"], query):
        found += page
        query = f"?limit=4&after={found[-1]}"
    assert found == [f"r{number}" for number in range(10)]
    status, _, body = served.call(f"/v1/batches/{batch['id']}/results?after=nobody")
    assert (status, json.loads(body)["error"]["param"]) == (400, "after")


def test_batch_goes_on_when_some_of_its_requests_fail(scene: Scene) -> None:
    """B04: a line for each, failures included, with the target's own words; only answers are billed."""
    served, _ = scene
    wanted = {"good": "echo: fine", "bad": "{{fail 400 message=nonsense}} x", "gone": "{{fail 422}} x"}
    _, _, batch = make(served, named(wanted))
    batch = over(served, batch["id"])
    counts = batch["request_counts"]
    assert (batch["status"], counts["completed"], counts["failed"]) == ("completed", 1, 2)
    lines = results(served, batch["id"])
    assert said(lines["good"]) == "fine"
    assert (lines["bad"]["response"]["status_code"], "nonsense" in str(lines["bad"]["response"])) == (
        400,
        True,
    )
    status, _, one = served.call(f"/v1/batches/{batch['id']}/bad")
    assert (status, json.loads(one)["status"]) == (200, "failed")
    billed = rows(
        served.data,
        "SELECT custom_id FROM ledger JOIN batch_lines ON response_id = billable_id WHERE batch_id = ?",
        batch["id"],
    )
    assert billed == [("good",)]


def test_q10_request_is_tried_again_while_another_of_its_job_runs(scene: Scene) -> None:
    """One that hangs keeps nobody of its job waiting: what failed is answered meanwhile; each is billed once."""
    served, upstream = scene
    slow, flaky = unique("{{silent times=1}} echo: slow"), unique("{{fail 503 times=2}} echo: flaky")
    _, _, batch = make(served, named({"slow": slow, "flaky": flaky}, model="frail"))
    wait_until(lambda: read(served, batch["id"])["request_counts"]["completed"] == 1, "one is answered")
    found = read(served, batch["id"])
    assert (found["status"], found["request_counts"]["running"]) == ("in_progress", 1)
    upstream.refuse()
    upstream.listen()
    assert over(served, batch["id"])["request_counts"]["completed"] == 2
    assert sum(flaky.encode() in each.body for each in upstream.up.log) == 3
    billed = "SELECT count(*) FROM ledger JOIN batch_lines ON response_id = billable_id WHERE batch_id = ?"
    assert rows(served.data, billed, batch["id"]) == [(2,)]


def test_q10_request_fails_for_good_after_its_tries_while_another_of_its_job_runs(scene: Scene) -> None:
    """Late work has three tries, all of them under the lease that another request of its job still holds."""
    served, upstream = scene
    slow, failed = unique("{{silent times=1}} echo: slow"), unique("{{fail 503}} echo: x")
    _, _, batch = make(served, named({"slow": slow, "failed": failed}, model="dying"))
    wait_until(lambda: read(served, batch["id"])["request_counts"]["failed"] == 1, "one has failed")
    assert read(served, batch["id"])["request_counts"]["running"] == 1
    assert rows(served.data, "SELECT epoch, tries FROM jobs WHERE batch_id = ?", batch["id"]) == [(1, 0)]
    assert sum(failed.encode() in each.body for each in upstream.up.log) == 3
    upstream.refuse()
    upstream.listen()
    assert over(served, batch["id"])["status"] == "completed"


def test_q10_batch_is_answered_when_all_of_another_one_fails(scene: Scene) -> None:
    """A target that bears one call and fails all of a batch: the batch steps aside, and one that comes later has its turn."""
    served, upstream = scene
    poison = unique("{{fail 500}} echo: x")
    _, _, first = make(
        served, named({f"p{number}": f"{poison} {number}" for number in range(40)}, model="poor")
    )

    def tried() -> int:
        return sum(poison.encode() in each.body for each in upstream.up.log)

    wait_until(lambda: tried() >= 3, "it has failed three times")
    _, _, second = make(served, named({"good": unique("echo: hello")}, model="poor"))
    assert over(served, second["id"])["request_counts"]["completed"] == 1
    assert tried() < 40
    assert read(served, first["id"])["request_counts"]["completed"] == 0
    assert served.call(f"/v1/batches/{first['id']}/cancel", b"")[0] == 200
    over(served, first["id"])


def test_q13_tries_that_fail_are_counted_when_nothing_is_answered(scene: Scene) -> None:
    """Each of the three had its place for a while: others are next."""
    served, _ = scene
    counter = "SELECT counter FROM tenant_clocks"
    make(served, named({"first": "echo: there is a counter"}, model="dying"))
    wait_until(lambda: rows(served.data, "SELECT count(*) FROM jobs") == [(0,)], "nothing waits or runs")
    [(before,)] = rows(served.data, counter)
    _, _, batch = make(served, named({"failed": unique("{{fail 503 delay 0.2}} echo: x")}, model="dying"))
    batch = over(served, batch["id"])
    assert batch["request_counts"]["failed"] == 1
    [(after,)] = rows(served.data, counter)
    assert after > before


def test_b05_failed_request_ends_with_its_batch_while_another_runs(scene: Scene) -> None:
    """One that pauses after a failure is begun no more once the batch is cancelled; one that runs may end."""
    served, upstream = scene
    slow, failed = unique("{{silent times=1}} echo: slow"), unique("{{fail 503}} echo: x")
    _, _, batch = make(served, named({"slow": slow, "failed": failed}, model="frail"))
    wait_until(
        lambda: all(
            any(text.encode() in each.body for each in list(upstream.up.log)) for text in (slow, failed)
        ),
        "both have begun",
    )
    served.call(f"/v1/batches/{batch['id']}/cancel", b"")
    wait_until(lambda: read(served, batch["id"])["request_counts"]["cancelled"] == 1, "one has ended")
    assert read(served, batch["id"])["request_counts"]["running"] == 1
    upstream.refuse()
    upstream.listen()
    assert over(served, batch["id"])["status"] == "cancelled"


def test_request_is_read_by_its_name_when_that_is_a_verb_of_the_batch(scene: Scene) -> None:
    """What ends a batch is a POST: a request may have the word for a name."""
    served, _ = scene
    _, _, batch = make(served, named({"cancel": "echo: still there"}))
    assert over(served, batch["id"])["status"] == "completed"
    status, _, one = served.call(f"/v1/batches/{batch['id']}/cancel", method="GET")
    assert (status, json.loads(one)["choices"][0]["message"]["content"]) == (200, "still there")


def test_openai_reads_results_when_it_sent_a_file(scene: Scene) -> None:
    """The official client: upload, create, poll, both files of results, list, and a file that is no use."""
    served, _ = scene
    lines = [
        {"custom_id": "a", "method": "POST", "url": CHAT, "body": chat("echo: from a file")},
        {"custom_id": "results", "method": "POST", "url": CHAT, "body": chat("{{fail 400 message=odd}} x")},
    ]
    with OpenAI(base_url=served.v1, api_key=KEY, max_retries=0, timeout=60) as client:
        data = b"\n".join(json.dumps(line).encode() for line in lines)
        file = client.files.create(file=("in.jsonl", data), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"job": "x"}
        )
        assert batch.status == "validating"
        while batch.status not in ENDED:
            time.sleep(0.05)
            batch = client.batches.retrieve(batch.id)
        assert batch.request_counts is not None
        assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == (
            "completed",
            1,
            1,
        )
        assert (batch.output_file_id is not None, batch.error_file_id is not None) == (True, True)
        [good] = client.files.content(str(batch.output_file_id)).text.splitlines()
        [bad] = client.files.content(str(batch.error_file_id)).text.splitlines()
        assert said(json.loads(good)) == "from a file"
        assert json.loads(bad)["response"]["status_code"] == 400
        assert set(results(served, batch.id)) == {"a", "results"}
        assert client.files.retrieve(str(batch.output_file_id)).purpose == "batch_output"
        assert batch.id in [each.id for each in client.batches.list(limit=100)]
        broken = client.files.create(file=("in.jsonl", data + b'\n{"custom_id": "a"}\nx'), purpose="batch")
        batch = client.batches.create(input_file_id=broken.id, endpoint=CHAT, completion_window="24h")
        while batch.status not in ENDED:
            time.sleep(0.05)
            batch = client.batches.retrieve(batch.id)
        assert batch.status == "failed"
        assert batch.errors is not None
        assert [each.line for each in batch.errors.data or []] == [3, 4]


def test_anthropic_reads_results_when_it_made_a_batch(scene: Scene) -> None:
    """The official client: create, retrieve, list, results by name, delete."""
    served, _ = scene
    with Anthropic(base_url=served.url, api_key=KEY, max_retries=0, timeout=60) as client:
        body: Any = {"model": "mock", "max_tokens": 20}
        requests: Any = [
            {"custom_id": "a", "params": {**body, "messages": [{"role": "user", "content": "echo: hi"}]}},
            {
                "custom_id": "b",
                "params": {**body, "messages": [{"role": "user", "content": "{{fail 400}} x"}]},
            },
        ]
        batch = client.messages.batches.create(requests=requests)
        assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 2)
        while batch.processing_status != "ended":
            time.sleep(0.05)
            batch = client.messages.batches.retrieve(batch.id)
        assert (batch.request_counts.succeeded, batch.request_counts.errored) == (1, 1)
        found = {line.custom_id: line.result for line in client.messages.batches.results(batch.id)}
        assert found["a"].type == "succeeded"
        assert [block.text for block in found["a"].message.content if block.type == "text"] == ["hi"]
        assert found["b"].type == "errored"
        assert found["b"].error.error.type == "invalid_request_error"
        assert batch.id in [each.id for each in client.messages.batches.list(limit=100)]
        client.messages.batches.delete(batch.id)
        assert served.call(f"/v1/messages/batches/{batch.id}")[0] == 404


@pytest.mark.parametrize("endpoint", ["/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/completions"])
def test_endpoint_is_batched_when_it_is_served(scene: Scene, endpoint: str) -> None:
    """Each surface's requests, with answers in its own words."""
    served, _ = scene
    bodies: dict[str, dict[str, Any]] = {
        "/v1/responses": {"input": "echo: words"},
        "/v1/messages": {"messages": [{"role": "user", "content": "echo: words"}], "max_tokens": 20},
        "/v1/embeddings": {"input": "words"},
        "/v1/completions": {"prompt": "echo: words"},
    }
    params = {"model": "only", **bodies[endpoint]}
    _, _, batch = make(served, [{"custom_id": "one", "params": params}], endpoint=endpoint)
    batch = over(served, batch["id"])
    assert batch["request_counts"]["completed"] == 1, results(served, batch["id"])
    status, _, answer = served.call(f"/v1/batches/{batch['id']}/one")
    kind = json.loads(answer).get("object", json.loads(answer).get("type"))
    assert (status, kind) == (
        200,
        {
            "/v1/responses": "response",
            "/v1/messages": "message",
            "/v1/embeddings": "list",
            "/v1/completions": "text_completion",
        }[endpoint],
    )


def test_i09_batch_is_the_same_when_it_is_sent_again_with_its_key(scene: Scene) -> None:
    """One batch for a key, also in another form of the request's head; another body is refused, and leaves nothing."""
    served, upstream = scene
    text, key = unique(), {"idempotency-key": fresh_id()}
    _, _, first = make(served, named({"a": text}), headers=key)
    _, told, again = make(served, named({"a": text}), headers=key)
    assert (again["id"], told["idempotent-replayed"]) == (first["id"], "true")
    status, _, refused = make(served, named({"a": text, "b": text}), headers=key)
    assert (status, refused["error"]["code"]) == (400, "idempotency_key_reused")
    over(served, first["id"])
    assert sum(text.encode() in record.body for record in upstream.up.log) == 1
    assert rows(served.data, "SELECT count(*) FROM batches WHERE state = 'staged'") == [(0,)]


def test_b05_what_waits_ends_at_once_when_the_batch_is_cancelled(scene: Scene) -> None:
    """What runs may end, and is kept and billed; a second cancel is no error; one that has completed is a conflict."""
    served, upstream = scene
    text = unique()
    wanted = {"slow": f"{text} {{{{delay 1.5}}}}"} | {
        f"r{number}": f"{text} {number}" for number in range(200)
    }
    _, _, batch = make(served, named(wanted, model="single"))
    wait_until(lambda: any(text.encode() in each.body for each in list(upstream.up.log)), "something runs")
    status, _, body = served.call(f"/v1/batches/{batch['id']}/cancel", b"")
    counts = json.loads(body)["request_counts"]
    assert (status, json.loads(body)["status"]) == (200, "cancelling")
    assert counts["pending"] == 0 < counts["cancelled"]
    assert served.call(f"/v1/batches/{batch['id']}/cancel", b"")[0] == 200
    batch = over(served, batch["id"])
    counts = batch["request_counts"]
    assert batch["status"] == "cancelled"
    assert counts["completed"] + counts["cancelled"] == 201
    lines = results(served, batch["id"])
    assert len(lines) == 201
    assert {line["error"]["code"] for line in lines.values() if line["error"]} == {"batch_cancelled"}
    _, _, done = make(served, named({"a": "echo: a"}))
    over(served, done["id"])
    status, _, body = served.call(f"/v1/batches/{done['id']}/cancel", b"")
    assert (status, json.loads(body)["error"]["code"]) == (409, "batch_ended")


def test_b06_rest_expires_when_the_window_is_over(scene: Scene) -> None:
    """What was not begun in time ends as expired, is told so line by line, and costs nothing; what was done stays."""
    served, _ = scene
    wanted = {"first": "echo: first {{delay 2}}"} | {f"r{number}": "echo: later" for number in range(80)}
    _, _, batch = make(served, named(wanted, model="short"))
    batch = over(served, batch["id"])
    counts = batch["request_counts"]
    assert batch["status"] == "expired"
    assert counts["expired"] > 0
    assert counts["expired"] + counts["completed"] == 81
    lines = results(served, batch["id"])
    assert len(lines) == 81
    assert {line["error"]["code"] for line in lines.values() if line["error"]} == {"batch_expired"}


def test_b06_what_waits_behind_a_slow_request_expires_before_that_ends(scene: Scene) -> None:
    """A job's requests that have no place yet end when the window is over, whatever the others of it still do."""
    served, _ = scene
    wanted = {"slow": "echo: slow {{delay 6}}"} | {f"r{number}": "echo: later" for number in range(20)}
    _, _, batch = make(served, named(wanted, model="short"))
    wait_until(lambda: read(served, batch["id"])["request_counts"]["expired"] == 20, "the rest is over")
    found = read(served, batch["id"])
    assert (found["status"], found["request_counts"]["running"]) == ("in_progress", 1)
    assert over(served, batch["id"])["request_counts"]["completed"] == 1


def test_s08_nobody_else_finds_a_batch(scene: Scene) -> None:
    """Another organization's key gets the answer for what never was, on each path."""
    served, _ = scene
    _, _, batch = make(served, named({"a": "echo: secret"}))
    over(served, batch["id"])
    key = Hands(Place("sqlite", served.data, "")).customer("Others", plan="pro", credit="5").key
    for path in ("", "/a", "/results"):
        never = served.call(f"/v1/batches/batch_nobody{path}", key=key)
        theirs = served.call(f"/v1/batches/{batch['id']}{path}", key=key)
        assert (theirs[0], theirs[2]) == (404, never[2].replace(b"batch_nobody", batch["id"].encode()))
    assert served.call(f"/v1/batches/{batch['id']}/cancel", b"", key=key)[0] == 404
    assert json.loads(served.call("/v1/batches", key=key)[2])["data"] == []
    assert served.call(f"/v1/messages/batches/{batch['id']}")[0] == 404


def test_answer_follows_the_preset_when_valar_is_asked(scene: Scene) -> None:
    """S4-150, C-10 to C-12, C-62: the plain form, a bare list, status by name; other members are refused."""
    served, _ = scene
    host = {"host": "valar.example.org"}
    request = {"custom_id": "a", "params": {"model": "mock", "input": "echo: valar"}}
    body = {"endpoint": "/v1/responses", "requests": [request], "label": "x"}
    status, _, told = served.call("/v1/batches", body, headers=host)
    batch = json.loads(told)
    assert (status, set(batch), batch["request_counts"]) == (
        200,
        {"id", "request_counts", "created_at", "label"},
        1,
    )
    path = f"/v1/batches/{batch['id']}"

    def states() -> Any:
        return json.loads(served.call(path, headers=host)[2])["request_status"]

    wait_until(lambda: states() == {"a": {"status": "completed"}}, "it has ended")
    one = json.loads(served.call(f"{path}/a", headers=host)[2])
    assert (one["object"], one["status"]) == ("response", "completed")
    assert batch["id"] in [each["id"] for each in json.loads(served.call("/v1/batches", headers=host)[2])]
    assert served.call(f"{path}/cancel", b"", headers=host)[0] in {404, 405}
    status, _, told = served.call("/v1/batches", {**body, "metadata": {}}, headers=host)
    assert (status, json.loads(told)["error"]["param"]) == (400, "metadata")
    assert served.call("/v1/messages/batches", {"requests": []}, headers=host)[0] == 404
