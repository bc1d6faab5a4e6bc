"""The access line: valid JSON whatever the request was, and nothing in it that a client made up unchecked."""

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.dialect import Usage
from ingot.logs import LineSink
from ingot.web.access import Served, Stamper, json_access


def _line(request: Served, *, now: float = 0.0, seconds: float = 0.25) -> dict[str, object]:
    stream = io.BytesIO()
    json_access(LineSink(stream))(request, now, seconds)
    return dict(json.loads(stream.getvalue()))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_line_is_json_when_names_are_odd(path: str, model: str) -> None:
    """Quotes, line ends and control characters in names cannot forge a second line."""
    request = Served("req_1", path, "POST")
    request.model = model
    line = _line(request)
    assert (line["path"], line["model"]) == (path, model)


def test_line_tells_everything_when_an_inference_was_served() -> None:
    """Who, where, how it went, how long, how much."""
    request = Served("req_1", "/v1/chat/completions", "POST")
    request.status, request.key, request.model = 200, "kid1", "mock"
    outcome = request.outcome
    outcome.target, outcome.fidelity, outcome.attempts = "up", "patched", 2
    outcome.first_token = 0.0125
    outcome.usage = Usage(input=3, output=5, estimated=True)
    assert _line(request, now=1_700_000_000.5) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "event": "request",
        "request_id": "req_1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "ms": 250.0,
        "key": "kid1",
        "model": "mock",
        "target": "up",
        "fidelity": "patched",
        "attempts": 2,
        "first_token_ms": 12.5,
        "input_tokens": 3,
        "output_tokens": 5,
        "usage_estimated": True,
    }


def test_line_is_short_when_nothing_was_asked() -> None:
    """A refusal before any target has its code and nothing empty."""
    request = Served("req_1", "/v1/chat/completions", "GET")
    request.status, request.code = 405, "method_not_allowed"
    line = _line(request)
    assert (line["status"], line["code"]) == (405, "method_not_allowed")
    assert not {"key", "model", "target", "input_tokens", "attempts"} & set(line)


def test_time_is_right_when_seconds_pass() -> None:
    """The part that is kept for a second is not kept longer."""
    stamp = Stamper()
    stamps = [stamp(now) for now in (0.0, 0.999, 1.0, 59.5, 60.0)]
    assert stamps == [
        b"1970-01-01T00:00:00.000Z",
        b"1970-01-01T00:00:00.999Z",
        b"1970-01-01T00:00:01.000Z",
        b"1970-01-01T00:00:59.500Z",
        b"1970-01-01T00:01:00.000Z",
    ]
