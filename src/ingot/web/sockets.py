"""`/v1/responses` as a WebSocket: one connection, many responses, one after the other.

    handshake --key, host--> open: response.create --in turn--> the events of its stream --> the next
                              |    response.steer  --at once--> handed back
                              '--an hour, the server's end--> a last error, closed (1001)

Each response is asked for like a POST: with the key as it is by then, under the limits, paid and stored, by the same
function. What is not stored can be gone on from here alone, and not after a try that failed. Who leaves has its response
cancelled. Decides what runs when; the words are `dialects.responses_socket`'s. Source: contract §3.
"""

import asyncio
from collections import deque

from msgspec.structs import replace

from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.responses_replay import replay
from ingot.dialects.responses_socket import (
    STEER,
    ClientEvent,
    error_message,
    glance_at,
    on_lane,
    read_event,
    steer_failed,
)
from ingot.errors import ApiError, InvalidRequest, Overloaded, RateLimited
from ingot.ids import new_id
from ingot.services import warming
from ingot.services.accounting import keeps_answer
from ingot.services.admission import LimitReached
from ingot.services.asking import Asked, run, standing_lines
from ingot.services.grants import deployment_for
from ingot.services.inference import end_stream
from ingot.services.recent import Recent, whole_answer
from ingot.sse import DONE, SseSplitter, event_data
from ingot.store.schema import micros
from ingot.web.access import Served
from ingot.web.errors import tell
from ingot.web.exchange import Exchange, Line
from ingot.web.intake import check_size, read_request_id
from ingot.web.surfaces import LARGE, Inferences, Surface
from ingot.web.websocket import WebSocket, agree

MOST_WAITING = 16
"""Messages that wait for their turn; more are refused."""

GOING_AWAY = 1001
METHOD = "WS"
_STEERS = f'"{STEER}"'.encode()


class Sockets:
    """Answers the WebSockets of the responses surface."""

    def __init__(self, inferences: Inferences) -> None:
        self._inferences = inferences

    async def __call__(self, surface: Surface, exchange: Exchange) -> None:
        """Serves one connection to its end."""
        inferences = self._inferences
        clock = inferences.runtime.clock
        began = clock.monotonic()
        request_id = read_request_id(exchange.headers.get(b"x-request-id"), new_id)
        request = Served(request_id, surface.path, exchange.method)
        session = None
        try:
            inferences.hosts.check(exchange.headers.get(b"host"))
            request.key = (await inferences.authenticate(exchange)).kid
            _check_keyless(surface, exchange)
            agreed = agree(exchange.version, exchange.headers)
            session = Session(inferences, surface, exchange)
            exchange.switch(session.socket, agreed + f"x-request-id: {request_id}\r\n".encode())
            request.status = 101
        except (Exception, asyncio.CancelledError) as error:
            if not inferences.tell(error, request, surface=surface, exchange=exchange):
                raise
        finally:
            inferences.access(request, clock.now(), clock.monotonic() - began)
        if request.status == 101 and session is not None:
            try:
                await session.run()
            except asyncio.CancelledError:
                if not exchange.gone:  # the server ends
                    raise


