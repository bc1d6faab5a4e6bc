"""Writes of one turn leave together, in order, and never after a close."""

import asyncio

from ingot.outbox import Outbox


class Wire(asyncio.Transport):
    """A transport that remembers what was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Remembers one write."""
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        """Whether the test closed it."""
        return self.closed


async def test_pieces_for_one_socket_are_one_write_when_posted_in_one_turn() -> None:
    """Order is kept, and nothing is written before the turn ends."""
    outbox = Outbox(asyncio.get_running_loop())
    first, second = Wire(), Wire()
    outbox.post(first, b"a")
    outbox.post(second, b"x")
    outbox.post(first, b"b")
    assert first.written == []
    await asyncio.sleep(0)
    assert first.written == [b"ab"]
    assert second.written == [b"x"]


async def test_held_bytes_leave_at_once_when_flushed() -> None:
    """A flush before a close writes now, and the turn's end writes nothing twice."""
    outbox = Outbox(asyncio.get_running_loop())
    wire = Wire()
    outbox.post(wire, b"last words")
    outbox.flush(wire)
    assert wire.written == [b"last words"]
    await asyncio.sleep(0)
    assert wire.written == [b"last words"]


async def test_nothing_is_written_when_the_transport_closed_or_was_dropped() -> None:
    """A closed transport takes no bytes; a dropped one gets none."""
    outbox = Outbox(asyncio.get_running_loop())
    closed, dropped = Wire(), Wire()
    outbox.post(closed, b"a")
    outbox.post(dropped, b"b")
    closed.closed = True
    outbox.drop(dropped)
    await asyncio.sleep(0)
    assert closed.written == dropped.written == []


async def test_next_turn_writes_again_when_more_is_posted() -> None:
    """The outbox is not spent after one flush."""
    outbox = Outbox(asyncio.get_running_loop())
    wire = Wire()
    for text in (b"a", b"b"):
        outbox.post(wire, text)
        await asyncio.sleep(0)
    assert wire.written == [b"a", b"b"]
