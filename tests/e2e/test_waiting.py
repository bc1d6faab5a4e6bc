"""Waiting for a target has an end, and every request leaves a record, whichever path it asked for."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rig import Line, chat, fresh_id, logged, wait_until
from served import KEY, Served, serving

CONFIG = """
    [engine]
    enabled = false
    [targets.dead]
    base_url = "http://127.0.0.1:1/v1"
    breaker = { failures = 1, open_seconds = 1.0 }
    [models.dead]
    targets = ["dead"]
    price = "free"
    attempts = 2
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose only target does not exist, with a breaker that opens at once and for a short time."""
    with serving(CONFIG, tmp_path_factory.mktemp("waiting")) as running:
        yield running


def test_every_request_is_answered_when_many_wait_for_one_probe(served: Served) -> None:
    """One request at a time may try a target whose breaker is half open; the others are told to come back."""

    def ask(_: int) -> tuple[int, dict[str, str]]:
        status, headers, _answer = served.call("/v1/chat/completions", chat("hi", model="dead"))
        return status, headers

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert {status for status, _ in answers} == {503}
    assert all("retry-after" in headers for _, headers in answers)


@pytest.mark.parametrize(
    ("path", "key", "status", "shown"),
    [
        ("/v1/models", KEY, 200, "/v1/models"),
        ("/v1/models", "wrong", 401, "/v1/models"),
        ("/v1/models/some/private/name", KEY, 404, "/v1/models/{model}"),
        ("/private/words", KEY, 404, "(unknown)"),
    ],
)
def test_page_leaves_a_record_when_it_was_asked_for(
    served: Served, path: str, key: str, status: int, shown: str
) -> None:
    """The id that the answer shows is the one in the log; a client's own words are not in it."""
    request_id = fresh_id()
    got, headers, _ = served.call(path, key=key, headers={"x-request-id": request_id})
    assert (got, headers["x-request-id"]) == (status, request_id)
    assert logged(served, request_id)["path"] == shown


def test_malformed_request_leaves_a_record_when_it_was_refused(served: Served) -> None:
    """The answer carries an id that the log knows, and the refusal is counted."""
    with Line(served.port) as line:
        line.send(b"BREW / HTTP/9\r\n\r\n")
        answer = line.answer()
    request_id = answer.headers["x-request-id"]
    assert answer.status == 400
    wait_until(lambda: any(record.get("request_id") == request_id for record in served.logs()))
    assert served.metric("ingot_refusals_total") >= 1


def test_body_is_refused_when_it_is_compressed(served: Served) -> None:
    """A header that would be ignored is an error instead."""
    status, _, answer = served.call(
        "/v1/chat/completions", chat("hi", model="dead"), headers={"content-encoding": "gzip"}
    )
    assert status == 415
    assert b"Content-Encoding" in answer


def test_method_is_refused_when_a_page_does_not_take_it(served: Served) -> None:
    """Also for methods that nobody thinks of; Allow says what the page takes."""
    for method in ("POST", "PROPFIND", "DELETE"):
        status, headers, _ = served.call("/version", method=method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")