class Session:
    """One connection: what waits, what runs, what can be gone on from."""

    def __init__(self, inferences: Inferences, surface: Surface, exchange: Exchange) -> None:
        limits = inferences.runtime.config.limits
        self._inferences = inferences
        self._surface = surface
        self._exchange = exchange
        self._limits = limits
        self._most = max(limits.body_bytes, limits.image_body_bytes)
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + limits.socket_seconds
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._wake: asyncio.Future[None] | None = None
        self._draining = False
        self._running: Served | None = None
        self._lane: str | None = None
        self._steers = 0
        self._recent = Recent(most=self._most)
        self.socket = WebSocket(
            exchange.line, self._take, most=self._most, silent_seconds=limits.idle_seconds
        )
        self.socket.on_drain = self._drain

    # ---- what comes

    def _take(self, message: bytes) -> None:
        """A message came: input that would steer is answered at once, the rest waits for its turn."""
        if _STEERS in message and self._steer(message):
            return
        if len(self._waiting) >= MOST_WAITING or self._size + len(message) > self._most:
            self._refuse(
                RateLimited(
                    f"Too much waits on this connection: at most {MOST_WAITING} messages with {self._most:,} bytes "
                    "together. Wait for the responses that were asked for.",
                    code="too_many_waiting",
                ),
                lane=glance_at(message).lane,
            )
            return
        self._waiting.append(message)
        self._size += len(message)
        self._rouse()

    def _steer(self, message: bytes) -> bool:
        """Whether the message was one that steers; it is answered then."""
        try:
            event = read_event(message)
        except ApiError:
            return False  # in its turn it is told what is wrong
        if event.steer is None:
            return False
        tap = None if self._running is None else self._running.outcome.tap
        running = tap is not None and not tap.done and tap.id == event.steer["previous_response_id"]
        told = steer_failed(event.steer, running=running, number=self._steers)
        self.socket.send(on_lane(told, self._lane if running else None))
        self._steers += 1
        return True

    def _drain(self) -> None:
        self._draining = True
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # ---- what runs

    async def run(self) -> None:
        """Answers what comes, until the connection is to end; then waits for the client to agree."""
        while (over := self._over()) is None:
            if self._waiting:
                message = self._waiting.popleft()
                self._size -= len(message)
                await self._turn(message)
            else:
                await self._sleep()
        for message in self._waiting:
            self._refuse(over, lane=glance_at(message).lane)
        if not self._waiting:
            self._refuse(over, lane=None)
        self.socket.close(GOING_AWAY, over.code or "")
        await self._loop.create_future()  # cancelled once the connection has ended

    def _over(self) -> ApiError | None:
        """Why nothing new begins here."""
        if self._draining:
            return Overloaded("The server ends. Connect again in a moment.", retry_after=1.0)
        if self._loop.time() >= self._until:
            minutes = self._limits.socket_seconds / 60
            return InvalidRequest(
                f"This connection has reached its limit of {minutes:g} minutes. Open a new one, and go on with the last "
                "stored response, or with all items.",
                code="websocket_connection_limit_reached",
            )
        return None

    async def _sleep(self) -> None:
        self._wake = self._loop.create_future()
        alarm = self._loop.call_at(self._until, self._rouse)
        try:
            await self._wake
        finally:
            alarm.cancel()
            self._wake = None

    async def _turn(self, message: bytes) -> None:
        """One message; whatever goes wrong is told, and the next has its turn."""
        clock = self._inferences.runtime.clock
        began = clock.monotonic()
        request = self._running = Served(new_id("req"), self._surface.path, METHOD)
        seen = glance_at(message)
        self._lane = seen.lane
        door = SocketDoor(self.socket, self._exchange.line, self._lane)
        whole = False
        try:
            whole = await self._create(message, request, door)
            request.status, request.code = request.outcome.status, request.outcome.error
        except (Exception, asyncio.CancelledError) as error:
            if not self._tell(error, request, door):
                raise
        finally:
            if not whole and seen.previous is not None:
                self._recent.forget(seen.previous)
            self._running = None
            self._inferences.access(request, clock.now(), clock.monotonic() - began)

    async def _create(self, message: bytes, request: Served, door: "SocketDoor") -> bool:
        """Whether there is a response that can be gone on from."""
        inferences, dialect = self._inferences, self._surface.dialect
        principal = await inferences.authenticate(self._exchange)
        request.key = principal.kid
        check_size(message, self._limits)
        if len(message) <= LARGE:
            event, call = _decode(message, dialect)
        else:
            event, call = await self._loop.run_in_executor(None, _decode, message, dialect)
        deployment = deployment_for(inferences.runtime.catalog, principal.grant, model=call.model)
        request.model = deployment.name
        asked = inferences.asked(
            request.request_id, self._surface, call, deployment=deployment, principal=principal
        )
        asked = replace(asked, recent=self._recent)
        return await self._ask(asked, request, door, generate=event.generate)

    async def _ask(self, asked: Asked, request: Served, door: "SocketDoor", *, generate: bool) -> bool:
        runtime, outcome = self._inferences.runtime, request.outcome
        if not generate:
            made: tuple[str, bytes] | None = await warming.run(runtime, asked, door, outcome)
        else:
            await run(runtime, asked, door, outcome)
            if runtime.config.store.records and keeps_answer(runtime, asked.principal, asked.call.body.value):
                return outcome.error is None
            made = whole_answer(outcome.answer or b"")
        if made is None:
            return False
        self._recent.keep(
            made[0],
            request=asked.call.body.data,
            answer=made[1],
            target=outcome.target,
            created_at=micros(runtime.clock.now()),
        )
        return True

    # ---- what is told

    def _tell(self, error: BaseException, request: Served, door: "SocketDoor") -> bool:
        """Tells what went wrong; False where it has to go on."""
        if isinstance(error, asyncio.CancelledError) and self._exchange.gone:
            request.status = 499
            return False
        told = self._inferences.explain(error, request.request_id)
        if door.started:
            dialect = self._surface.dialect
            door.write(end_stream(dialect, request.outcome, told, request_id=request.request_id))
            request.status, request.code = request.outcome.status, told.code
        else:
            self._refuse(told, lane=self._lane, request=request)
        return not isinstance(error, asyncio.CancelledError)

    def _refuse(self, error: ApiError, *, lane: str | None, request: Served | None = None) -> None:
        """An error that is no stream's, with what HTTP would have said in headers."""
        runtime = self._inferences.runtime
        request = request or Served(new_id("req"), self._surface.path, METHOD)
        encode = self._surface.dialect.encode_error
        status, head, body = tell(error, request.request_id, encode=encode)
        if isinstance(error, LimitReached):
            head += standing_lines(runtime, error.refused.standing, wait=error.refused.wait)
        request.status, request.code = status, error.code
        runtime.measures.refusals[self._surface.path, error.code or ""] += 1
        headers = dict(line.split(": ", 1) for line in head.decode("ascii").splitlines())
        headers.pop("content-type", None)
        self.socket.send(error_message(status, body, headers, lane=lane))


