"""What the relay changes of a call and its answer, byte by byte: nothing, or exactly what it owns."""

import json
from collections.abc import Iterator

import pytest

from rig import Backstage, Line, chat, fresh_id, logged, payloads, post, stage
from served import KEY, Served

CONFIG = """
    [targets]
    up = { base_url = "{up}", api_key = "sk-upstream-secret-0123456789", breaker = { failures = 1000 } }
    quirky = { base_url = "{up}", quirks = { rename = { max_completion_tokens = "max_tokens" }, drop = ["user"], set = { top_k = 7 }, reject = ["logit_bias"] } }
    plain = { base_url = "{up}", quirks = { no_stream_options = true } }
    [models]
    mock = { targets = ["up"], price = "free", attempts = 1 }
    quirky = { targets = ["quirky"], price = "free" }
    plain = { targets = ["plain"], price = "free" }
    [models."org/renamed"]
    targets = [{ target = "up", model = "mock" }]
    price = "free"
    attempts = 1
"""

Stage = tuple[Served, Backstage]

# White space, key order, escapes, number spellings, unknown fields: a decoder and an encoder would lose all of it.
ODD = (
    b'{ "temperature" : 1.0, "x_unknown": {"b":1,"a":[ 1,2 ,3]},\r\n\t"seed":9007199254740991 ,'
    b'"top_p":1e-1,"messages":[ {"content":"echo: caf\\u00e9 \xc3\xa9 \\/ \\ud83d\\ude00 \\u2028","role":"user"} ],'
    b'"frequency_penalty":0.10,"metadata":{"k":"12345678901234567890.123456789"}, "model" : "%b"%b }'
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("fidelity"), CONFIG) as both:
        yield both


def _ask(served: Served, body: bytes, *, path: str = "/v1/chat/completions") -> tuple[int, bytes, str]:
    request_id = fresh_id()
    status, _, answer = served.call(path, body, headers={"x-request-id": request_id})
    return status, answer, request_id


def _direct(upstream: Backstage, body: bytes, *, path: str = "/v1/chat/completions") -> bytes:
    """What the upstream answers to this body when it is asked without a relay."""
    with Line(upstream.up.port) as line:
        line.send(post(body, path=path).replace(KEY.encode(), b"sk-upstream-secret-0123456789"))
        return line.answer().body


# ---- the request


def test_body_is_passed_on_byte_for_byte_when_nothing_must_change(scene: Stage) -> None:
    """Verbatim means the client's own bytes, and back the upstream's."""
    served, upstream = scene
    body = ODD % (b"mock", b"")
    status, answer, request_id = _ask(served, body)
    (record,) = upstream.seen(request_id)
    assert status == 200
    assert record.body == body
    assert answer == _direct(upstream, body)
    assert logged(served, request_id)["fidelity"] == "verbatim"


def test_only_the_model_changes_when_it_has_another_name_upstream(scene: Stage) -> None:
    """Every other byte of a value stays as it was, in both directions."""
    served, upstream = scene
    status, answer, request_id = _ask(served, ODD % (b"org/renamed", b""))
    (record,) = upstream.seen(request_id)
    assert status == 200
    expected = ODD % (b"mock", b"")
    assert record.json == json.loads(expected)
    assert _values(record.body) == _values(expected)
    told = _direct(upstream, expected)
    assert json.loads(answer) == {**json.loads(told), "model": "org/renamed"}
    assert _values(answer) == {**_values(told), "model": '"org/renamed"'}
    assert logged(served, request_id)["fidelity"] == "patched"


def _values(body: bytes) -> dict[str, str]:
    """The top-level values as they are spelled."""
    text = body.decode()
    decoder = json.JSONDecoder()
    found: dict[str, str] = {}
    at = text.index("{") + 1
    while True:
        at = _skip(text, at, " \r\n\t,")
        if text[at] == "}":
            return found
        key, at = decoder.raw_decode(text, at)
        at = _skip(text, at, " \r\n\t:")
        _, end = decoder.raw_decode(text, at)
        found[key] = text[at:end]
        at = end


def _skip(text: str, at: int, characters: str) -> int:
    while text[at] in characters:
        at += 1
    return at


@pytest.mark.parametrize("model", ["mock", "org/renamed"])
def test_large_body_is_passed_on_when_it_holds_nothing_odd(scene: Stage, model: str) -> None:
    """Bodies beyond the event loop's share take the same way."""
    served, upstream = scene
    text = "echo: " + "long prompt é " * 60_000
    body = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 5}, ensure_ascii=False
    ).encode()
    status, _, request_id = _ask(served, body)
    (record,) = upstream.seen(request_id)
    assert status == 200
    assert record.json == {**json.loads(body), "model": "mock"}
    assert "é".encode() in record.body


