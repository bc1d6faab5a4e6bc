"""What the connections of one server share: their limits, their handler, one outbox, one clock line."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ingot.outbox import Outbox
from ingot.web.exchange import Handler

Refuse = Callable[[int, str], tuple[int, bytes, bytes]]
"""Records a request that never reached a handler, by (status, message); gives status, header lines and body for it."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of one connection; times in seconds, sizes in bytes."""

    headers: int = 64
    header_bytes: int = 16 * 1024
    request_seconds: float = 30.0
    seconds_per_megabyte: float = 1.0
    idle_seconds: float = 75.0
    unread_seconds: float = 60.0
    buffer_bytes: int = 256 * 1024


class Member(Protocol):
    """What a server asks of its connections."""

    def sweep(self, now: float) -> None:
        """Ends what has outlived its time."""
        ...

    def end(self) -> None:
        """Cancels what still runs."""
        ...


class Hub:
    """The shared part; belongs to one event loop."""

    def __init__(self, handler: Handler, *, limits: ConnectionLimits, refuse: Refuse) -> None:
        self.handler = handler
        self.limits = limits
        self.refuse = refuse
        self.outbox = Outbox(asyncio.get_running_loop())
        self.connections: set[Member] = set()
        self.date = b""
        """The Date header's line, renewed once a second."""
