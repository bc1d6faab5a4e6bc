"""What the relay does when its upstream fails: retries before the first byte, error events after it."""

import json
from collections.abc import Iterator

import pytest

from rig import (
    Backstage,
    Line,
    chat,
    ends_in_error,
    fresh_id,
    logged,
    payloads,
    post,
    stage,
    told,
    wait_until,
)
from served import Served

QUICK = "timeouts = { connect = 2.0, first_byte = 1.0, idle = 1.0 }, breaker = { failures = 1000 }"
CONFIG = """
    [targets]
    up = { base_url = "{up}", QUICK }
    first = { base_url = "{up}", headers = { x-target = "first" }, QUICK }
    second = { base_url = "{up}", headers = { x-target = "second" }, QUICK }
    broken = { base_url = "{up}", headers = { x-target = "broken", x-script = "fail 500" }, QUICK }
    cooling = { base_url = "{up}", headers = { x-target = "cooling" }, QUICK }
    cooling_long = { base_url = "{up}", headers = { x-target = "cooling_long" }, QUICK }
    cooling_pair = { base_url = "{up}", headers = { x-target = "cooling_pair" }, QUICK }
    absent = { base_url = "http://127.0.0.1:9/v1", QUICK }
    [targets.fragile]
    base_url = "{up}"
    breaker = { failures = 2, open_seconds = 2.0 }
    [targets.checked]
    base_url = "{up}"
    health = "/health"
    health_seconds = 0.5
    [models]
    mock = { targets = ["up"], price = "free" }
    once = { targets = ["up"], price = "free", attempts = 1 }
    ordered = { targets = ["first", "second"], price = "free" }
    weighted = { targets = [{ target = "first", weight = 1 }, { target = "second", weight = 3 }], price = "free" }
    lopsided = { targets = [{ target = "broken", weight = 50 }, { target = "second", weight = 1 }], price = "free" }
    backed = { targets = ["broken", "second"], price = "free" }
    far = { targets = ["absent", "second"], price = "free" }
    gone = { targets = ["absent"], price = "free" }
    cooling = { targets = ["cooling"], price = "free" }
    cooling_long = { targets = ["cooling_long"], price = "free" }
    cooling_pair = { targets = ["cooling_pair", "second"], price = "free" }
    fragile = { targets = ["fragile"], price = "free", attempts = 1 }
    checked = { targets = ["checked"], price = "free", attempts = 1 }
    [models."org/renamed"]
    targets = [{ target = "up", model = "mock" }]
    price = "free"
""".replace("QUICK", QUICK)

