"""The client's side of an exchange, as an inference sees it; adds to each answer the header lines that are ours."""

from email.utils import formatdate

from ingot.config import first_second
from ingot.web.exchange import Exchange


def ending_lines(deprecated: int, shutdown_date: str | None) -> bytes:
    """The header lines of an answer whose model will end: RFC 9745, and RFC 8594 where the day is known."""
    lines = b"deprecation: @%d\r\n" % deprecated
    if shutdown_date is not None:
        lines += b"sunset: %b\r\n" % formatdate(first_second(shutdown_date), usegmt=True).encode()
    return lines


class HttpDoor:
    """Where an answer goes; `lines` are header lines that it gets beside its own, each with its end."""

    __slots__ = ("_exchange", "_request_id", "lines", "write")

    def __init__(self, exchange: Exchange, request_id: bytes, lines: bytes = b"") -> None:
        self._exchange = exchange
        self._request_id = request_id
        self.lines = lines
        self.write = exchange.write

    @property
    def departed(self) -> bool:
        """Whether the client has left."""
        return self._exchange.gone

    def note(self, lines: bytes) -> None:
        """More header lines, each with its end."""
        self.lines += lines

    def answer(self, status: int, body: bytes, *, content_type: bytes) -> None:
        """One answer, whole."""
        head = b"content-type: %b\r\nx-request-id: %b\r\n%b" % (content_type, self._request_id, self.lines)
        self._exchange.respond(status, head, body)

    def start(self, status: int, *, content_type: bytes) -> None:
        """The head of a stream; it leaves together with the first piece."""
        self._exchange.start(
            status,
            b"content-type: %b\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\nx-request-id: %b\r\n%b"
            % (content_type, self._request_id, self.lines),
        )

    async def drain(self) -> None:
        """Waits until the reader has caught up."""
        await self._exchange.drain()

    def finish(self) -> None:
        """The end of a stream."""
        self._exchange.finish()
