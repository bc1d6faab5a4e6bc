"""The inference surfaces: one handler for all, from socket to inference and back.

The order of a request, readable here in one screen: host, credential, body, dialect, deployment, then `services.asking`.
Knows HTTP and nothing of targets; every decision about an answer is made in `services.inference`. A request with an
idempotency key runs to its end also where its client leaves, so that the retry is free.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ingot.catalog import Deployment
from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.messages import COUNT_TOKENS, MESSAGES
from ingot.dialects.opaque import COMPLETIONS, EMBEDDINGS
from ingot.dialects.responses import COMPACT, INPUT_TOKENS, RESPONSES
from ingot.errors import ApiError, MethodNotAllowed, Overloaded
from ingot.idempotency import ANTHROPIC_HEADER, HEADER, read_key
from ingot.ids import new_id
from ingot.presets import Preset, dressed
from ingot.scheduling.windows import ASAP
from ingot.services import counting
from ingot.services.admission import LimitReached
from ingot.services.asking import Asked, place, run, run_once, standing_lines
from ingot.services.background import accept, wanted
from ingot.services.door import Outcome
from ingot.services.grants import deployment_for
from ingot.services.inference import end_stream
from ingot.services.keys import KeyRing, Principal
from ingot.services.runtime import Runtime
from ingot.store.faults import StoreError
from ingot.web.access import Access, Served
from ingot.web.door import HttpDoor, ending_lines
from ingot.web.errors import broken, tell, unreadable
from ingot.web.exchange import ClientGone, Exchange
from ingot.web.intake import (
    Hosts,
    check_encoding,
    read_body,
    read_credential,
    read_request_id,
    take_body,
)
from ingot.web.proxies import Proxies

_OWN, _ANTHROPIC = (name.lower().encode() for name in (HEADER, ANTHROPIC_HEADER))

LARGE = 256 * 1024
"""Bytes of a body above which parsing leaves the event loop, so that one client's prompt stalls no other's stream."""


@dataclass(frozen=True, slots=True)
class Surface:
    """A route that a client calls; `retry_headers` are those that may carry an idempotency key, in lower case.

    `counts` says that what is asked for is no inference but a count of tokens.
    """

    path: str
    dialect: Dialect
    retry_headers: tuple[bytes, ...] = ()
    counts: bool = False
    socket: bool = False
    """Whether it is a WebSocket, too."""

    def id_lines(self, request_id: str) -> bytes:
        """The header lines beside `x-request-id` that tell the request's id."""
        name = self.dialect.id_header
        return f"{name}: {request_id}\r\n".encode() if name else b""


DIALECTS = (
    ("chat", CHAT),
    ("completions", COMPLETIONS),
    ("embeddings", EMBEDDINGS),
    ("messages", MESSAGES),
    ("count_tokens", COUNT_TOKENS),
    ("responses", RESPONSES),
    ("input_tokens", INPUT_TOKENS),
    ("compact", COMPACT),
)
"""Each by the name that presets know its surface by."""

COUNTED = (COUNT_TOKENS, INPUT_TOKENS)
"""Those that ask for a count and no answer."""


def build_surfaces(preset: Preset) -> tuple[Surface, ...]:
    """The inference surfaces that a preset offers, under its rules."""
    return tuple(
        Surface(
            f"/v1{dialect.surface}",
            dressed(dialect, preset),
            tuple(header.encode() for header in preset.idempotency.names(name)),
            counts=dialect in COUNTED,
            socket=dialect is RESPONSES and preset.offers("responses_socket"),
        )
        for name, dialect in DIALECTS
        if preset.offers(name)
    )


