"""Clients that leave, and what the ledger says of it: the tokens that came are billed once, and nothing else is.

The scripted upstream sends so many events and then hangs, so that what it sent is known whatever the machine's speed.
A token is a word, and each comes in an event of its own.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from databases import Place
from operator_hands import Hands, house
from rig import Backstage, Line, chat, fresh_id, payloads, post, wait_until
from served import Served

CONFIG = """
    [targets.up]
    base_url = "{up}"
    [models.mock]
    targets = ["up"]
    price = { input = 1, output = 2 }
    attempts = 1
    [models.renamed]
    targets = [{ target = "up", model = "mock" }]
    price = { input = 1, output = 2 }
    attempts = 1
"""
WORDS = 6
EVENTS = WORDS + 4
"""The role, the words, the finish reason, the usage, [DONE]."""

Scene = tuple[Hands, Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    folder = tmp_path_factory.mktemp("leaving-ledger")
    hands = Hands(Place("sqlite", folder / "data", ""))
    with house(folder, CONFIG, hands) as ((served,), upstream):
        yield hands, served, upstream


def _begin(scene: Scene, text: str, **fields: Any) -> tuple[str, Line]:
    """A request that the upstream has."""
    _, served, upstream = scene
    request_id = fresh_id()
    line = Line(served.port)
    line.send(post(chat(text, **fields), more=f"x-request-id: {request_id}\r\n"))
    upstream.until_seen(request_id)
    return request_id, line


def _until(line: Line, events: int) -> bytes:
    """What the client has read once so many events came."""
    got = b""
    while got.count(b"data: ") < events or not got.endswith(b"\n\r\n"):
        piece = line.read(65536)
        assert piece, got
        got += piece
    return got


def _leave(scene: Scene, request_id: str, line: Line, *, reset: bool) -> list[tuple[int, int, int, str]]:
    """Hangs up; the ledger rows of the request, once the upstream was told and the record is written.

    Each row: input tokens, output tokens, whether they are estimated, the state of the response.
    """
    hands, _, upstream = scene
    (record,) = upstream.seen(request_id)
    line.leave(reset=reset)
    wait_until(lambda: record.aborted, "the upstream call is closed")
    about = f"FROM responses AS r {{}} JOIN ledger AS l ON l.billable_id = r.id WHERE r.request_id = '{request_id}'"
    wait_until(lambda: hands.rows(f"SELECT 1 {about.format('LEFT')}"), "the record is written")
    columns = "l.input_tokens, l.output_tokens, l.estimated, r.state"
    return [(a, b, c, str(d)) for a, b, c, d in hands.rows(f"SELECT {columns} {about.format('')}")]


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("model", ["mock", "renamed"])
@pytest.mark.parametrize("sent", range(EVENTS))
def test_words_that_came_are_billed_when_the_client_leaves_a_stream(
    scene: Scene, sent: int, model: str, *, reset: bool
) -> None:
    """At every event: one row with as many output tokens as the upstream sent words; none before the first."""
    fields = {"stream": True, "stream_options": {"include_usage": True}, "model": model}
    request_id, line = _begin(scene, f"words: {WORDS} {{{{hang {sent}}}}}", **fields)
    _until(line, sent) if sent else None
    rows = _leave(scene, request_id, line, reset=reset)
    (record,) = scene[2].seen(request_id)
    assert record.events == sent
    words = min(max(0, sent - 1), WORDS)
    told = sent == EVENTS - 1
    assert [(row[1], row[2], row[3]) for row in rows] == [(words, int(not told), "cancelled")] * bool(words)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("script", ["{{silent}}", "{{delay 30}}", "{{hang 0}}", "{{early-hints hang 0}}"])
def test_nothing_is_billed_when_the_client_leaves_before_the_first_byte(
    scene: Scene, script: str, *, stream: bool
) -> None:
    """Whether the upstream has said anything yet or not even that."""
    request_id, line = _begin(scene, f"words: {WORDS} {script}", stream=stream)
    assert _leave(scene, request_id, line, reset=False) == []


def test_nothing_is_billed_when_the_client_leaves_in_the_middle_of_a_plain_answer(scene: Scene) -> None:
    """An answer in one piece is given whole or not at all: half of it was given to nobody."""
    request_id, line = _begin(scene, f"words: {WORDS} {{{{hang 1}}}}")
    assert _leave(scene, request_id, line, reset=False) == []


def test_words_are_billed_without_being_asked_for_usage(scene: Scene) -> None:
    """Also where the client wants no usage chunk, the upstream's own count is what is billed once it came."""
    request_id, line = _begin(scene, f"words: {WORDS} {{{{hang {EVENTS - 1}}}}}", stream=True)
    _until(line, EVENTS - 2)
    hands, _, upstream = scene
    (record,) = upstream.seen(request_id)
    wait_until(lambda: record.events == EVENTS - 1, "the usage is sent")
    rows = _leave(scene, request_id, line, reset=False)
    assert [row[1] for row in rows] == [WORDS]
    assert hands.verified()["responses"]


def test_bill_lies_between_what_the_client_saw_and_what_the_upstream_sent_when_a_stream_flows(
    scene: Scene,
) -> None:
    """In full flow nobody can say which word was on its way; but no word is billed that was not sent, none is lost."""
    request_id, line = _begin(scene, "words: 5000 {{gap 0.002}}", stream=True)
    seen = len(payloads(_clean(_until(line, 200))))
    ((_, output, estimated, _),) = _leave(scene, request_id, line, reset=False)
    (record,) = scene[2].seen(request_id)
    assert seen - 1 <= output <= record.events - 1
    assert estimated


def test_answer_is_billed_whole_when_the_client_leaves_after_its_end(scene: Scene) -> None:
    """Who closes after the last byte has had everything."""
    hands, _, _ = scene
    for stream in (False, True):
        request_id, line = _begin(scene, f"words: {WORDS}", stream=stream)
        answer = line.answer()
        line.leave(reset=True)
        assert answer.whole
        if not stream:
            assert json.loads(answer.body)["usage"]["completion_tokens"] == WORDS
        query = (
            "SELECT l.output_tokens, l.estimated FROM responses AS r JOIN ledger AS l ON l.billable_id = r.id"
        )
        assert hands.rows(f"{query} WHERE r.request_id = '{request_id}'") == [(WORDS, 0)]
    hands.verified()


def _clean(raw: bytes) -> bytes:
    """The events in a chunked body as it came over the wire."""
    return b"".join(part.partition(b"\r\n")[0] for part in raw.split(b"\r\n") if part.startswith(b"data: "))
