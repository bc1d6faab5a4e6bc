"""The header lines of an error: what a client needs for its next try."""

import io
import json

import pytest

from ingot.dialects.chat import CHAT
from ingot.errors import MethodNotAllowed, RateLimited, Unauthenticated
from ingot.logs import LineSink, configure
from ingot.services.measures import Measures
from ingot.web.errors import LONGEST_RETRY_AFTER, error_head, refusals


@pytest.mark.parametrize(
    ("seconds", "shown", "milliseconds"),
    [
        (0.0, 1, 1),
        (0.2, 1, 200),
        (1.0, 1, 1000),
        (1.2, 2, 1200),
        (9999.0, LONGEST_RETRY_AFTER, LONGEST_RETRY_AFTER * 1000),
    ],
)
def test_time_to_return_is_told_when_known(seconds: float, shown: int, milliseconds: int) -> None:
    """Whole seconds rounded up, and exact milliseconds; never so long that SDKs give up at once."""
    head = error_head(RateLimited("slow down", retry_after=seconds), "req_1")
    assert b"retry-after: %d\r\n" % shown in head
    assert b"retry-after-ms: %d\r\n" % milliseconds in head
    assert b"x-request-id: req_1\r\n" in head


def test_whole_wait_is_told_when_sooner_is_in_vain() -> None:
    """Who comes when an official client would is refused again: it is told the moment, and not to try by itself before."""
    long = error_head(RateLimited("no room", retry_after=267.4, patient=True), "req_1")
    assert b"retry-after: 268\r\nretry-after-ms: 267400\r\n" in long
    assert b"x-should-retry: false\r\n" in long
    short = error_head(RateLimited("no room", retry_after=120.0, patient=True), "req_1")
    assert b"retry-after: 120\r\n" in short
    assert b"x-should-retry" not in short


def test_no_time_is_told_when_none_is_known() -> None:
    """A client then falls back on its own backoff."""
    assert b"retry-after" not in error_head(RateLimited("slow down"), "req_1")


def test_way_in_is_told_when_the_client_is_outside() -> None:
    """Allow for a wrong method, the scheme for a missing key."""
    assert b"allow: GET, HEAD\r\n" in error_head(MethodNotAllowed("no", allow=("GET", "HEAD")), "r")
    assert b"www-authenticate: Bearer\r\n" in error_head(Unauthenticated("no"), "r")


@pytest.mark.parametrize(
    ("status", "code"), [(400, "malformed_request"), (408, "request_timeout"), (431, "headers_too_large")]
)
def test_refusal_is_told_recorded_and_counted_when_no_request_was_understood(status: int, code: str) -> None:
    """Even bytes that are no HTTP get an answer that clients can parse, and an id that the log knows."""
    stream = io.BytesIO()
    measures = Measures()
    log = configure(LineSink(stream), form="json", level="info")
    told, head, body = refusals(CHAT.encode_error, measures=measures, log=log)(status, "odd bytes")
    assert told == status
    error = json.loads(body)["error"]
    assert (error["message"], error["code"], error["type"]) == ("odd bytes", code, "invalid_request_error")
    record = json.loads(stream.getvalue())
    assert f"x-request-id: {record['request_id']}\r\n".encode() in head
    assert (record["status"], record["code"]) == (status, code)
    assert measures.refusals["connection", code] == 1
