"""Batches in OpenAI's words: what a body may say, the object in two forms, and a line for whatever a request ended with."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from ingot.dialects.batches import (
    Counts,
    Entry,
    Shown,
    Tokens,
    check_endpoint,
    decode_create,
    is_success,
    render,
    render_line,
    render_list,
    render_place,
    render_plain,
)
from ingot.errors import ApiError, Unsupported

CHAT = "/v1/chat/completions"
SHOWN = Shown(
    id="batch_1",
    endpoint=CHAT,
    state="in_progress",
    asked_window="24h",
    created_at=100,
    due_at=200,
    counts=Counts(total=10, completed=4, failed=1, cancelled=1, expired=1, running=2),
    tokens=Tokens(input=7, cached=3, output=5, reasoning=2),
    started_at=110,
)
DONE = Entry(
    custom_id="a",
    response_id="resp_9",
    state="completed",
    status=200,
    request_id="req_9",
    body=b'{"x": 1.50}',
)
ERROR = b'{"error": {"code": "bad", "message": "no"}}'


def refusal(value: dict[str, Any], **how: Any) -> ApiError:
    """What a body is refused with."""
    with pytest.raises(ApiError) as caught:
        decode_create({"endpoint": CHAT, **value}, **({"inline": True} | how))
    return caught.value


# ---- made


def test_body_says_what_a_batch_is_when_its_requests_stand_in_it() -> None:
    """All that a client may say beside them; `label` and metadata come back."""
    made = decode_create(
        {"endpoint": CHAT, "completion_window": "24h", "label": "a-B_9", "metadata": {"k": "v"}}, inline=True
    )
    assert (made.endpoint, made.completion_window, made.label) == (CHAT, "24h", "a-B_9")
    assert (made.metadata, made.input_file_id) == ({"k": "v"}, None)


def test_body_says_what_a_batch_is_when_its_requests_are_a_file() -> None:
    """With how long the files of its results are kept."""
    expiry = {"anchor": "created_at", "seconds": 3600}
    made = decode_create(
        {"endpoint": CHAT, "input_file_id": "file-1", "output_expires_after": expiry}, inline=False
    )
    assert made.input_file_id == "file-1"
    assert made.output_expires_after is not None
    assert made.output_expires_after.seconds == 3600


@pytest.mark.parametrize(
    ("value", "param", "code", "words"),
    [
        ({"endpoint": None}, "endpoint", "invalid_type", "expected a string, but got null"),
        ({"label": ""}, "label", "empty_string", "is empty"),
        ({"label": "x" * 129}, "label", "string_above_max_length", "is too long"),
        ({"label": "a b"}, "label", "invalid_value", "that matches ^[a-zA-Z0-9_-]+$ or null, but got 'a b'"),
        ({"label": "abc\n"}, "label", "invalid_value", "that matches ^[a-zA-Z0-9_-]+$ or null"),
        ({"label": 3}, "label", "invalid_type", "expected a string"),
        ({"metadata": {"a": 1}}, "metadata", "invalid_type", "expected a string"),
        (
            {"metadata": {str(n): "" for n in range(17)}},
            "metadata",
            "object_above_max_properties",
            "at most 16",
        ),
        ({"metadata": {"k" * 65: ""}}, "metadata", "string_above_max_length", "64"),
        ({"metadata": {"k": "v" * 513}}, "metadata", "string_above_max_length", "512"),
        (
            {"metadata": {"completion_webhook": "https://a.example.org"}},
            "metadata.completion_webhook",
            "invalid_value",
            "each of its requests may name its own",
        ),
        (
            {"metadata": {"webhook_token": "t"}},
            "metadata.webhook_token",
            "invalid_value",
            "webhook_endpoints",
        ),
        ({"completion_window": 24}, "completion_window", "invalid_type", "expected a string"),
        ({"input_file_id": "file-1"}, "input_file_id", "invalid_value", "not in both"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 3600}},
            "output_expires_after",
            "unsupported_parameter",
            "files of results",
        ),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 3599}},
            "output_expires_after.seconds",
            "integer_below_min_value",
            "3600",
        ),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 2_592_001}},
            "output_expires_after.seconds",
            "integer_above_max_value",
            "2592000",
        ),
        (
            {"output_expires_after": {"anchor": "ended_at", "seconds": 3600}},
            "output_expires_after.anchor",
            "invalid_value",
            "'created_at'",
        ),
    ],
)
def test_body_is_refused_by_the_field_that_is_wrong(
    value: dict[str, Any], param: str, code: str, words: str
) -> None:
    """In OpenAI's vocabulary, with what would be right."""
    error = refusal(value)
    assert (error.param, error.code, error.status) == (param, code, 400)
    assert words in error.message


