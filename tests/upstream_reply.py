"""One answer of the scripted upstream: routes the request, and sends what the answer and its step make together.

It writes through a Wire and knows nothing of sockets.
"""

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

import upstream_answers as answers
import upstream_messages as messages
import upstream_opaque as opaque
import upstream_responses as responses
from upstream_log import Record
from upstream_script import DONE, Step, damage, error_body, error_object, frame

REASONS = {200: b"OK", 404: b"Not Found", 429: b"Too Many Requests", 503: b"Service Unavailable"}

# Path to the field that a request there cannot do without.
ROUTES = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/embeddings": "input",
    "/v1/messages": "messages",
    "/v1/messages/count_tokens": "messages",
    "/v1/responses": "input",
    "/v1/responses/input_tokens": "input",
}


class Wire(Protocol):
    """The connection as an answer sees it."""

    async def write(self, data: bytes, record: Record) -> None:
        """Sends bytes and waits until the kernel has them."""
        ...

    def end(self, *, reset: bool) -> None:
        """Ends the connection now, with RST or FIN."""
        ...

    def note(self) -> None:
        """Something changed."""
        ...


@dataclass(frozen=True, slots=True)
class House:
    """What is the same for all answers of one upstream."""

    models: tuple[str, ...]
    api_key: str | None
    contexts: dict[str, int] = field(default_factory=dict)
    """The longest prompt of a model, in tokens; a model that is not there takes any."""


class Scripted(Exception):
    """The script ended this answer and its connection."""


