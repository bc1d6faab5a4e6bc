"""Where an exchange goes: inference surfaces by a dictionary, everything else to an ASGI application.

    host --only where hosts have presets--> Front --path--> inference surface | pages

The adapter speaks ASGI 3 for one exchange; it is what the resources' framework is called through.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingot.ids import new_id
from ingot.presets import encode_error
from ingot.web.access import Access, Served
from ingot.web.admin import AdminApi
from ingot.web.errors import UNDRESSED, EncodeError, broken, tell
from ingot.web.exchange import ClientGone, Exchange
from ingot.web.intake import bare_host, read_request_id
from ingot.web.sockets import Sockets
from ingot.web.surfaces import Inferences, Surface
from ingot.web.websocket import wants_websocket

PROBES = frozenset({"/health", "/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: logged only when something is wrong."""

SHARED = frozenset({"/v1/chat/completions"})
"""Surfaces whose other methods read what is stored, where the preset offers that."""

UNKNOWN = "(unknown)"
PAGES = PROBES | {
    "/v1/models",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/conversations",
    "/v1/files",
    "/v1/uploads",
    "/v1/quotes",
    "/v1/windows",
    "/v1/usage",
    "/v1/usage/breakdown",
    "/v1/usage/requests",
    "/v1/usage/export",
    "/version",
    "/openapi.json",
    "/llms.txt",
    "/reference.md",
}
_PATTERNS = (
    ("/v1/models/", "/v1/models/{model}"),
    ("/v1/chat/completions/", "/v1/chat/completions/{id}"),
    ("/v1/messages/", "/v1/messages/{id}"),
    ("/v1/responses/", "/v1/responses/{id}"),
)
_NESTED = (("/v1/files/", ("content",)), ("/v1/uploads/", ("parts", "complete", "cancel")))


KNOWN_HOSTS = 256


class Front:
    """The API as one preset has it."""

    __slots__ = ("encode", "inferences", "resources", "shared", "sockets", "surfaces")

    def __init__(self, inferences: Inferences, resources: ASGIApp, *, surfaces: Iterable[Surface]) -> None:
        preset = inferences.runtime.preset
        self.encode: EncodeError = partial(encode_error, preset)
        self.shared = SHARED if preset.offers("stored") else frozenset()
        self.inferences = inferences
        self.sockets = Sockets(inferences)
        self.resources = resources
        self.surfaces = {surface.path: surface for surface in surfaces}


class Dispatcher:
    """Answers every exchange of one server."""

    def __init__(
        self, front: Front, *, admin: AdminApi, access: Access, by_host: Mapping[str, Front] | None = None
    ) -> None:
        """`by_host` has the fronts of hosts with a preset of their own, by name in lower case; `front` is for all others."""
        self._front = front
        self._by_host = by_host or {}
        self._known: dict[bytes, Front] = {}
        self._admin = admin
        self._access = access

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None]:
        """The coroutine that serves one request; whatever goes wrong, it leaves the connection in a known state."""
        front = self._front
        if self._by_host:
            host = exchange.headers.get(b"host", b"")
            front = self._known.get(host) or self._look_up(host)
        surface = front.surfaces.get(exchange.path)
        if surface is not None and (exchange.method == "POST" or exchange.path not in front.shared):
            if surface.socket and wants_websocket(exchange.method, exchange.headers):
                return front.sockets(surface, exchange)
            return front.inferences(surface, exchange)
        return self._serve_resource(front, exchange)

    def _look_up(self, host: bytes) -> Front:
        """The front of a Host header; how clients write theirs is remembered, strangers' inventions are not."""
        found = self._by_host.get(bare_host(host))
        if found is None:
            return self._front
        if len(self._known) < KNOWN_HOSTS:
            self._known[host] = found
        return found

    async def _serve_resource(self, front: Front, exchange: Exchange) -> None:
        runtime = front.inferences.runtime
        began = runtime.clock.monotonic()
        request_id = read_request_id(exchange.headers.get(b"x-request-id"), new_id)
        # From here on there is one id: the one that the answer shows and the log knows.
        exchange.raw_headers[:] = [each for each in exchange.raw_headers if each[0] != b"x-request-id"]
        exchange.raw_headers.append((b"x-request-id", request_id.encode()))
        administers = exchange.path == "/admin" or exchange.path.startswith("/admin/")
        app: ASGIApp = self._admin if administers else front.resources
        name = (self._admin.name_path(exchange.path) or UNKNOWN) if administers else name_path(exchange.path)
        request = Served(request_id, name, exchange.method)
        try:
            await run_asgi(app, exchange)
        except (ClientGone, asyncio.CancelledError):
            if not exchange.gone:
                exchange.cut()
                raise
        except Exception as error:  # the last line: it is logged, and the client gets an answer
            runtime.log.error("request failed", request_id=request_id, path=request.path, exc_info=error)
            if exchange.started:
                if not exchange.complete:
                    exchange.cut()
            else:
                exchange.keep_alive = False
                encode = UNDRESSED if administers else front.encode
                exchange.respond(*tell(broken(), request_id, encode=encode))
        finally:
            request.status = 499 if exchange.gone else exchange.status
            if request.status >= 400:
                runtime.measures.refusals["resources", str(request.status)] += 1
            if request.status >= 400 or request.path not in PROBES:
                self._access(request, runtime.clock.now(), runtime.clock.monotonic() - began)


def name_path(path: str) -> str:
    """What the log calls a path: a client's own words stay out of it."""
    if path in PAGES:
        return path
    for place, last in _NESTED:
        if path.startswith(place):
            _, _, end = path.removeprefix(place).partition("/")
            return f"{place}{{id}}" + (f"/{end}" if end in last else "")
    if path.startswith("/v1/conversations/"):
        _, *items = path.removeprefix("/v1/conversations/").split("/")
        return "/v1/conversations/{id}" + ("/items" if items else "") + ("/{item_id}" if items[1:] else "")
    for beginning, name in _PATTERNS:
        if path.startswith(beginning):
            return name
    return UNKNOWN


def build_scope(exchange: Exchange) -> Scope:
    """The ASGI scope of an exchange."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": exchange.version,
        "method": exchange.method,
        "scheme": "http",
        "path": exchange.path,
        "raw_path": exchange.raw_path,
        "query_string": exchange.query,
        "root_path": "",
        "headers": exchange.raw_headers,
        "client": exchange.line.peer,
        "server": None,
    }


async def run_asgi(app: ASGIApp, exchange: Exchange) -> None:
    """Calls an ASGI application for one exchange."""
    await app(build_scope(exchange), _receiver(exchange), _sender(exchange))
    if not exchange.complete and not exchange.gone:
        raise RuntimeError("the application ended without a whole answer")


def _receiver(exchange: Exchange) -> Receive:
    async def receive() -> Message:
        if exchange.gone or exchange.complete:
            return {"type": "http.disconnect"}
        try:
            body, more = await exchange.read_piece()
        except ClientGone:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": more}

    return receive


def _sender(exchange: Exchange) -> Send:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            head, length = _encode_head(message.get("headers", ()))
            exchange.start(message["status"], head, length=length)
        elif message["type"] == "http.response.body":
            exchange.write(message.get("body", b""))
            if message.get("more_body"):
                await exchange.drain()
            else:
                exchange.finish()

    return send


def _encode_head(headers: Any) -> tuple[bytes, int | None]:
    lines = []
    length = None
    for name, value in headers:
        if b"\r" in value or b"\n" in value:
            raise RuntimeError(f"a line end in the response header {name!r}")
        if name.lower() == b"content-length":
            length = int(value)
        else:
            lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines), length