class Inferences:
    """Answers the inference surfaces."""

    def __init__(self, runtime: Runtime, *, hosts: Hosts, proxies: Proxies, access: Access) -> None:
        """`access` takes one record a request for the log; `runtime` is replaced whole on a reload."""
        self.runtime = runtime
        self.hosts = hosts
        self._proxies = proxies
        self.access = access
        self._detached: set[asyncio.Task[None]] = set()

    async def __call__(self, surface: Surface, exchange: Exchange) -> None:
        """Serves one request; whatever goes wrong is told in the surface's dialect."""
        clock = self.runtime.clock
        began = clock.monotonic()
        headers = exchange.headers
        request_id = read_request_id(headers.get(b"x-request-id"), new_id)
        request = Served(request_id, surface.path, exchange.method)
        try:
            self.hosts.check(headers.get(b"host"))
            _check_method(surface, exchange.method)
            principal = recognise(self.runtime.keys, exchange) or await self.authenticate(exchange)
            request.key = principal.kid
            check_encoding(headers)
            limits = self.runtime.config.limits
            body = take_body(exchange, limits) or await read_body(exchange, limits)
            decode = surface.dialect.decode
            call = decode(body) if len(body) <= LARGE else await _decode_apart(decode, body)
            if surface.dialect.take_headers is not None:
                call = surface.dialect.take_headers(call, headers)
            # A reload may have come while the body did: the catalog is the one of now.
            deployment = deployment_for(self.runtime.catalog, principal.grant, model=call.model)
            request.model = deployment.name
            if deployment.deprecated is not None:
                request.ending = ending_lines(deployment.deprecated, deployment.shutdown_date)
            asked = self.asked(request_id, surface, call, deployment=deployment, principal=principal)
            door = HttpDoor(exchange, request_id.encode(), surface.id_lines(request_id))
            if request.ending:
                door.lines += request.ending
            if surface.counts:
                await counting.run(self.runtime, asked, door, request.outcome)
            else:
                await self._answer(asked, door, request.outcome, key=_retry_key(surface, exchange))
            request.status, request.code = request.outcome.status, request.outcome.error
        except (Exception, asyncio.CancelledError) as error:
            if not self.tell(error, request, surface=surface, exchange=exchange):
                raise
        finally:
            self.access(request, clock.now(), clock.monotonic() - began)

    def asked(
        self,
        request_id: str,
        surface: Surface,
        call: Call,
        *,
        deployment: Deployment,
        principal: Principal,
    ) -> Asked:
        """The request with the window that it is in; raises ApiError that names the field."""
        dialect, background = surface.dialect, False
        window = ASAP.name
        if not surface.counts:
            if "background" in call.body.value:
                background = wanted(self.runtime.preset, dialect, call.body.value)
            window = place(self.runtime.catalog, call, deployment, background=background)
        return Asked(
            request_id,
            surface.path,
            dialect,
            call,
            deployment,
            principal,
            window=window,
            background=background,
        )

    def _answer(
        self, asked: Asked, door: HttpDoor, outcome: Outcome, *, key: str | None
    ) -> Coroutine[Any, Any, None]:
        """What runs the request: once and for all its tries, where it has an idempotency key."""
        if asked.background:
            return accept(self.runtime, asked, door, outcome, key=key)
        if key is None:
            return run(self.runtime, asked, door, outcome)
        return self._keyed(asked, key, door, outcome)

    def tell(self, error: BaseException, request: Served, *, surface: Surface, exchange: Exchange) -> bool:
        """Answers what went wrong; False where it has to go on: the server ends, and waits for the task to do so."""
        ends = isinstance(error, ClientGone | asyncio.CancelledError)
        if ends and exchange.gone:
            request.status = 499
            return True
        told = self.explain(error, request.request_id)
        _refuse(self.runtime, request, told, surface=surface, exchange=exchange)
        return not ends

    def explain(self, error: BaseException, request_id: str) -> ApiError:
        """What a client is told of it, whatever went wrong; what is not its business is logged."""
        if isinstance(error, ClientGone | asyncio.CancelledError):
            return Overloaded("The server ends. Send the request again in a moment.", retry_after=1.0)
        if isinstance(error, ApiError):
            return error
        if isinstance(error, StoreError):
            self.runtime.log.error("store unreadable", request_id=request_id, reason=error.message)
            return unreadable()
        self.runtime.log.error("request failed", request_id=request_id, exc_info=error)
        return broken()

    async def authenticate(self, exchange: Exchange) -> Principal:
        """Who sends the request; raises Unauthenticated."""
        runtime, headers = self.runtime, exchange.headers
        either = "x-api-key" in runtime.preset.keys.headers
        api_key = headers.get(b"x-api-key") if either else None
        token = read_credential(headers.get(b"authorization"), api_key, either=either)
        known = runtime.keys.authenticate_cached(token)
        if known is not None:
            return known
        # Whom a failure counts against is found out for keys alone that have to be looked up.
        peer = exchange.line.peer
        address = self._proxies.client(None if peer is None else peer[0], exchange.raw_headers)
        return await runtime.keys.authenticate(token, address=address)

    async def _keyed(self, asked: Asked, key: str, door: HttpDoor, outcome: Outcome) -> None:
        """Runs a request with an idempotency key to its end, whether its client waits for it or not."""
        task = asyncio.get_running_loop().create_task(
            run_once(self.runtime, asked, key, door=door, outcome=outcome)
        )
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not door.departed:  # the server ends
                task.cancel()
            else:
                task.add_done_callback(_seen)
            raise

    async def finish(self) -> None:
        """Returns when what goes on without its client has come to its end."""
        while self._detached:
            await asyncio.gather(*self._detached, return_exceptions=True)


