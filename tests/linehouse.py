"""Our connection layer alone on a loopback port: any handler, no platform behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ingot.web.connection import Connection
from ingot.web.exchange import Handler
from ingot.web.hub import ConnectionLimits, Hub


class _State:
    """What uvicorn keeps of its connections."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.total_requests = 0


def _refuse(status: int, message: str) -> tuple[int, bytes, bytes]:
    return status, b"", message.encode()


@dataclass
class LineHouse:
    """A server: its port, and all connections that it had, those that are open still in `live`."""

    port: int
    hub: Hub
    connections: list[Connection] = field(default_factory=list)

    @property
    def live(self) -> list[Connection]:
        """The connections that are open."""
        return [each for each in self.connections if each in self.hub.connections]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[LineHouse]:
    """The server, until its tests are over; what it has open by then is theirs to end."""
    house = LineHouse(0, Hub(handler, limits=ConnectionLimits(), refuse=_refuse))

    def accept() -> Connection:
        house.connections.append(Connection(house.hub, _State()))
        return house.connections[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    house.port = server.sockets[0].getsockname()[1]
    try:
        yield house
    finally:
        server.close()
        await server.wait_closed()
