"""What an upstream's refusal becomes: the table by status, and what of its text may pass."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.errors import (
    ApiError,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from ingot.services.refusals import Refusal, clean, read_refusal


def _error(refusal: Refusal, status: int, retry_after: float | None = None) -> ApiError:
    return refusal.as_error(status, target="up", deployment_model="m", retry_after=retry_after)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "no", "code": "c", "type": "t", "param": "p"}}, Refusal("no", "c", "t", "p")),
        ({"error": {"message": "no", "code": 429, "type": None}}, Refusal("no")),
        ({"error": {"code": "c"}}, Refusal("no message given", "c")),
        ({"error": "no"}, Refusal("no")),
        (
            {"type": "error", "error": {"type": "t", "message": "no", "details": {"error_code": "c"}}},
            Refusal("no", "c", "t"),
        ),
        ({"message": "no", "type": "t"}, Refusal("no", None, "t")),
        ({"object": "error", "message": "no", "code": 400}, Refusal("no")),
        ({"error": None}, None),
        ({"detail": "no"}, Refusal("no")),
        ({"detail": [{"loc": ["body", "foo"], "msg": "no"}]}, Refusal("no", param="foo")),
        ({"detail": [{"loc": ["body", "a", 0], "msg": "no"}, {"msg": "more"}]}, Refusal("no", param="a.0")),
        ({"detail": [{"msg": "no"}]}, Refusal("no")),
        ({"detail": []}, None),
        ({"detail": {"loc": "no"}}, None),
        ({"error": ["no"]}, None),
        (["no"], None),
        ("no", None),
    ],
)
def test_error_object_is_found_when_it_has_a_usual_shape(body: object, expected: Refusal | None) -> None:
    """OpenAI's envelope, vLLM's flat form, FastAPI's details, a bare string; anything else is unreadable."""
    assert read_refusal(json.dumps(body).encode()) == expected


@given(st.binary(max_size=200))
def test_reading_never_fails_when_the_body_is_anything(body: bytes) -> None:
    """HTML, half an object, noise: no error object, no exception."""
    read_refusal(body)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (400, UpstreamRejected, 400),
        (413, UpstreamRejected, 413),
        (422, UpstreamRejected, 422),
        (401, UpstreamError, 502),
        (402, UpstreamError, 502),
        (403, UpstreamError, 502),
        (404, UpstreamError, 502),
        (405, UpstreamError, 502),
        (301, UpstreamError, 502),
        (304, UpstreamError, 502),
        (408, UpstreamTimeout, 504),
        (409, UpstreamError, 502),
        (429, RateLimited, 429),
        (500, UpstreamError, 502),
        (502, UpstreamError, 502),
        (503, UpstreamUnavailable, 503),
        (504, UpstreamTimeout, 504),
        (529, UpstreamUnavailable, 503),
        (599, UpstreamError, 502),
    ],
)
def test_status_decides_when_an_upstream_refuses(status: int, kind: type[ApiError], told: int) -> None:
    """Only what the client can mend is relayed with its text."""
    error = _error(Refusal("the text"), status)
    assert (type(error), error.status) == (kind, told)
    assert ("the text" in error.message) == (kind is UpstreamRejected)


def test_credential_is_not_the_clients_when_ours_is_refused() -> None:
    """A quota that is used up is our account's trouble, and no try elsewhere at the same target helps."""
    quota = Refusal("You exceeded your quota", "insufficient_quota")
    assert _error(quota, 429).code == "upstream_credential_refused"
    assert not quota.is_retryable(429)
    assert Refusal("slow down", "rate_limit_exceeded").is_retryable(429)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_another_try_is_made_when_it_may_help(status: int) -> None:
    """The statuses that speak of the moment and not of the request."""
    assert Refusal("no").is_retryable(status)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422])
def test_no_other_try_is_made_when_the_request_is_at_fault(status: int) -> None:
    """The same request would be refused again."""
    assert not Refusal("no").is_retryable(status)


def test_time_to_return_is_told_when_it_helps() -> None:
    """As the upstream said, or a second; a rejected request need not come back."""
    assert _error(Refusal("no"), 429, 7.5).retry_after == 7.5
    assert _error(Refusal("no"), 429).retry_after == 1.0
    assert _error(Refusal("no"), 503).retry_after == 1.0
    assert _error(Refusal("no"), 400, 7.5).retry_after is None


