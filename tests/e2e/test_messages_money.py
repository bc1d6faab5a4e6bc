"""What messages cost and count, their retries, their limits, and the models as Anthropic's clients list them."""

import json
from collections.abc import Iterator

import pytest

import upstream_messages as anthropic
from messagehouse import CONFIG, Scene, ask, body_of, events, row
from rig import fresh_id, logged, stage
from upstream_script import Step


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("messages"), CONFIG) as both:
        yield both


# ---- usage, money, store, retries


@pytest.mark.parametrize("streamed", [False, True])
def test_cached_and_written_tokens_are_parts_of_the_input_when_billed(scene: Scene, streamed: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Anthropic counts them beside the input, the ledger counts them in it, each at its own price."""
    served, _ = scene
    body = body_of("one two three four five six seven {{cached=3 written=4}}", stream=streamed)
    _, _, _, request_id = ask(served, body)
    counts = anthropic.message(body, step=Step(cached=3, written=4))["usage"]
    entry = logged(served, request_id)
    assert entry["input_tokens"] == counts["input_tokens"] + 7
    assert entry["output_tokens"] == counts["output_tokens"]
    found = row(served, request_id)
    assert (found["input_tokens"], found["cached_tokens"]) == (counts["input_tokens"] + 7, 3)
    cost = counts["input_tokens"] * 3 + 3 * 0.3 + 4 * 3.75 + counts["output_tokens"] * 15
    assert float(found["cost_usd"]) == pytest.approx(cost / 1_000_000)


def test_answer_is_given_again_when_either_header_repeats_its_key(scene: Scene) -> None:
    """C-02: `anthropic-idempotency-key` works like `Idempotency-Key`, for streams as well."""
    served, upstream = scene
    for name in ("idempotency-key", "anthropic-idempotency-key"):
        for streamed in (False, True):
            body = body_of("think: twice or more", stream=streamed)
            key = {name: fresh_id()}
            first = ask(served, body, headers=key)
            again = ask(served, body, headers=key)
            assert again[1]["idempotent-replayed"] == "true"
            assert not upstream.seen(again[3])
            assert again[1]["request-id"] == again[3]
            if not streamed:
                assert again[2] == first[2]
            assert [data for name, data in events(again[2]) if "delta" not in name] == [
                data for name, data in events(first[2]) if "delta" not in name
            ] or not streamed


@pytest.mark.parametrize("name", ["idempotency-key", "anthropic-idempotency-key"])
def test_i04_other_body_is_refused_when_its_key_is_taken(scene: Scene, name: str) -> None:
    """400 `idempotency_error`, as on every surface, in this one's envelope; nobody is asked, and no client tries again."""
    served, upstream = scene
    key = {name: fresh_id()}
    assert ask(served, body_of("first"), headers=key)[0] == 200
    status, headers, answer, request_id = ask(served, body_of("another"), headers=key)
    body = json.loads(answer)
    assert (status, list(body), body["type"]) == (400, ["type", "error", "request_id"], "error")
    assert body["error"]["type"] == "idempotency_error"
    assert body["error"]["details"] == {"error_code": "idempotency_key_reused"}
    assert "its body was another one" in body["error"]["message"]
    assert headers["x-should-retry"] == "false"
    assert not upstream.seen(request_id)


# ---- counting


def test_count_is_the_targets_own_when_tokens_are_counted(scene: Scene) -> None:
    """It costs nothing, and leaves no row and no answer behind."""
    served, upstream = scene
    body = body_of("one two three")
    del body["max_tokens"]
    before = served.metric("ingot_requests_total")
    status, headers, answer, request_id = ask(served, body, path="/v1/messages/count_tokens")
    assert status == 200
    assert json.loads(answer) == anthropic.count(body)
    assert headers["request-id"] == request_id
    assert upstream.seen(request_id)[0].path == "/v1/messages/count_tokens"
    _, _, page = served.call("/v1/usage/requests")
    assert request_id not in page.decode()
    assert served.metric("ingot_requests_total") == before


def test_count_is_an_estimate_when_no_target_counts(scene: Scene) -> None:
    """It says so in a header; a target that does not know the path is none that counts."""
    served, upstream = scene
    body = body_of("hi {{fail 404}}")
    status, headers, answer, request_id = ask(served, body, path="/v1/messages/count_tokens")
    assert (status, headers["x-ingot-estimated"]) == (200, "true")
    assert 0 < json.loads(answer)["input_tokens"] < len(json.dumps(body))
    assert [record.path for record in upstream.seen(request_id)] == ["/v1/messages/count_tokens"]


# ---- models


def test_models_have_the_clients_shape_when_it_names_itself(scene: Scene) -> None:
    """The same path for both: Anthropic's shape and pages where `anthropic-version` is sent."""
    served, _ = scene
    version = {"anthropic-version": "2023-06-01"}
    _, headers, answer = served.call("/v1/models?limit=2", headers=version)
    page = json.loads(answer)
    assert headers["request-id"] == headers["x-request-id"]
    names = [each["id"] for each in page["data"]]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (names[0], names[1], True)
    rest = json.loads(served.call(f"/v1/models?after_id={names[1]}", headers=version)[2])
    assert [each["id"] for each in rest["data"]] == ["quirky", "gpt", "org/renamed"]
    assert rest["has_more"] is False
    _, _, answer = served.call("/v1/models/org/renamed", headers=version)
    one = json.loads(answer)
    assert (one["type"], one["display_name"], one["lifecycle"]) == ("model", "org/renamed", "active")
    status, headers, answer = served.call("/v1/models/nobody", headers=version)
    assert (status, json.loads(answer)["error"]["type"]) == (404, "not_found_error")
    assert json.loads(answer)["request_id"] == headers["request-id"]
    assert json.loads(served.call("/v1/models")[2])["object"] == "list"