def test_body_is_refused_when_it_names_no_endpoint() -> None:
    """What is missing is named."""
    with pytest.raises(ApiError) as caught:
        decode_create({}, inline=True)
    assert (caught.value.param, caught.value.code) == ("endpoint", "missing_required_parameter")


def test_body_is_refused_when_it_has_no_requests_at_all() -> None:
    """Both ways to have them are told."""
    error = refusal({}, inline=False)
    assert (error.param, error.code) == ("requests", "missing_required_parameter")
    assert "'requests'" in error.message
    assert "'input_file_id'" in error.message


def test_endpoint_is_refused_when_it_is_not_served() -> None:
    """Those that are served are told; a long one is cut in the answer."""
    served = [CHAT, "/v1/responses"]
    check_endpoint(CHAT, served)
    with pytest.raises(Unsupported, match=f"{CHAT}, /v1/responses, not for '/v1/videos'") as caught:
        check_endpoint("/v1/videos", served)
    assert (caught.value.param, caught.value.code) == ("endpoint", "unsupported_value")
    with pytest.raises(Unsupported) as caught:
        check_endpoint("x" * 10_000, served)
    assert len(caught.value.message) < 300


# ---- told


def test_object_is_openais_when_rendered() -> None:
    """With counts that add up to the total, and the tokens of its answers."""
    told = json.loads(render(SHOWN, inline=False))
    assert {name: told[name] for name in ("id", "object", "endpoint", "status", "completion_window")} == {
        "id": "batch_1",
        "object": "batch",
        "endpoint": CHAT,
        "status": "in_progress",
        "completion_window": "24h",
    }
    counts = told["request_counts"]
    assert counts.pop("total") == sum(counts.values()) == 10
    assert (counts["running"], counts["pending"]) == (2, 1)
    assert told["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }
    assert (told["created_at"], told["in_progress_at"], told["expires_at"]) == (100, 110, 200)
    assert "label" not in told


def test_label_is_told_when_requests_stood_in_the_body() -> None:
    """Null where there is none: the file's form has no such field."""
    assert json.loads(render(replace(SHOWN, label="mine"), inline=True))["label"] == "mine"
    assert json.loads(render(SHOWN, inline=True))["label"] is None


@pytest.mark.parametrize("state", ["completed", "failed", "expired", "cancelled"])
def test_only_the_stamp_of_its_end_is_set_when_a_batch_has_ended(state: str) -> None:
    """Of the four that there are; none before."""
    stamps = [f"{each}_at" for each in ("completed", "failed", "expired", "cancelled")]
    told = json.loads(render(replace(SHOWN, state=state, ended_at=150, cancel_at=140), inline=False))
    assert {name: told[name] for name in stamps if told[name] is not None} == {f"{state}_at": 150}
    assert told["cancelling_at"] == 140
    assert not [name for name in stamps if json.loads(render(SHOWN, inline=False))[name] is not None]


def test_faults_are_a_list_when_a_file_was_refused() -> None:
    """As OpenAI tells them; null without any."""
    fault = {"code": "c", "message": "m", "param": None, "line": 3}
    shown = replace(SHOWN, state="failed", errors=json.dumps([fault]))
    assert json.loads(render(shown, inline=False))["errors"] == {"object": "list", "data": [fault]}
    assert json.loads(render(SHOWN, inline=False))["errors"] is None


def test_plain_form_has_a_number_and_states_by_name() -> None:
    """A state that it has no word for is told as failed; without states there is no such field."""
    assert json.loads(render_plain(replace(SHOWN, label="mine"))) == {
        "id": "batch_1",
        "request_counts": 10,
        "created_at": 100,
        "label": "mine",
    }
    states = [("a", "pending"), ("b", "running"), ("c", "completed"), ("d", "cancelled"), ("e", "expired")]
    told = json.loads(render_plain(SHOWN, states))["request_status"]
    assert told == {name: {"status": "failed" if name == "e" else state} for name, state in states}
    assert json.loads(render_plain(SHOWN, []))["request_status"] == {}


def test_list_is_a_page_when_rendered() -> None:
    """With its ends."""
    page = json.loads(render_list([("a", b'{"id":"a"}'), ("b", b'{"id":"b"}')], more=False))
    assert (page["first_id"], page["last_id"], page["has_more"], len(page["data"])) == ("a", "b", False, 2)


# ---- lines of results


def test_line_has_the_answer_when_a_request_completed() -> None:
    """Its bytes are those that any client gets."""
    line = render_line(DONE)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b'"body":{"x": 1.50}' in line
    assert json.loads(line) == {
        "id": "batch_req_9",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "req_9", "body": {"x": 1.5}},
        "error": None,
    }
    assert is_success(DONE)


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (replace(DONE, state="cancelled", status=499, body=None), "batch_cancelled"),
        (replace(DONE, state="cancelled", status=None, request_id=None, body=None), "batch_cancelled"),
        (replace(DONE, state="expired", body=None), "batch_expired"),
        (replace(DONE, state="expired", body=ERROR), "batch_expired"),
        (replace(DONE, state="failed", body=None), "content_not_kept"),
        (replace(DONE, body=None), "content_not_kept"),
    ],
    ids=["was running", "waited", "expired", "with a body", "failed", "completed"],
)
def test_line_has_an_error_when_there_is_no_answer(entry: Entry, code: str) -> None:
    """Exactly one of the two is set."""
    told = json.loads(render_line(entry))
    assert (told["response"], told["error"]["code"]) == (None, code)
    assert told["error"]["message"]


