"""`POST /v1/messages` on a real port, before a target that speaks Anthropic's format: what passes, what is refused, what breaks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from messagehouse import CONFIG, SECRET, Scene, ask, body_of, error_of, events, row
from rig import Backstage, Line, fresh_id, logged, post, stage, wait_until
from served import KEY

ODD = (
    b'{ "max_tokens" : 64, "x_unknown": {"b":1,"a":[ 1,2 ,3]},\r\n\t"temperature":1e-1 ,'
    b'"messages":[ {"content":"echo: caf\\u00e9 \xc3\xa9 \\/ \\ud83d\\ude00 \\u2028","role":"user"} ],'
    b'"metadata":{"user_id":"u"}, "model" : "%b"%b }'
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("messages"), CONFIG) as both:
        yield both


def direct(upstream: Backstage, body: bytes) -> bytes:
    """What the upstream answers to this body when it is asked without a relay."""
    with Line(upstream.up.port) as line:
        line.send(
            post(body, path="/v1/messages", more=f"x-api-key: {SECRET}\r\nanthropic-version: 2023-06-01\r\n")
        )
        return line.answer().body


# ---- what passes, and what changes


@pytest.mark.parametrize("streamed", [False, True])
def test_bytes_are_kept_both_ways_when_nothing_must_change(scene: Scene, streamed: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Verbatim means the client's own bytes, and back the upstream's."""
    served, upstream = scene
    body = ODD % (b"claude", b', "stream":true' if streamed else b"")
    status, headers, answer, request_id = ask(served, body)
    assert status == 200
    (record,) = upstream.seen(request_id)
    assert record.body == body
    assert answer == direct(upstream, body)
    assert headers["content-type"].startswith("text/event-stream" if streamed else "application/json")
    assert headers["request-id"] == headers["x-request-id"] == request_id
    assert logged(served, request_id)["fidelity"] == "verbatim"


