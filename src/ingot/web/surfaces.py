"""The inference surfaces: one handler for all, from socket to inference and back.

The order of a request, readable here in one screen: host, credential, body, dialect, deployment, inference.
Knows HTTP and nothing of targets; every decision about an answer is made in `services.inference`.
"""

import asyncio
from dataclasses import dataclass

from ingot.dialects.dialect import Dialect
from ingot.errors import ApiError, MethodNotAllowed, Overloaded, PlatformError
from ingot.ids import new_id
from ingot.services import inference
from ingot.services.accounting import new_response_id
from ingot.services.door import Inference
from ingot.services.keys import KeyRing, Principal
from ingot.services.runtime import Runtime
from ingot.web.access import Access, Served
from ingot.web.errors import error_head
from ingot.web.exchange import ClientGone, Exchange
from ingot.web.intake import Hosts, check_encoding, read_body, read_credential, read_request_id, take_body

LARGE = 256 * 1024
"""Bytes of a body above which parsing leaves the event loop, so that one client's prompt stalls no other's stream."""


@dataclass(frozen=True, slots=True)
class Surface:
    """A route that a client calls."""

    path: str
    dialect: Dialect


class HttpDoor:
    """The client's side of an exchange as an inference sees it."""

    __slots__ = ("_exchange", "_request_id", "write")

    def __init__(self, exchange: Exchange, request_id: bytes) -> None:
        self._exchange = exchange
        self._request_id = request_id
        self.write = exchange.write

    def answer(self, status: int, body: bytes, *, content_type: bytes) -> None:
        """One answer, whole."""
        head = b"content-type: %b\r\nx-request-id: %b\r\n" % (content_type, self._request_id)
        self._exchange.respond(status, head, body)

    def start(self, status: int, *, content_type: bytes) -> None:
        """The head of a stream; it leaves together with the first piece."""
        self._exchange.start(
            status,
            b"content-type: %b\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\nx-request-id: %b\r\n"
            % (content_type, self._request_id),
        )

    async def drain(self) -> None:
        """Waits until the reader has caught up."""
        await self._exchange.drain()

    def finish(self) -> None:
        """The end of a stream."""
        self._exchange.finish()


class Inferences:
    """Answers the inference surfaces."""

    def __init__(self, runtime: Runtime, *, hosts: Hosts, access: Access) -> None:
        """`access` takes one record a request for the log; `runtime` is replaced whole on a reload."""
        self.runtime = runtime
        self._hosts = hosts
        self._access = access

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
            principal = recognise(runtime.keys, exchange) or await _authenticate(runtime.keys, headers)
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
            deployment = runtime.catalog.resolve(call.model)
            request.model = deployment.name
            now = clock.now()
            wanted = Inference(
                request_id,
                surface.path,
                surface.dialect,
                call,
                deployment,
                principal,
                response_id=new_response_id(now),
                created_at=int(now * 1_000_000),
            )
            await inference.run(runtime, wanted, HttpDoor(exchange, request_id.encode()), request.outcome)
            request.status, request.code = request.outcome.status, request.outcome.error
        except ApiError as error:
            _refuse(runtime, request, error, surface=surface, exchange=exchange)
        except (ClientGone, asyncio.CancelledError):
            request.status = 499
            if not exchange.gone:
                ending = Overloaded("The server ends. Send the request again in a moment.", retry_after=1.0)
                _refuse(runtime, request, ending, surface=surface, exchange=exchange)
                raise
        except Exception as error:
            runtime.log.error("request failed", request_id=request_id, exc_info=error)
            text = f"Something went wrong on our side. Tell the operator the request id {request_id}."
            _refuse(runtime, request, PlatformError(text), surface=surface, exchange=exchange)
        finally:
            self._access(request, clock.now(), clock.monotonic() - began)


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


async def _authenticate(keys: KeyRing, headers: dict[bytes, bytes]) -> Principal:
    return await keys.authenticate(read_credential(headers.get(b"authorization"), headers.get(b"x-api-key")))


def _check_method(surface: Surface, method: str) -> None:
    if method != "POST":
        raise MethodNotAllowed(f"{surface.path} takes POST, not {method[:20]}.", allow=("POST",))


def _refuse(
    runtime: Runtime, request: Served, error: ApiError, *, surface: Surface, exchange: Exchange
) -> None:
    request.status, request.code = error.status, error.code
    runtime.measures.refusals[surface.path, error.code or ""] += 1
    if exchange.complete:
        return
    if exchange.started:
        # An error event and no proper end of the stream: it must not look like a whole one.
        exchange.write(surface.dialect.error_event(error, request.request_id))
        exchange.finish()
        return
    body = surface.dialect.encode_error(error, request.request_id)
    exchange.respond(error.status, error_head(error, request.request_id), body)
