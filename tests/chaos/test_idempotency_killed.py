"""F02: the server is killed at six points of a request with an idempotency key: one answer, billed once, whatever the point."""

import signal
import sqlite3
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from retryclient import CONFIG, ask, calls, is_replay, ledger, state, unique
from rig import Backstage, Line, chat, fresh_id, payloads, post, told, wait_until
from served import Served, serving


class Reader(threading.Thread):
    """A client that reads what comes, slowly enough to be looked at."""

    def __init__(self, served: Served, body: bytes, *, key: str) -> None:
        super().__init__(daemon=True)
        self.got = b""
        self.line = Line(served.port)
        self.line.send(post(body, more=f"idempotency-key: {key}\r\n"))

    def run(self) -> None:
        try:
            while piece := self.line.read(65536):
                self.got += piece
        except OSError:
            return


class Scene:
    """What a crash point may look at and do before the server is killed."""

    def __init__(self, served: Served, upstream: Backstage, text: str, *, key: str) -> None:
        self.served = served
        self.upstream = upstream
        self.text = text
        self.key = key
        self.reader = Reader(served, chat(text, stream=True), key=key)
        self.lock: sqlite3.Connection | None = None

    def asked(self) -> None:
        """The upstream has the request."""
        wait_until(lambda: calls(self.upstream, self.text) == 1, "the upstream is asked")

    def headed(self) -> None:
        """The upstream has sent the head of its answer, and nothing more."""
        self.asked()
        record = next(each for each in list(self.upstream.up.log) if self.text.encode() in each.body)
        wait_until(lambda: record.sent > 0, "the upstream's headers are out")

    def begun(self) -> None:
        """The client has some of the answer."""
        self.reader.start()
        wait_until(lambda: self.reader.got.count(b'"content":"') >= 2, "the stream has begun")

    def spoken(self) -> None:
        """The client has the whole text, and the commit cannot go on."""
        self.begun()
        self.lock = sqlite3.connect(
            self.served.data / "ingot.db", isolation_level=None, check_same_thread=False
        )
        self.lock.execute("BEGIN IMMEDIATE")
        wait_until(lambda: self.reader.got.count(b'"content":"') >= 12, "the text is there")
        time.sleep(0.3)  # the commit is tried by now
        assert b"[DONE]" not in self.reader.got

    def committed(self) -> None:
        """The outcome is kept; the client has read nothing."""
        wait_until(lambda: state(self.served.data, self.key) == "done", "the outcome is committed")

    def answered(self) -> None:
        """The client has everything."""
        self.reader.start()
        wait_until(lambda: b"[DONE]" in self.reader.got, "the answer is there")

    def close(self) -> None:
        """Lets go of what a point held."""
        if self.lock is not None:
            self.lock.close()
        self.reader.line.leave(reset=True)


POINTS: list[tuple[str, Callable[[Scene], None], str, int]] = [
    ("after the reservation", Scene.asked, "{{silent times=1}} ", 2),
    ("after the upstream's headers", Scene.headed, "{{hang 0 times=1}} ", 2),
    ("in the middle of the stream", Scene.begun, "{{hang 5 times=1}} ", 2),
    ("before the commit", Scene.spoken, "{{gap 0.03}} ", 2),
    ("after the commit", Scene.committed, "", 1),
    ("after the answer", Scene.answered, "", 1),
]


@pytest.mark.parametrize(
    ("point", "marker", "asked"), [row[1:] for row in POINTS], ids=[row[0] for row in POINTS]
)
def test_i08_one_answer_is_billed_when_the_server_is_killed(
    tmp_path: Path, point: Callable[[Scene], None], marker: str, asked: int
) -> None:
    """SIGKILL, a restart, a retry: the answer comes whole, one ledger row stands, and later retries get the same."""
    text, key = unique(f"{marker}echo:"), fresh_id()
    with Backstage() as upstream:
        config = "[engine]\nenabled = false\n" + textwrap.dedent(CONFIG).replace("{up}", upstream.url)
        with serving(config, tmp_path) as served:
            scene = Scene(served, upstream, text, key=key)
            try:
                point(scene)
                served.process.send_signal(signal.SIGKILL)
                served.process.wait()
            finally:
                scene.close()
        with serving(config, tmp_path) as served:
            answers = [ask(served, text, key=key, stream=True) for _ in range(2)]
            assert [answer[0] for answer in answers] == [200, 200]
            assert [is_replay(answer) for answer in answers] == [asked == 1, True]
            assert len(told(answers[0][2]).split()) == 12
            assert told(answers[0][2]) == told(answers[1][2])
            assert all(payloads(answer[2])[-1] == b"[DONE]" for answer in answers)
            assert (calls(upstream, text), ledger(served)) == (asked, 1)