def _seen(task: "asyncio.Task[None]") -> None:
    """What becomes of a request whose client has left is in its record; nobody is left to be told."""
    if not task.cancelled():
        task.exception()


def recognise(keys: KeyRing, exchange: Exchange) -> Principal | None:
    """Who sends the same Authorization header as with the request before it on this connection.

    Saves the HMAC where a client keeps its connection; whether the key still holds is asked of the ring each time.
    """
    headers = exchange.headers
    authorization = headers.get(b"authorization")
    if authorization is None or b"x-api-key" in headers:
        return None
    line = exchange.line
    if line.authorization != authorization:
        line.digest = keys.digest(read_credential(authorization, None))
        line.authorization = authorization
    return keys.known(line.digest)


async def _decode_apart(decode: Callable[[bytes], Call], body: bytes) -> Call:
    return await asyncio.get_running_loop().run_in_executor(None, decode, body)


def _retry_key(surface: Surface, exchange: Exchange) -> str | None:
    for name in surface.retry_headers:
        if name in exchange.headers:
            other = _ANTHROPIC in surface.retry_headers
            return read_key(_values(exchange, _OWN), _values(exchange, _ANTHROPIC) if other else ())
    return None


def _values(exchange: Exchange, name: bytes) -> list[bytes]:
    """What all headers of a name hold."""
    return [value for each, value in exchange.raw_headers if each == name]


def _check_method(surface: Surface, method: str) -> None:
    if method != "POST":
        raise MethodNotAllowed(f"{surface.path} takes POST, not {method[:20]}.", allow=("POST",))


def _refuse(
    runtime: Runtime, request: Served, error: ApiError, *, surface: Surface, exchange: Exchange
) -> None:
    status, head, body = tell(error, request.request_id, encode=surface.dialect.encode_error)
    head += surface.id_lines(request.request_id) + request.ending
    request.status, request.code = status, error.code
    runtime.measures.refusals[surface.path, error.code or ""] += 1
    if exchange.complete:
        return
    if exchange.started:
        # An error event and no proper end of the stream: it must not look like a whole one.
        exchange.write(end_stream(surface.dialect, request.outcome, error, request_id=request.request_id))
        exchange.finish()
        return
    standing = request.outcome.standing
    if isinstance(error, LimitReached):
        head += standing_lines(runtime, error.refused.standing, wait=error.refused.wait)
    elif standing is not None:
        head += standing_lines(runtime, standing)
    exchange.respond(status, head, body)
