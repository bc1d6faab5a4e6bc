"""The pages around the API: models, health, version, description, and what is said where nothing is."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot import __version__
from rig import Backstage, Line, chat, fresh_id, post, stage, wait_until
from served import KEY, Served

CONFIG = """
    [targets.up]
    base_url = "{up}"
    breaker = { failures = 1, open_seconds = 1.0 }
    [models]
    mock = { targets = ["up"], price = "free", attempts = 1 }
    "org/team/name" = { targets = ["up"], price = "free", owned_by = "somebody", created = 1700000000 }
"""

Stage = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("pages"), CONFIG) as both:
        yield both


def test_models_are_listed_when_asked(scene: Stage) -> None:
    """As OpenAI's clients read them, slashes and all."""
    _, _, body = scene[0].call("/v1/models")
    listing = json.loads(body)
    assert listing["object"] == "list"
    named = {model["id"]: model for model in listing["data"]}
    assert set(named) == {"mock", "org/team/name"}
    expected = {"id": "org/team/name", "created": 1_700_000_000, "owned_by": "somebody", "object": "model"}
    windows = named["org/team/name"].pop("windows")
    assert [window["name"] for window in windows] == ["asap"]
    assert named["org/team/name"] == expected
    for path in ("/v1/models/org/team/name", "/v1/models/org%2Fteam%2Fname"):
        assert json.loads(scene[0].call(path)[2]) == {**expected, "windows": windows}


def test_model_is_not_found_when_it_does_not_exist(scene: Stage) -> None:
    """The message names what there is."""
    for status, _, body in (
        scene[0].call("/v1/models/mocc"),
        scene[0].call("/v1/chat/completions", chat("hello", model="mocc")),
    ):
        error = json.loads(body)["error"]
        assert status == 404
        assert error["code"] == "model_not_found"
        assert "mock" in error["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/mock", "/v1/chat/completions"])
def test_key_is_asked_for_when_it_is_missing_or_wrong(scene: Stage, path: str) -> None:
    """401 with the scheme; no page tells whether a model exists."""
    served, _ = scene
    body = chat("hello") if path.endswith("completions") else None
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic eDp5"},
        {"x-api-key": "wrong"},
    ):
        status, found, answer = served.call(path, body, key=None, headers=headers)
        assert status == 401
        assert found["www-authenticate"] == "Bearer"
        assert json.loads(answer)["error"]["code"] in {"invalid_api_key", "missing_api_key"}
    assert served.call(path, body, key=None, headers={"x-api-key": KEY})[0] == 200
    assert served.call(path, body, headers={"x-api-key": "another"})[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/chat",
        "//v1/models",
        "/v1/../livez",
        "/%00",
        "/v1/images",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_envelope_is_given_when_nothing_answers(scene: Stage, path: str, method: str) -> None:
    """Clients parse errors: a 404 is one too."""
    status, headers, body = scene[0].call(path, b"{}" if method == "POST" else None, method=method)
    error = json.loads(body)["error"]
    assert (status, error["code"], error["type"]) == (404, "unknown_url", "invalid_request_error")
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/chat/completions", "GET, HEAD, POST"),
        ("PUT", "/v1/chat/completions/some-id", "DELETE, GET, HEAD, POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("OPTIONS", "/v1/completions", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/org/team/name", "GET, HEAD"),
        ("PUT", "/livez", "GET, HEAD"),
    ],
)
def test_methods_are_told_when_another_was_used(scene: Stage, method: str, path: str, allow: str) -> None:
    """405 with Allow, in the envelope."""
    status, headers, body = scene[0].call(path, b"{}" if method in {"POST", "PUT"} else None, method=method)
    assert (status, headers["allow"]) == (405, allow)
    assert json.loads(body)["error"]["code"] == "method_not_allowed"


def test_pages_answer_when_asked_without_a_key(scene: Stage) -> None:
    """What load balancers and people ask."""
    served, _ = scene
    assert served.call("/livez", key=None)[::2] == (200, b'{"status":"ok"}')
    assert json.loads(served.call("/version", key=None)[2]) == {"name": "ingot", "version": __version__}
    for path in ("/health", "/readyz"):
        status, _, body = served.call(path, key=None)
        assert status == 200
        assert json.loads(body) == {"status": "ok", "models": 2, "targets": {"up": "ok"}, "draining": False}


