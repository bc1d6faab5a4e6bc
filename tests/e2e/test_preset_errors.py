"""Every error wears the preset's dress: refused by the connection, by no route, by a surface, in a stream, or a fault of ours."""

import asyncio
import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ingot.app import process
from ingot.clock import SystemClock
from ingot.config import Loaded, load
from ingot.logs import LineSink, configure
from ingot.web.server import connector
from rig import (
    Answer,
    Backstage,
    Line,
    chat,
    ends_in_error,
    fresh_id,
    logged,
    payloads,
    post,
    stage,
    wait_until,
)
from served import Served

Stage = tuple[Served, Backstage]
Under = Callable[[str], Stage]

CONFIG = """
    [server]
    preset = "{preset}"
    [limits]
    body_bytes = 20000
    image_body_bytes = 20000
    header_bytes = 4096
    request_seconds = 1
    [targets.up]
    base_url = "{up}"
    [targets.up.breaker]
    failures = 1000
    [models]
    mock = { targets = ["up"], price = "free", attempts = 1 }
"""
PRESETS = ["open", "valley", "aurora", "metask", "valar"]
STREAMING = ["open", "valley", "aurora-v2", "metask", "valar"]

# The whole list of metask's statuses (400, 401, 403, 404, 429, 500), and what becomes of the others.
METASK = {400: 400, 401: 401, 404: 404, 405: 404, 408: 400, 413: 400, 415: 400, 421: 400, 422: 400}
METASK |= {429: 429, 431: 400, 500: 500, 502: 500}

KEYS = ["message", "type", "param", "code"]


def _shown(preset: str, status: int) -> int:
    return METASK[status] if preset == "metask" else status


@pytest.fixture(scope="module")
def under(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Under]:
    """The server under a preset, started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        known: dict[str, Stage] = {}

        def find(preset: str) -> Stage:
            if preset not in known:
                text = CONFIG.replace("{preset}", preset)
                known[preset] = stack.enter_context(stage(tmp_path_factory.mktemp(preset), text))
            return known[preset]

        yield find


def _error(answer: Answer) -> dict[str, Any]:
    """The error object of an answer that holds nothing else."""
    assert answer.whole
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    outer = json.loads(answer.body)
    assert list(outer) == ["error"]
    return dict(outer["error"])


def _get(path: str, *lines: str, method: str = "GET") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]
    return "\r\n".join(head).encode()


BODY = chat("echo: hello")
CASES: dict[str, tuple[bytes, int, str]] = {
    # Refused before there is a request.
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed_request"),
    "unknown version": (b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n", 400, "malformed_request"),
    "no Host": (b"GET /livez HTTP/1.1\r\n\r\n", 400, "malformed_request"),
    "unknown coding": (_get("/livez", "Transfer-Encoding: gzip"), 400, "malformed_request"),
    "large head": (_get("/livez", f"X-A: {'x' * 9000}"), 431, "headers_too_large"),
    "endless head": (b"GET /livez HTTP/1.1\r\nX-A: " + b"x" * 9000, 431, "headers_too_large"),
    "many headers": (_get("/livez", *(f"X-{n}: 1" for n in range(70))), 431, "headers_too_large"),
    "head that stops": (b"GET /livez HTTP/1.1\r\nHost: lo", 408, "request_timeout"),
    "body that stops": (post(BODY)[:-3], 408, "request_timeout"),
    "chunks that stop": (
        post(b"").replace(b"content-length: 0", b"transfer-encoding: chunked") + b"5\r\n{",
        408,
        "request_timeout",
    ),
    # Refused by a bound on the body, a host, a path or a method.
    "large body": (post(chat("x" * 30_000)), 413, "request_too_large"),
    "body of many megabytes": (post(b"").replace(b": 0", b": 9000000"), 413, "request_too_large"),
    "compressed body": (post(BODY, more="Content-Encoding: gzip\r\n"), 415, "unsupported_encoding"),
    "foreign host": (post(BODY, host="evil.example"), 421, "misdirected_request"),
    "foreign host of a page": (b"GET /livez HTTP/1.1\r\nHost: evil\r\n\r\n", 421, "misdirected_request"),
    "unknown path": (_get("/v1/nothing"), 404, "unknown_url"),
    "path of a surface that no preset has": (post(BODY, path="/v1/engines"), 404, "unknown_url"),
    "method of a surface": (_get("/v1/chat/completions", method="PUT"), 405, "method_not_allowed"),
    "method of a page": (_get("/v1/models", method="DELETE"), 405, "method_not_allowed"),
    "method of a probe": (post(BODY, path="/livez"), 405, "method_not_allowed"),
    # Refused by the surface.
    "unknown model": (post(chat("hi", model="nobody")), 404, "model_not_found"),
    "no JSON": (post(b"{"), 400, "invalid_json"),
    "refused by the target": (post(chat("{{fail 422}}")), 422, "upstream_error"),
    "failure of the target": (post(chat("{{fail 500}}")), 502, "upstream_error"),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_error_has_the_dress_of_the_preset(under: Under, preset: str) -> None:
    """One envelope and the preset's statuses, whoever refuses; clients of a closed list meet no other."""
    served, _ = under(preset)
    lines = {name: Line(served.port) for name in CASES}
    for name, (data, _, _) in CASES.items():
        lines[name].send(data)
    told = {}
    for name, line in lines.items():
        answer = line.answer()
        assert (name, answer.status) == (name, _shown(preset, CASES[name][1]))
        error = _error(answer)
        told[name] = (answer.status, list(error), error["type"], error["code"])
        if CASES[name][1] == 405:
            assert answer.headers["allow"]
        line.leave()
    expected = {}
    for name, (_, status, code) in CASES.items():
        kind = "server_error" if status >= 500 else "invalid_request_error"
        own = "server_error" if preset == "aurora" and code == "upstream_error" and status >= 500 else code
        expected[name] = (_shown(preset, status), KEYS, kind, own)
    assert told == expected


