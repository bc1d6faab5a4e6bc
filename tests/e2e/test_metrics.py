"""What the metrics page and the log tell of the traffic, and what they never tell."""

import re
from collections.abc import Iterator

import pytest

from rig import Backstage, Line, chat, fresh_id, logged, post, stage, wait_until
from served import KEY, Served

SECRET = "sk-upstream-canary-0123456789abcdef"
CONFIG = f"""
    [targets.up]
    base_url = "{{up}}"
    api_key = "{SECRET}"
    timeouts = {{ first_byte = 1.0, idle = 1.0 }}
    breaker = {{ failures = 1000 }}
    [models]
    mock = {{ targets = ["up"], price = "free" }}
    once = {{ targets = ["up"], price = "free", attempts = 1 }}
    counted = {{ targets = ["up"], price = "free" }}
"""

Stage = tuple[Served, Backstage]
CHAT = 'surface="/v1/chat/completions",model="counted"'


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("metrics"), CONFIG) as both:
        yield both


def _page(served: Served) -> dict[str, float]:
    """Every series of the page with its value."""
    status, headers, page = served.call("/metrics", key=None)
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in page.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def _labels(name: str, labels: str, found: dict[str, float]) -> float:
    """The value of the series with these labels, in any order."""
    wanted = set(labels.split(","))
    for series, value in found.items():
        stem, _, inside = series.rstrip("}").partition("{")
        if stem == name and set(inside.split(",")) == wanted:
            return value
    return 0.0


def test_traffic_is_counted_when_it_passes(scene: Stage) -> None:
    """Requests by status, tokens by kind, times by histogram: each exactly once."""
    served, _ = scene
    usage = served.chat("words: 7", model="counted")[2]["usage"]
    with Line(served.port) as line:
        line.send(post(chat("words: 9 {{gap 0.002 cached 2}}", model="counted", stream=True)))
        assert line.answer().status == 200
    assert served.chat("{{fail 400}}", model="counted")[0] == 400
    page = _page(served)
    assert _labels("ingot_requests_total", f'{CHAT},status="200"', page) == 2
    assert _labels("ingot_requests_total", f'{CHAT},status="400"', page) == 1
    assert _labels("ingot_tokens_total", f'{CHAT},kind="output"', page) == 7 + 9
    assert _labels("ingot_tokens_total", f'{CHAT},kind="cached_input"', page) == 2
    assert _labels("ingot_tokens_total", f'{CHAT},kind="input"', page) > usage["prompt_tokens"]
    assert _labels("ingot_request_seconds_count", CHAT, page) == 3
    assert _labels("ingot_time_to_first_token_seconds_count", CHAT, page) == 1
    assert _labels("ingot_inter_token_seconds_count", CHAT, page) >= 5
    assert _labels("ingot_inter_token_seconds_bucket", f'{CHAT},le="+Inf"', page) >= 5
    assert _labels("ingot_requests_in_flight", CHAT, page) == 0


def test_gauges_rise_and_fall_when_requests_come_and_go(scene: Stage) -> None:
    """In flight at us and at the target, and the connections there."""
    served, upstream = scene
    ids = [fresh_id() for _ in range(5)]
    lines = [Line(served.port) for _ in ids]
    for line, request_id in zip(lines, ids, strict=True):
        line.send(post(chat("words: 3 {{hang 2}}", stream=True), more=f"x-request-id: {request_id}\r\n"))
        upstream.until_seen(request_id)
    page = _page(served)
    assert _labels("ingot_requests_in_flight", 'surface="/v1/chat/completions",model="mock"', page) == 5
    assert page['ingot_target_in_flight{target="up"}'] == 5
    assert page["ingot_upstream_connections"] >= 5
    for line in lines:
        line.leave()
    wait_until(lambda: _page(served)['ingot_target_in_flight{target="up"}'] == 0, "the calls have ended")
    wait_until(lambda: served.metric("ingot_requests_in_flight") == 0, "nothing is in flight")


def test_trouble_is_counted_when_it_happens(scene: Stage) -> None:
    """Failed tries by target and kind, refusals by code, departures by surface."""
    served, upstream = scene
    before = _page(served)
    served.chat("{{fail 500}}", model="once")
    served.chat("{{silent}}", model="once")
    served.chat("words: 4 {{cut 1}}", model="once")
    served.call("/v1/chat/completions", b"{")
    served.call("/v1/chat/completions", chat("hello"), key="wrong-key-wrong-key")
    with Line(served.port) as line:
        line.send(post(chat("words: 4 {{rst 2}}", stream=True)))
        line.answer()
    after = _page(served)

    def grown(name: str, labels: str) -> float:
        return _labels(name, labels, after) - _labels(name, labels, before)

    errors = sum(
        after[name] - before.get(name, 0) for name in after if name.startswith("ingot_upstream_errors_total")
    )
    assert errors == 4
    assert grown("ingot_upstream_errors_total", 'target="up",kind="FirstByteTimeout"') == 1
    assert grown("ingot_upstream_errors_total", 'target="up",kind="ConnectionLost"') == 2
    assert grown("ingot_refusals_total", 'surface="/v1/chat/completions",code="invalid_api_key"') == 1
    assert upstream.up.log


