"""What a request brings: its id, its credential and its host, read with suspicion."""

import pytest

from ingot.errors import ClientError, InvalidRequest, Unauthenticated
from ingot.web.intake import Hosts, read_credential, read_request_id


def _new_id(prefix: str) -> str:
    return f"{prefix}_new"


@pytest.mark.parametrize("value", [b"abc", b"req_1.2-3", b"x" * 128, b"0"])
def test_request_id_is_kept_when_it_is_harmless(value: bytes) -> None:
    """The client's own id ties its log to ours."""
    assert read_request_id(value, _new_id) == value.decode()


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"x" * 129,
        b"a b",
        b"a\nb",
        b'a"b',
        b"a/b",
        b"\xff",
        b"sk-abcdefghijklmnopqrst",
        b"Bearer x",
    ],
)
def test_request_id_is_made_when_the_given_one_is_not_fit_for_a_log(value: bytes | None) -> None:
    """Too long, not plain, or shaped like a key."""
    assert read_request_id(value, _new_id) == "req_new"


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [(b"Bearer k", None), (b"bearer k", None), (b"BEARER  k ", None), (None, b"k"), (b"Bearer k", b"k")],
)
def test_credential_is_read_when_it_comes_in_either_header(
    authorization: bytes | None, api_key: bytes | None
) -> None:
    """OpenAI's header, Anthropic's header, or both if they agree."""
    assert read_credential(authorization, api_key) == b"k"


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [
        (None, None),
        (b"", None),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Basic k", None),
        (b"k", None),
        (None, b""),
    ],
)
def test_credential_is_missed_when_there_is_none(authorization: bytes | None, api_key: bytes | None) -> None:
    """The message says how to send one."""
    with pytest.raises(Unauthenticated, match="Bearer"):
        read_credential(authorization, api_key)


@pytest.mark.parametrize("authorization", [None, b"Basic k"])
@pytest.mark.parametrize("either", [True, False])
def test_both_headers_are_named_where_both_are_read(authorization: bytes | None, *, either: bool) -> None:
    """Anthropic's clients send the one, OpenAI's the other; what is not read is not offered."""
    with pytest.raises(Unauthenticated) as told:
        read_credential(authorization, None, either=either)
    assert "Bearer" in told.value.message
    assert ("x-api-key" in told.value.message) is either


def test_credential_is_refused_when_two_disagree() -> None:
    """Guessing which one was meant would be wrong half the time."""
    with pytest.raises(InvalidRequest, match="different keys"):
        read_credential(b"Bearer a", b"b")


@pytest.mark.parametrize(
    "host", [b"localhost", b"LocalHost:1", b"[::1]", b"[::1]:80", b"a.b.example", b"x.example:9"]
)
def test_host_is_answered_when_it_is_listed(host: bytes) -> None:
    """Ports and case do not matter; the second question is answered from memory."""
    hosts = Hosts(["localhost", "[::1]", "*.example"])
    hosts.check(host)
    hosts.check(host)


@pytest.mark.parametrize(
    "host",
    [None, b"", b":80", b"example", b"xexample", b"localhost.evil", b"[::2]", b"localhost@evil", b"\xff"],
)
def test_host_is_refused_when_it_is_not_listed(host: bytes | None) -> None:
    """421, and the message tells the operator what to do."""
    with pytest.raises(ClientError, match="allowed_hosts") as caught:
        Hosts(["localhost", "[::1]", "*.example"]).check(host)
    assert caught.value.status == 421


def test_any_host_is_answered_when_the_operator_says_so() -> None:
    """A star stands for all; what was seen is not remembered without bound."""
    Hosts(["*"]).check(b"anything")
    hosts = Hosts(["*.example"])
    for index in range(1000):
        hosts.check(b"%d.example" % index)
    assert len(hosts._known) <= 256
