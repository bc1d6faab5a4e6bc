"""What the end-to-end and chaos tests hold in their hands: the upstream on a thread, raw connections, events.

A test calls the server with blocking calls, so the scriptable upstream runs on an event loop of its own thread.
"""

import asyncio
import contextlib
import io
import itertools
import json
import socket
import struct
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from served import KEY, PATIENCE, Served, serving
from upstream import Record, ScriptedUpstream

_ids = itertools.count(1)


def fresh_id() -> str:
    """A request id that no other call of this run has; the upstream's log is searched for it."""
    return f"t-{next(_ids)}"


def wait_until(predicate: Callable[[], object], what: str = "") -> None:
    """Waits until the predicate holds; fails after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"never came true: {what or predicate}")
        time.sleep(0.01)


class Backstage:
    """The scriptable upstream on a thread."""

    def __init__(self, *, send_buffer: int | None = None) -> None:
        """`send_buffer` is the upstream's SO_SNDBUF."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.up = ScriptedUpstream(send_buffer=send_buffer)

    @property
    def url(self) -> str:
        """The base URL for a target."""
        return self.up.url

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self.up.listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self.up.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def refuse(self) -> None:
        """New connections are refused, and the open ones end."""
        self._run(self.up.refuse())
        self._loop.call_soon_threadsafe(self.up.drop_connections)
        wait_until(lambda: not self.up.connections, "the upstream's connections are gone")

    def listen(self) -> None:
        """Connections are accepted again."""
        self._run(self.up.listen())

    def seen(self, request_id: str) -> list[Record]:
        """What arrived with this request id."""
        return [record for record in list(self.up.log) if record.headers.get("x-request-id") == request_id]

    def until_seen(self, request_id: str, count: int = 1) -> list[Record]:
        """`seen`, once there is as much as that."""
        wait_until(lambda: len(self.seen(request_id)) >= count, f"the upstream saw {request_id}")
        return self.seen(request_id)


@dataclass
class Answer:
    """A response as it came over a raw connection."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False

    @property
    def error(self) -> dict[str, Any]:
        """The error object of an envelope."""
        value = json.loads(self.body)["error"]
        assert set(value) == {"message", "type", "param", "code"}
        return dict(value)


class Line:
    """One raw connection to the server."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        """`receive_buffer` is SO_RCVBUF, to be a slow reader early."""
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = cast("io.BufferedReader", self.socket.makefile("rb", buffering=1 << 16))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def send(self, data: bytes) -> bool:
        """Sends bytes; False where the server has already hung up."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def leave(self, *, reset: bool = False) -> None:
        """Closes, with RST or FIN."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.socket.close()

    def closed(self) -> bool:
        """Whether the server has closed, once nothing more comes."""
        return self._take(1) == b""

    def read(self, size: int) -> bytes:
        """At most that many bytes of what comes next, b"" at the end."""
        try:
            return self._file.read1(size)
        except ConnectionResetError:
            return b""

    def answer(self, *, method: str = "POST", on_begin: Callable[[], object] = bool) -> Answer:
        """The next response, as far as it comes; status 0 when the server closed without one.

        `on_begin` is called after the first piece of a chunked body.
        """
        line = self._line()
        if not line:
            return Answer()
        answer = Answer(int(line.split(b" ")[1]))
        while field_line := self._line().strip():
            name, _, value = field_line.decode("latin-1").partition(":")
            answer.headers[name.lower()] = value.strip()
        if answer.status < 200 or answer.status in {204, 304} or method == "HEAD":
            return answer
        if answer.headers.get("transfer-encoding") == "chunked":
            answer.whole = False
            while size := self._line():
                piece = self._take(int(size, 16))
                answer.body += piece
                on_begin()
                if len(piece) < int(size, 16) or not self._line().endswith(b"\n"):
                    break
                if not piece:
                    answer.whole = True
                    break
        elif "content-length" in answer.headers:
            answer.body = self._take(int(answer.headers["content-length"]))
            answer.whole = len(answer.body) == int(answer.headers["content-length"])
        else:
            answer.body = self._take(-1)
        return answer

    def _line(self) -> bytes:
        try:
            return self._file.readline()
        except ConnectionResetError:
            return b""

    def _take(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except ConnectionResetError:
            return b""


def post(
    body: bytes, *, path: str = "/v1/chat/completions", more: str = "", host: str = "localhost"
) -> bytes:
    """A whole POST as bytes; `more` holds further header lines, each with its end."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode("latin-1") + body


def chat(text: str, *, model: str = "mock", **fields: Any) -> bytes:
    """The body of a chat call with one user message."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **fields}).encode()


def payloads(stream: bytes) -> list[bytes]:
    """The data of the events of a stream with LF line ends."""
    return [event.removeprefix(b"data: ") for event in stream.split(b"\n\n") if event.startswith(b"data: ")]


def told(stream: bytes) -> str:
    """The text of the first choice of a chat stream."""
    chunks = [json.loads(data) for data in payloads(stream) if data != b"[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ()) if choice["index"] == 0]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def ends_in_error(stream: bytes) -> dict[str, Any]:
    """The error object that a broken stream ends with; such a stream never says that it is done."""
    assert b"[DONE]" not in stream
    return dict(json.loads(payloads(stream)[-1])["error"])


@contextlib.contextmanager
def stage(folder: Path, config: str, *, send_buffer: int | None = None) -> Iterator[tuple[Served, Backstage]]:
    """A server and the upstream behind it, for a whole module; `{up}` in `config` becomes the upstream's URL."""
    with Backstage(send_buffer=send_buffer) as upstream:
        text = "[engine]\nenabled = false\n" + textwrap.dedent(config).replace("{up}", upstream.url)
        with serving(text, folder) as served:
            yield served, upstream


def logged(served: Served, request_id: str) -> dict[str, Any]:
    """The access line of a request, once it is written."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        lines = served.logs()
        found[:] = [
            line for line in lines if line.get("event") == "request" and line["request_id"] == request_id
        ]
        return bool(found)

    wait_until(look, f"the log tells of {request_id}")
    return found[0]


def memory(pid: int, field: str = "VmRSS") -> int:
    """Bytes of a process's memory, as the kernel counts them."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) * 1024