def test_store_is_measured_when_it_writes(scene: Stage) -> None:
    """Each answer is a write, a commit holds at least one; the limits are this process's own, and nothing was refused."""
    served, _ = scene
    before = _page(served)
    for _ in range(3):
        assert served.chat("hello")[0] == 200
    after = _page(served)
    for name, least in (("commits", 1), ("writes", 3), ("reads", 0)):
        series = f"ingot_store_{name}_total"
        assert after[series] >= before[series] + least
    assert after["ingot_store_writes_total"] >= after["ingot_store_commits_total"]
    assert 0 < after["ingot_store_last_commit_seconds"] <= after["ingot_store_commit_seconds_total"]
    assert after["ingot_limiter_degraded"] == 0
    assert _labels("ingot_purse_refusals_total", 'account="balance"', after) == 0
    assert _labels("ingot_purse_refusals_total", 'account="budget"', after) == 0


def test_series_stay_bounded_when_clients_make_things_up(scene: Stage) -> None:
    """No label holds what a client can invent: unknown models, paths, ids and keys make no series."""
    served, _ = scene
    served.chat("hello", model="once")
    before = set(_page(served))
    for index in range(30):
        served.chat("hello", model=f"invented-{index}")
        served.call(f"/v1/invented-{index}")
        served.call("/v1/models", key=f"invented-key-{index}-0123456789")
        served.call("/v1/chat/completions", chat("hi"), headers={"x-request-id": f"invented-{index}"})
    grown = set(_page(served)) - before
    assert len(grown) < 60
    assert not [name for name in grown if "invented" in name]


def test_no_canary_is_told_when_anything_goes_through(scene: Stage) -> None:
    """Prompts, answers, keys and queries stay out of the log and the metrics, on every way through the server."""
    served, _ = scene
    canary = "CANARY7f3a"
    scripts = ["", "{{fail 500}}", "{{fail 400 message=CANARY7f3a}}", "{{fail 429 message=CANARY7f3a}}", "{{hangup rst}}", "{{body malformed}}", "{{cut 1}}", "{{error-at 1 message=CANARY7f3a}}", "{{error-at 0 message=CANARY7f3a}}", "{{bad-json 1}}", "{{silent}}"]  # fmt: skip
    last = ""
    for script in scripts:
        for stream in (False, True):
            last = fresh_id()
            body = chat(
                f"echo: {canary} {script}",
                model="once",
                stream=stream,
                user=canary,
                metadata={canary: canary},
            )
            served.call(
                f"/v1/chat/completions?key={canary}",
                body,
                headers={"x-request-id": last, "x-canary": canary, "cookie": canary},
            )
    served.call("/v1/chat/completions", chat(canary, model=canary))
    served.call("/v1/chat/completions", chat(canary, temperature=canary))
    served.call("/v1/chat/completions", canary.encode())
    served.call("/v1/chat/completions", chat("hello"), key=f"ik-{canary}-{canary}")
    served.call(f"/v1/models/{canary}?q={canary}")
    served.call(f"/{canary}")
    logged(served, last)
    log = served.log_file.read_text()
    page = served.call("/metrics")[2].decode()
    for secret in (canary, KEY, SECRET, "sk-upstream"):
        assert secret not in page
        found = [line for line in log.splitlines() if secret in line]
        assert not found, f"{secret} in {found[0][:600]}"


def test_log_tells_of_each_request_once_when_it_was_served(scene: Stage) -> None:
    """Ids, sizes, timings and status: enough to answer a client's question, on one line."""
    served, _ = scene
    request_id = fresh_id()
    served.call("/v1/chat/completions", chat("words: 5"), headers={"x-request-id": request_id})
    line = logged(served, request_id)
    assert (line["status"], line["model"], line["target"], line["attempts"]) == (200, "mock", "up", 1)
    assert (line["method"], line["path"], line["fidelity"]) == ("POST", "/v1/chat/completions", "verbatim")
    assert (line["output_tokens"], line["level"]) == (5, "info")
    assert line["ms"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert line["key"]
    assert line["key"] not in KEY
    times = [record for record in served.logs() if record.get("request_id") == request_id]
    assert len(times) == 1