@dataclass(slots=True)
class Reply:
    """One answer under way."""

    record: Record
    wire: Wire
    house: House

    async def run(self) -> None:
        """Answers as the step says."""
        step = self.record.step
        with contextlib.suppress(Scripted):
            await asyncio.sleep(step.delay)
            if step.silent:
                await asyncio.Event().wait()
            if step.hangup:
                self.stop(reset=step.hangup == "rst")
            if step.garbage:
                await self.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
                self.stop(reset=False)
            if step.early_hints:
                await self.write(b"HTTP/1.1 103 Early Hints\r\nlink: </v1>; rel=preconnect\r\n\r\n")
            if step.fail is not None:
                await self.error(step.fail, step)
            else:
                await self.route()

    async def route(self) -> None:
        """Answers by method and path."""
        record, house = self.record, self.house
        path = record.path.partition("?")[0]
        if path in {"/health", "/v1/health"}:
            await self.whole({"status": "ok"})
            return
        if house.api_key and self.credential() != house.api_key:
            await self.error(401, Step(message="Incorrect API key provided.", code="invalid_api_key"))
            return
        if record.method == "GET" and path == "/v1/models":
            await self.whole(opaque.models(house.models))
        elif record.method != "POST" or path not in ROUTES:
            await self.error(404, Step(message=f"Unknown request URL: {record.method} {path}"))
        elif not isinstance(record.json, dict) or not record.json.get(ROUTES[path]):
            await self.error(400, Step(message=f"{ROUTES[path]} is required"))
        elif self.anthropic and "anthropic-version" not in record.headers:
            await self.error(400, Step(message="anthropic-version: header is required"))
        else:
            await self.answer(path, record.json)

    @property
    def anthropic(self) -> bool:
        """Whether the path is one of Anthropic's."""
        return self.record.path.partition("?")[0].startswith("/v1/messages")

    @property
    def named(self) -> bool:
        """Whether the events of the path's streams have names."""
        return self.anthropic or self.record.path.partition("?")[0].startswith("/v1/responses")

    def credential(self) -> str | None:
        """The key as the path wants it."""
        headers = self.record.headers
        if self.anthropic:
            return headers.get("x-api-key")
        return headers.get("authorization", "").removeprefix("Bearer ")

    async def answer(self, path: str, body: answers.Json) -> None:
        """Answers a well-formed request, streamed where it says so."""
        step = self.record.step
        longest = self.house.contexts.get(str(body.get("model")))
        if longest is not None and "messages" in body and answers.prompt_tokens(body) > longest:
            text = f"This model's maximum context length is {longest} tokens."
            await self.error(400, Step(message=text, code="context_length_exceeded"))
        elif path == "/v1/embeddings":
            await self.whole(opaque.embeddings(body))
        elif path == "/v1/messages/count_tokens":
            await self.whole(messages.count(body))
        elif path == "/v1/messages":
            if body.get("stream"):
                await self.stream(messages.message_events(body, step=step))
            else:
                await self.whole(messages.message(body, step=step))
        elif path.startswith("/v1/responses"):
            await self.respond(path, body)
        elif path == "/v1/chat/completions":
            if body.get("stream"):
                await self.stream(answers.chat_chunks(body, step=step))
            else:
                await self.whole(answers.chat(body, step=step))
        elif body.get("stream"):
            await self.stream(opaque.completion_chunks(body, step=step))
        else:
            await self.whole(opaque.completion(body, step=step))

    async def respond(self, path: str, body: answers.Json) -> None:
        """Answers a request for a response, or for a count."""
        step, why = self.record.step, responses.refusal(body)
        if why:
            await self.error(400, Step(message=why))
        elif path.endswith("input_tokens"):
            await self.whole(responses.count(body))
        elif body.get("stream"):
            await self.stream(responses.response_events(body, step=step))
        else:
            await self.whole(responses.response(body, step=step))

    async def write(self, data: bytes) -> None:
        await self.wire.write(data, self.record)

    def stop(self, *, reset: bool) -> None:
        """Ends answer and connection as scripted."""
        self.record.finished = time.monotonic()
        self.wire.end(reset=reset)
        raise Scripted

    async def ends(self, events: int) -> None:
        """Cuts, resets or hangs where the script says so after this many events."""
        step = self.record.step
        if events == step.hang:
            await asyncio.Event().wait()
        if events in {step.cut, step.rst}:
            self.stop(reset=events == step.rst)

    async def head(self, status: int, kind: bytes, length: int | None) -> None:
        """Sends the status line and the headers; without a length the body is chunked."""
        step, record = self.record.step, self.record
        record.status = status
        lines = [
            b"HTTP/1.1 %d %s" % (status, REASONS.get(status, b"Scripted")),
            b"x-request-id: up_%d" % record.id,
        ]
        lines += [b"content-type: " + kind] if kind else []
        if length is not None:
            lines.append(b"content-length: %d" % length)
        elif step.framing != "close":
            lines.append(b"transfer-encoding: chunked")
        if not step.keep_alive or step.framing == "close":
            lines.append(b"connection: close")
        given = {"retry-after": step.retry_after, "retry-after-ms": step.retry_after_ms, **step.headers}
        lines += [f"{name}: {value}".encode("latin-1") for name, value in given.items() if value is not None]
        if step.header_bytes:
            lines.append(b"x-long: " + b"h" * step.header_bytes)
        await self.write(b"\r\n".join(lines) + b"\r\n\r\n")

    async def error(self, status: int, step: Step) -> None:
        """Answers with an error body."""
        kind, body = error_body(status, step=step)
        if self.anthropic and kind == b"application/json" and step.body == "json":
            body = messages.error_body(status, step=step)
        await self.head(status, kind, len(body))
        await self.write(body)

    async def whole(self, result: answers.Json) -> None:
        """Answers with one JSON body, in two pieces, so that the script can act between them."""
        step = self.record.step
        body = damage(msgspec.json.encode(result), 0, step=step)
        body = body[:-7] if step.body == "malformed" else body
        framing = step.framing or "length"
        await self.head(200, b"application/json", len(body) if framing == "length" else None)
        for index, piece in enumerate((body[: len(body) // 2], body[len(body) // 2 :])):
            await self.ends(index)
            await self.write(piece if framing != "chunked" else b"%x\r\n%s\r\n" % (len(piece), piece))
        if framing == "chunked":
            await self.write(b"0\r\n\r\n")

    def payloads(self, chunks: list[answers.Json]) -> list[bytes]:
        """The data of a stream's events: an error may cut it short, [DONE] ends it."""
        step = self.record.step
        encoded = [damage(msgspec.json.encode(chunk), index, step=step) for index, chunk in enumerate(chunks)]
        if step.error_at is not None:
            text = step.message or "scripted failure mid stream"
            if self.named and not self.anthropic:
                failed = responses.error_object(text, code=step.code)
            else:
                told = messages.error_object if self.anthropic else error_object
                failed = told(text, 500, code=step.code)
            return [*encoded[: step.error_at], msgspec.json.encode(failed)]
        return encoded if step.no_done or self.named else [*encoded, DONE]

    def name(self, payload: bytes) -> str:
        """The name of a stream's event, where events have names: its type."""
        found = re.search(rb'"type":"([\w.]+)"', payload) if self.named else None
        return found[1].decode() if found else ""

    async def stream(self, chunks: list[answers.Json]) -> None:
        """Answers with server-sent events."""
        step = self.record.step
        events = [
            frame(payload, index, step=step, name=self.name(payload))
            for index, payload in enumerate(self.payloads(chunks))
        ]
        framing = step.framing or "chunked"
        length = sum(map(len, events)) if framing == "length" else None
        await self.head(200, b"text/event-stream; charset=utf-8", length)
        for index, event in enumerate(events):
            await self.ends(index)
            await asyncio.sleep(step.gap if index else 0)
            if index == step.bad_chunk:
                await self.write(b"this is no size\r\n")
            await self.write(event if framing != "chunked" else b"%x\r\n%s\r\n" % (len(event), event))
            self.record.events += 1
            self.wire.note()
        await self.ends(len(events))
        if framing == "chunked":
            await self.write(b"0\r\n\r\n")
