"""The scriptable upstream: a real HTTP/1.1 server on a loopback port, and the only fake in the repository.

    async with ScriptedUpstream() as up:          # up.url is http://127.0.0.1:PORT/v1
        up.script(Step(fail=429, retry_after="2"), "cut 3")
        ...                                       # two requests; the second is cut after three events
        await up.until(lambda: up.log[1].aborted)

By hand: `python tests/upstream.py --port 9901`, then steer it by prompt markers such as `{{fail 503}}`.

    upstream.py           sockets, connections, waiting: this module
    upstream_log.py       the record of each request
    upstream_reply.py     one answer: routes, headers, body, the script's ends
    upstream_script.py    Step: what goes wrong; events as bytes
    upstream_answers.py   what a chat says, a function of the prompt
    upstream_messages.py  the same in Anthropic's format
    upstream_responses.py the same as responses
    upstream_opaque.py    completions, embeddings, models
    upstream_schema.py    the smallest instance of a JSON schema

A request's step is the first of: its `x-script` header, the marker in its prompt, the queue that `script` fills (POST
only), `default`; a GET takes `probe`. Each connection serves one request at a time, in order.
"""

import argparse
import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Self, cast

import httptools
import msgspec

from upstream_log import Record, Request
from upstream_reply import House, Reply
from upstream_script import Step, find_marker, parse

__all__ = ["Record", "ScriptedUpstream", "Step"]

PATIENCE = 10.0  # seconds that `until` waits by default: a safety net, never a measurement
MOST_STEPS = 100_000


class ScriptedUpstream:
    """The server, its script and its log."""

    def __init__(
        self,
        *,
        port: int = 0,
        models: tuple[str, ...] = ("scripted",),
        api_key: str | None = None,
        tls: ssl.SSLContext | None = None,
        send_buffer: int | None = None,
    ) -> None:
        """With `api_key`, other credentials get a 401; `send_buffer` is SO_SNDBUF, to feel slow readers early."""
        self.house = House(models, api_key)
        self.send_buffer = send_buffer
        self.log: list[Record] = []
        self.default = Step()
        self.probe = Step()
        self.connections: set[Connection] = set()
        self.accepted = 0
        self.seen: Counter[tuple[str, str]] = Counter()
        self._port = port
        self._tls = tls
        self._steps: deque[Step] = deque()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        for connection in list(self.connections):
            connection.end(reset=False)
        await self.until(lambda: not self.connections)

    @property
    def port(self) -> int:
        """The port, the same again after `refuse` and `listen`."""
        return self._port

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"{self.origin}/v1"

    @property
    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        return len(self.connections)

    async def listen(self) -> None:
        """Accepts connections (again)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), "127.0.0.1", self._port, ssl=self._tls, backlog=4096
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """New connections are refused from now on; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)

    def drop_connections(self, *, reset: bool = False) -> None:
        """Closes every connection at once, whatever it was doing."""
        for connection in list(self.connections):
            connection.end(reset=reset)

    def script(self, *steps: Step | str, times: int = 1) -> None:
        """Queues steps for the coming POST requests, the whole row `times` over."""
        row = [parse(step) if isinstance(step, str) else step for step in steps]
        self._steps.extend((row * times)[:MOST_STEPS])

    async def until(self, predicate: Callable[[], object], *, timeout: float = PATIENCE) -> None:  # noqa: ASYNC109 - a safety net in seconds reads best as an argument
        """Waits until the predicate holds; it is asked after every change here and every 20 ms besides."""
        deadline = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so after {timeout} s; log: {self.log[-5:]}")
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.02)

    def note(self) -> None:
        """Something changed: wakes up `until`."""
        self._changed.set()

    def step_for(self, record: Record) -> Step:
        """The step that this request has drawn; ValueError where its script does not parse."""
        text = record.headers.get("x-script") or find_marker(record.prompt)
        if text is not None:
            step = parse(text)
            drawn = (text, record.prompt)  # another prompt with the same marker counts for itself
            self.seen[drawn] += 1
            return self.default if step.times and self.seen[drawn] > step.times else step
        if record.method != "POST":
            return self.probe
        return self._steps.popleft() if self._steps else self.default


