"""Where the answer of an item goes: nobody waits for it, but somebody may read along.

QuietDoor    a whole answer is kept by its record: this door forgets it
StreamDoor   the events of a stream are written down in small groups while they come
"""

import asyncio
from typing import Final

import msgspec

from ingot.logs import Log
from ingot.services.jobs import Jobs
from ingot.sse import SseSplitter, encode_event, event_data
from ingot.store.events import Event
from ingot.store.faults import StoreError
from ingot.store.queue import Claim

GATHER_SECONDS: Final = 0.05
MOST_PENDING: Final = 1000
"""Events that wait to be written down before the target is slowed."""


class QuietDoor:
    """Takes a whole answer, and any stream, without a word."""

    def note(self, lines: bytes) -> None:
        """There are no headers."""

    def answer(self, status: int, body: bytes, *, content_type: bytes) -> None:
        """It is in the record."""

    def start(self, status: int, *, content_type: bytes) -> None:
        """Nothing to begin."""

    def write(self, piece: bytes) -> bool:  # noqa: ARG002  # the door's shape
        """Never behind."""
        return False

    async def drain(self) -> None:
        """Never behind."""

    def finish(self) -> None:
        """Nothing to end."""


class StreamDoor:
    """Writes a stream down, event by event, for whoever reads it from wherever; belongs to one try of one item."""

    def __init__(self, jobs: Jobs, claim: Claim, response_id: str, *, log: Log, renumber: bool) -> None:
        """`renumber` says that events hold their number themselves, which goes on where an earlier run stopped."""
        self._jobs = jobs
        self._claim = claim
        self._id = response_id
        self._log = log
        self._renumber = renumber
        self._splitter = SseSplitter()
        self._next = 0
        self._base = 0
        self._pending: list[Event] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Finds the number of its first event."""
        self._base = self._next = await self._jobs.begin_events(self._claim, self._id)

    def note(self, lines: bytes) -> None:
        """There are no headers."""

    def answer(self, status: int, body: bytes, *, content_type: bytes) -> None:
        """A stream has no whole answer."""

    def start(self, status: int, *, content_type: bytes) -> None:
        """The first event begins it."""

    def write(self, piece: bytes) -> bool:
        """Takes events; True while too many wait to be written down."""
        for event in self._splitter.feed(piece):
            data = event_data(event)
            if data is not None:
                told = self._numbered(data, event) if self._renumber and self._base else event
                self._pending.append(Event(self._next, self._claim.epoch, told))
                self._next += 1
        if self._task is None and self._pending:
            self._task = asyncio.get_running_loop().create_task(self._soon())
        return len(self._pending) > MOST_PENDING

    async def drain(self) -> None:
        """Waits until what came is written down."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def finish(self) -> None:
        """The last event came."""

    async def close(self, *, ended: bool) -> None:
        """Writes the rest down where the result was written; drops it where it was not."""
        await self.drain()
        if ended:
            self._pending.append(Event(self._next, self._claim.epoch, b""))
            events, self._pending = self._pending, []
            await self._jobs.close_events(self._id, events)

    async def _soon(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        events, self._pending = self._pending, []
        try:
            if not await self._jobs.append_events(self._claim, self._id, events):
                # The result was written meanwhile, or somebody else has the job: `close` knows which.
                self._pending = events + self._pending
        except StoreError as error:
            self._pending = events + self._pending
            self._log.warning("events not written down yet", response=self._id, reason=error.message)
        self._task = None

    def _numbered(self, data: bytes, event: bytes) -> bytes:
        """The event with its number in the order of all runs."""
        value = msgspec.json.decode(data)
        if not isinstance(value, dict) or "sequence_number" not in value:
            return event
        kind = value.get("type")
        changed = msgspec.json.encode({**value, "sequence_number": self._next})
        return encode_event(changed, kind.encode() if isinstance(kind, str) else None)