Stage = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module; prompts say what goes wrong."""
    with stage(tmp_path_factory.mktemp("faults"), CONFIG) as both:
        yield both


def _ask(served: Served, body: bytes) -> tuple[int, dict[str, str], bytes, str]:
    request_id = fresh_id()
    status, headers, answer = served.call("/v1/chat/completions", body, headers={"x-request-id": request_id})
    return status, headers, answer, request_id


def _stream(served: Served, body: bytes) -> tuple[bytes, bool, str]:
    """The stream's bytes, whether its HTTP framing ended well, and the request's id."""
    request_id = fresh_id()
    with Line(served.port) as line:
        line.send(post(body, more=f"x-request-id: {request_id}\r\n"))
        answer = line.answer()
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/event-stream")
    return answer.body, answer.whole, request_id


# ---- retries before the first byte

STATUSES = [
    "fail 408",
    "fail 409",
    "fail 429 retry-after-ms=10",
    "fail 500",
    "fail 502 body=html",
    "fail 529",
]
SILENCES = ["hangup fin", "hangup rst", "garbage", "silent", "fail 503 body=empty"]
BODIES = ["body malformed", "cut 1", "rst 1", "hang 1", "fail 200"]


@pytest.mark.parametrize("failure", STATUSES + SILENCES + BODIES)
def test_plain_call_is_tried_again_when_it_fails_once(scene: Stage, failure: str) -> None:
    """Until a byte has gone to the client, another try is free; the answer looks as if nothing had happened."""
    served, upstream = scene
    status, _, answer, request_id = _ask(served, chat(f"echo: fine {{{{{failure} times=1}}}}"))
    assert status == 200
    assert json.loads(answer)["choices"][0]["message"]["content"] == "fine"
    assert len(upstream.seen(request_id)) == 2
    # A kept connection that turns out to be dead is no try: nobody can tell it from one that had just been closed.
    assert logged(served, request_id)["attempts"] == (1 if failure.startswith("hangup") else 2)


@pytest.mark.parametrize(
    "failure",
    [
        "fail 503",
        "fail 429 retry-after-ms=10",
        "hangup rst",
        "silent",
        "cut 0",
        "rst 0",
        "hang 0",
        "error-at 0",
    ],
)
def test_stream_is_tried_again_when_it_fails_before_its_first_event(scene: Stage, failure: str) -> None:
    """An error in the very first event is as good as an error status: nobody has got anything yet."""
    served, upstream = scene
    answer, whole, request_id = _stream(
        served, chat(f"echo: all fine {{{{{failure} times=1 usage=right finish=stop}}}}", stream=True)
    )
    assert (told(answer), whole) == ("all fine", True)
    assert payloads(answer)[-1] == b"[DONE]"
    assert len(upstream.seen(request_id)) == 2


def test_client_is_told_when_all_tries_fail(scene: Stage) -> None:
    """F05: after the last try the client gets the last failure, once, as an envelope."""
    served, upstream = scene
    status, _, answer, request_id = _ask(served, chat("{{fail 500}}"))
    assert status == 502
    assert json.loads(answer)["error"]["code"] == "upstream_error"
    assert len(upstream.seen(request_id)) == 3


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("silent", 504, "upstream_timeout"),
        ("hang 1", 504, "upstream_timeout"),
        ("hangup fin", 502, "upstream_error"),
        ("garbage", 502, "upstream_error"),
        ("body malformed", 502, "upstream_error"),
        ("fail 200", 502, "upstream_error"),
        ("fail 503", 503, "upstream_unavailable"),
        ("fail 504", 504, "upstream_timeout"),
        ("header-bytes 100000", 502, "upstream_error"),
    ],
)
def test_failure_has_its_own_status_when_it_is_final(
    scene: Stage, script: str, status: int, code: str
) -> None:
    """502, 503 and 504 tell a broken, an absent and a silent target apart."""
    served, _ = scene
    found, _, answer, _ = _ask(served, chat(f"{{{{{script}}}}}", model="once"))
    assert (found, json.loads(answer)["error"]["code"]) == (status, code)
    assert b"127.0.0.1" not in answer


def test_target_is_told_unreachable_when_nothing_listens_there(scene: Stage) -> None:
    """A refused connection is a 503 with a time to come back, and tells no address."""
    served, _ = scene
    status, headers, answer, _ = _ask(served, chat("hello", model="gone"))
    assert (status, json.loads(answer)["error"]["code"]) == (503, "upstream_unavailable")
    assert int(headers["retry-after"]) >= 1
    assert b"127.0.0.1" not in answer


def test_refused_connections_are_tried_again_when_the_upstream_comes_back(scene: Stage) -> None:
    """A restart of the upstream costs the client nothing but time: kept connections that died are no failed try."""
    served, upstream = scene
    assert _ask(served, chat("echo: before"))[0] == 200
    upstream.refuse()
    upstream.listen()
    status, _, _, request_id = _ask(served, chat("echo: after", model="once"))
    assert status == 200
    assert len(upstream.seen(request_id)) == 1


# ---- several targets


@pytest.mark.parametrize("model", ["backed", "far", "lopsided"])
def test_next_target_answers_when_the_first_fails(scene: Stage, model: str) -> None:
    """F07: ordered and weighted alike: a target that was tried is not tried again while another is left."""
    served, upstream = scene
    for _ in range(4):
        status, _, answer, request_id = _ask(served, chat("echo: from the second", model=model))
        assert status == 200
        assert json.loads(answer)["choices"][0]["message"]["content"] == "from the second"
        seen = upstream.seen(request_id)
        assert seen[-1].headers["x-target"] == "second"
        assert len(seen) <= 2
        assert logged(served, request_id)["target"] == "second"


def test_first_target_answers_when_it_works(scene: Stage) -> None:
    """`ordered` means that the second target waits for the first to fail."""
    served, upstream = scene
    for _ in range(5):
        request_id = _ask(served, chat("hello", model="ordered"))[3]
        assert [record.headers["x-target"] for record in upstream.seen(request_id)] == ["first"]


def test_requests_are_spread_when_targets_have_weights(scene: Stage) -> None:
    """Both targets get some, the heavier one more."""
    served, upstream = scene
    asked = [_ask(served, chat("hello", model="weighted"))[3] for _ in range(80)]
    names = [upstream.seen(request_id)[0].headers["x-target"] for request_id in asked]
    assert 0 < names.count("first") < names.count("second")


# When a target is left alone.


def test_retry_after_is_obeyed_when_it_is_short(scene: Stage) -> None:
    """F06: the second try comes when the target asked for it, not sooner; nobody else's request goes there meanwhile."""
    served, upstream = scene
    status, _, _, request_id = _ask(served, chat("{{fail 429 retry-after=1 times=1}}", model="cooling"))
    assert status == 200
    first, second = upstream.seen(request_id)
    assert first.finished is not None
    assert second.started - first.finished >= 0.95


