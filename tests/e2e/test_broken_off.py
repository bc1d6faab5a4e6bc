"""What breaks in the middle, seen from outside: estimated, replayed as broken, and refused early where nothing can be kept."""

import json
import sqlite3
from collections.abc import Iterator

import pytest

from ingot.store.engine import FILE_NAME
from rig import Backstage, chat, ends_in_error, fresh_id, stage, told, wait_until
from served import Served

Stage = tuple[Served, Backstage]

CONFIG = """
    [targets.up]
    base_url = "{up}"
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


@pytest.mark.parametrize("usage", ["missing", "negative", "null"])
def test_l14_whole_answer_is_estimated_when_the_upstream_tells_no_usage(scene: Stage, usage: str) -> None:
    """An answer is never free because its target did not count, and the ledger says that it guessed."""
    served, _ = scene
    request_id = fresh_id()
    status, _, _ = served.call(
        "/v1/chat/completions", chat(f"words: 7 {{{{usage {usage}}}}}"), headers={"x-request-id": request_id}
    )
    assert status == 200
    ((output, amount, estimated),) = _rows(served, request_id)
    assert output > 0
    assert amount < 0
    assert estimated == 1


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