@pytest.mark.parametrize("preset", PRESETS)
def test_missing_key_has_the_dress_of_the_preset(under: Under, preset: str) -> None:
    """On a surface and on a page alike, where the preset names the code and the keys of a wrong one."""
    served, _ = under(preset)
    told = []
    for data in (post(BODY), _get("/v1/models", "Authorization: Bearer ik-nobody")):
        with Line(served.port) as line:
            line.send(data.replace(served.key.encode(), b"ik-nobody"))
            answer = line.answer()
        error = _error(answer)
        assert answer.headers["www-authenticate"] == "Bearer"
        told.append((answer.status, list(error), error["code"]))
    code = "unauthorized" if preset == "aurora" else "invalid_api_key"
    keys = ["message", "type", "code"] if preset == "valley" else KEYS
    assert told == [(401, keys, code)] * 2


@pytest.mark.parametrize("preset", ["metask", "valar", "aurora"])
def test_refusal_of_the_connection_is_logged_as_it_is_told(under: Under, preset: str) -> None:
    """The log and the answer have the same id and the same status."""
    served, _ = under(preset)
    with Line(served.port) as line:
        line.send(_get("/livez", f"X-A: {'x' * 9000}"))
        answer = line.answer()
    wanted = {"request_id": answer.headers["x-request-id"], "status": answer.status}
    wanted |= {"event": "request refused", "code": "headers_too_large"}
    assert answer.status == _shown(preset, 431)
    wait_until(lambda: any(wanted.items() <= each.items() for each in served.logs()), "the log tells of it")


@pytest.mark.parametrize("preset", STREAMING)
@pytest.mark.parametrize("script", ["error-at 3", "cut 3", "rst 3"])
def test_error_in_a_stream_has_the_dress_of_the_preset(under: Under, preset: str, script: str) -> None:
    """Whether the target tells of it or breaks off: as an answer that fails at once."""
    served, _ = under(preset)
    with Line(served.port) as line:
        line.send(post(chat(f"words: 9 {{{{{script}}}}}", stream=True)))
        answer = line.answer()
    with Line(served.port) as line:
        line.send(post(chat("{{fail 500}}")))
        plain = _error(line.answer())
    assert answer.status == 200
    error = ends_in_error(answer.body)
    assert list(error) == list(plain) == KEYS
    assert (error["type"], error["code"]) == (plain["type"], plain["code"])
    assert error["code"] == ("server_error" if preset == "aurora-v2" else "upstream_error")
    # The target's own words are not for strangers, in any dress.
    assert b"scripted failure" not in answer.body
    assert len([data for data in payloads(answer.body) if b'"error"' in data]) == 1


@pytest.mark.parametrize("preset", ["open", "metask"])
def test_refusal_is_replayed_as_it_was_told(under: Under, preset: str) -> None:
    """A retry with the same key gets the same words under the same status, and the log and the record have it too."""
    served, upstream = under(preset)
    more = f"Idempotency-Key: {fresh_id()}\r\n"
    seen = []
    for request_id in (fresh_id(), fresh_id()):
        with Line(served.port) as line:
            line.send(post(chat("{{fail 422}}"), more=f"{more}X-Request-Id: {request_id}\r\n"))
            answer = line.answer()
        seen.append((answer.status, answer.body))
        assert logged(served, request_id)["status"] == answer.status
    assert seen[0] == seen[1]
    assert seen[0][0] == _shown(preset, 422)
    assert upstream.up.log


@pytest.mark.parametrize("preset", ["open", "metask", "aurora"])
async def test_fault_of_ours_has_the_dress_of_the_preset(tmp_path: Path, preset: str) -> None:
    """A page that breaks is told as JSON with the request's id; its cause is logged, and the connection lives on."""
    text = f'[server]\npreset = "{preset}"\ndata = "{tmp_path}"\n[engine]\nenabled = false\n'
    stream = io.BytesIO()
    sink = LineSink(stream)
    log = configure(sink, form="json", level="info")
    loaded = Loaded(load(text, {}), None, ())
    async with process.opened(loaded, environ={}, log=log, sink=sink, clock=SystemClock()) as app:
        del app._states[0].registry  # what the page of metrics is rendered from
        state = SimpleNamespace(connections=set(), tasks=set(), total_requests=0)
        connect = connector(app.hub)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: connect(None, state, None), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            broken, fine = await asyncio.to_thread(_ask_twice, port)
    assert (broken.status, fine.status) == (500, 200)
    error = _error(broken)
    assert list(error) == KEYS
    assert (error["type"], error["code"]) == (
        "server_error",
        "server_error" if preset == "aurora" else "internal_error",
    )
    assert error["message"].endswith("(request id req_of_mine)")
    assert b"AttributeError" in stream.getvalue()
    assert b'"request_id":"req_of_mine"' in stream.getvalue()


def _ask_twice(port: int) -> tuple[Answer, Answer]:
    with Line(port) as line:
        line.send(_get("/metrics", "X-Request-Id: req_of_mine"))
        broken = line.answer()
        line.send(_get("/livez"))
        return broken, line.answer()