def test_credentials_stay_apart_when_a_call_is_relayed(scene: Stage) -> None:
    """The upstream gets its own key and a plain request; nothing of the client's headers travels on."""
    served, upstream = scene
    request_id = fresh_id()
    served.call(
        "/v1/chat/completions",
        chat("hello"),
        headers={
            "x-request-id": request_id,
            "cookie": "session=1",
            "x-forwarded-for": "10.1.2.3",
            "openai-organization": "org-1",
        },
    )
    headers = upstream.seen(request_id)[0].headers
    assert headers["authorization"] == "Bearer sk-upstream-secret-0123456789"
    assert KEY not in str(headers)
    assert set(headers) == {
        "host",
        "user-agent",
        "content-type",
        "accept",
        "accept-encoding",
        "authorization",
        "x-request-id",
        "content-length",
    }


def test_quirks_are_applied_when_the_target_has_some(scene: Stage) -> None:
    """Renamed, dropped and fixed fields reach the target so; a field it cannot honour is a clear 400."""
    served, upstream = scene
    body = chat("hello", model="quirky", max_completion_tokens=5, user="someone")
    request_id = fresh_id()
    status, headers, _ = served.call("/v1/chat/completions", body, headers={"x-request-id": request_id})
    (record,) = upstream.seen(request_id)
    assert status == 200
    assert headers["x-ingot-loss"] == "user=whoever runs this server leaves it out for the target"
    assert (record.json["max_tokens"], record.json["top_k"]) == (5, 7)
    assert not {"max_completion_tokens", "user"} & set(record.json)
    status, headers, _ = served.call("/v1/chat/completions", chat("hello", model="quirky"))
    assert (status, headers.get("x-ingot-loss")) == (200, None)
    status, answer, request_id = _ask(served, chat("hello", model="quirky", logit_bias={"1": 1}))
    error = json.loads(answer)["error"]
    assert (status, error["param"], error["code"]) == (400, "logit_bias", "unsupported_parameter")
    assert upstream.seen(request_id) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": ["one", "two"], "encoding_format": "base64"}),
        ("/v1/embeddings", {"input": "one", "dimensions": 8}),
        ("/v1/completions", {"prompt": "say it"}),
    ],
)
def test_other_surfaces_pass_through_when_called(scene: Stage, path: str, body: dict[str, object]) -> None:
    """Embeddings and completions are relayed like chat: the same bytes out and back."""
    served, upstream = scene
    data = json.dumps({"model": "mock", **body}).encode()
    status, answer, request_id = _ask(served, data, path=path)
    assert status == 200
    assert upstream.seen(request_id)[0].body == data
    assert answer == _direct(upstream, data, path=path)
    renamed = json.dumps({"model": "org/renamed", **body}).encode()
    _, answer, request_id = _ask(served, renamed, path=path)
    assert upstream.seen(request_id)[0].json == {"model": "mock", **body}
    assert json.loads(answer)["model"] == "org/renamed"


# ---- streams and usage


def test_stream_is_passed_on_byte_for_byte_when_nothing_must_change(scene: Stage) -> None:
    """With usage asked for and no other name, not one byte differs."""
    served, upstream = scene
    body = chat("words: 12", stream=True, stream_options={"include_usage": True})
    status, answer, request_id = _ask(served, body)
    assert status == 200
    assert upstream.seen(request_id)[0].body == body
    assert answer == _direct(upstream, body)


def test_model_is_renamed_in_every_chunk_when_it_has_another_name_upstream(scene: Stage) -> None:
    """First, middle, last and usage chunk alike."""
    served, upstream = scene
    body = chat("words: 12", model="org/renamed", stream=True, stream_options={"include_usage": True})
    _, answer, _ = _ask(served, body)
    direct = _direct(upstream, body.replace(b"org/renamed", b"mock"))
    assert answer.count(b'"model":"org/renamed"') == len(payloads(direct)) - 1
    assert answer.replace(b'"org/renamed"', b'"mock"') == direct


def test_usage_is_asked_for_and_taken_out_when_the_client_did_not_ask(scene: Stage) -> None:
    """The client sees the stream that it would have got without us; the log knows the usage all the same."""
    served, upstream = scene
    body = chat("words: 12", stream=True)
    _, answer, request_id = _ask(served, body)
    (record,) = upstream.seen(request_id)
    assert record.json["stream_options"] == {"include_usage": True}
    assert {key: value for key, value in record.json.items() if key != "stream_options"} == json.loads(body)
    assert b'"usage"' not in answer
    assert answer == _direct(upstream, body)
    line = logged(served, request_id)
    assert line["output_tokens"] == 12
    assert "usage_estimated" not in line


