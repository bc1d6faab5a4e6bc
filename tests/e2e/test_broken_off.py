"""What breaks in the middle, seen from outside: estimated, replayed as broken, and refused early where nothing can be kept."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot.store.engine import FILE_NAME
from rig import Backstage, Line, chat, ends_in_error, fresh_id, post, stage, told, wait_until
from served import Served, serving
from upstream_answers import words

Stage = tuple[Served, Backstage]

CONFIG = """
    [targets.up]
    base_url = "{up}"
    timeouts = { idle = 1.0 }
    [targets.up.breaker]
    failures = 1000

    [models.mock]
    targets = ["up"]
    price = { input = 1, output = 2 }
    attempts = 1
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server whose answers cost something, and the upstream behind it."""
    with stage(tmp_path_factory.mktemp("broken"), CONFIG) as both:
        yield both


def _rows(served: Served, request_id: str) -> list[tuple[int, int, int]]:
    """Output tokens, amount and whether they are an estimate, of what was billed for a request."""
    with sqlite3.connect(served.data / FILE_NAME) as conn:
        return conn.execute(
            "SELECT l.output_tokens, l.amount, l.estimated FROM ledger l JOIN responses r ON r.id = l.billable_id "
            "WHERE r.request_id = ?",
            (request_id,),
        ).fetchall()


@pytest.mark.parametrize("usage", ["missing", "negative", "null", "zero"])
def test_l14_whole_answer_is_estimated_when_the_upstream_tells_no_usage(scene: Stage, usage: str) -> None:
    """An answer is never free because its target did not count, and the ledger says that it guessed."""
    served, _ = scene
    request_id = fresh_id()
    status, _, _ = served.call(
        "/v1/chat/completions", chat(f"words: 7 {{{{usage {usage}}}}}"), headers={"x-request-id": request_id}
    )
    assert status == 200
    ((output, amount, estimated),) = _rows(served, request_id)
    text = words(7, "words: 7#0")
    assert (output, estimated) == (-(-len(text) // 4), 1)
    assert amount < 0


@pytest.mark.parametrize("script", ["cut 4", "rst 4", "error-at 4", "hang 4", "bad-chunk 4"])
def test_l12_text_that_came_is_billed_when_the_upstream_breaks_off(scene: Stage, script: str) -> None:
    """Ten tokens an event: what is billed is an estimate from the text, and says so."""
    served, _ = scene
    request_id = fresh_id()
    body = chat(f"words: 60 {{{{batch 10 {script}}}}}", stream=True)
    _, _, stream = served.call("/v1/chat/completions", body, headers={"x-request-id": request_id})
    assert ends_in_error(stream)
    ((output, amount, estimated),) = _rows(served, request_id)
    assert (output, estimated) == (-(-len(told(stream)) // 4), 1)
    assert amount < -2 * 30


def test_key_is_free_again_when_the_stream_broke_before_its_first_word(scene: Stage) -> None:
    """Nothing came and nothing was billed: the retry is a new try, and is the one that counts."""
    served, _ = scene
    headers = {"idempotency-key": fresh_id()}
    body = chat(f"words: 9 {{{{cut 1 times=1}}}} {headers['idempotency-key']}", stream=True)
    first = served.call("/v1/chat/completions", body, headers={**headers, "x-request-id": fresh_id()})
    assert ends_in_error(first[2])
    request_id = fresh_id()
    again = served.call("/v1/chat/completions", body, headers={**headers, "x-request-id": request_id})
    assert "idempotent-replayed" not in again[1]
    assert again[2].endswith(b"data: [DONE]\n\n")
    assert len(_rows(served, request_id)) == 1


def test_stream_is_replayed_as_cut_short_when_the_server_ended_in_the_middle(tmp_path: Path) -> None:
    """What came by then is billed, so the key keeps it; and nobody takes it for a whole answer."""
    with Backstage() as upstream:
        config = (
            CONFIG.replace("{up}", upstream.url).replace("idle = 1.0", "idle = 60.0")
            + "\n[server]\ndrain_seconds = 1\n[engine]\nenabled = false\n"
        )
        body, key = chat("words: 9 {{hang 5}}", stream=True), fresh_id()
        with serving(config, tmp_path) as served:
            line = Line(served.port)
            line.send(post(body, more=f"idempotency-key: {key}\r\n"))
            got = b""
            while got.count(b"data: ") < 5:
                got += line.read(65536)
            assert served.stop() == 0
            line.leave()
        with serving(config, tmp_path) as served:
            again = served.call("/v1/chat/completions", body, headers={"idempotency-key": key})
    assert again[1]["idempotent-replayed"] == "true"
    assert len(told(again[2]).split()) == 4
    assert ends_in_error(again[2])["code"] == "overloaded"


def test_i06_broken_stream_is_replayed_as_broken(scene: Stage) -> None:
    """What was billed is told again as it was: the text that came, and an error event; never a clean end."""
    served, upstream = scene
    headers = {"idempotency-key": fresh_id()}
    body = chat("words: 9 {{cut 4}}", stream=True)
    first = served.call("/v1/chat/completions", body, headers=headers)
    again = served.call("/v1/chat/completions", body, headers=headers)
    assert again[1]["idempotent-replayed"] == "true"
    assert told(again[2]) == told(first[2]) != ""
    assert ends_in_error(again[2]) == ends_in_error(first[2])
    assert upstream.up.log


def test_answer_is_not_given_when_it_cannot_be_recorded(scene: Stage) -> None:
    """A database that refuses the row: the client is told, nothing is billed, and all is well once it is mended."""
    served, upstream = scene
    with sqlite3.connect(served.data / FILE_NAME) as conn:
        conn.execute(
            "CREATE TRIGGER full BEFORE INSERT ON responses BEGIN SELECT RAISE(FAIL, 'no room'); END"
        )
    conn.close()
    status, _, body = served.call("/v1/chat/completions", chat("words: 3"))
    assert (status, json.loads(body)["error"]["code"]) == (503, "storage_unavailable")
    with sqlite3.connect(served.data / FILE_NAME) as conn:
        conn.execute("DROP TRIGGER full")
    conn.close()
    wait_until(lambda: served.call("/v1/chat/completions", chat("words: 3"))[0] == 200, "it writes again")
    assert served.call("/readyz")[0] == 200
    assert upstream.up.log
