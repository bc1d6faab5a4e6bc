"""The inference surfaces: one handler for all, from socket to inference and back.

The order of a request, readable here in one screen: host, credential, body, dialect, deployment, then `services.asking`.
Knows HTTP and nothing of targets; every decision about an answer is made in `services.inference`. A request with an
idempotency key runs to its end also where its client leaves, so that the retry is free.
"""

import asyncio
from dataclasses import dataclass

from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Dialect
from ingot.dialects.opaque import COMPLETIONS, EMBEDDINGS
from ingot.errors import ApiError, MethodNotAllowed, Overloaded, PlatformError
from ingot.idempotency import read_key
from ingot.ids import new_id
from ingot.presets import Preset, dressed, encode_error
from ingot.services.admission import LimitReached
from ingot.services.asking import Asked, run, run_once, standing_lines
from ingot.services.door import Outcome
from ingot.services.grants import deployment_for
from ingot.services.keys import KeyRing, Principal
from ingot.services.runtime import Runtime
from ingot.store.faults import StoreError
from ingot.web.access import Access, Served
from ingot.web.door import HttpDoor
from ingot.web.errors import error_head, unreadable
from ingot.web.exchange import ClientGone, Exchange
from ingot.web.intake import (
    Hosts,
    check_encoding,
    name_client,
    read_body,
    read_credential,
    read_request_id,
    take_body,
)

LARGE = 256 * 1024
"""Bytes of a body above which parsing leaves the event loop, so that one client's prompt stalls no other's stream."""


@dataclass(frozen=True, slots=True)
class Surface:
    """A route that a client calls; `retry_headers` are those that may carry an idempotency key, in lower case."""

    path: str
    dialect: Dialect
    retry_headers: tuple[bytes, ...] = ()


def build_surfaces(preset: Preset) -> tuple[Surface, ...]:
    """The inference surfaces that a preset offers, under its rules."""
    return tuple(
        Surface(
            f"/v1{dialect.path}",
            dressed(dialect, preset),
            tuple(header.encode() for header in preset.idempotency.names(name)),
        )
        for name, dialect in (("chat", CHAT), ("completions", COMPLETIONS), ("embeddings", EMBEDDINGS))
        if preset.offers(name)
    )


class Inferences:
    """Answers the inference surfaces."""

    def __init__(self, runtime: Runtime, *, hosts: Hosts, access: Access) -> None:
        """`access` takes one record a request for the log; `runtime` is replaced whole on a reload."""
        self.runtime = runtime
        self._hosts = hosts
        self._access = access
        self._detached: set[asyncio.Task[None]] = set()

    async def __call__(self, surface: Surface, exchange: Exchange) -> None:
        """Serves one request; every ApiError is answered in the surface's dialect."""
        runtime = self.runtime
        clock = runtime.clock
        began = clock.monotonic()
        headers = exchange.headers
        request_id = read_request_id(headers.get(b"x-request-id"), new_id)
        request = Served(request_id, surface.path, exchange.method)
        try:
            self._hosts.check(headers.get(b"host"))
            _check_method(surface, exchange.method)
            principal = recognise(runtime.keys, exchange) or await _authenticate(runtime, exchange)
            request.key = principal.kid
            check_encoding(headers)
            limits = runtime.config.limits
            body = take_body(exchange, limits) or await read_body(exchange, limits)
            if len(body) > LARGE:
                loop = asyncio.get_running_loop()
                call = await loop.run_in_executor(None, surface.dialect.decode, body)
            else:
                call = surface.dialect.decode(body)
            runtime = self.runtime  # a reload may have come while the body did
            deployment = deployment_for(runtime.catalog, principal.grant, model=call.model)
            request.model = deployment.name
            door = HttpDoor(exchange, request_id.encode())
            door.lines = deployment.notice
            asked = Asked(request_id, surface.path, surface.dialect, call, deployment, principal)
            key = _retry_key(surface, headers)
            if key is None:
                await run(runtime, asked, door, request.outcome)
            else:
                await self._keyed(asked, key, door, request.outcome)
            request.status, request.code = request.outcome.status, request.outcome.error
        except ApiError as error:
            _refuse(runtime, request, error, surface=surface, exchange=exchange)
        except (ClientGone, asyncio.CancelledError):
            request.status = 499
            if not exchange.gone:
                ending = Overloaded("The server ends. Send the request again in a moment.", retry_after=1.0)
                _refuse(runtime, request, ending, surface=surface, exchange=exchange)
                raise
        except StoreError as error:
            runtime.log.error("store unreadable", request_id=request_id, reason=error.message)
            _refuse(runtime, request, unreadable(), surface=surface, exchange=exchange)
        except Exception as error:
            runtime.log.error("request failed", request_id=request_id, exc_info=error)
            text = f"Something went wrong on our side. Tell the operator the request id {request_id}."
            _refuse(runtime, request, PlatformError(text), surface=surface, exchange=exchange)
        finally:
            self._access(request, clock.now(), clock.monotonic() - began)

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


async def _authenticate(runtime: Runtime, exchange: Exchange) -> Principal:
    headers = exchange.headers
    api_key = headers.get(b"x-api-key") if "x-api-key" in runtime.preset.keys.headers else None
    peer = exchange.line.peer
    forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
    address = name_client(None if peer is None else peer[0], forwarded)
    return await runtime.keys.authenticate(
        read_credential(headers.get(b"authorization"), api_key), address=address
    )


def _retry_key(surface: Surface, headers: dict[bytes, bytes]) -> str | None:
    for name in surface.retry_headers:
        if name in headers:
            own, other = headers.get(b"idempotency-key"), headers.get(b"anthropic-idempotency-key")
            return read_key(own, other if b"anthropic-idempotency-key" in surface.retry_headers else None)
    return None


def _check_method(surface: Surface, method: str) -> None:
    if method != "POST":
        raise MethodNotAllowed(f"{surface.path} takes POST, not {method[:20]}.", allow=("POST",))


def _refuse(
    runtime: Runtime, request: Served, error: ApiError, *, surface: Surface, exchange: Exchange
) -> None:
    status, body = encode_error(runtime.preset, error, request.request_id)
    request.status, request.code = status, error.code
    runtime.measures.refusals[surface.path, error.code or ""] += 1
    if exchange.complete:
        return
    if exchange.started:
        # An error event and no proper end of the stream: it must not look like a whole one.
        exchange.write(surface.dialect.error_event(error, request.request_id))
        exchange.finish()
        return
    head = error_head(error, request.request_id)
    standing = request.outcome.standing
    if isinstance(error, LimitReached):
        head += standing_lines(runtime, error.refused.standing, wait=error.refused.wait)
    elif standing is not None:
        head += standing_lines(runtime, standing)
    exchange.respond(status, head, body)
