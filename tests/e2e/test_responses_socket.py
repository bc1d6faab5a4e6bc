"""`/v1/responses` as a WebSocket, by OpenAI's own client: turns, chains, errors, ends."""

import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from openai.resources.responses.responses import ResponsesConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from ingot.store.engine import FILE_NAME
from messagehouse import Scene, row
from rig import logged, stage, wait_until
from served import KEY, Served

CONFIG = """
    [limits]
    body_bytes = 100_000
    image_body_bytes = 200_000
    [hosts]
    "plain.example" = "plain"
    [presets.plain]
    about = "No sockets."
    extends = "open"
    surfaces = ["responses"]
    [targets]
    up = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    native = { base_url = "{up}", dialects = ["responses"], breaker = { failures = 1000 } }
    [models]
    gpt = { targets = ["up"], price = { input = 1, output = 2 }, attempts = 1 }
    relayed = { targets = ["native"], price = "free", attempts = 1 }
"""
ENDS = {"response.completed", "response.incomplete", "response.failed", "error"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("socket"), CONFIG) as both:
        yield both


@pytest.fixture(scope="module")
def client(scene: Scene) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(base_url=scene[0].v1, api_key=scene[0].key, max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture
def line(client: OpenAI) -> Iterator[ResponsesConnection]:
    """One connection of the official client."""
    with client.responses.connect() as opened:
        yield opened


def turn(line: ResponsesConnection, **asked: Any) -> list[dict[str, Any]]:
    """The events of one response."""
    line.response.create(model="gpt", **asked)
    return told(line)


def told(line: ResponsesConnection) -> list[dict[str, Any]]:
    """What is told until a response, or the try, has ended."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] not in ENDS:
        events.append(json.loads(line.recv_bytes()))
    return events


def final(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The response that the last event tells."""
    assert events[-1]["type"] == "response.completed", events[-1]
    return dict(events[-1]["response"])


def text(response: dict[str, Any]) -> str:
    """What a response says."""
    return "".join(part["text"] for item in response["output"] for part in item.get("content", ()))


def raw(served: Served, **options: Any) -> Connection:
    """A connection without the official client's manners."""
    headers = {"authorization": f"Bearer {options.pop('key', KEY)}", **options.pop("more", {})}
    host = options.pop("host", "localhost")
    return connect(
        f"ws://{host}:{served.port}/v1/responses",
        sock=socket.create_connection(("127.0.0.1", served.port)),
        additional_headers=headers,
        compression=None,
        **options,
    )


def ask(line: Connection, **body: Any) -> dict[str, Any]:
    """Sends a message of our own making, and the first that comes."""
    line.send(json.dumps(body))
    return dict(json.loads(line.recv(60)))


def rest(line: Connection) -> tuple[list[dict[str, Any]], int]:
    """What still comes until the server closes, and the code that it closes with."""
    events: list[dict[str, Any]] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            events.append(json.loads(line.recv(60)))
    return events, line.close_code or 0


def test_events_are_those_of_the_stream_when_responses_are_asked_for_in_turn(
    client: OpenAI, line: ResponsesConnection
) -> None:
    """Numbered from 0 each, on their lane, stored and read again; one connection is enough for several."""
    first = turn(line, input="words: 3", stream_id="lane one")
    assert [event["sequence_number"] for event in first] == list(range(len(first)))
    assert {event["stream_id"] for event in first} == {"lane one"}
    kinds = [event["type"] for event in first]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds.count("response.output_text.delta") >= 1
    line.response.create(model="gpt", input="echo: two", stream_id="a")
    line.response.create(model="relayed", input="echo: three", stream_id="b")
    both = [told(line), told(line)]
    assert [text(final(events)) for events in both] == ["two", "three"]
    assert [{event["stream_id"] for event in events} for events in both] == [{"a"}, {"b"}]
    plain = turn(line, input="echo: four")
    assert not any("stream_id" in event for event in plain)
    for response in (final(first), final(plain)):
        assert client.responses.retrieve(response["id"]).to_dict() == response


def test_answer_is_paid_and_logged_when_it_came_by_a_socket(scene: Scene, line: ResponsesConnection) -> None:
    """As a POST's is: a row in the request log with what it cost, and a line in the log."""
    served, upstream = scene
    before = len(upstream.up.log)
    response = final(turn(line, input="echo: one two three four", metadata={"by": "socket"}))
    (record,) = upstream.up.log[before:]
    found = row(served, record.headers["x-request-id"])
    assert (found["output_tokens"], found["surface"], found["state"]) == (4, "responses", "completed")
    assert found["input_tokens"] == response["usage"]["input_tokens"]
    assert logged(served, found["request_id"])["method"] == "WS"


def test_chain_is_gone_on_from_when_it_is_stored_or_not(scene: Scene, client: OpenAI) -> None:
    """What is not stored goes on here alone; elsewhere, and once it failed, it is unknown."""
    with client.responses.connect() as line:
        first = final(turn(line, input="echo: one", store=False))
        second = final(turn(line, input="echo: two", store=False, previous_response_id=first["id"]))
        third = final(turn(line, input="echo: three", previous_response_id=second["id"]))
        assert (third["previous_response_id"], third["store"], second["store"]) == (second["id"], True, False)
        last = scene[1].up.log[-1].json["messages"]
        assert [message["content"] for message in last] == [
            "echo: one", "one", "echo: two", "two", "echo: three",
        ]  # fmt: skip
        with client.responses.connect() as other:
            [error] = turn(other, input="echo: no", previous_response_id=second["id"], stream_id="x")
            assert (error["type"], error["status"], error["stream_id"]) == ("error", 400, "x")
            assert error["error"]["code"] == "previous_response_not_found"
            assert error["error"]["headers"]["x-request-id"].startswith("req_")
            # A stored one, whose past is not.
            [broken] = turn(other, input="echo: no", previous_response_id=third["id"])
            assert second["id"] in broken["error"]["message"]
        assert text(final(turn(line, input="echo: yes", previous_response_id=third["id"]))) == "yes"
        failed = turn(line, input="words: 9 {{cut 3}}", previous_response_id=second["id"])
        assert failed[-1]["type"] == "response.failed"
        [gone] = turn(line, input="echo: again", previous_response_id=second["id"])
        assert gone["error"]["code"] == "previous_response_not_found"
        [refused] = turn(line, input="echo: x", previous_response_id=first["id"], temperature=9)
        assert refused["error"]["param"] == "temperature"
        [gone] = turn(line, input="echo: again", previous_response_id=first["id"])
        assert gone["error"]["code"] == "previous_response_not_found"


def test_stored_response_is_unknown_when_it_was_deleted(client: OpenAI, line: ResponsesConnection) -> None:
    """The connection keeps no copy of what the store has."""
    first = final(turn(line, input="echo: one"))
    client.responses.delete(first["id"])
    [error] = turn(line, input="echo: two", previous_response_id=first["id"])
    assert error["error"]["code"] == "previous_response_not_found"


def test_conversation_goes_on_when_its_turns_come_by_a_socket(
    client: OpenAI, line: ResponsesConnection
) -> None:
    """Appended in the same commit, as by POST."""
    made = client.conversations.create()
    assert final(turn(line, input="echo: one", conversation=made.id))["conversation"] == {"id": made.id}
    turn(line, input="echo: two", conversation=made.id)
    assert len(client.conversations.items.list(made.id).data) == 4


def test_request_is_checked_and_not_run_when_nothing_is_to_be_generated(
    scene: Scene, line: ResponsesConnection
) -> None:
    """A response without output that can be gone on from here, for which no target is asked and nobody pays."""
    before = len(scene[1].up.log)
    events = turn(line, input="echo: warm", generate=False, tools=[], metadata={"a": "b"}, stream_id="w")
    warm = final(events)
    assert [event["type"] for event in events] == [
        "response.created", "response.in_progress", "response.completed",
    ]  # fmt: skip
    assert {event["stream_id"] for event in events} == {"w"}
    assert (warm["output"], warm["usage"]["total_tokens"], warm["metadata"]) == ([], 0, {"a": "b"})
    assert len(scene[1].up.log) == before
    turn(line, input="echo: hot", previous_response_id=warm["id"])
    assert [message["content"] for message in scene[1].up.log[-1].json["messages"]] == [
        "echo: warm",
        "echo: hot",
    ]
    [error] = turn(line, input="x", generate=False, previous_response_id="resp_none")
    assert error["error"]["code"] == "previous_response_not_found"


def test_input_is_handed_back_when_it_would_steer(scene: Scene, line: ResponsesConnection) -> None:
    """While the response runs, at once and on its lane; nothing of it is lost and the response goes on."""
    line.response.create(model="gpt", input="words: 30 {{gap 0.05}}", stream_id="s")
    created = json.loads(line.recv_bytes())
    line.response.steer(previous_response_id=created["response"]["id"], input="faster")
    events = told(line)
    [steered] = [event for event in events if event["type"] == "response.steer.failed"]
    assert (steered["error"]["code"], steered["stream_id"]) == ("steering_not_supported", "s")
    assert steered["steer"] == {"previous_response_id": created["response"]["id"], "input": "faster"}
    assert steered is not events[-1]
    line.response.steer(previous_response_id=created["response"]["id"], input="late")
    late = json.loads(line.recv_bytes())
    assert (late["type"], late["error"]["code"]) == ("response.steer.failed", "response_not_active")
    with raw(scene[0]) as plain:
        error = ask(plain, type="response.steer", input="x")
        assert (error["type"], error["error"]["param"]) == ("error", "previous_response_id")


def test_error_is_told_and_the_next_is_answered_when_a_message_is_wrong(scene: Scene) -> None:
    """In the envelope of this transport, with the lane where it can be read."""
    with raw(scene[0]) as line:
        for body, status, param in (
            ({"type": "response.cancel"}, 400, "type"),
            ({"type": "response.create"}, 400, "model"),
            ({"type": "response.create", "model": "none", "input": "x"}, 404, "model"),
            (
                {"type": "response.create", "model": "gpt", "input": "x", "background": True},
                400,
                "background",
            ),
            ({"type": "response.create", "model": "gpt", "input": "x" * 100_001}, 413, None),
        ):
            told = ask(line, stream_id="q", **body)
            assert (told["type"], told["status"], told["stream_id"]) == ("error", status, "q"), told
            assert told["error"]["param"] == param
        line.send("no JSON")
        assert json.loads(line.recv(60))["error"]["type"] == "invalid_request_error"
        created = ask(line, type="response.create", model="gpt", input="echo: fine", stream=False)
        assert created["type"] == "response.created"


def test_message_is_refused_when_too_many_wait(scene: Scene) -> None:
    """The rest is answered in turn."""
    with raw(scene[0]) as line:
        for number in range(20):
            slow = " {{delay 1.5}}" if number == 0 else ""
            body = {
                "type": "response.create",
                "model": "gpt",
                "input": f"echo: {number}{slow}",
                "stream_id": str(number),
            }
            line.send(json.dumps(body))
        ends: dict[str, str] = {}
        while len(ends) < 20:
            event = json.loads(line.recv(60))
            if event["type"] in ENDS:
                ends[event["stream_id"]] = event.get("error", {}).get("code") or event["type"]
        refused = {lane for lane, end in ends.items() if end == "too_many_waiting"}
        assert refused == {"17", "18", "19"}
        assert {end for lane, end in ends.items() if lane not in refused} == {"response.completed"}


@pytest.mark.parametrize("manner", ["close", "cut"])
def test_upstream_call_is_cancelled_when_the_client_leaves(scene: Scene, manner: str) -> None:
    """Whether it says goodbye or not; what came is billed."""
    served, upstream = scene
    before = len(upstream.up.log)
    line = raw(served, close_timeout=5)
    ask(line, type="response.create", model="gpt", input="words: 500 {{gap 0.05}}")
    (record,) = upstream.up.log[before:]
    if manner == "close":
        line.close()
    else:
        line.socket.close()
    wait_until(lambda: record.aborted is not None, "the upstream's client left")
    assert row(served, record.headers["x-request-id"])["state"] == "cancelled"


def test_key_counts_for_each_response_when_the_connection_lives_on(scene: Scene) -> None:
    """Its limits, and whether it was revoked meanwhile: a connection is no way around them."""
    served, _ = scene
    command = [sys.executable, "-m", "ingot", "keys", "create", "--name", "guest", "--rpm", "1", "--json"]
    done = subprocess.run(
        [*command, "--data", str(served.data)],
        cwd=served.data.parent,
        capture_output=True,
        check=True,
        timeout=60,
    )
    made = json.loads(done.stdout)
    with raw(served, key=made["key"]) as line:

        def asked() -> dict[str, Any]:
            told = ask(line, type="response.create", model="gpt", input="echo: hi")
            while told["type"] not in ENDS:
                told = json.loads(line.recv(60))
            return told

        *first, limited = [asked() for _ in range(6)]  # five at once are the least that any limit grants
        assert {each["type"] for each in first} == {"response.completed"}
        assert (limited["status"], limited["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(limited["error"]["headers"]["retry-after"]) >= 1
        with contextlib.closing(sqlite3.connect(served.data / FILE_NAME, isolation_level=None)) as conn:
            conn.execute("UPDATE api_keys SET revoked_at = 1 WHERE id = ?", (made["id"],))
        wait_until(lambda: asked().get("status") == 401, "the key is known to be revoked")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"key": "ik-unknown-key-0123456789abcdef"}, 401),
        ({"host": "evil.example"}, 421),
        ({"more": {"idempotency-key": "k"}}, 400),
    ],
)
def test_handshake_is_refused_when_it_may_not_be(scene: Scene, options: dict[str, Any], status: int) -> None:
    """In HTTP, with an error in OpenAI's envelope."""
    with pytest.raises(InvalidStatus) as caught:
        raw(scene[0], **options)
    answer = caught.value.response
    assert answer.status_code == status
    assert set(json.loads(answer.body or b"")["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("sent", "code"), [(b"binary", 1003), ("x" * 200_001, 1009)], ids=["binary", "too large"]
)
def test_connection_is_closed_when_a_message_cannot_be_taken(
    scene: Scene, sent: str | bytes, code: int
) -> None:
    """With the code that says why; a plain request to the path is told how to ask."""
    with raw(scene[0]) as line:
        line.send(sent)
        assert rest(line) == ([], code)
    status, headers, _ = scene[0].call("/v1/responses")
    assert (status, headers["allow"]) == (405, "POST")


def test_connection_ends_when_its_time_is_over(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A response that runs comes to its end; then the reason is told, and the next connection is as good."""
    folder = tmp_path_factory.mktemp("short")
    config = CONFIG.replace("[limits]", "[limits]\nsocket_seconds = 1.0")
    with stage(folder, config) as (served, _), raw(served) as line:
        ask(line, type="response.create", model="gpt", input="words: 30 {{gap 0.1}}")
        events, code = rest(line)
        assert [event["type"] for event in events[-2:]] == ["response.completed", "error"]
        assert (events[-1]["error"]["code"], code) == ("websocket_connection_limit_reached", 1001)
        with raw(served) as idle:
            [error], code = rest(idle)
            assert (error["error"]["code"], code) == ("websocket_connection_limit_reached", 1001)


def test_connections_end_when_the_server_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An idle one at once, a busy one behind its response; what waits is told so."""
    with (
        stage(tmp_path_factory.mktemp("ending"), CONFIG) as (served, _),
        raw(served) as idle,
        raw(served) as busy,
    ):
        ask(busy, type="response.create", model="gpt", input="words: 30 {{gap 0.05}}")
        busy.send(json.dumps({"type": "response.create", "model": "gpt", "input": "x", "stream_id": "next"}))
        time.sleep(0.2)
        served.process.terminate()
        assert json.loads(idle.recv(60))["status"] == 503
        events, code = rest(busy)
        assert [event["type"] for event in events[-2:]] == ["response.completed", "error"]
        assert (events[-1]["stream_id"], events[-1]["status"], code) == ("next", 503, 1001)
        assert served.stop() == 0


def test_socket_is_not_there_when_the_preset_has_none(scene: Scene) -> None:
    """It is a plain GET then, which the path does not take."""
    with pytest.raises(InvalidStatus) as caught:
        raw(scene[0], host="plain.example")
    assert caught.value.response.status_code == 405