def test_line_has_the_error_body_when_a_request_failed() -> None:
    """With the status that its client would have seen; it belongs to the file of errors."""
    failed = replace(DONE, state="failed", status=400, body=ERROR)
    told = json.loads(render_line(failed))
    assert told["response"] == {"status_code": 400, "request_id": "req_9", "body": json.loads(ERROR)}
    assert told["error"] is None
    assert [is_success(replace(DONE, state=state)) for state in ("failed", "cancelled", "expired")] == [
        False
    ] * 3


def test_name_cannot_break_out_of_its_line() -> None:
    """A name in a file may have any characters."""
    line = render_line(replace(DONE, custom_id='a"\n\u2028\\'))
    assert line.count(b"\n") == 1
    assert json.loads(line)["custom_id"] == 'a"\n\u2028\\'


@pytest.mark.parametrize(
    ("state", "body", "code"),
    [
        ("pending", None, None),
        ("running", None, None),
        ("completed", None, None),
        ("cancelled", None, "batch_cancelled"),
        ("expired", ERROR, "batch_expired"),
        ("failed", ERROR, "bad"),
        ("failed", None, None),
        ("failed", b"data: {}\n\n", None),
        ("failed", b'"\xff"', None),
        ("failed", b"[]", None),
    ],
)
def test_place_tells_how_a_request_stands_and_why_it_failed(
    state: str, body: bytes | None, code: str | None
) -> None:
    """For surfaces whose objects have no word for it; what was kept of a failure is told."""
    told = json.loads(render_place(replace(DONE, state=state, body=body)))
    error = told.pop("error")
    assert told == {"id": "batch_req_9", "custom_id": "a", "object": "batch.request", "status": state}
    assert (None if error is None else error["code"]) == code
