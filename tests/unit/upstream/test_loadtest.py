"""What a load test asks, and how it names what goes wrong."""

import pytest

from ingot.upstream.client import ConnectFailed, FirstByteTimeout
from ingot.upstream.loadtest import Plan, Server, Unusable, explain, fault_kind, prompt, request


def test_server_when_given_as_people_write_it_is_understood() -> None:
    """A bare host means http and /v1; a path stays; a whole chat URL is cut."""
    plain = Server.parse("localhost:9000")
    assert (plain.origin.host, plain.origin.port, plain.path, plain.host) == (
        "localhost",
        9000,
        "/v1",
        "localhost:9000",
    )
    assert Server.parse("http://h/api/openai/").path == "/api/openai"
    assert Server.parse("http://h:1/v1/chat/completions").path == "/v1"
    secure = Server.parse("https://example.com")
    assert secure.origin.tls is not None
    assert secure.origin.port == 443
    assert Server.parse("http://user:pass@[::1]:80").origin.host == "::1"


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://h:port", "http://h:99999"])
def test_server_when_no_url_is_refused(url: str) -> None:
    """What cannot be an address says so."""
    with pytest.raises(Unusable):
        Server.parse(url)


def test_prompt_when_numbered_differs_from_its_first_word_on() -> None:
    """No prefix cache can answer two numbers; the length is as asked."""
    assert prompt(20, 1).split()[0] != prompt(20, 2).split()[0]
    assert prompt(20, 1).split()[1:] != prompt(20, 2).split()[1:]
    assert [len(prompt(words, 3).split()) for words in (1, 2, 500)] == [1, 2, 500]


def test_request_when_the_key_holds_a_line_end_is_refused() -> None:
    """A key cannot smuggle a header."""
    plan = Plan("http://h", "m", "sk-1\r\nx: y")
    with pytest.raises(Unusable, match="API key"):
        request(Server.parse(plan.base_url), plan, method="GET", path="/models")
    assert "sk-1" not in repr(plan)


def test_explain_when_the_body_is_no_json_shows_its_start() -> None:
    """The server's own words, wherever they stand."""
    assert explain(429, b'{"error": {"message": "slow down"}}') == "HTTP 429: slow down"
    assert explain(400, b'{"error": "no such model"}') == "HTTP 400: no such model"
    assert explain(502, b"<html>bad") == "HTTP 502: <html>bad"
    assert explain(500, b"") == "HTTP 500"
    assert explain(500, b"\xff\xfe") == "HTTP 500: \ufffd\ufffd"


def test_fault_kind_when_a_fault_is_named_is_in_snake_case() -> None:
    """Kinds are stable words for JSON."""
    assert fault_kind(ConnectFailed("x")) == "connect_failed"
    assert fault_kind(FirstByteTimeout("x")) == "first_byte_timeout"