@pytest.mark.parametrize("streamed", [False, True])
def test_model_alone_changes_when_the_public_name_differs(scene: Scene, streamed: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """The name is patched in the request, in the whole answer, and in message_start."""
    served, upstream = scene
    body = json.dumps(body_of("echo: so it is", model="org/renamed", stream=streamed)).encode()
    _, _, answer, request_id = ask(served, body)
    (record,) = upstream.seen(request_id)
    assert record.body == body.replace(b"org/renamed", b"claude")
    assert answer.replace(b'"org/renamed"', b'"claude"') == direct(upstream, record.body)
    assert answer.count(b'"org/renamed"') == 1
    assert logged(served, request_id)["fidelity"] == "patched"


def test_both_headers_are_named_when_no_key_comes(scene: Scene) -> None:
    """Anthropic's clients send `x-api-key`, or a bearer token."""
    served, _ = scene
    status, _, answer = served.call("/v1/messages", body_of("hi"), key=None)
    assert status == 401
    told = json.loads(answer)["error"]["message"]
    assert "'Authorization: Bearer YOUR_KEY'" in told
    assert "'x-api-key: YOUR_KEY'" in told


@pytest.mark.parametrize(
    ("path", "posted"),
    [("/v1/messages/nope", 405), ("/v1/messages/", 404), ("/v1/messages/batches/msgbatch_1/nope", 404)],
)
def test_error_wears_the_envelope_when_a_path_below_is_unknown(scene: Scene, path: str, posted: int) -> None:
    """Whoever goes there reads Anthropic's errors, with or without `anthropic-version`; a path beside it is nobody's.

    What is one step below is read and deleted, and not posted to.
    """
    served, _ = scene
    for method, body, wanted in (("GET", None, 404), ("POST", body_of("hi"), posted)):
        status, headers, answer = served.call(path, body, method=method)
        told = json.loads(answer)
        kind = "not_found_error" if wanted == 404 else "invalid_request_error"
        assert (status, told["type"], told["error"]["type"]) == (wanted, "error", kind)
        assert headers["request-id"] == headers["x-request-id"] == told["request_id"]
    assert "type" not in json.loads(served.call("/v1/messagesnope")[2])


def test_credential_and_version_go_along_when_a_target_is_asked(scene: Scene) -> None:
    """The target's key in both forms, the client's version and betas, and nothing else of the client's."""
    served, upstream = scene
    given = {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "one-2026-01-01, two",
        "anthropic-workspace-id": "w",
        "x-stainless-lang": "python",
    }
    _, _, _, request_id = ask(served, body_of("hi"), headers=given)
    headers = upstream.seen(request_id)[0].headers
    assert headers["x-api-key"] == SECRET
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["anthropic-version"] == "2026-10-21"
    assert headers["anthropic-beta"] == "one-2026-01-01, two"
    assert not headers.keys() & {"anthropic-workspace-id", "x-stainless-lang"}
    _, _, _, request_id = ask(served, body_of("hi"))
    headers = upstream.seen(request_id)[0].headers
    assert headers["anthropic-version"] == "2023-06-01"
    assert "anthropic-beta" not in headers


def test_configured_headers_count_when_a_client_sends_others(scene: Scene) -> None:
    """What the target's configuration sets is sent once, and as it says."""
    served, upstream = scene
    with Line(int(served.url.rpartition(":")[2])) as line:
        request_id = fresh_id()
        more = f"x-request-id: {request_id}\r\nanthropic-beta: mine\r\n"
        line.send(post(json.dumps(body_of("hi", model="fixed")).encode(), path="/v1/messages", more=more))
        assert line.answer().status == 200
    headers = upstream.seen(request_id)[0].headers
    assert (headers["x-api-key"], headers["anthropic-beta"]) == ("sk-own", "theirs")
    assert "authorization" not in headers


def test_quirks_apply_when_a_target_differs(scene: Scene) -> None:
    """The verbs of chat's quirks, and blocks that a target does not take."""
    served, upstream = scene
    _, _, _, request_id = ask(served, body_of("hi", model="quirky", top_k=3, metadata={"user_id": "u"}))
    sent = upstream.seen(request_id)[0].json
    assert (sent["k"], sent["speed"]) == (3, "fast")
    assert not sent.keys() & {"top_k", "metadata"}
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    for more, where in (
        ({"thinking": {"type": "adaptive"}}, "thinking"),
        ({"messages": [{"role": "user", "content": [image]}]}, "messages.0.content.0"),
    ):
        status, _, answer, request_id = ask(served, body_of("hi", model="quirky", **more))
        error = error_of(answer, request_id)
        assert (status, error["type"]) == (400, "invalid_request_error")
        assert error["message"].startswith(f"{where}: ")
        assert "'quirky'" in error["message"]


# ---- who may ask, and what is refused


def test_either_header_carries_the_key_when_the_preset_takes_both(scene: Scene) -> None:
    """S03: one function for both; both with different keys are refused."""
    served, _ = scene
    for path, body in (("/v1/messages", body_of("hi")), ("/v1/messages/count_tokens", body_of("hi"))):
        assert ask(served, body, path=path, headers={"x-api-key": KEY}, key=None)[0] == 200
        assert ask(served, body, path=path, headers={"x-api-key": KEY})[0] == 200
        status, _, answer, request_id = ask(served, body, path=path, headers={"x-api-key": "ik_other"})
        error = error_of(answer, request_id)
        assert status == 400
        assert error["details"] == {"error_code": "conflicting_credentials"}
        status, headers, answer, request_id = ask(served, body, path=path, key=None)
        assert (status, error_of(answer, request_id)["type"]) == (401, "authentication_error")
        assert headers["request-id"] == request_id


def test_refusals_wear_anthropics_envelope_when_a_request_is_wrong(scene: Scene) -> None:
    """The type follows from the status, the message begins with the field, nothing reaches the target."""
    served, upstream = scene
    newer = {"anthropic-version": "2026-10-21"}
    rows: list[tuple[Any, dict[str, str], int, str, str]] = [
        (
            {"model": "claude", "messages": [{"role": "user", "content": "hi"}]},
            {},
            400,
            "invalid_request_error",
            "max_tokens: Field required.",
        ),
        (body_of("hi", temperature=1.5), {}, 400, "invalid_request_error", "temperature: Above the maximum"),
        (
            body_of("hi", temperature=1),
            newer,
            400,
            "invalid_request_error",
            "temperature: Extra inputs are not",
        ),
        (
            body_of("hi"),
            {"anthropic-version": "2020-01-01"},
            400,
            "invalid_request_error",
            "anthropic-version: ",
        ),
        (body_of("hi", model="nobody"), {}, 404, "not_found_error", "The model `nobody` does not exist"),
        (
            body_of("hi", model="gpt"),
            {},
            400,
            "invalid_request_error",
            "The model 'gpt' does not serve /v1/messages",
        ),
        (b"{", {}, 400, "invalid_request_error", "The request body is not valid JSON"),
    ]
    for body, headers, status, kind, message in rows:
        told, _, answer, request_id = ask(served, body, headers=headers)
        error = error_of(answer, request_id)
        assert (told, error["type"]) == (status, kind)
        assert error["message"].startswith(message)
        assert not upstream.seen(request_id)
    status, headers, answer = served.call("/v1/messages", method="GET")
    assert (status, headers["allow"]) == (405, "POST")
    assert json.loads(answer)["type"] == "error"


@pytest.mark.parametrize(
    ("step", "status", "kind"),
    [
        ("fail 400 message=messages.0:_bad", 400, "invalid_request_error"),
        ("fail 413", 413, "request_too_large"),
        ("fail 429", 429, "rate_limit_error"),
        ("fail 401", 502, "api_error"),
        ("fail 500", 502, "api_error"),
        ("fail 529", 529, "overloaded_error"),
        ("fail 503", 529, "overloaded_error"),
        ("hangup fin", 502, "api_error"),
    ],
)
def test_faults_of_the_target_are_told_by_our_table_when_it_fails(
    scene: Scene, step: str, status: int, kind: str
) -> None:
    """Upstream words reach the client only where it can mend its request."""
    served, _ = scene
    told, headers, answer, request_id = ask(served, body_of(f"hi {{{{{step}}}}}"))
    error = error_of(answer, request_id)
    assert (told, error["type"]) == (status, kind)
    assert SECRET not in answer.decode()
    assert ("messages.0:_bad" in error["message"]) == (status == 400)
    assert ("retry-after" in headers) == (status in {429, 529})


def test_another_try_succeeds_when_the_first_fails_before_its_first_event(scene: Scene) -> None:
    """An overloaded target is asked again, streams included: nothing was given yet."""
    served, upstream = scene
    for text in ("hi {{fail 529 times=1}}", "hi {{error-at 0 code=overloaded_error times=1}}"):
        status, _, answer, request_id = ask(served, body_of(text, stream=True))
        assert status == 200
        assert events(answer)[-1][0] == "message_stop"
        assert len(upstream.seen(request_id)) == 2


# ---- streams that break


@pytest.mark.parametrize("step", ["cut 6", "error-at 6", "error-at 6 code=overloaded_error", "bad-chunk 6"])
def test_stream_ends_in_an_error_event_when_the_target_breaks_it_off(scene: Scene, step: str) -> None:
    """A broken stream never looks like a whole one, and what came is billed by what came of it."""
    served, _ = scene
    status, _, answer, request_id = ask(served, body_of(f"words: 30 {{{{{step}}}}}", stream=True))
    assert status == 200
    seen = events(answer)
    name, data = seen[-1]
    assert (name, data["type"], data["request_id"]) == ("error", "error", request_id)
    assert data["error"]["type"] == ("overloaded_error" if "code" in step else "api_error")
    assert "message_stop" not in [each for each, _ in seen]
    found = row(served, request_id)
    assert found["state"] == "failed"
    assert found["output_tokens"] == [name for name, _ in seen].count("content_block_delta")


def test_stream_is_completed_when_the_target_forgets_its_last_event(scene: Scene) -> None:
    """With a stop reason the message is whole: its end is ours to add."""
    served, _ = scene
    _, _, answer, _ = ask(served, body_of("hi {{no-done}}", stream=True))
    assert [name for name, _ in events(answer)][-2:] == ["message_delta", "message_stop"]
    assert answer.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def test_target_is_left_when_its_client_leaves(scene: Scene) -> None:
    """The upstream's work ends with the client's interest; what came until then is on the bill."""
    served, upstream = scene
    body = json.dumps(body_of("words: 500 {{gap 0.01}}", max_tokens=600, stream=True)).encode()
    request_id = fresh_id()
    with Line(int(served.url.rpartition(":")[2])) as line:
        line.send(post(body, path="/v1/messages", more=f"x-request-id: {request_id}\r\n"))
        while b"content_block_delta" not in line.read(4096):
            pass
    (record,) = upstream.until_seen(request_id)
    wait_until(lambda: record.aborted is not None, "the target was left")
    assert row(served, request_id)["state"] == "cancelled"
