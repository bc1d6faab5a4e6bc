"""One WebSocket on a connection: whole text messages in, text messages out, and its end.

    open --close(code)--> closing --the client agrees, or LINGER_SECONDS--> closed: the connection ends
     '---the client closes, breaks the protocol, falls silent or goes away--'   and whoever works for it is cancelled

Decides the handshake (RFC 6455 §4.2), how large a message may be (close code 1009), that it is text (1003), how long a
silent client is waited for. What bytes mean is decided by `websockets`, which knows no socket; no extension is agreed
to, so nothing is compressed. Knows no message and no dialect.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Protocol

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SERVER
from websockets.protocol import Protocol as Framer
from websockets.utils import accept_key

from ingot.errors import ClientError, InvalidRequest

LINGER_SECONDS = 2.0
"""How long a client may take to agree to an end."""


class Wire(Protocol):
    """What a WebSocket asks of its connection."""

    def write(self, data: bytes) -> bool: ...
    def hang_up(self) -> None:
        """Ends the connection once all is sent, and cancels who works for it."""
        ...


class WebSocket:
    """The server's side; `take` is called with each message, in order, and must not wait."""

    __slots__ = (
        "_framer",
        "_loop",
        "_message",
        "_pinged",
        "_silent_seconds",
        "_take",
        "_wire",
        "closing_since",
        "heard_at",
        "on_drain",
    )

    def __init__(
        self, wire: Wire, take: Callable[[bytes], None], *, most: int, silent_seconds: float
    ) -> None:
        """`most` are the bytes of a message; a client that says nothing for `silent_seconds` has gone."""
        self._loop = asyncio.get_running_loop()
        self._framer = Framer(SERVER, max_size=most)
        self._wire = wire
        self._take = take
        self._message: bytearray | None = None
        self._silent_seconds = silent_seconds
        self._pinged = False
        self.heard_at = self._loop.time()
        self.closing_since = 0.0
        self.on_drain: Callable[[], None] = lambda: None
        """Called when the server ends, and is to be ready soon."""

    @property
    def open(self) -> bool:
        """Whether messages can still be sent."""
        return self._framer.state is OPEN

    # ---- the connection's side

    def receive(self, data: bytes) -> None:
        """Bytes came."""
        self.heard_at = self._loop.time()
        self._pinged = False
        framer = self._framer
        framer.receive_data(data)
        for event in framer.events_received():
            if isinstance(event, Frame):
                self._hear(event)
        self._flush()

    def sweep(self, now: float) -> None:
        """Asks a silent client whether it is there, and gives one up; called about once a second."""
        if self.closing_since:
            if now - self.closing_since > LINGER_SECONDS:
                self._wire.hang_up()
            return
        silent = now - self.heard_at
        if silent > self._silent_seconds:
            self._wire.hang_up()
        elif silent > self._silent_seconds / 3 and not self._pinged:
            self._pinged = True
            self._framer.send_ping(b"")
            self._flush()

    # ---- the handler's side

    def send(self, text: bytes) -> bool:
        """Sends a message of UTF-8; True while the client is behind. A closed socket forgets it."""
        if not self.open:
            return False
        self._framer.send_text(text)
        return self._flush()

    def drain(self) -> None:
        """The server ends; the handler says when."""
        self.on_drain()

    def close(self, code: int, reason: str = "") -> None:
        """Tells the client that this is the end."""
        if self.open:
            self._framer.send_close(code, reason)
            self.closing_since = self._loop.time()
            self._flush()

    # ---- both

    def _hear(self, frame: Frame) -> None:
        if not self.open:
            return
        if frame.opcode is Opcode.BINARY:
            self._fail(CloseCode.UNSUPPORTED_DATA, "Messages are text, of JSON.")
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
            self._hear_text(frame)

    def _hear_text(self, frame: Frame) -> None:
        if self._message is None:
            if frame.fin:
                self._tell(bytes(frame.data))
                return
            self._message = bytearray()
        self._message += frame.data
        if frame.fin:
            whole, self._message = bytes(self._message), None
            self._tell(whole)

    def _tell(self, message: bytes) -> None:
        try:
            message.decode("utf-8")
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "The message is no UTF-8.")
            return
        self._take(message)

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._framer.fail(code, reason)

    def _flush(self) -> bool:
        behind = over = False
        for data in self._framer.data_to_send():
            if data:
                behind = self._wire.write(data)
            else:
                over = True
        if over:
            self._wire.hang_up()
        return behind


def wants_websocket(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request asks to go on as a WebSocket."""
    return method == "GET" and headers.get(b"upgrade", b"").strip().lower() == b"websocket"


def agree(version: str, headers: Mapping[bytes, bytes]) -> bytes:
    """The header lines that agree to a WebSocket; raises ClientError where the request is none for it."""
    tokens = {token.strip().lower() for token in headers.get(b"connection", b"").split(b",")}
    if version != "1.1" or b"upgrade" not in tokens:
        raise InvalidRequest(
            "A WebSocket is asked for with HTTP/1.1 and the header 'Connection: Upgrade'.",
            code="malformed_request",
        )
    if headers.get(b"sec-websocket-version", b"").strip() != b"13":
        raise ClientError(
            "The only version of WebSockets that is spoken here is 13 (RFC 6455).",
            status=426,
            code="unsupported_websocket_version",
            headers=(("sec-websocket-version", "13"), ("upgrade", "websocket")),
        )
    key = headers.get(b"sec-websocket-key", b"").strip()
    try:
        whole = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        whole = False
    if not whole:
        raise InvalidRequest(
            "The header 'Sec-WebSocket-Key' must hold 16 bytes in base64.", code="malformed_request"
        )
    accepted = accept_key(key.decode("ascii")).encode()
    return b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: %b\r\n" % accepted
