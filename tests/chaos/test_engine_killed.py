"""The embedded engine is killed under load: its streams end in an error, new requests wait for the next engine."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig import Answer, Line, chat, ends_in_error, payloads, post, wait_until
from served import PATIENCE, Served, serving

STREAMS = 8
MODEL = "demo-tiny"
# Long enough to be under way when the engine dies, whatever the machine.
LONG = "Count from 1 to 1000, one number after the other."


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """`ingot serve` with the demo model, alone: what happens to its engine is nobody else's business."""
    with serving("", tmp_path) as served:
        yield served


def children(pid: int) -> list[int]:
    """The processes that this one started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _engine(served: Served) -> int:
    """The engine's process, once it serves."""
    assert served.chat("hello", model=MODEL, max_tokens=4)[0] == 200
    (engine,) = children(served.process.pid)
    return engine


class Reader(threading.Thread):
    """A client that reads one long stream to its end, and says when it has begun."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.begun = threading.Event()
        self.bytes = b""
        self.status = 0
        self._line = Line(port)

    def run(self) -> None:
        body = chat(LONG, model=MODEL, stream=True, max_tokens=4000, ignore_eos=True)
        self._line.send(post(body))
        answer: Answer = self._line.answer(on_begin=self.begun.set)
        self.status, self.bytes = answer.status, answer.body
        self._line.leave()

    def leave(self) -> None:
        """Hangs up in the middle."""
        self._line.socket.shutdown(socket.SHUT_RDWR)


def test_streams_end_in_an_error_when_the_engine_is_killed(server: Served) -> None:
    """Eight streams break off and say so; the next request is answered by the next engine, inside one call."""
    engine = _engine(server)
    readers = [Reader(server.port) for _ in range(STREAMS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        wait_until(reader.begun.is_set, "the stream has begun")
    os.kill(engine, signal.SIGKILL)
    status, _, answer = server.chat("hello", model=MODEL, max_tokens=4)
    assert (status, answer.get("model")) == (200, MODEL), answer
    for reader in readers:
        reader.join(PATIENCE)
        assert reader.status == 200
        error = ends_in_error(reader.bytes)
        assert error["type"] == "server_error"
        assert "127.0.0.1" not in error["message"]
        assert len(payloads(reader.bytes)) > 1
    (successor,) = children(server.process.pid)
    assert successor != engine
    assert server.metric("ingot_requests_in_flight") == 0
    assert [
        line
        for line in server.logs()
        if line["level"] in {"warning", "error"} and "engine" in json.dumps(line)
    ]


def test_engine_dies_when_the_server_is_killed(server: Served) -> None:
    """No orphan keeps the memory and the cores."""
    engine = _engine(server)
    server.process.kill()
    wait_until(lambda: not alive(engine), "the engine is gone")


def test_engine_ends_when_the_server_stops(server: Served) -> None:
    """SIGTERM takes the engine along, after the running answers."""
    engine = _engine(server)
    reader = Reader(server.port)
    reader.start()
    wait_until(reader.begun.is_set, "the stream has begun")
    reader.leave()
    assert server.stop() == 0
    reader.join(PATIENCE)
    assert not alive(engine)
