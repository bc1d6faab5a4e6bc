"""Clients that leave, and clients that read slowly: the upstream learns of both, and nothing is left behind."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig import Backstage, Line, chat, fresh_id, logged, memory, payloads, post, stage, wait_until
from served import Served

CONFIG = """
    [limits]
    unread_seconds = 8.0
    [targets.up]
    base_url = "{up}"
    [models]
    mock = { targets = ["up"], price = "free" }
"""

Stage = tuple[Served, Backstage]
MOMENTS = [
    pytest.param("{{silent}}", False, id="plain, before the first byte"),
    pytest.param("{{hang 1}}", False, id="plain, in the middle"),
    pytest.param("{{silent}}", True, id="stream, before the first byte"),
    pytest.param("{{hang 0}}", True, id="stream, before the first event"),
    pytest.param("words: 9 {{hang 4}}", True, id="stream, between two events"),
    pytest.param("words: 5000 {{gap 0.005}}", True, id="stream, while it flows"),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module; the upstream's socket buffer is small, so that it feels slow readers early."""
    with stage(tmp_path_factory.mktemp("leaving"), CONFIG, send_buffer=65_536) as both:
        yield both


def _quiet(served: Served) -> bool:
    """Whether nothing is in flight any more."""
    return served.metric("ingot_requests_in_flight") == served.metric("ingot_target_in_flight") == 0


def _leaves(served: Served, upstream: Backstage, line: Line, request_id: str, *, reset: bool) -> None:
    departures = served.metric("ingot_client_departures_total")
    line.leave(reset=reset)
    (record,) = upstream.seen(request_id)
    wait_until(lambda: record.aborted, "the upstream call is cancelled")
    wait_until(lambda: _quiet(served), "nothing is in flight")
    assert served.metric("ingot_client_departures_total") == departures + 1
    assert logged(served, request_id)["status"] == 499


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize(("script", "stream"), MOMENTS)
def test_upstream_call_is_cancelled_when_the_client_leaves(
    scene: Stage,
    script: str,
    *,
    stream: bool,
    reset: bool,
) -> None:
    """At whatever moment, politely or not; it counts as a departure, and the record tells what was used."""
    served, upstream = scene
    request_id = fresh_id()
    line = Line(served.port)
    line.send(post(chat(script, stream=stream), more=f"x-request-id: {request_id}\r\n"))
    upstream.until_seen(request_id)
    if stream and "hang 0" not in script and "silent" not in script:
        assert line.read(1)
    _leaves(served, upstream, line, request_id, reset=reset)


def test_upstream_call_is_cancelled_when_a_second_request_waits_behind_it(scene: Stage) -> None:
    """Pipelined requests do not hide that their client is gone; the one that waits is never asked."""
    served, upstream = scene
    first, second = fresh_id(), fresh_id()
    line = Line(served.port)
    line.send(post(chat("{{silent}}"), more=f"x-request-id: {first}\r\n"))
    upstream.until_seen(first)
    line.send(post(chat("hello"), more=f"x-request-id: {second}\r\n"))
    assert served.call("/livez")[0] == 200
    _leaves(served, upstream, line, first, reset=False)
    assert upstream.seen(second) == []


def test_nothing_is_asked_when_the_client_leaves_before_its_request_is_whole(scene: Stage) -> None:
    """Half a body is no request: no upstream hears of it, and the log says who left."""
    served, upstream = scene
    request_id = fresh_id()
    line = Line(served.port)
    line.send(post(chat("x" * 400_000), more=f"x-request-id: {request_id}\r\n")[:200_000])
    assert served.call("/livez")[0] == 200
    line.leave()
    assert logged(served, request_id)["status"] == 499
    assert upstream.seen(request_id) == []
    assert _quiet(served)


def test_retries_end_when_the_client_leaves_between_two_tries(scene: Stage) -> None:
    """Nobody is asked again for somebody who is gone."""
    served, upstream = scene
    request_id = fresh_id()
    departures = served.metric("ingot_client_departures_total")
    line = Line(served.port)
    line.send(post(chat("{{fail 429 retry-after=2}}"), more=f"x-request-id: {request_id}\r\n"))
    upstream.until_seen(request_id)
    line.leave()
    wait_until(
        lambda: served.metric("ingot_client_departures_total") == departures + 1, "the departure counts"
    )
    assert logged(served, request_id)["status"] == 499
    # The target's cool-down is over when the next request gets through.
    assert served.call("/v1/chat/completions", chat("hello"))[0] == 200
    assert len(upstream.seen(request_id)) == 1


