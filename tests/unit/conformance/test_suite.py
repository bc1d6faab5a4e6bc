"""The suite itself: rows that are whole, addresses, what a verdict says, and servers that say nothing."""

import pytest

from ingot.config import PRESETS
from ingot.conformance import (
    ROWS,
    Address,
    Failed,
    Row,
    Skipped,
    Subject,
    Verdict,
    known,
    rows_for,
    run,
    try_row,
)
from ingot.conformance.record import ALL
from ingot.conformance.subject import ABSENT, GONE, PAGES, PATHS, Unreachable
from ingot.conformance.trying import at, equal, named, refused, shown
from ingot.conformance.wire import Answer
from unit.upstream.rawserver import Peer, serving
from upstream import ScriptedUpstream

NOWHERE = Address.parse("http://127.0.0.1:9")


def test_every_row_is_whole() -> None:
    """There once, under presets that ship, with a sentence and surfaces that can be looked for."""
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))
    assert set(ALL) == set(PRESETS)
    for row in ROWS:
        assert row.checks
        assert row.checks.keys() <= set(PRESETS)
        assert row.says[-1] == "."
        assert set(row.needs) <= {*PATHS, *PAGES}
    for preset in PRESETS:
        assert len(rows_for(preset)) > 40
    assert known("S4-85")
    assert not known("S9-99")


@pytest.mark.parametrize(
    ("prefix", "numbers"),
    [
        ("S0", range(1, 17)),
        ("S1", range(1, 23)),
        ("S2", range(1, 17)),
        ("S3", range(1, 28)),
        ("X", range(1, 21)),
        ("R", range(1, 14)),
    ],
)
def test_no_number_is_left_out(prefix: str, numbers: range) -> None:
    """Rows are numbered without gaps."""
    form = "{}{}" if prefix == "X" else "{}-{:02}"
    assert all(known(form.format(prefix, number)) for number in numbers)


@pytest.mark.parametrize(
    ("url", "origin", "path", "host"),
    [
        ("http://127.0.0.1:5150", "127.0.0.1:5150", "/v1", "127.0.0.1:5150"),
        ("localhost:1/v1/", "localhost:1", "/v1", "localhost:1"),
        ("https://example.org/api/v1", "example.org:443", "/api/v1", "example.org"),
    ],
)
def test_address_is_that_of_a_base_url(url: str, origin: str, path: str, host: str) -> None:
    """A URL without a path means its /v1."""
    address = Address.parse(url)
    assert (str(address.origin), address.path, address.host) == (origin, path, host)
    assert Address.parse(url, host="valley.example.org").host == "valley.example.org"


@pytest.mark.parametrize("url", ["ftp://example.org", "http://", "http://example.org:x"])
def test_address_is_refused_when_it_is_none(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError):  # noqa: PT011  # the parser of URLs has its own words
        Address.parse(url)


async def test_verdict_tells_what_came_of_a_row() -> None:
    """A pass, a failure with both sides, a skip with its reason; no answer at all is a failure, and so is an odd one."""

    async def passes(_: Subject) -> None:
        return

    async def fails(_: Subject) -> None:
        equal("n", 1, 2)

    async def skips(_: Subject) -> None:
        raise Skipped("needs more")

    async def asks(subject: Subject) -> None:
        await subject.ask()

    async def walks(_: Subject) -> None:
        equal("id", "x", Answer(200, body=b'{"data":[]}').value["data"][0]["id"])

    subject = Subject("open", NOWHERE, "k", "m")
    told = [
        await try_row(subject, Row("T-1", "It is so.", {"open": each}))
        for each in (passes, fails, skips, asks, walks)
    ]
    assert told[:3] == [
        Verdict("T-1", "open", "It is so.", "pass"),
        Verdict("T-1", "open", "It is so.", "fail", expected="n 1", seen="2"),
        Verdict("T-1", "open", "It is so.", "skip", reason="needs more"),
    ]
    assert (told[3].result, told[3].expected) == ("fail", "an answer")
    assert (told[4].result, told[4].expected) == ("fail", "an answer in the usual shape")
    assert "IndexError" in told[4].seen
    with pytest.raises(Unreachable):
        await anext(aiter(run(subject, ())))


async def test_row_is_skipped_when_its_surface_is_missing(upstream: ScriptedUpstream) -> None:
    """A route that answers 404 is looked for once."""

    async def never(_: Subject) -> None:
        raise AssertionError

    subject = Subject("open", Address.parse(upstream.url), "k", "m")
    row = Row("T-1", "It is so.", {"open": never}, ("models", "batches"))
    for _ in range(2):
        assert (await try_row(subject, row)).reason == "the server has no surface `batches`"
    assert [record.path for record in upstream.log] == ["/v1/models", "/v1/batches"]
    assert 404 in ABSENT


@pytest.mark.parametrize("status", [b"500 x", b"200 OK", b"404 x", b"400 x"])
async def test_surfaces_are_not_there_when_every_answer_is_the_same(status: bytes) -> None:
    """S4-01 looks at what is said: a server that fails whatever it is asked, or says nothing, has no surface."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n{}" % status)

    [row] = [row for row in ROWS if row.id == "S4-01"]
    async with serving(script) as server:
        address = Address.parse(f"http://127.0.0.1:{server.port}")
        verdict = await try_row(Subject("valar", address, "k", "m"), row)
    assert (verdict.result, "/v1/chat/completions" in verdict.expected) == ("fail", True)


def test_refusal_is_judged_by_status_and_field() -> None:
    """Another status, no message or another field is a failure; a service without `param` is not."""
    right = Answer(400, body=b'{"error":{"message":"m","param":"messages[0].content"}}')
    assert refused(right, "x", param="messages")["message"] == "m"
    assert refused(Answer(400, body=b'{"error":{"message":"m"}}'), "x", param="n")
    for answer in (Answer(200, body=right.body), Answer(400, body=b"{}"), Answer(400, body=b"[")):
        with pytest.raises(Failed):
            refused(answer, "x")
    with pytest.raises(Failed, match="names stop"):
        refused(right, "x", param="stop")


def test_values_are_shown_short() -> None:
    """What a verdict prints fits a table."""
    assert shown("x" * 1000) == "x" * 160 + "..."
    assert named({"n": 2, "model": GONE}) == "n = 2, no model"
    assert at({"a": [{"b": 1}]}, "a.0.b") == 1
    assert at({"a": []}, "a.0.b") == "not there"
    assert str(Answer(400, body=b'{"error":{"message":"m","code":"c"}}')) == "400 c: m"
    assert str(Answer(502, body=b"<html>\nx")) == "502 <html> x"
