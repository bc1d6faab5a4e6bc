"""A load test of any OpenAI-compatible server, as a client of it sees things.

It decides what is asked (a fresh prompt for each request, so that no prefix cache answers), when a token counts as
come, and which failure is of which kind. It refuses to know how figures are shown, and never retries: a failure is a
figure too. What the samples add up to is `ingot.upstream.loadfigures`.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ingot.clock import Clock
from ingot.sse import DONE, EventTooLarge, SseSplitter, event_data
from ingot.upstream.client import Client, Origin, Reply, UpstreamFault, tls_context
from ingot.upstream.loadfigures import Level, Sample, summarise

MOST_BYTES = 16 * 1024 * 1024  # of an answer that is no stream
TEXT = (
    "the a river stone bridge mill cat roof water step winter spring morning boat rope lamp door wheel field "
    "path small quiet old cold early long under over near beside and or when while slowly again"
)
WORDS = TEXT.split()


class Unusable(Exception):
    """The server cannot be measured; the message says why, in words for whoever started the test."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to connect, until the first byte, and of silence inside an answer."""

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask of whom."""

    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)
    max_tokens: int = 128
    prompt_tokens: int = 64  # approximate: one common English word is about one token
    stream: bool = True
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Server:
    """An address, split the way the client needs it."""

    origin: Origin
    path: str  # ends before /chat/completions
    host: str  # as the Host header says it

    @classmethod
    def parse(cls, url: str) -> "Server":
        """The server of a base URL; a URL without a path means its /v1."""
        parts = urlsplit(url if "//" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError as error:
            raise Unusable(f"{url} has no valid port") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Unusable(f"{url} is no http:// or https:// URL")
        secure = parts.scheme == "https"
        path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
        origin = Origin(parts.hostname, port or (443 if secure else 80), tls_context() if secure else None)
        return cls(origin, path, parts.netloc.rpartition("@")[2])


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None

    @property
    def holds_token(self) -> bool:
        return bool(
            self.content or self.reasoning_content or self.reasoning or self.tool_calls or self.refusal
        )


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(msgspec.Struct):
    """A completion or a chunk: the part of either that is measured."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class _Failure(msgspec.Struct):
    message: str = ""


class _FailureBody(msgspec.Struct):
    error: _Failure | str | None = None


class _ModelRow(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_ModelRow] = []


_answers = msgspec.json.Decoder(_Answer)


@dataclass(slots=True)
class _Progress:
    """One stream while it is read."""

    first: float | None = None
    last: float = 0.0
    gaps: list[float] = field(default_factory=list)
    deltas: int = 0
    usage: _Usage | None = None
    finished: bool = False
    error: str | None = None

    def take(self, data: bytes, now: float) -> None:
        """Counts an event that came at `now`."""
        if data == DONE:
            self.finished = True
            return
        try:
            answer = _answers.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.error = "bad_json"
            return
        if answer.error is not None:
            self.error = "stream_error"
        self.usage = answer.usage or self.usage
        for choice in answer.choices:
            self.finished = self.finished or choice.finish_reason is not None
            if choice.delta is not None and choice.delta.holds_token:
                self.deltas += 1
                if self.first is None:
                    self.first = now
                else:
                    self.gaps.append(now - self.last)
                self.last = now


def prompt(words: int, number: int) -> str:
    """About `words` tokens of text that no other number shares from its first word on."""
    # The number walks through the words in an order of its own.
    chosen = [
        WORDS[(place * place + number * 7919 + place * number) % len(WORDS)]
        for place in range(max(words - 1, 0))
    ]
    return " ".join([f"{number}:", *chosen])


def request(server: Server, plan: Plan, *, method: str, path: str, body: bytes = b"") -> bytes:
    """The head of a request."""
    lines = [
        f"{method} {server.path}{path} HTTP/1.1",
        f"host: {server.host}",
        "user-agent: ingot-bench",
        "accept: text/event-stream, application/json",
    ]
    if plan.key:
        if not plan.key.isascii() or not plan.key.isprintable():
            raise Unusable("the API key holds characters that no header may carry")
        lines.append(f"authorization: Bearer {plan.key}")
    if method == "POST":
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chat_body(plan: Plan, number: int) -> bytes:
    """The body of the request with this number."""
    body: dict[str, Any] = {
        "model": plan.model,
        "messages": [{"role": "user", "content": prompt(plan.prompt_tokens, number)}],
        "max_tokens": plan.max_tokens,
    }
    if plan.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