def test_not_ready_is_told_when_no_target_may_be_asked(scene: Stage) -> None:
    """With every breaker open no traffic belongs here; the process is alive all the same."""
    served, upstream = scene
    assert served.call("/v1/chat/completions", chat("{{fail 500}}"))[0] == 502
    status, _, body = served.call("/readyz")
    ready = json.loads(body)
    assert (status, ready["status"], ready["models"]) == (503, "unavailable", 0)
    assert ready["targets"]["up"].startswith("breaker")
    assert served.call("/livez")[0] == 200
    wait_until(lambda: served.call("/v1/chat/completions", chat("hello"))[0] == 200, "the breaker closes")
    assert served.call("/readyz")[0] == 200
    assert upstream.up.log


PATHS = {
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/responses/{id}",
    "/v1/responses/{id}/cancel",
    "/v1/responses/{id}/input_items",
    "/v1/models",
    "/v1/models/{model}",
    "/health",
    "/livez",
    "/readyz",
    "/version",
    "/openapi.json",
    "/llms.txt",
    "/reference.md",
    "/metrics",
    "/v1/chat/completions/{id}",
    "/v1/chat/completions/{id}/messages",
    "/v1/responses/compact",
    "/v1/conversations",
    "/v1/conversations/{id}",
    "/v1/conversations/{id}/items",
    "/v1/conversations/{id}/items/{item_id}",
    "/v1/files",
    "/v1/files/{id}",
    "/v1/files/{id}/content",
    "/v1/uploads",
    "/v1/uploads/{id}/parts",
    "/v1/uploads/{id}/complete",
    "/v1/uploads/{id}/cancel",
    "/v1/batches",
    "/v1/batches/{id}",
    "/v1/batches/{id}/cancel",
    "/v1/batches/{id}/results",
    "/v1/batches/{id}/{custom_id}",
    "/v1/webhook_endpoints",
    "/v1/webhook_endpoints/{id}",
    "/v1/webhook_endpoints/{id}/rotate_secret",
    "/v1/webhook_endpoints/{id}/test",
    "/v1/webhook_event_types",
    "/v1/messages/batches",
    "/v1/messages/batches/{id}",
    "/v1/messages/batches/{id}/cancel",
    "/v1/messages/batches/{id}/results",
    "/v1/quotes",
    "/v1/windows",
    "/v1/usage",
    "/v1/usage/breakdown",
    "/v1/usage/requests",
    "/v1/usage/export",
    "/v1/messages/{id}",
    "/v1/messages/{id}/cancel",
    "/v1/chat/completions/{id}/cancel",
}
"""All that the server describes of itself under its default preset."""


def test_description_is_whole_when_asked(scene: Stage) -> None:
    """Every path that answers is described, every reference leads somewhere, and nothing else is claimed."""
    served, _ = scene
    document = json.loads(served.call("/openapi.json", key=None)[2])
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == __version__
    assert set(document["paths"]) == PATHS
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"]
            assert "200" in operation["responses"]
            if "{id}" in path:
                continue  # nothing is stored under an id that was made up; tests/e2e/test_stored.py asks for real ones
            status = served.call(path.replace("{model}", "mock"), b"{}" if method == "post" else None)[0]
            # A conversation may begin with nothing.
            assert status == (400 if method == "post" and path != "/v1/conversations" else 200)
    for path in ("/llms.txt", "/reference.md", "/metrics", "/version"):
        [media] = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert served.call(path, key=KEY)[1]["content-type"].startswith(media)
    for reference in _references(document):
        found = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        assert found


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "$ref":
                yield part
            else:
                yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def test_drain_lets_a_stream_end_when_the_server_stops(tmp_path: Path) -> None:
    """After SIGTERM a running stream gets its time, no new connection is taken, and the exit status is 0."""
    with stage(tmp_path, CONFIG) as (served, upstream), Line(served.port) as line, Line(served.port) as idle:
        request_id = fresh_id()
        line.send(post(chat("words: 8 {{gap 0.1}}", stream=True), more=f"x-request-id: {request_id}\r\n"))
        upstream.until_seen(request_id)
        served.process.send_signal(signal.SIGTERM)
        assert idle.closed()
        answer = line.answer()
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert line.closed()
        assert served.stop() == 0
        assert any(record["event"] == "draining" for record in served.logs())
