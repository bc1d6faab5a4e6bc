"""The HTTP server of one process: uvicorn with our connections, our signals and our sweep.

Decides when the server is up, when it drains and when it ends; knows no route.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from typing import Any

import uvicorn

from ingot.web.connection import Connection
from ingot.web.hub import Hub


class Server(uvicorn.Server):
    """Ends with exit status 0 after SIGTERM or SIGINT; a second signal ends it at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        hub: Hub,
        *,
        on_up: Callable[[str, int], Awaitable[None]],
        on_drain: Callable[[], None],
    ) -> None:
        """`on_up` is awaited with the bound address, `on_drain` is called when the first signal comes."""
        super().__init__(config)
        self._hub = hub
        self._on_up = on_up
        self._on_drain = on_drain

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes SIGTERM and SIGINT for as long as the server runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _drain(self) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        self._on_drain()

    async def startup(self, sockets: "list[object] | None" = None) -> None:  # type: ignore[override]  # as uvicorn's
        """Listens, then says where."""
        await super().startup(sockets=sockets)  # type: ignore[arg-type]  # handed through
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            await self._on_up(host, port)

    async def shutdown(self, sockets: "list[object] | None" = None) -> None:  # type: ignore[override]  # as uvicorn's
        """Drains for as long as was configured, then cancels what still runs."""
        await super().shutdown(sockets=sockets)  # type: ignore[arg-type]  # handed through
        for connection in tuple(self._hub.connections):
            connection.end()
        await asyncio.sleep(0)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if counter % 10 == 0:
            self._hub.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
            now = asyncio.get_running_loop().time()
            for connection in tuple(self._hub.connections):
                connection.sweep(now)
        return await super().on_tick(counter)


BACKLOG = 4096


def bind(host: str, port: int) -> socket.socket:
    """A socket that holds the address; raises OSError where it cannot be had."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def build(
    hub: Hub,
    *,
    drain_seconds: float,
    on_up: Callable[[str, int], Awaitable[None]],
    on_drain: Callable[[], None],
) -> Server:
    """A server that is ready to `serve(sockets=[...])`; `drain_seconds` is what running requests get after a signal."""
    config = uvicorn.Config(
        hub.handler,
        http=connector(hub),  # type: ignore[arg-type]  # uvicorn calls it as a class
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
    )
    return Server(config, hub, on_up=on_up, on_drain=on_drain)


def connector(hub: Hub) -> Callable[..., Connection]:
    """What uvicorn calls, as if it were a protocol class, for each accepted socket."""

    def connect(config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> Connection:  # noqa: ARG001  # uvicorn's signature
        return Connection(hub, server_state)

    return connect