class Connection(asyncio.Protocol):
    """One accepted connection: parses requests, answers them one after the other."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self.upstream = upstream
        self.parser = httptools.HttpRequestParser(self)
        self.request = Request()
        self.waiting: asyncio.Queue[Request] = asyncio.Queue()
        self.record: Record | None = None
        self.writable = asyncio.Event()
        self.writable.set()
        self.transport: asyncio.Transport
        self.task: asyncio.Task[None]
        self.number = 0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, since uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        # As good as no buffer of ours: a byte counts as sent when the kernel has it. With 0, TLS transports never
        # report that they may be written to again.
        self.transport.set_write_buffer_limits(high=1, low=0)
        self.upstream.accepted += 1
        self.number = self.upstream.accepted
        if self.upstream.send_buffer is not None:
            self._setsockopt(socket.SO_SNDBUF, struct.pack("i", self.upstream.send_buffer))
        self.upstream.connections.add(self)
        self.task = asyncio.get_running_loop().create_task(self.serve())
        self.upstream.note()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.end(reset=False)

    def eof_received(self) -> None:
        # A client that closes has left; half-closing clients are not a thing in HTTP/1.1.
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if self.record is not None and self.record.finished is None:
            self.record.aborted = time.monotonic()
        self.upstream.connections.discard(self)
        self.task.cancel()
        self.upstream.note()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    # What httptools calls.

    def on_message_begin(self) -> None:
        self.request = Request()

    def on_url(self, url: bytes) -> None:
        self.request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.request.body += body

    def on_message_complete(self) -> None:
        self.request.method = self.parser.get_method().decode()
        self.waiting.put_nowait(self.request)

    # The answers.

    def note(self) -> None:
        """Passes the news on."""
        self.upstream.note()

    def end(self, *, reset: bool) -> None:
        """Ends the connection now, with RST or FIN."""
        if reset:
            self._setsockopt(socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _setsockopt(self, option: int, value: bytes) -> None:
        with contextlib.suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, value)

    async def serve(self) -> None:
        """Answers the connection's requests until it ends."""
        with contextlib.suppress(asyncio.CancelledError):
            while not self.transport.is_closing():
                request = await self.waiting.get()
                self.record = record = self.enter(request)
                self.upstream.log.append(record)
                self.upstream.note()
                reply = Reply(record, self, self.upstream.house)
                try:
                    record.step = self.upstream.step_for(record)
                except ValueError as error:
                    await reply.error(500, Step(message=str(error)))
                else:
                    await reply.run()
                record.finished = time.monotonic()
                self.upstream.note()
                if not record.step.keep_alive or record.step.drop or record.step.framing == "close":
                    self.transport.close()

    def enter(self, request: Request) -> Record:
        """The log record of a request."""
        body = bytes(request.body)
        try:
            decoded = msgspec.json.decode(body) if body else None
        except msgspec.DecodeError:
            decoded = None
        return Record(
            id=len(self.upstream.log) + 1,
            connection=self.number,
            method=request.method,
            path=request.target.decode("latin-1"),
            headers=request.headers,
            body=body,
            json=decoded,
            started=time.monotonic(),
        )

    async def write(self, data: bytes, record: Record) -> None:
        """Sends bytes and waits until the kernel has them."""
        drip = record.step.drip
        for piece in [data] if drip is None else [data[at : at + 1] for at in range(len(data))]:
            self.transport.write(piece)
            await self.writable.wait()
            record.sent += len(piece)
            if drip is not None:
                await asyncio.sleep(drip)


async def run(port: int, api_key: str | None) -> None:
    """Serves until interrupted."""
    async with ScriptedUpstream(port=port, api_key=api_key) as upstream:
        print(upstream.url, flush=True)  # noqa: T201 - a command's output
        await asyncio.Event().wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="An OpenAI-compatible upstream that misbehaves on demand.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default=None, help="the only API key that it accepts; default: any")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(options.port, options.key))


if __name__ == "__main__":
    main()
