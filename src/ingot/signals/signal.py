"""Hints that something has changed, for those who would find out by looking: losing every one of them costs a moment.

    send(topic) --> every wait(topic) in reach ends early

`LocalSignal` reaches this process; `signals.postgres` all that share a database. Carries no data but the topic.
"""

import asyncio
from collections import defaultdict
from typing import Final, Protocol

WORK: Final = "work"
"""Something was put into the queue, or given back."""
ENDS: Final = "ends"
"""Somebody wants work ended, or it has ended."""
EVENTS: Final = "events"
"""A stream in the background has said more."""
BATCHES: Final = "batches"
"""A batch has come, or is to be ended."""


class Signal(Protocol):
    """Sends and awaits hints; belongs to one event loop."""

    def send(self, topic: str) -> None:
        """Wakes who waits for the topic, soon."""
        ...

    def mark(self, topic: str) -> int:
        """What to give to `wait`: hints that come from now on are not missed."""
        ...

    async def wait(self, topic: str, mark: int, seconds: float) -> None:
        """Returns on the first hint after the mark, or when the time is over."""
        ...

    async def start(self) -> None:
        """Begins to listen."""
        ...

    async def close(self) -> None:
        """Sends and hears nothing any more."""
        ...


class LocalSignal:
    """Hints within one process."""

    def __init__(self) -> None:
        self._marks: defaultdict[str, int] = defaultdict(int)
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    async def start(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to give up."""

    def send(self, topic: str) -> None:
        """Wakes who waits here."""
        self._marks[topic] += 1
        for each in self._waiting.pop(topic, ()):
            if not each.done():
                each.set_result(None)

    def mark(self, topic: str) -> int:
        """How many hints there were."""
        return self._marks[topic]

    async def wait(self, topic: str, mark: int, seconds: float) -> None:
        """Returns at once where a hint came since the mark."""
        if self._marks[topic] != mark:
            return
        hint = asyncio.get_running_loop().create_future()
        self._waiting[topic].add(hint)
        try:
            await asyncio.wait([hint], timeout=seconds)
        finally:
            self._waiting[topic].discard(hint)