def test_connections_are_idle_again_when_everybody_has_left(scene: Stage) -> None:
    """Cancelled calls leave no connection behind; finished ones leave theirs for the next."""
    served, upstream = scene
    lines = []
    for _ in range(20):
        request_id = fresh_id()
        line = Line(served.port)
        line.send(post(chat("words: 9 {{hang 3}}", stream=True), more=f"x-request-id: {request_id}\r\n"))
        upstream.until_seen(request_id)
        lines.append(line)
    assert served.metric("ingot_requests_in_flight") == 20
    for line in lines:
        line.leave()
    wait_until(lambda: _quiet(served), "nothing is in flight")
    wait_until(
        lambda: served.metric("ingot_upstream_connections") == upstream.up.open_connections,
        "both sides count the same connections",
    )
    assert upstream.up.open_connections < 20


# ---- slow readers

ONE = 370 * 20_000


def _room() -> int:
    """Bytes that the kernel may hold between the upstream and a client that does not read: it sizes these buffers itself."""
    settings = [Path(f"/proc/sys/net/ipv4/tcp_{each}") for each in ("rmem", "wmem")]
    return sum(int(each.read_text().split()[2]) if each.exists() else 8_000_000 for each in settings)


# Events of 20 KB, more in all than the sockets' buffers on the way can hold.
BIG = chat("echo: " + " ".join(["x" * 20_000] * 370), stream=True, n=2 + _room() // ONE)


def test_upstream_waits_when_the_client_does_not_read(scene: Stage) -> None:
    """A bounded buffer, then the upstream is held back; when the client reads on, it gets every byte."""
    served, upstream = scene
    request_id = fresh_id()
    with Line(served.port, receive_buffer=65_536) as line:
        line.send(post(BIG, more=f"x-request-id: {request_id}\r\n"))
        (record,) = upstream.until_seen(request_id)
        before = memory(served.process.pid)
        sizes: list[int] = []

        def stalled() -> bool:
            """Whether nothing more was sent during the last half second."""
            sizes.append(record.sent)
            return len(sizes) > 50 and sizes[-1] == sizes[-50] > 0

        wait_until(stalled, "the upstream is held back")
        assert record.finished is None
        # What was passed on is kept for the record, a few times over; the rest has to wait where it comes from.
        assert memory(served.process.pid) - before < 16_000_000 + 4 * record.sent
        assert served.call("/v1/chat/completions", chat("hello"))[0] == 200
        answer = line.answer()
    assert answer.whole
    chunks = [json.loads(data) for data in payloads(answer.body)[:-1]]
    assert len(chunks) == record.events - 2  # [DONE] and the usage that the client did not ask for
    wait_until(lambda: record.finished, "the upstream has sent everything")


def test_client_is_gone_when_it_takes_nothing_for_too_long(scene: Stage) -> None:
    """Who holds a stream without reading it is treated like one who left."""
    served, upstream = scene
    request_id = fresh_id()
    with Line(served.port, receive_buffer=65_536) as line:
        line.send(post(BIG, more=f"x-request-id: {request_id}\r\n"))
        (record,) = upstream.until_seen(request_id)
        wait_until(lambda: record.aborted, "the upstream call is cancelled")
        assert logged(served, request_id)["status"] == 499
    wait_until(lambda: _quiet(served), "nothing is in flight")


def test_large_plain_answer_comes_whole_when_the_client_reads_slowly(scene: Stage) -> None:
    """An answer that is read in one piece is written in one piece, and taken at the client's pace."""
    served, _ = scene
    with Line(served.port, receive_buffer=65_536) as line:
        line.send(post(chat("{{huge 8000000}}")))
        answer = line.answer()
    assert answer.whole
    assert len(json.loads(answer.body)["choices"][0]["message"]["content"]) == 8_000_000
