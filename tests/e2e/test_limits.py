"""What one request may cost: sizes, times, structure, hosts; and what the pages around the API say."""

import http.client
import json
import threading
import time
from collections.abc import Iterator

import pytest

from rig import Backstage, Line, chat, fresh_id, memory, payloads, post, stage, wait_until
from served import KEY, PATIENCE, Served

CONFIG = """
    [limits]
    request_seconds = 1.5
    seconds_per_megabyte = 0.0
    idle_seconds = 2.0
    unread_seconds = 2.0
    [server]
    allowed_hosts = ["api.example.org", "*.internal.example"]
    [targets.up]
    base_url = "{up}"
    [targets.narrow]
    base_url = "{up}"
    capacity = 2
    [models]
    mock = { targets = ["up"], price = "free" }
    narrow = { targets = ["narrow"], price = "free" }
    "org/team/name" = { targets = ["up"], price = "free", owned_by = "somebody" }
"""

Stage = tuple[Served, Backstage]
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module, with little patience for slow clients."""
    with stage(tmp_path_factory.mktemp("limits"), CONFIG) as both:
        yield both


# ---- sizes


def test_ten_megabytes_are_relayed_when_they_are_within_the_limit(scene: Stage) -> None:
    """A prompt just below the limit reaches the upstream whole, and leaves little behind."""
    served, upstream = scene
    body = chat("echo: " + "x" * 9_900_000)
    before = memory(served.process.pid)
    request_id = fresh_id()
    status, _, answer = served.call("/v1/chat/completions", body, headers={"x-request-id": request_id})
    assert status == 200
    assert upstream.seen(request_id)[0].body == body
    assert len(answer) > 9_900_000
    assert memory(served.process.pid, "VmHWM") - before < 150 * MEGABYTE


def test_body_is_refused_when_it_is_declared_too_large(scene: Stage) -> None:
    """Before the first byte of it is read; the client that keeps sending gets the answer all the same."""
    served, _ = scene
    with Line(served.port) as line:
        line.send(post(b"").replace(b"content-length: 0", b"content-length: 40000000"))
        answer = line.answer()
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert "33,554,432" in answer.error["message"]
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    connection.request(
        "POST",
        "/v1/chat/completions",
        body=b"x" * 34_000_000,
        headers={"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    assert connection.getresponse().status == 413
    connection.close()


def test_body_is_refused_when_it_grows_too_large(scene: Stage) -> None:
    """A chunked body tells no length: it is cut at the limit."""
    served, _ = scene
    piece = b"%x\r\n%b\r\n" % (MEGABYTE, b" " * MEGABYTE)
    with Line(served.port) as line:
        line.send(post(b"").replace(b"content-length: 0", b"transfer-encoding: chunked"))
        for _ in range(40):
            if not line.send(piece):
                break
        answer = line.answer()
        assert answer.status == 413
        assert line.closed()
    assert memory(served.process.pid, "VmHWM") < 300 * MEGABYTE


@pytest.mark.parametrize("surface", ["/v1/chat/completions", "/v1/embeddings", "/v1/completions"])
def test_only_images_may_be_larger_when_a_body_is_over_the_limit(scene: Stage, surface: str) -> None:
    """Between the two limits it depends on what is inside."""
    status, _, answer = scene[0].call(surface, chat("x" * 10_500_000))
    assert (status, json.loads(answer)["error"]["code"]) == (413, "request_too_large")


DEEP = b'{"model":"mock","messages":[{"role":"user","content":"x"}],"x":'
BOMBS = [
    (DEEP + b"[" * 100 + b"]" * 100 + b"}", "nest"),
    (DEEP + b"[" * 100_000, ""),
    (DEEP + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}", "nest"),
    (DEEP + b"[" + b"[]," * 300_000 + b"[]]}", "structur"),
    (DEEP + b"[" + b"0," * 300_000 + b"0]}", "structur"),
    (DEEP + b'1,"x":2}', "x"),
    (DEEP + b'{"a":1,"a":2}}', "a"),
    (DEEP + b'{"a":1,"\\u0061":2}}', "a"),
    (DEEP + b"NaN}", ""),
    (DEEP + b"Infinity}", ""),
    (DEEP + b"1" * 400 + b"}", ""),
    (DEEP + b"9007199254740993}", "2^53"),
    (DEEP + b'"\\ud800"}', "surrogate"),
    (DEEP + b'"\xff"}', ""),
    (DEEP + b"1} {}", ""),
    (b"\xef\xbb\xbf" + DEEP + b"1}", ""),
    (b"[]", "object"),
    (b'"x"', "object"),
    (b"", ""),
    (b"{", ""),
]


@pytest.mark.parametrize(("body", "says"), BOMBS, ids=[str(index) for index in range(len(BOMBS))])
def test_body_is_refused_when_it_is_no_json_for_everyone(scene: Stage, body: bytes, says: str) -> None:
    """A 400 that names the trouble, whatever the bytes were meant to do to a parser."""
    served, upstream = scene
    seen = len(upstream.up.log)
    for surface in ("/v1/chat/completions", "/v1/embeddings", "/v1/completions"):
        status, _, answer = served.call(surface, body)
        error = json.loads(answer)["error"]
        assert status == 400
        assert error["type"] == "invalid_request_error"
        assert says in error["message"]
        assert len(error["message"]) < 1000
    assert len(upstream.up.log) == seen


# ---- times


UNFINISHED = {
    "first letter": b"P",
    "head": b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-A",
    "body": post(chat("hello"))[:-3],
    "large body": post(chat("x" * 300_000))[:-3],
    "chunked body": post(b"").replace(b"content-length: 0", b"transfer-encoding: chunked") + b"5\r\n{",
}


def test_request_is_ended_when_it_does_not_come_whole(scene: Stage) -> None:
    """Wherever it stops: 408, and the connection is free again."""
    served, _ = scene
    lines = {name: Line(served.port) for name in UNFINISHED}
    for name, line in lines.items():
        line.send(UNFINISHED[name])
    for name, line in lines.items():
        answer = line.answer()
        assert (name, answer.status) == (name, 408)
        assert "arrive whole" in answer.error["message"]
        assert line.closed()
        line.leave()


def test_request_is_ended_when_it_comes_drop_by_drop(scene: Stage) -> None:
    """Each byte on its own is progress, but the whole has one deadline."""
    served, _ = scene
    done = threading.Event()
    with Line(served.port) as line:
        line.send(post(chat("hello"))[:40])

        def drip() -> None:
            while not done.is_set():
                line.send(b"x")
                time.sleep(0.1)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        answer = line.answer()
        done.set()
        thread.join()
    assert answer.status in {0, 408}  # 0: a drop in flight reset the connection before the answer was read


def test_connection_is_closed_when_it_is_idle(scene: Stage) -> None:
    """Never used, used before, or busy with blank lines, which are no request."""
    lines = [Line(scene[0].port) for _ in range(4)]
    for line, said in zip(lines, (b"", b"\r\n", b"\r\n\r\n\r\n", post(chat("hello"))), strict=True):
        line.send(said)
    assert lines[-1].answer().status == 200
    for line in lines:
        assert line.closed()
        line.leave()


def test_connection_lives_when_its_request_takes_long(scene: Stage) -> None:
    """Neither the idle time nor the time of arrival runs while an answer is made, plain or streamed."""
    served, _ = scene
    slow = post(chat("echo: patience {{delay 4}}"))
    with Line(served.port) as plain, Line(served.port) as pipelined, Line(served.port) as streamed:
        plain.send(slow)
        streamed.send(post(chat("words: 9 {{gap 0.4}}", stream=True)))
        pipelined.send(post(chat("echo: first {{delay 0.4}}")) + slow[:60])
        assert pipelined.answer().status == 200
        pipelined.send(slow[60:])
        assert plain.answer().status == 200
        assert pipelined.answer().status == 200
        assert payloads(streamed.answer().body)[-1] == b"[DONE]"


# ---- capacity


def test_request_is_turned_away_when_its_target_is_full(scene: Stage) -> None:
    """A target with a capacity gets no more than that; others are told when to come back."""
    served, upstream = scene
    ids = [fresh_id(), fresh_id()]
    lines = [Line(served.port) for _ in ids]
    for line, request_id in zip(lines, ids, strict=True):
        line.send(post(chat("words: 3 {{silent}}", model="narrow"), more=f"x-request-id: {request_id}\r\n"))
        upstream.until_seen(request_id)
    status, headers, body = served.call("/v1/chat/completions", chat("hello", model="narrow"))
    assert (status, json.loads(body)["error"]["code"]) == (429, "capacity")
    assert headers["retry-after"] == "1"
    for line in lines:
        line.leave()
    wait_until(
        lambda: served.call("/v1/chat/completions", chat("hello", model="narrow"))[0] == 200,
        "a place is free when a client has left",
    )


# ---- hosts


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:5150", 200),
        ("[::1]:5150", 200),
        ("api.example.org", 200),
        ("a.internal.example:1", 200),
        ("internal.example", 421),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("api.example.org.evil.example", 421),
        ("xinternal.example", 421),
        ("169.254.169.254", 421),
    ],
)
def test_host_is_answered_when_it_is_ours(scene: Stage, host: str, status: int) -> None:
    """A page in a browser cannot reach the API under a name of its own (DNS rebinding)."""
    for request in (
        post(chat("hello"), host=host),
        f"GET /livez HTTP/1.1\r\nhost: {host}\r\n\r\n".encode(),
        f"GET /nowhere HTTP/1.1\r\nhost: {host}\r\n\r\n".encode(),
        f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nx-api-key: {KEY}\r\n\r\n".encode(),
    ):
        with Line(scene[0].port) as line:
            line.send(request)
            answer = line.answer()
        if status == 200:
            assert answer.status in {200, 404}
        else:
            assert (answer.status, answer.error["code"]) == (421, "misdirected_request")


@pytest.mark.parametrize(
    "start",
    [b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"GET /"],
    ids=["header", "target"],
)
def test_head_is_refused_when_it_never_ends(scene: Stage, start: bytes) -> None:
    """The parser tells of a header when it is whole; one without an end is bounded all the same."""
    served, _ = scene
    with Line(served.port) as line:
        line.send(start)
        for _ in range(64):
            if not line.send(b"a" * 65536):
                break
        answer = line.answer()
        assert answer.status == 431
        assert line.closed()


def test_body_is_refused_when_it_is_nearly_all_framing(scene: Stage) -> None:
    """A chunk extension without an end is no body and has no right to a body's room or time."""
    served, _ = scene
    with Line(served.port) as line:
        line.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
            b"authorization: Bearer " + KEY.encode() + b"\r\n\r\n1;x="
        )
        for _ in range(64):
            if not line.send(b"a" * 65536):
                break
        assert line.answer().status == 400
        assert line.closed()
