"""SIGHUP: models, targets and prices are replaced whole under running requests, or not at all."""

import json
import signal
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from rig import Backstage, Line, chat, fresh_id, payloads, post, wait_until
from served import Served, serving

SECRET = "sk-upstream-canary-0123456789abcdef"
BASE = """
    [engine]
    enabled = false
    [targets]
    old = { base_url = "{up}", api_key = "${UPSTREAM_KEY}", headers = { x-target = "old" } }
    [models]
    mock = { targets = ["old"], price = { input = 1, output = 2 } }
    leaving = { targets = ["old"], price = "free" }
"""
NEXT = """
    [engine]
    enabled = false
    [targets]
    new = { base_url = "{up}", api_key = "${UPSTREAM_KEY}-two", headers = { x-target = "new" } }
    [models]
    mock = { targets = ["new"], price = { input = 3, output = 4 } }
    coming = { targets = ["new"], price = "free" }
"""

Stage = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module."""
    with Backstage() as upstream:
        text = BASE.replace("{up}", upstream.url)
        with serving(text, tmp_path_factory.mktemp("reload"), environ={"UPSTREAM_KEY": SECRET}) as served:
            yield served, upstream


@pytest.fixture
def scene(server: Stage) -> Stage:
    """The server with the first state in force, its target as good as new: it was gone in between."""
    for config in (NEXT, BASE):
        _reload(*server, config, event="configuration reloaded")
    return server


def _reload(served: Served, upstream: Backstage, config: str, *, event: str) -> dict[str, Any]:
    """Sends the signal and waits for the log's word on it."""
    before = len(served.logs())
    served.config.write_text(textwrap.dedent(config).replace("{up}", upstream.url))
    served.process.send_signal(signal.SIGHUP)
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = [line for line in served.logs()[before:] if event in line["event"]]
        return bool(found)

    wait_until(look, f"the log says {event}")
    return found[0]


def _names(served: Served) -> set[str]:
    return {model["id"] for model in json.loads(served.call("/v1/models")[2])["data"]}


def test_everything_is_replaced_when_the_file_is_good(scene: Stage) -> None:
    """The next request meets the new models, targets and credentials; the log tells what changed, but no secret."""
    served, upstream = scene
    assert served.chat("hello")[0] == 200
    line = _reload(served, upstream, NEXT, event="configuration reloaded")
    assert _names(served) == {"mock", "coming"}
    request_id = fresh_id()
    status, _, _ = served.call("/v1/chat/completions", chat("hello"), headers={"x-request-id": request_id})
    assert status == 200
    headers = upstream.seen(request_id)[0].headers
    assert (headers["x-target"], headers["authorization"]) == ("new", f"Bearer {SECRET}-two")
    assert served.chat("hello", model="coming")[0] == 200
    status, _, answer = served.chat("hello", model="leaving")
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    changes = "\n".join(line["changes"])
    for word in ("coming", "leaving", "mock", "old", "new"):
        assert word in changes
    assert "sk-upstream-canary" not in served.log_file.read_text()


def test_stream_ends_well_when_its_target_is_taken_away(scene: Stage) -> None:
    """What runs keeps what it began with, to its last byte."""
    served, upstream = scene
    request_id = fresh_id()
    body = chat("words: 400 {{gap 0.005}}", model="leaving", stream=True)
    with Line(served.port) as line:
        line.send(post(body, more=f"x-request-id: {request_id}\r\n"))
        upstream.until_seen(request_id)
        _reload(served, upstream, NEXT, event="configuration reloaded")
        answer = line.answer()
    assert answer.whole
    assert payloads(answer.body)[-1] == b"[DONE]"
    wait_until(lambda: served.metric("ingot_requests_in_flight") == 0, "nothing is in flight")


def test_request_is_answered_when_the_reload_comes_while_it_arrives(scene: Stage) -> None:
    """A body that was half here meets the old state or the new one, never a mixture."""
    served, upstream = scene
    whole = post(chat("x" * 300_000))
    lost = post(chat("x" * 300_000, model="leaving"))
    with Line(served.port) as line, Line(served.port) as other:
        line.send(whole[:150_000])
        other.send(lost[:150_000])
        assert served.call("/livez")[0] == 200
        _reload(served, upstream, NEXT, event="configuration reloaded")
        line.send(whole[150_000:])
        other.send(lost[150_000:])
        assert line.answer().status == 200
        assert other.answer().status in {200, 404}


def test_retry_goes_on_when_its_target_is_taken_away(scene: Stage) -> None:
    """A request between two tries ends with an answer or a clear error, not with a fault of ours."""
    served, upstream = scene
    request_id = fresh_id()
    body = chat("{{fail 429 retry-after=1 times=1}}", model="leaving")
    with Line(served.port) as line:
        line.send(post(body, more=f"x-request-id: {request_id}\r\n"))
        upstream.until_seen(request_id)
        _reload(served, upstream, NEXT, event="configuration reloaded")
        assert line.answer().status == 200
    assert len(upstream.seen(request_id)) == 2


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("[models.x]\ntargets = [", ""),
        (BASE.replace('price = "free"', 'prise = "free"'), "price"),
        (BASE.replace('targets = ["old"], price = "free"', 'targets = ["odd"], price = "free"'), "old"),
        (
            BASE.replace('"leaving"', '"x"').replace("${UPSTREAM_KEY}", "${NO_SUCH_VARIABLE}"),
            "NO_SUCH_VARIABLE",
        ),
    ],
    ids=["no TOML", "unknown key", "unknown target", "unset variable"],
)
def test_old_state_stays_when_the_file_is_bad(scene: Stage, config: str, reason: str) -> None:
    """All or nothing: the log says what is wrong and where, and the server goes on."""
    served, upstream = scene
    line = _reload(served, upstream, config, event="reload refused")
    assert line["level"] == "error"
    assert reason in line["reason"]
    assert "sk-upstream-canary" not in served.log_file.read_text()
    assert _names(served) == {"mock", "leaving"}
    assert served.chat("hello")[0] == 200
    _reload(served, upstream, NEXT, event="configuration reloaded")
    assert _names(served) == {"mock", "coming"}


def test_restart_is_named_when_a_change_needs_one(scene: Stage) -> None:
    """What a reload cannot change is said, not silently kept."""
    served, upstream = scene
    line = _reload(
        served,
        upstream,
        BASE + "    [limits]\n    body_bytes = 2000\n",
        event="take effect at the next start",
    )
    assert (line["level"], line["sections"]) == ("warning", ["[limits]"])
    assert served.chat("x" * 5000)[0] == 200


def test_breaker_survives_when_its_target_stays(scene: Stage) -> None:
    """A reload is no reason to burden a target that asked for quiet."""
    served, upstream = scene
    assert served.chat("{{fail 503 retry-after=60 times=1}}")[0] == 503
    _reload(served, upstream, BASE.replace("output = 2", "output = 5"), event="configuration reloaded")
    status, headers, _ = served.chat("hello")
    assert status == 503
    assert int(headers["retry-after"]) > 5


def test_bounds_of_a_breaker_are_the_new_ones_when_its_target_stays(scene: Stage) -> None:
    """What an operator loosens holds at once: the failures of before do not come back as the old bound."""
    served, upstream = scene
    loose = BASE.replace("headers = {", "breaker = { failures = 1000 }, headers = {", 1)
    _reload(served, upstream, loose, event="configuration reloaded")
    for _ in range(3):
        assert served.chat("{{fail 500}}")[0] >= 500
    assert served.chat("hello")[0] == 200