def fault_kind(fault: UpstreamFault) -> str:
    """The fault's name as a figure: ConnectFailed is `connect_failed`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in type(fault).__name__)[
        1:
    ]


class LoadTest:
    """Requests to one server over one client."""

    def __init__(self, plan: Plan, *, client: Client, clock: Clock, first: int = 1) -> None:
        """`first` numbers the first prompt: two tests whose numbers differ ask nothing twice."""
        self.plan = plan
        self._client = client
        self._clock = clock
        self._server = Server.parse(plan.base_url)
        self._numbers = count(first)

    async def run(self, concurrency: int, requests: int, *, done: Callable[[Sample], None]) -> Level:
        """`requests` requests, `concurrency` of them at a time; `done` is told of each."""
        samples: list[Sample] = []
        tickets: Iterator[int] = iter(range(requests))

        async def work() -> None:
            for _ in tickets:
                sample = await self.ask()
                samples.append(sample)
                done(sample)

        started = self._clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, requests)):
                group.create_task(work())
        return summarise(samples, concurrency=concurrency, seconds=self._clock.monotonic() - started)

    async def ask(self) -> Sample:
        """One request, however it ends."""
        body = chat_body(self.plan, next(self._numbers))
        head = request(self._server, self.plan, method="POST", path="/chat/completions", body=body)
        started = self._clock.monotonic()
        try:
            reply = await self._client.open(
                self._server.origin, head=head, body=body, timeouts=self.plan.patience
            )
            try:
                return await self._read(reply, started)
            finally:
                reply.close()
        except UpstreamFault as fault:
            return self._failed(started, fault_kind(fault), str(fault))
        except EventTooLarge:
            return self._failed(started, "event_too_large")

    async def first_model(self) -> str:
        """The first model that the server lists."""
        head = request(self._server, self.plan, method="GET", path="/models")
        try:
            reply = await self._client.open(
                self._server.origin, head=head, body=b"", timeouts=self.plan.patience
            )
            try:
                data = await reply.read(MOST_BYTES)
            finally:
                reply.close()
        except UpstreamFault as fault:
            raise Unusable(f"{self.plan.base_url} cannot be reached: {fault}") from fault
        if reply.status != 200:
            raise Unusable(f"GET {self._server.path}/models: {explain(reply.status, data)}")
        try:
            found = msgspec.json.decode(data, type=_ModelList).data
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unusable(f"{self._server.path}/models is no model list: {error}") from error
        if not found:
            raise Unusable("the server lists no model: name one with --model")
        return found[0].id

    async def _read(self, reply: Reply, started: float) -> Sample:
        """Reads an answer to its end."""
        if reply.status != 200:
            data = await reply.read(MOST_BYTES)
            return self._failed(started, f"http_{reply.status}", explain(reply.status, data))
        streamed = b"text/event-stream" in (reply.header(b"content-type") or b"").lower()
        if not self.plan.stream:
            return self._whole(await reply.read(MOST_BYTES), started)
        if not streamed:
            await reply.read(MOST_BYTES)
            return self._failed(started, "not_a_stream", "the server answered a stream with one body")
        return await self._stream(reply, started)

    def _whole(self, data: bytes, started: float) -> Sample:
        """The sample of an answer without a stream."""
        try:
            answer = _answers.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._failed(started, "bad_json", str(error))
        if not answer.choices:
            return self._failed(started, "no_choices")
        usage = answer.usage
        return Sample(
            seconds=self._clock.monotonic() - started,
            tokens=usage.completion_tokens if usage else 0,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            counted=usage is not None,
        )

    async def _stream(self, reply: Reply, started: float) -> Sample:
        """The sample of a stream."""
        splitter = SseSplitter()
        progress = _Progress()
        while piece := await reply.chunk():
            now = self._clock.monotonic()
            for event in splitter.feed(piece):
                data = event_data(event)
                if data is not None:
                    progress.take(data, now)
        rest = event_data(splitter.rest())
        if rest is not None:
            progress.take(rest, self._clock.monotonic())
        if progress.error or not progress.finished:
            return self._failed(started, progress.error or "cut_short")
        usage = progress.usage
        return Sample(
            seconds=self._clock.monotonic() - started,
            first=None if progress.first is None else progress.first - started,
            gaps=tuple(progress.gaps),
            tokens=usage.completion_tokens if usage else progress.deltas,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            counted=usage is not None,
        )

    def _failed(self, started: float, kind: str, detail: str = "") -> Sample:
        return Sample(seconds=self._clock.monotonic() - started, error=kind, detail=detail)


def explain(status: int, data: bytes) -> str:
    """An HTTP failure in one line: the status and the server's own message."""
    try:
        error = msgspec.json.decode(data, type=_FailureBody).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        error = None
    message = error.message if isinstance(error, _Failure) else error
    return f"HTTP {status}: {message or data[:200].decode('utf-8', 'replace')}".strip(": ")
