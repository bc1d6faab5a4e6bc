"""Raw bytes from strangers: one request in is one request seen upstream, and what is malformed is refused.

Every case may carry a request that a lenient reader would take for a second one; the upstream's log tells
whether it got through.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from rig import Answer, Backstage, Line, chat, fresh_id, logged, post, stage
from served import KEY, Served

CONFIG = """
    [targets.up]
    base_url = "{up}"
    [models.mock]
    targets = ["up"]
    price = "free"
    [models."org/team/name"]
    targets = [{ target = "up", model = "mock" }]
    price = "free"
"""
BODY = chat("echo: one")
SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n@\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)

Stage = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("wire"), CONFIG) as both:
        yield both


def _request(
    fields: bytes, body: bytes = BODY, *, line: bytes = b"POST /v1/chat/completions HTTP/1.1"
) -> bytes:
    """A request with the usual Host, credential and id (`@`), and these further header lines."""
    end = b"\r\n" if fields else b""
    return line + b"\r\nHost: localhost\r\n@\r\n" + fields + end + b"\r\n" + body


def _sized(*fields: bytes, line: bytes = b"POST /v1/chat/completions HTTP/1.1") -> bytes:
    """A well-framed call with these further header lines, and a call smuggled behind it where they say so."""
    return _request(b"\r\n".join([*fields, b"Content-Length: %d" % len(BODY)]), line=line)


def _chunked(body: bytes, *fields: bytes) -> bytes:
    return _request(b"\r\n".join([*fields, b"Transfer-Encoding: chunked"]), body)


CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
LAST = b"0\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """Bytes, and the statuses that are right for them; one that is refused never reaches the upstream."""

    name: str
    data: bytes
    statuses: tuple[int, ...] = (400,)


REFUSED = [
    # Two lengths.
    Case("CL and TE", _request(b"Content-Length: 5\r\nTransfer-Encoding: chunked", LAST + SMUGGLED)),
    Case("TE and CL", _request(b"Transfer-Encoding: chunked\r\nContent-Length: 5", LAST + SMUGGLED)),
    Case("CL twice, different", _request(b"Content-Length: 0\r\nContent-Length: 5", SMUGGLED)),
    Case("CL twice, same", _request(b"Content-Length: 2\r\nContent-Length: 2", b"{}" + SMUGGLED)),
    Case("CL as a list", _request(b"Content-Length: 2, 2", b"{}" + SMUGGLED)),
    Case("CL signed", _request(b"Content-Length: +2", b"{}" + SMUGGLED)),
    Case("CL negative", _request(b"Content-Length: -1", SMUGGLED)),
    Case("CL in hexadecimal", _request(b"Content-Length: 0x2", b"{}" + SMUGGLED)),
    Case("CL with exponent", _request(b"Content-Length: 2e0", b"{}" + SMUGGLED)),
    Case("CL empty", _request(b"Content-Length: ", SMUGGLED)),
    Case("CL with inner space", _request(b"Content-Length: 1 0", b"{}" + SMUGGLED)),
    Case("CL beyond 64 bits", _request(b"Content-Length: 18446744073709551618", b"{}" + SMUGGLED)),
    # Transfer codings that are not exactly `chunked`.
    Case("TE gzip", _request(b"Transfer-Encoding: gzip", SMUGGLED)),
    Case("TE identity", _request(b"Transfer-Encoding: identity", SMUGGLED)),
    Case("TE chunked not last", _request(b"Transfer-Encoding: chunked, identity", LAST + SMUGGLED)),
    Case("TE unknown", _request(b"Transfer-Encoding: xchunked", LAST + SMUGGLED)),
    Case("TE quoted", _request(b'Transfer-Encoding: "chunked"', LAST + SMUGGLED)),
    Case("TE with vertical tab", _request(b"Transfer-Encoding:\x0bchunked", LAST + SMUGGLED)),
    Case("TE name with vertical tab", _request(b"Transfer-Encoding\x0b: chunked", LAST + SMUGGLED)),
    Case("TE with NUL", _request(b"Transfer-Encoding: chunked\x00", LAST + SMUGGLED)),
    # Chunks.
    Case("chunk size no number", _chunked(b"zz\r\n{}\r\n" + LAST + SMUGGLED)),
    Case("chunk size negative", _chunked(b"-2\r\n{}\r\n" + LAST + SMUGGLED)),
    Case("chunk size with prefix", _chunked(b"0x2\r\n{}\r\n" + LAST + SMUGGLED)),
    Case("chunk size empty", _chunked(b"\r\n{}\r\n" + LAST + SMUGGLED)),
    Case("chunk size beyond 64 bits", _chunked(b"1%016x\r\n{}\r\n" % 2 + LAST + SMUGGLED)),
    Case("chunk longer than said", _chunked(b"1\r\n{}\r\n" + LAST + SMUGGLED)),
    Case("chunk ends in LF", _chunked(b"2\n{}\r\n" + LAST + SMUGGLED)),
    Case("chunk data ends in LF", _chunked(b"2\r\n{}\n" + LAST + SMUGGLED)),
    Case("last chunk ends in LF", _chunked(b"2\r\n{}\r\n0\n\n" + SMUGGLED)),
    Case("chunk extension with bare CR", _chunked(b"2;a\rb\r\n{}\r\n" + LAST + SMUGGLED)),
    Case("chunk extension with LF", _chunked(b"2;a\nxx\r\n{}\r\n" + LAST + SMUGGLED)),
    # Header lines.
    Case("bare LF after a header", _sized(b"X-A: b\nX-C: d")),
    Case("bare CR in a value", _sized(b"X-A: b\rX-C: d")),
    Case("bare LF after the request line", _sized(line=b"POST /v1/chat/completions HTTP/1.1\nX-A: b")),
    Case("folded header", _sized(b"X-A: b\r\n c")),
    Case("folded header with tab", _sized(b"X-A: b\r\n\tTransfer-Encoding: chunked")),
    Case("space before the first header", _sized(line=b"POST /v1/chat/completions HTTP/1.1\r\n X-A: b")),
    Case("space before the colon", _sized(b"X-A : b")),
    Case("no colon", _sized(b"X-A")),
    Case("space in a name", _sized(b"X A: b")),
    Case("empty name", _sized(b": b")),
    Case("parenthesis in a name", _sized(b"X(A: b")),
    Case("NUL in a value", _sized(b"X-A: b\x00c")),
    Case("NUL in a name", _sized(b"X\x00A: b")),
    Case("control character in a value", _sized(b"X-A: b\x01c")),
    # Host.
    Case("Host twice, same", _sized(b"Host: localhost")),
    Case("Host twice, different", _sized(b"Host: evil.example")),
    Case("no Host", b"GET /livez HTTP/1.1\r\n\r\n"),
    Case("foreign Host", b"GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", (421,)),
    Case("Host with a trick", b"GET /livez HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", (421,)),
    Case("Host with user", b"GET /livez HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", (421,)),
    Case("empty Host", b"GET /livez HTTP/1.1\r\nHost: \r\n\r\n", (421,)),
    # Credentials.
    Case("Authorization twice, different", _sized(b"Authorization: Bearer one\r\nAuthorization: Bearer two")),
    Case("x-api-key twice, different", _sized(b"X-Api-Key: one\r\nX-Api-Key: two")),
    # Request lines.
    Case("method in lower case", _sized(line=b"post /v1/chat/completions HTTP/1.1")),
    Case("method unknown", _sized(line=b"SMUGGLE /v1/chat/completions HTTP/1.1")),
    Case("method with control character", _sized(line=b"PO\x01ST /v1/chat/completions HTTP/1.1")),
    Case("no target", _sized(line=b"POST HTTP/1.1")),
    Case("NUL in the target", _sized(line=b"POST /v1/chat\x00/completions HTTP/1.1")),
    Case("space in the target", _sized(line=b"POST /v1/chat /completions HTTP/1.1")),
    Case("bytes above ASCII in the target", _sized(line=b"POST /v1/\xff\xfe HTTP/1.1")),
    Case("version of the future", _sized(line=b"POST /v1/chat/completions HTTP/9.9")),
    Case("version with letters", _sized(line=b"POST /v1/chat/completions HTTP/1.1x")),
    Case("version in lower case", _sized(line=b"POST /v1/chat/completions http/1.1")),
    Case("no version", b"GET /livez\r\n\r\n"),
    Case("CONNECT", b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED),
    Case("asterisk", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 404)),
    # Other protocols.
    Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    Case("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)),
    Case("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
    Case("SOCKS", b"\x05\x01\x00"),
    Case("binary", bytes(range(128, 256))),
    # Heads that are too large.
    Case("one huge header", _sized(b"X-A: " + b"b" * 20_000), (431,)),
    Case("a huge name", _sized(b"X" * 20_000 + b": b"), (431,)),
    Case("too many headers", _sized(*[b"X-%d: b" % index for index in range(100)]), (431,)),
    Case("a huge target", _sized(line=b"POST /" + b"a" * 20_000 + b" HTTP/1.1"), (431,)),
    Case("a head without end", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 4000, (431,)),
]


def _fill(data: bytes, request_id: str) -> bytes:
    return data.replace(b"@\r\n", f"Authorization: Bearer {KEY}\r\nX-Request-Id: {request_id}\r\n".encode())


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: str(case.name))
def test_request_is_refused_when_it_is_malformed(scene: Stage, case: Case) -> None:
    """A clear envelope, then the end of the connection: nothing behind it is read as another request."""
    served, upstream = scene
    request_id = fresh_id()
    with Line(served.port) as line:
        line.send(_fill(case.data, request_id))
        answer = line.answer()
        assert answer.status in case.statuses
        assert answer.error["message"]
        if 421 not in case.statuses and 404 not in case.statuses:
            assert answer.headers["connection"] == "close"
            assert line.closed()
    _is_alive(served)
    assert upstream.seen(request_id) == []


def _is_alive(served: Served) -> None:
    """A server that answers another client has parsed all that came before."""
    with Line(served.port) as line:
        line.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert line.answer().status == 200


ACCEPTED = [
    Case("plain", _sized(), (200,)),
    Case("chunked", _chunked(CHUNK + LAST), (200,)),
    Case("chunked in many pieces", _chunked(b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + LAST), (200,)),
    Case(
        "chunk size in upper case, with zeros", _chunked(b"00%X\r\n%b\r\n" % (len(BODY), BODY) + LAST), (200,)
    ),
    Case("chunk extension", _chunked(b"%x;a=b\r\n%b\r\n" % (len(BODY), BODY) + LAST), (200,)),
    Case("trailers", _chunked(CHUNK + b"0\r\nX-Sum: 1\r\n\r\n"), (200,)),
    Case(
        "trailers that forge",
        _chunked(CHUNK + b"0\r\nHost: evil.example\r\nContent-Length: 9\r\n\r\n"),
        (200, 400),
    ),
    Case("TE in mixed case", _request(b"Transfer-Encoding: Chunked", CHUNK + LAST), (200,)),
    Case("blank line before", b"\r\n" + _sized(), (200,)),
    Case("tab after a colon", _sized(b"X-A:\tb"), (200,)),
    Case("no space after a colon", _sized(b"X-A:b"), (200,)),
    Case("empty value", _sized(b"X-A:"), (200,)),
    Case("bytes above ASCII in a value", _sized(b"X-A: \xc3\xa9"), (200,)),
    Case("absolute target", _sized(line=b"POST http://localhost/v1/chat/completions HTTP/1.1"), (200,)),
    Case("query", _sized(line=b"POST /v1/chat/completions?api-version=1 HTTP/1.1"), (200,)),
    Case("percent-encoded target", _sized(line=b"POST /v1/chat%2Fcompletions HTTP/1.1"), (200, 404)),
    Case("HTTP/1.0", _sized(line=b"POST /v1/chat/completions HTTP/1.0"), (200,)),
    Case("two in a row", _sized() + _sized(), (200, 200)),
    Case(
        "three in a row, of both kinds",
        _chunked(CHUNK + LAST) + _sized() + _chunked(CHUNK + LAST),
        (200, 200, 200),
    ),
    Case("a body as long as said, then another", _sized() + SMUGGLED, (200, 200)),
    Case(
        "GET with a body, then another",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}" + _sized(),
        (200, 200),
    ),
    Case("bad JSON, then another", _request(b"Content-Length: 2", b"{]") + _sized(), (400, 200)),
    Case("an unknown path, then another", _sized(line=b"POST /nowhere HTTP/1.1") + _sized(), (404, 200)),
    Case(
        "a wrong method, then another",
        b"GET /v1/completions HTTP/1.1\r\nHost: localhost\r\n\r\n" + _sized(),
        (405, 200),
    ),
    Case("an upgrade to websocket", _sized(b"Connection: Upgrade", b"Upgrade: websocket"), (200, 400)),
    Case(
        "an upgrade to h2c",
        _sized(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        (200, 400),
    ),
]


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: str(case.name))
def test_each_request_is_seen_once_when_it_is_well_formed(scene: Stage, case: Case) -> None:
    """As many answers as requests, in order, and as many calls upstream as there were good ones."""
    served, upstream = scene
    request_id = fresh_id()
    answers: list[Answer] = []
    with Line(served.port) as line:
        line.send(_fill(case.data, request_id))
        expected = 1 if len(case.statuses) == 2 and 200 not in case.statuses[1:] else len(case.statuses)
        answers += [line.answer() for _ in range(expected)]
    found = tuple(answer.status for answer in answers)
    assert found == case.statuses or (expected == 1 and found[0] in case.statuses)
    calls = [answer for answer in answers if answer.status == 200 and b"chat.completion" in answer.body]
    assert len(upstream.seen(request_id)) == len(calls)
    assert all(record.body == BODY for record in upstream.seen(request_id))


@pytest.mark.parametrize("case", [*REFUSED, *ACCEPTED], ids=lambda case: str(case.name))
def test_answer_is_the_same_when_bytes_come_one_by_one(scene: Stage, case: Case) -> None:
    """How the network cuts the bytes changes nothing of what is accepted."""
    served, upstream = scene
    request_id = fresh_id()
    data = _fill(case.data, request_id)
    step = len(data) // 100 if len(data) > 4096 else 1
    with Line(served.port) as line:
        for at in range(0, len(data), step):
            if not line.send(data[at : at + step]):
                break
        status = line.answer().status
    assert status in case.statuses
    if status != 200 and len(case.statuses) == 1:
        assert upstream.seen(request_id) == []


def test_continue_is_sent_when_the_client_waits_for_it(scene: Stage) -> None:
    """`Expect: 100-continue` is answered once, before the body has come."""
    served, upstream = scene
    request_id = fresh_id()
    head, _, body = post(BODY, more=f"expect: 100-continue\r\nx-request-id: {request_id}\r\n").partition(
        b"\r\n\r\n"
    )
    with Line(served.port) as line:
        line.send(head + b"\r\n\r\n")
        assert line.answer().status == 100
        line.send(body)
        assert line.answer().status == 200
    assert len(upstream.seen(request_id)) == 1


def test_continue_is_not_sent_when_the_request_is_refused(scene: Stage) -> None:
    """Who has no key learns it before it sends its body."""
    served, _ = scene
    head = (
        post(BODY, more="expect: 100-continue\r\n").replace(KEY.encode(), b"wrong").partition(b"\r\n\r\n")[0]
    )
    with Line(served.port) as line:
        line.send(head + b"\r\n\r\n")
        assert line.answer().status == 401


def test_stream_is_framed_for_the_client_when_it_speaks_an_old_version(scene: Stage) -> None:
    """HTTP/1.0 knows no chunks: the end of the connection is the end of the stream."""
    served, _ = scene
    body = chat("words: 3", stream=True)
    with Line(served.port) as line:
        line.send(post(body).replace(b" HTTP/1.1", b" HTTP/1.0", 1))
        answer = line.answer()
    assert answer.status == 200
    assert "transfer-encoding" not in answer.headers
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/livez", 200),
        ("HEAD", "/v1/models", 200),
        ("HEAD", "/nowhere", 404),
        ("HEAD", "/v1/embeddings", 405),
    ],
)
def test_head_has_no_body_when_asked(scene: Stage, method: str, path: str, status: int) -> None:
    """The next answer on the connection begins where it should."""
    served, _ = scene
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
    with Line(served.port) as line:
        line.send(head)
        assert line.answer(method=method).status == status
        line.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert line.answer().body == b'{"status":"ok"}'


@pytest.mark.parametrize(
    "path", ["/v1/models/org/team/name", "/v1/models/org%2Fteam%2Fname", "/v1/models/org%2fteam/name"]
)
def test_model_is_found_when_its_name_has_slashes(scene: Stage, path: str) -> None:
    """SDKs percent-encode the slashes of an id; people do not."""
    status, _, body = scene[0].call(path)
    assert (status, json.loads(body)["id"]) == (200, "org/team/name")


def test_good_request_is_answered_when_garbage_follows_it(scene: Stage) -> None:
    """What came before the garbage was a request like any other; what comes after it is not looked at."""
    served, upstream = scene
    request_id = fresh_id()
    with Line(served.port) as line:
        line.send(_fill(_sized() + b"\x00\x00garbage\r\n\r\n" + SMUGGLED, request_id))
        assert line.answer().status == 200
        rest = line.answer()
        assert rest.status in {0, 400}
        assert line.closed()
    assert len(upstream.seen(request_id)) == 1


def test_ids_are_kept_apart_when_they_look_like_keys(scene: Stage) -> None:
    """A client's id is used in the answer, the log and upstream; one that looks like a key or an attack is not."""
    served, upstream = scene
    status, headers, _ = served.call("/v1/chat/completions", BODY, headers={"x-request-id": "my-id.7"})
    assert (status, headers["x-request-id"]) == (200, "my-id.7")
    assert len(upstream.seen("my-id.7")) == 1
    assert logged(served, "my-id.7")["status"] == 200
    for strange in ("sk-abcdefghijklmnopqrstuvwxyz123456", "a b", "x" * 200, "a\tb", '"}'):
        _, headers, _ = served.call("/v1/chat/completions", BODY, headers={"x-request-id": strange})
        assert headers["x-request-id"].startswith("req")
        assert upstream.seen(strange) == []
    assert "sk-abcdefghijklmnopqrstuvwxyz" not in served.log_file.read_text()


def test_good_request_is_answered_when_a_broken_one_waits_behind_it(scene: Stage) -> None:
    """A request whose body breaks off in the middle of a chunk is dropped, wherever it stood in the row."""
    served, upstream = scene
    request_id = fresh_id()
    slow = chat("echo: slow {{delay 0.3}}")
    with Line(served.port) as line:
        line.send(post(slow, more=f"x-request-id: {request_id}\r\n"))
        upstream.until_seen(request_id)
        line.send(_fill(_chunked(b"2\r\n{}\r\nzz\r\n" + SMUGGLED), request_id))
        assert line.answer().status == 200
        assert line.answer().status in {0, 400}
        assert line.closed()
    assert len(upstream.seen(request_id)) == 1
