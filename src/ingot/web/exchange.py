"""One request and its answer on a connection: what a handler reads from and writes to.

    arriving --head and body are there--> running --respond | start, write..., finish--> complete
                                             '------- client leaves --------> gone: the handler's task is cancelled

Frames bytes as HTTP/1.1 and nothing more; knows no route, no dialect and no JSON. Writing is synchronous and
goes out at once, the head together with the first bytes of the body; `drain` waits while the client is slow.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from httptools import HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

HIGH_WATER = 64 * 1024
"""Bytes of a body that are taken before somebody asks for them."""

NO_BODY = frozenset({204, 304})

Header = tuple[bytes, bytes]


class Tenant(Protocol):
    """Another protocol on a connection that a request turned over to it."""

    def receive(self, data: bytes) -> None:
        """Bytes came."""
        ...

    def sweep(self, now: float) -> None:
        """Ends what has outlived its time; called about once a second."""
        ...

    def drain(self) -> None:
        """The server ends: what runs may finish, nothing new begins."""
        ...


class Line(Protocol):
    """What an exchange asks of its connection, and what the connection keeps from one exchange to the next."""

    authorization: bytes | None
    """The header that was read last, and below the digest of its key."""
    digest: bytes

    @property
    def date(self) -> bytes: ...
    @property
    def peer(self) -> tuple[str, int] | None: ...

    def write(self, data: bytes) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def answered(self, exchange: "Exchange") -> None: ...
    def switch(self, tenant: Tenant) -> bytes: ...
    def hang_up(self) -> None: ...
    def cut(self) -> None: ...
    async def drain(self) -> None: ...


class ClientGone(Exception):
    """The client left before its request had come whole."""


class BodyTooLarge(Exception):
    """More bytes came than the reader allows."""


class Exchange:
    """One request and its answer; `headers` keeps the last of repeated names, `raw_headers` keeps all."""

    __slots__ = (
        "_chunked",
        "_complete_in",
        "_head",
        "_parts",
        "_remaining",
        "_size",
        "_waiter",
        "complete",
        "gone",
        "headers",
        "keep_alive",
        "line",
        "method",
        "path",
        "query",
        "raw_headers",
        "raw_path",
        "started",
        "status",
        "task",
        "version",
    )

    def __init__(self, line: Line, parser: HttpRequestParser, raw_headers: list[Header]) -> None:
        """`parser` has just read the head of this request."""
        method = parser.get_method()
        self.line = line
        self.method = "POST" if method == b"POST" else method.decode("ascii")
        self.raw_headers = raw_headers
        self.headers = dict(raw_headers)
        self.version = version = parser.get_http_version()
        self.keep_alive = version != "1.0" and parser.should_keep_alive()
        self.path = ""
        self.raw_path = b""
        self.query = b""
        self.task: asyncio.Task[Any] | None = None
        self.started = False
        self.status = 0
        self.complete = False
        self.gone = False
        self._head = b""
        self._chunked = False
        self._remaining = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._complete_in = False
        self._waiter: asyncio.Future[None] | None = None

    # ---- the request, as the connection feeds it

    def feed(self, data: bytes) -> None:
        """A piece of the body came."""
        self._parts.append(data)
        self._size += len(data)
        if self._waiter is not None:
            self._wake()
        elif self._size > HIGH_WATER:
            self.line.pause_reading()

    def feed_end(self) -> None:
        """The request is whole."""
        self._complete_in = True
        if self._waiter is not None:
            self._wake()

    def leave(self) -> None:
        """The client is gone: whoever works on its answer is told at once."""
        if self.complete:
            return
        self.gone = True
        if self._waiter is not None:
            self._wake()
        elif self.task is not None:
            self.task.cancel()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- the request, as a handler reads it

    @property
    def arrived(self) -> bool:
        """Whether the whole request is here."""
        return self._complete_in

    async def read(self, limit: int) -> bytes:
        """The whole body; raises BodyTooLarge past `limit` bytes and ClientGone."""
        while not self._complete_in and self._size <= limit:
            await self._more()
        if self._size > limit:
            raise BodyTooLarge
        return self.take()

    async def read_piece(self) -> tuple[bytes, bool]:
        """What has come of the body since the last call, and whether more will; raises ClientGone."""
        if not self._complete_in and not self._parts:
            await self._more()
        return self.take(), not self._complete_in

    def take(self) -> bytes:
        """What has come of the body and was not taken yet."""
        parts = self._parts
        self._parts = []
        self._size = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _more(self) -> None:
        if self.gone:
            raise ClientGone
        if self.headers.get(b"expect") == b"100-continue" and not self._parts:
            self.line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.line.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self.gone:
            raise ClientGone

    # ---- the answer

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        """A whole answer; `head` holds further header lines, each with its end."""
        if self.gone:
            return
        self.started = True
        self.status = status
        line = self.line
        if not self._complete_in:
            self.keep_alive = False
        close = b"" if self.keep_alive else b"connection: close\r\n"
        head = b"%b%b%bcontent-length: %d\r\n%b\r\n" % (
            STATUS_LINE[status],
            line.date,
            head,
            len(body),
            close,
        )
        line.write(head if self.method == "HEAD" else head + body)
        self._end()

    def start(self, status: int, head: bytes, *, length: int | None = None) -> None:
        """The head of an answer that comes in pieces; `length` in bytes where it is known."""
        self.started = True
        self.status = status
        if not self._complete_in:
            self.keep_alive = False
        if length is not None:
            framing = b"content-length: %d\r\n" % length
            self._remaining = length
        elif status in NO_BODY:
            framing = b""
        elif self.version == "1.0":
            framing = b""
            self.keep_alive = False  # the end of the connection is the end of the body
        else:
            framing = b"transfer-encoding: chunked\r\n"
            self._chunked = True
        close = b"" if self.keep_alive else b"connection: close\r\n"
        self._head = b"%b%b%b%b%b\r\n" % (STATUS_LINE[status], self.line.date, head, framing, close)

    def switch(self, tenant: Tenant, head: bytes) -> None:
        """The answer that agrees to another protocol, which from now on has the connection; `head` names it."""
        early = self.line.switch(tenant)
        self.started = True
        self.status = 101
        self.line.write(b"%b%b%b\r\n" % (STATUS_LINE[101], self.line.date, head))
        if early:
            tenant.receive(early)

    def write(self, piece: bytes) -> bool:
        """A piece of the answer; it leaves at once. True while the client is behind and `drain` should be awaited."""
        if self._chunked and not self._head and piece and not self.gone:
            return self.line.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return self._write_first(piece)

    def _write_first(self, piece: bytes) -> bool:
        if self.gone or not piece:
            return False
        head, self._head = self._head, b""
        if self.method == "HEAD":
            data = head
        elif self._chunked:
            data = b"%b%x\r\n%b\r\n" % (head, len(piece), piece)
        else:
            data = head + piece
            self._remaining -= len(piece)
        return self.line.write(data)

    def finish(self) -> None:
        """The end of an answer that came in pieces."""
        if self.gone:
            return
        if self._remaining > 0 and self.method != "HEAD":
            self.cut()
            return
        data = self._head + (b"0\r\n\r\n" if self._chunked and self.method != "HEAD" else b"")
        self._head = b""
        if data:
            self.line.write(data)
        self._end()

    def cut(self) -> None:
        """Breaks the connection: a broken answer must never look like a whole one."""
        self.complete = True
        self.line.cut()

    async def drain(self) -> None:
        """Waits until the client has taken enough of what was written."""
        await self.line.drain()

    def _end(self) -> None:
        self.complete = True
        self.line.answered(self)


Handler = Callable[[Exchange], Any]
"""Answers an exchange; a coroutine function."""
