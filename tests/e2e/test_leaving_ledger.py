"""Clients that leave, and what the ledger says of it: the tokens that came are billed once, and nothing else is.

The scripted upstream sends so many events and then hangs, so that what it sent is known whatever the machine's speed.
A token is a word, and each comes in an event of its own, but where an upstream is said to send several at once.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from databases import Place
from operator_hands import Hands, house
from rig import Backstage, Line, chat, fresh_id, payloads, post, wait_until
from served import Served
from upstream_answers import words

CONFIG = """
    [targets.up]
    base_url = "{up}"
    [models.mock]
    targets = ["up"]
    price = { input = 1, output = 2 }
    attempts = 1
    [models.batched]
    targets = ["up"]
    price = { input = 1, output = 2 }
    attempts = 1
    [models.taught]
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
    """Hangs up; the ledger rows of the request, once the upstream was told and the record is written."""
    hands, _, upstream = scene
    (record,) = upstream.seen(request_id)
    line.leave(reset=reset)
    wait_until(lambda: record.aborted, "the upstream call is closed")
    query = f"SELECT 1 FROM responses WHERE request_id = '{request_id}'"  # noqa: S608  # our own id
    wait_until(lambda: hands.rows(query), "the record is written")
    return _rows(hands, request_id)


def _rows(hands: Hands, request_id: str) -> list[tuple[int, int, int, str]]:
    """Input tokens, output tokens, whether they are estimated, and the state of the response, of each ledger row."""
    query = (
        "SELECT l.input_tokens, l.output_tokens, l.estimated, r.state "
        "FROM responses AS r JOIN ledger AS l ON l.billable_id = r.id WHERE r.request_id = "
    )
    return [(a, b, c, str(d)) for a, b, c, d in hands.rows(f"{query}'{request_id}'")]


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


# ---- upstreams that send several tokens at once, or count as they go


@pytest.mark.parametrize("batch", [3, 10, 60])
def test_text_is_billed_when_an_event_brings_several_tokens(scene: Scene, batch: int) -> None:
    """Of an upstream that nothing is known of: four bytes of text a token, instead of a token an event."""
    text = words(60, "words: 60#0")
    request_id, line = _begin(
        scene, f"words: 60 {{{{batch {batch} hang {60 // batch + 1}}}}}", stream=True, model="batched"
    )
    _until(line, 60 // batch + 1)
    ((_, output, estimated, state),) = _leave(scene, request_id, line, reset=False)
    assert (output, estimated, state) == (-(-len(text) // 4), 1, "cancelled")


def test_estimate_is_near_the_truth_when_the_upstream_has_told_its_usage_before(scene: Scene) -> None:
    """An answer that ended well tells what a token is; the next one that is left is billed by that."""
    _, served, _ = scene
    taught = chat("words: 400 {{batch 8}}", stream=True, model="taught")
    assert served.call("/v1/chat/completions", taught)[0] == 200
    for batch, sent in ((8, 11), (2, 31), (16, 6)):
        true = batch * (sent - 1)
        request_id, line = _begin(
            scene, f"words: 320 {{{{batch {batch} hang {sent}}}}}", stream=True, model="taught"
        )
        _until(line, sent)
        ((_, output, estimated, _),) = _leave(scene, request_id, line, reset=False)
        assert abs(output - true) <= true * 0.1
        assert estimated == 1


def test_last_count_is_billed_when_the_upstream_counts_in_every_event(scene: Scene) -> None:
    """What the upstream said it had made by then is the truth, however many tokens an event brings."""
    for batch, sent in ((1, 4), (5, 3), (20, 2)):
        request_id, line = _begin(
            scene, f"words: 40 {{{{usage counting batch {batch} hang {sent}}}}}", stream=True
        )
        _until(line, sent)
        rows = _leave(scene, request_id, line, reset=False)
        assert [row[1:] for row in rows] == [(batch * (sent - 1), 0, "cancelled")]


def test_words_are_billed_when_a_count_came_before_them(scene: Scene) -> None:
    """A count at the start says nothing of what follows: its input holds, and the words are added."""
    for stay in (False, True):
        end = "" if stay else "hang 4"
        request_id, line = _begin(scene, f"words: {WORDS} {{{{usage early {end}}}}}", stream=True)
        if stay:
            assert line.answer().whole
            line.leave()
            rows = _rows(scene[0], request_id)
        else:
            _until(line, 4)
            rows = _leave(scene, request_id, line, reset=False)
        ((tokens, output, estimated, _),) = rows
        assert (tokens, output, estimated) == (5, WORDS if stay else 3, 1)


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
        assert [row[1:] for row in _rows(hands, request_id)] == [(WORDS, 0, "completed")]
    hands.verified()


def _clean(raw: bytes) -> bytes:
    """The events in a chunked body as it came over the wire."""
    return b"".join(part.partition(b"\r\n")[0] for part in raw.split(b"\r\n") if part.startswith(b"data: "))