def test_other_stream_options_are_kept_when_usage_is_forced(scene: Stage) -> None:
    """Only the one key is ours."""
    served, upstream = scene
    options = {"include_usage": False, "include_obfuscation": True}
    _, answer, request_id = _ask(served, chat("words: 3", stream=True, stream_options=options))
    assert upstream.seen(request_id)[0].json["stream_options"] == {**options, "include_usage": True}
    assert b'"usage":{' not in answer


def test_usage_is_not_asked_for_when_the_target_refuses_the_option(scene: Stage) -> None:
    """`no_stream_options` keeps the field away from a server that chokes on it."""
    served, upstream = scene
    _, answer, request_id = _ask(served, chat("words: 3", model="plain", stream=True))
    assert "stream_options" not in upstream.seen(request_id)[0].json
    assert payloads(answer)[-1] == b"[DONE]"
    assert logged(served, request_id)["usage_estimated"] is True


# ---- errors


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("fail 400 code=context_length_exceeded", 400, "context_length_exceeded"),
        ("fail 413", 413, "upstream_error"),
        ("fail 422", 422, "upstream_error"),
        ("fail 401", 502, "upstream_credential_refused"),
        ("fail 403", 502, "upstream_credential_refused"),
        ("fail 404", 502, "upstream_not_found"),
        ("fail 402", 502, "upstream_credential_refused"),
        ("fail 405", 502, "upstream_not_found"),
        ("fail 402 code=insufficient_quota", 502, "upstream_credential_refused"),
        ("fail 429 code=insufficient_quota", 502, "upstream_credential_refused"),
        ("fail 429 retry-after-ms=5", 429, "rate_limit_exceeded"),
        ("fail 400 body=html", 400, "upstream_error"),
        ("fail 500 body=html", 502, "upstream_error"),
        ("fail 500 body=empty", 502, "upstream_error"),
        ("fail 500 body=malformed", 502, "upstream_error"),
        ("fail 302", 502, "upstream_not_found"),
        ("fail 418", 418, "upstream_error"),
    ],
)
def test_refusal_is_told_in_our_words_when_the_upstream_refuses(
    scene: Stage, script: str, status: int, code: str | None
) -> None:
    """What the client can mend keeps its status; what is the operator's or the upstream's is a 502."""
    served, upstream = scene
    for stream in (False, True):
        found, answer, request_id = _ask(served, chat(f"{{{{{script}}}}}", stream=stream))
        error = json.loads(answer)["error"]
        assert (found, error["code"]) == (status, code)
        assert set(error) == {"message", "type", "param", "code"}
        assert b"nginx" not in answer
        assert b"sk-upstream" not in answer
        assert len(upstream.seen(request_id)) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500, 503])
def test_no_secret_is_told_when_the_upstream_tells_some(scene: Stage, status: int) -> None:
    """Hosts, addresses, paths and keys in an upstream's text end with us, in the answer and in the log."""
    served, _ = scene
    leak = "see-http://10.1.2.3:8000/v1/secret,/usr/lib/vllm/engine.py,sk-live1234567890abcdef,192.168.7.9:5000,0x7fdeadbeef10"
    request_id = fresh_id()
    script = f"{{{{fail {status} retry-after-ms=5 message={leak}}}}}"
    found, _, answer = served.call("/v1/chat/completions", chat(script), headers={"x-request-id": request_id})
    assert found >= 400
    logged(served, request_id)
    log = served.log_file.read_text()
    for secret in ("10.1.2.3", "192.168.7.9", "/usr/lib", "sk-live", "7fdeadbeef10", "v1/secret"):
        assert secret not in answer.decode()
        assert secret not in log


@pytest.mark.parametrize("status", [429, 500, 503])
def test_upstream_text_is_not_passed_on_when_the_client_cannot_mend_it(scene: Stage, status: int) -> None:
    """A server's own trouble may hold anything: only refusals of the request itself are quoted."""
    served, _ = scene
    _, answer, _ = _ask(served, chat(f"{{{{fail {status} retry-after-ms=5 message=organization-canary}}}}"))
    assert b"canary" not in answer
    _, answer, _ = _ask(served, chat("{{error-at 0 message=organization-canary}}", stream=True))
    assert b"canary" not in answer
    _, answer, _ = _ask(served, chat("words: 5 {{error-at 2 message=organization-canary}}", stream=True))
    assert b"canary" not in answer