def test_retry_after_is_passed_on_when_it_is_long(scene: Stage) -> None:
    """A client is not kept waiting: it is told when to come back, and so is the next one, without a call."""
    served, upstream = scene
    script = "{{fail 429 retry-after=30 times=1 message=slow-down}}"
    status, headers, answer, request_id = _ask(served, chat(script, model="cooling_long"))
    assert status == 429
    assert json.loads(answer)["error"]["type"] == "rate_limit_exceeded"
    assert headers["retry-after"] == "30"
    assert len(upstream.seen(request_id)) == 1
    status, headers, _, request_id = _ask(served, chat("hello", model="cooling_long"))
    assert status == 503
    assert 1 <= int(headers["retry-after"]) <= 30
    assert upstream.seen(request_id) == []


def test_other_target_answers_when_one_is_cooling_down(scene: Stage) -> None:
    """A rate limit at one target costs nobody anything where there is another."""
    served, upstream = scene
    script = "{{fail 429 retry-after=60 times=1 message=pair}}"
    for text in (script, "hello"):
        status, _, _, request_id = _ask(served, chat(text, model="cooling_pair"))
        assert status == 200
        assert upstream.seen(request_id)[-1].headers["x-target"] == "second"


def test_breaker_opens_and_closes_when_a_target_fails_and_recovers(scene: Stage) -> None:
    """Failures in a row spare the target; after the rest one probe decides."""
    served, upstream = scene
    for _ in range(2):
        assert _ask(served, chat("{{fail 500}}", model="fragile"))[0] == 502
    assert served.metric("ingot_target_breaker") >= 1
    ready = json.loads(served.call("/readyz")[2])
    assert ready["targets"]["fragile"].startswith("breaker")
    # The next request waits for the rest to end, inside: it is shorter than what a client may be kept waiting for.
    status, _, _, request_id = _ask(served, chat("hello", model="fragile"))
    assert status == 200
    assert len(upstream.seen(request_id)) == 1
    assert json.loads(served.call("/readyz")[2])["targets"]["fragile"] == "ok"


def test_target_is_left_alone_when_its_health_check_fails(scene: Stage) -> None:
    """Active health takes a target out before a request meets it, and back in when it answers again."""
    served, upstream = scene
    upstream.up.probe = upstream.up.probe.__class__(fail=500)

    def state() -> str:
        return str(json.loads(served.call("/readyz")[2])["targets"]["checked"])

    wait_until(lambda: state() == "failed its health check")
    upstream.up.probe = upstream.up.probe.__class__()
    wait_until(lambda: state() == "ok")
    assert _ask(served, chat("hello", model="checked"))[0] == 200


# ---- after the first byte