def test_names_are_ours_when_engines_have_their_own() -> None:
    """llama.cpp's context error is the one that clients know from OpenAI."""
    error = _error(Refusal("too long", None, "exceed_context_size_error"), 400)
    assert error.code == "context_length_exceeded"


@pytest.mark.parametrize("code", ["sk-abcdefghijklmnop", "see http://10.1.2.3/", "a b", "x" * 100, ""])
def test_code_is_not_shown_when_it_is_no_name(code: str) -> None:
    """A code is a name; whatever else stands there may be a secret."""
    for status in (400, 429, 500):
        error = _error(Refusal("no", code), status)
        assert code == "" or code not in f"{error.message} {error.code}"


@pytest.mark.parametrize(
    "secret",
    [
        "http://10.0.0.7:8000/v1",
        "https://user:pass@internal.example/x",
        "redis://cache:6379/0",
        "10.0.0.7:8000",
        "192.168.1.1",
        "[fd00::1]:80",
        "0x7f3a2b1c9d00",
        "/usr/lib/python3/site-packages/vllm/engine.py",
        "sk-abcdef1234567890",
        "hf_abcdef1234567890",
    ],
)
def test_secret_is_cut_out_when_a_text_holds_one(secret: str) -> None:
    """Addresses, hosts in URLs, paths, memory addresses and keys; the words around them stay."""
    for text in (f"before {secret} after", f"before ({secret}) after", f"before '{secret}': after"):
        cleaned = clean(text)
        assert secret not in cleaned
        assert cleaned.startswith("before ")
        assert cleaned.endswith(" after")


@pytest.mark.parametrize(
    "text",
    [
        "'temperature' must be at most 2.0, got 3.5",
        "maximum context length is 8192 tokens, 9000/8192 were requested",
        "Invalid value for 'response_format/json_schema'",
        "version 1.2.3 and/or later",
    ],
)
def test_text_is_kept_when_it_tells_no_secret(text: str) -> None:
    """Numbers, fractions and slashes are no addresses."""
    assert clean(text) == text


def test_text_is_cut_when_it_is_endless() -> None:
    """An upstream that quotes the whole prompt back."""
    assert len(clean("word " * 10_000)) < 2100


@pytest.mark.parametrize(
    "secret",
    [
        "vllm-3.internal.corp",
        "gpu07:8000",
        "model.svc.cluster.local:80",
        "Bearer topsecrettoken",
        "worker.lan",
    ],
)
def test_private_names_are_taken_out_when_a_text_is_cleaned(secret: str) -> None:
    """A host of the operator's network or a credential says nothing to a client."""
    cleaned = clean(f"cannot reach {secret} now")
    assert secret not in cleaned
    assert cleaned.startswith("cannot reach [")


def test_ordinary_words_stay_when_a_text_is_cleaned() -> None:
    """What a client needs to mend its request is not mistaken for an address."""
    text = "messages[0].content must be a string, e.g. 'hello'; see docs for max_tokens: 4096 at 10:30."
    assert clean(text) == text


def test_refusal_is_told_as_one_of_a_translation_when_it_is() -> None:
    """Its place is none of the client's body, and its words are about another one."""
    refusal = Refusal("max_tokens: too much", param="max_tokens").of_translated("messages")
    error = _error(refusal, 400)
    assert error.param is None
    assert error.message == "The target, which was asked in the messages dialect, says: max_tokens: too much"


def test_meaning_is_read_from_words_when_a_target_has_no_code() -> None:
    """Anthropic tells a prompt that is too long, and an account without money, in words alone."""
    long = _error(Refusal("prompt is too long: 9 tokens > 8 maximum", kind="invalid_request_error"), 400)
    assert (long.code, long.param) == ("context_length_exceeded", "messages")
    poor = Refusal("Your credit balance is too low to access the API.", kind="invalid_request_error")
    assert isinstance(_error(poor, 400), UpstreamError)
    assert _error(poor, 400).code == "upstream_credential_refused"
    assert not poor.is_retryable(429)


def test_body_that_nests_without_end_tells_nothing() -> None:
    """It is no refusal, and no fault of ours."""
    assert read_refusal(b'{"error":' + b"[" * 5000 + b"]" * 5000 + b"}") is None
