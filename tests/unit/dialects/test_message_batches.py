"""Batches of messages in Anthropic's words: the object while it runs and after, pages, and a line for every end."""

import json

import pytest
from msgspec.structs import replace

from ingot.dialects.batches import Counts, Entry, Shown, Tokens
from ingot.dialects.message_batches import render, render_deleted, render_line, render_list
from ingot.store.schema import stamp

COUNTS = Counts(total=10, completed=4, failed=1, cancelled=2, expired=3)
SHOWN = Shown(
    id="msgbatch_1",
    endpoint="/v1/messages",
    state="in_progress",
    asked_window="24h",
    created_at=0,
    due_at=86_400,
    counts=COUNTS,
    tokens=Tokens(),
)
DONE = Entry(
    custom_id="a",
    response_id="resp_9",
    state="completed",
    status=200,
    request_id="req_9",
    body=b'{"x": 1.50}',
)
ERROR = b'{"type":"error","error":{"type":"invalid_request_error","message":"no"},"request_id":"req_9"}'


@pytest.mark.parametrize(("state", "status"), [("in_progress", "in_progress"), ("cancelling", "canceling")])
def test_counts_stay_0_until_the_whole_batch_has_ended(state: str, status: str) -> None:
    """All requests are in processing until then, however many have ended."""
    told = json.loads(render(replace(SHOWN, state=state), moment=stamp))
    assert told["processing_status"] == status
    assert told["request_counts"] == {
        "processing": 10,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    assert (told["ended_at"], told["results_url"]) == (None, None)


@pytest.mark.parametrize("state", ["completed", "cancelled", "expired", "failed"])
def test_counts_are_told_when_the_batch_has_ended(state: str) -> None:
    """However it did, it is `ended`, and its results have a place."""
    told = json.loads(render(replace(SHOWN, state=state, ended_at=60), moment=stamp))
    assert told["processing_status"] == "ended"
    counts = told["request_counts"]
    assert counts == {"processing": 0, "succeeded": 4, "errored": 1, "canceled": 2, "expired": 3}
    assert sum(counts.values()) == COUNTS.total
    assert told["results_url"] == "/v1/messages/batches/msgbatch_1/results"
    assert told["ended_at"] == "1970-01-01T00:01:00Z"


def test_instants_are_rfc_3339_when_rendered() -> None:
    """All of them, and null where there is none."""
    shown = replace(SHOWN, state="cancelled", ended_at=60, cancel_at=30, archived_at=90)
    told = json.loads(render(shown, moment=stamp))
    assert {name: held for name, held in told.items() if name.endswith("_at")} == {
        "created_at": "1970-01-01T00:00:00Z",
        "expires_at": "1970-01-02T00:00:00Z",
        "ended_at": "1970-01-01T00:01:00Z",
        "cancel_initiated_at": "1970-01-01T00:00:30Z",
        "archived_at": "1970-01-01T00:01:30Z",
    }
    assert (told["id"], told["type"]) == ("msgbatch_1", "message_batch")


def test_results_have_no_place_when_they_are_archived() -> None:
    """A link that leads nowhere is not given."""
    shown = replace(SHOWN, state="completed", ended_at=60, archived_at=90)
    assert json.loads(render(shown, moment=stamp))["results_url"] is None


def test_list_and_deletion_are_anthropics() -> None:
    """Without `object`; the ends are null where a page is empty."""
    page = json.loads(render_list([("a", b'{"id":"a"}'), ("b", b'{"id":"b"}')], more=True))
    assert page == {"data": [{"id": "a"}, {"id": "b"}], "has_more": True, "first_id": "a", "last_id": "b"}
    empty = json.loads(render_list([], more=False))
    assert empty == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert json.loads(render_deleted("b")) == {"id": "b", "type": "message_batch_deleted"}


def test_line_has_the_message_when_a_request_succeeded() -> None:
    """Its bytes are those that any client gets."""
    line = render_line(DONE)
    assert line.endswith(b"\n")
    assert b'"message":{"x": 1.50}' in line
    assert json.loads(line) == {"custom_id": "a", "result": {"type": "succeeded", "message": {"x": 1.5}}}


def test_line_has_the_error_body_when_a_request_failed() -> None:
    """As Anthropic nests it: an error body, and in it the error."""
    told = json.loads(render_line(replace(DONE, state="failed", status=400, body=ERROR)))
    assert told["result"] == {"type": "errored", "error": json.loads(ERROR)}


@pytest.mark.parametrize("body", [None, ERROR])
def test_line_has_a_word_alone_when_a_request_never_ran(body: bytes | None) -> None:
    """Anthropic's spelling, and nothing beside it."""
    lines = [render_line(replace(DONE, state=state, body=body)) for state in ("cancelled", "expired")]
    assert [json.loads(line)["result"] for line in lines] == [{"type": "canceled"}, {"type": "expired"}]


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_line_says_that_nothing_is_kept_when_the_content_is_gone(state: str) -> None:
    """An error in Anthropic's nesting, which its clients can read."""
    told = json.loads(render_line(replace(DONE, state=state, body=None)))["result"]
    assert told["type"] == "errored"
    assert told["error"]["type"] == "error"
    assert told["error"]["error"]["type"] == "not_found_error"
    assert "not kept" in told["error"]["error"]["message"]
    assert told["error"]["request_id"] == "req_9"