@pytest.mark.parametrize(
    "script",
    ["cut 3", "rst 3", "hang 3", "bad-chunk 3", "error-at 3", "bad-utf8 3", "cut 1", "rst 1", "bad-utf8 1"],
)
def test_stream_ends_in_an_error_when_the_upstream_breaks_off(scene: Stage, script: str) -> None:
    """F08: an answer of which the client has a part is never tried again, and never looks complete."""
    served, upstream = scene
    answer, whole, request_id = _stream(served, chat(f"words: 9 {{{{{script}}}}}", stream=True))
    error = ends_in_error(answer)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "server_error"
    assert "127.0.0.1" not in error["message"]
    assert whole, "the error event is the answer's last, and HTTP says that the answer is over"
    assert len(upstream.seen(request_id)) == 1
    line = logged(served, request_id)
    assert line["status"] == 200
    assert line["code"] in {"upstream_error", "upstream_timeout"}
    assert line["usage_estimated"] is True


def test_stream_is_completed_when_only_the_end_mark_is_missing(scene: Stage) -> None:
    """Some servers end a whole answer without [DONE]; clients wait for it."""
    served, _ = scene
    answer, whole, _ = _stream(served, chat("words: 4 {{no-done}}", stream=True))
    assert (payloads(answer)[-1], whole) == (b"[DONE]", True)


@pytest.mark.parametrize(
    "script",
    [
        "eol crlf",
        "eol cr",
        "ping 1",
        "drip 0.00001",
        "gap 0.01",
        "separators",
        "tight",
        "bad-json 2",
        "framing close",
        "framing length",
        "early-hints",
        "huge 3000000",
    ],
)
def test_stream_is_passed_on_byte_for_byte_when_it_merely_looks_odd(scene: Stage, script: str) -> None:
    """Line ends, comments, separators, broken JSON: none of that is ours to mend."""
    served, upstream = scene
    body = chat(f"words: 4 {{{{{script}}}}}", stream=True, stream_options={"include_usage": True})
    answer, whole, request_id = _stream(served, body)
    (record,) = upstream.seen(request_id)
    assert record.body == body
    assert (answer, whole) == (_direct(upstream, body), True)


def _direct(upstream: Backstage, body: bytes) -> bytes:
    """What the upstream answers to this body when it is asked without a relay."""
    with Line(upstream.up.port) as line:
        line.send(post(body, more="connection: close\r\n"))
        while (answer := line.answer()).status == 103:
            pass
        return answer.body


def test_bom_is_no_harm_when_it_opens_a_stream(scene: Stage) -> None:
    """A byte order mark before the first event belongs to the stream, not to its first field's name."""
    served, _ = scene
    answer, _, _ = _stream(served, chat("words: 3 {{bom}}", stream=True))
    assert payloads(answer)[-1] == b"[DONE]"
    assert b"error" not in answer


def test_multiline_events_are_understood_when_an_upstream_writes_them(scene: Stage) -> None:
    """One event may spread its JSON over several data lines."""
    served, _ = scene
    answer, whole, request_id = _stream(served, chat("words: 3 {{multiline}}", stream=True))
    assert answer.endswith(b"data: [DONE]\n\n")
    assert whole
    line = logged(served, request_id)
    assert line["output_tokens"] == 3
    assert "usage_estimated" not in line


# ---- usage


@pytest.mark.parametrize("usage", ["missing", "negative", "text", "null"])
def test_usage_is_estimated_when_the_upstream_tells_none(scene: Stage, usage: str) -> None:
    """The record says that the figure is an estimate."""
    served, _ = scene
    _, _, request_id = _stream(served, chat(f"words: 7 {{{{usage {usage}}}}}", stream=True))
    line = logged(served, request_id)
    assert line["usage_estimated"] is True
    assert line["output_tokens"] == 7
    assert line["input_tokens"] > 0


@pytest.mark.parametrize("usage", ["right", "twice", "running", "with-finish"])
def test_usage_is_read_when_it_comes_in_any_usual_way(scene: Stage, usage: str) -> None:
    """Once, twice, with every chunk or with the last one: the last figure counts, once."""
    served, _ = scene
    before = served.metric("ingot_tokens_total")
    _, _, request_id = _stream(served, chat(f"words: 7 {{{{usage {usage}}}}}", stream=True))
    line = logged(served, request_id)
    assert line["output_tokens"] == 7
    assert "usage_estimated" not in line
    assert served.metric("ingot_tokens_total") - before == 7 + line["input_tokens"]
