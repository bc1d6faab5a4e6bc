"""The client's side of an exchange, as an inference sees it; adds to each answer the header lines that are ours."""

from ingot.web.exchange import Exchange


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