class SocketDoor:
    """Where the answer of one turn goes: each event of its stream is a message on its lane."""

    __slots__ = ("_lane", "_line", "_socket", "_splitter", "lines", "started")

    def __init__(self, socket: WebSocket, line: Line, lane: str | None) -> None:
        self._socket = socket
        self._line = line
        self._lane = lane
        self._splitter = SseSplitter()
        self.lines = b""
        """Header lines, for which a message has no place."""
        self.started = False

    def note(self, lines: bytes) -> None:
        """Forgets them."""

    def answer(self, status: int, body: bytes, *, content_type: bytes) -> None:
        """A whole response, told as the events that spell it out."""
        self.start(status, content_type=content_type)
        self.write(b"".join(replay(body)))

    def start(self, status: int, *, content_type: bytes) -> None:  # noqa: ARG002  # a door's signature
        """From now on an error is an event of the stream."""
        self.started = True

    def write(self, piece: bytes) -> bool:
        """Sends the events that `piece` completes; True while the client is behind."""
        behind = False
        for event in self._splitter.feed(piece):
            data = event_data(event)
            if data is not None and data != DONE:
                behind = self._socket.send(on_lane(data, self._lane))
        return behind

    async def drain(self) -> None:
        """Waits until the client has caught up."""
        await self._line.drain()

    def finish(self) -> None:
        """The end of the stream is its last event."""


def _check_keyless(surface: Surface, exchange: Exchange) -> None:
    for header in surface.retry_headers:
        if header in exchange.headers:
            name = header.decode()
            raise InvalidRequest(
                f"A WebSocket asks for many responses, so that it takes no '{name}'. POST the request.",
                param=name,
            )


def _decode(message: bytes, dialect: Dialect) -> tuple[ClientEvent, Call]:
    event = read_event(message)  # none that steers: those had their answer when they came
    return event, dialect.decode(event.body)
