"""What the bytes of a connection amount to: requests, within bounds, or nothing that can be taken for one.

Decides how large a head may be, how much framing a body may have, which heads are refused, and when a request's
handler starts: at its head where the body is large or of unknown size, else once it has come whole. A base of
`connection.Connection` and no part beside it, as each further call would be paid for by every request. Knows nothing
of answers.
"""

import asyncio
from abc import abstractmethod
from urllib.parse import unquote

import httptools

from ingot.web.exchange import Exchange, Header
from ingot.web.hub import Hub

MOST_FRAMING = 512 * 1024
"""Bytes of a request that are no body: its head, chunk sizes, extensions, trailers; more where the body is larger."""

_ONCE = ((b"host", "Host"), (b"authorization", "Authorization"), (b"x-api-key", "x-api-key"))
"""What decides where a request goes, and for whom."""

HEAD_SLACK = 4096
"""Line ends, colons and spaces of a head, which the count of its headers leaves out."""


class Framing(asyncio.Protocol):
    """The side of a connection that is read."""

    __slots__ = (
        "_body_size",
        "_current",
        "_early",
        "_head_bytes",
        "_header_size",
        "_headers",
        "_hub",
        "_in_head",
        "_incoming",
        "_loop",
        "_parser",
        "_refused",
        "_url",
        "arriving_since",
        "idle_since",
        "received",
    )

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[Header] = []
        self._header_size = 0
        self._incoming: Exchange | None = None
        self._current: Exchange | None = None
        self._refused = False
        self._early: bytes | None = None
        self._body_size = 0
        self._head_bytes = 0
        self._in_head = True
        self.received = 0
        self.idle_since = 0.0
        self.arriving_since = 0.0

    @abstractmethod
    def _begin(self, raw: list[Header]) -> Exchange:
        """The exchange of a head that is whole."""

    @abstractmethod
    def _accept(self, exchange: Exchange) -> None:
        """Starts the handler, now or in its turn."""

    @abstractmethod
    def _refuse(self, status: int, message: str) -> None:
        """Answers what cannot be taken for a request, and hears nothing more."""

    @abstractmethod
    def _take_foreign(self, data: bytes) -> None:
        """Bytes that followed a request to speak another protocol."""

    # ---- asyncio's side

    def data_received(self, data: bytes) -> None:
        """Bytes came; nothing that follows a refusal is looked at."""
        if self._refused:
            if self._early is not None:
                self._take_foreign(data)
            return
        self.received += len(data)
        began_before = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # What follows is no HTTP; whether it is a WebSocket is for the request's handler to say.
            self._refuse(400, "This server speaks HTTP/1.1 and upgrades to nothing else.")
            self._early = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self._refuse(400, "The bytes received are not a well-formed HTTP/1.1 request.")
        if self._in_head:
            # The parser tells of a header when it is whole: one that never ends is seen here alone.
            if began_before:
                self._head_bytes += len(data)
                if self._head_bytes > self._hub.limits.header_bytes + HEAD_SLACK:
                    self._refuse_head()
        elif self.received - self._body_size > MOST_FRAMING + 16 * self._body_size:
            self._refuse(400, "The request holds far more framing (chunk extensions, trailers) than content.")

    # ---- the parser's side

    def on_message_begin(self) -> None:
        """A request begins to arrive."""
        self._url = b""
        self._headers = []
        self._header_size = 0
        self.received = 0
        self._body_size = 0
        self._head_bytes = 0
        self._in_head = True
        self.idle_since = 0.0
        self.arriving_since = self._loop.time()

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._url += url
        self._header_size += len(url)
        if self._header_size > self._hub.limits.header_bytes:
            self._refuse_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; past the bound the connection is refused."""
        headers = self._headers
        headers.append((name.lower(), value))
        self._header_size += len(name) + len(value) + 4
        if self._header_size > self._hub.limits.header_bytes or len(headers) > self._hub.limits.headers:
            self._refuse_head()

    def _refuse_head(self) -> None:
        limits = self._hub.limits
        self._headers.clear()
        self._refuse(
            431,
            f"The request's head is too large: at most {limits.headers} headers and "
            f"{limits.header_bytes} bytes.",
        )

    def on_headers_complete(self) -> None:
        """The head is whole; a large or unbounded body is read by the handler, a small one comes first."""
        self._in_head = False
        if self._refused:
            return
        raw = self._headers
        self._headers = []  # what still comes is trailers
        exchange = self._incoming = self._begin(raw)
        headers = exchange.headers
        if len(headers) != len(raw) and (twice := _twice(raw)) is not None:
            self._refuse(400, f"A request must carry one {twice} header only.")
        elif b"host" not in headers and exchange.version != "1.0":
            self._refuse(400, "A request must carry a Host header.")
        else:
            self._locate(exchange)
            declared = headers.get(b"content-length")
            if declared is None:
                coding = headers.get(b"transfer-encoding")
                if coding is not None and coding.lower() != b"chunked":
                    self._refuse(400, "The only transfer coding that is taken is chunked.")
                    return
                early = coding is not None
            else:
                early = len(declared) > 5 or b"expect" in headers  # 100 kB and more
            if early:
                self._accept(exchange)

    def _locate(self, exchange: Exchange) -> None:
        url = self._url
        if url[:1] != b"/" or b"?" in url or b"%" in url or b"#" in url:
            parsed = httptools.parse_url(url)
            url = parsed.path or b"/"
            exchange.query = parsed.query or b""
        exchange.raw_path = url
        path = url.decode("ascii")
        exchange.path = unquote(path) if "%" in path else path

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_size += len(body)
        if self._incoming is not None:
            self._incoming.feed(body)

    def on_message_complete(self) -> None:
        """The request has arrived."""
        self.arriving_since = 0.0
        exchange, self._incoming = self._incoming, None
        if exchange is None or self._refused:
            return
        exchange.feed_end()
        if exchange.task is None and exchange is not self._current:
            self._accept(exchange)


def _twice(raw: list[Header]) -> str | None:
    """The header that came more than once although what a server makes of it must not depend on which one it reads."""
    names = [name for name, _ in raw]
    return next((told for name, told in _ONCE if names.count(name) > 1), None)
