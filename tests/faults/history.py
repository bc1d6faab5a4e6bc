"""What each process of a run saw: events in append-only logs, one log for each process, and all of them read as one history.

    client     submit, admit, read, failed, and of batches poll, result       upstream     exec_start, exec_end
    database   settle, waiting, kept                                          server       fence, event_sent
    receiver   event_acked

A batch is an operation, and so is each of its requests.

Instants are of the machine's monotonic clock, which all its processes share. Decides the shape of events; refuses to judge
them.
"""

import random
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

What = Literal[
    "submit", "admit", "read", "failed", "poll", "result", "exec_start", "exec_end", "settle", "waiting", "kept", "fence",
    "event_sent", "event_acked",
]  # fmt: skip

ENDED = frozenset({"completed", "failed", "cancelled", "incomplete", "expired"})
BATCH_ENDED = frozenset({"completed", "failed", "cancelled", "expired"})

_CANARY = re.compile(rb"canary-([a-z]+)-([a-z0-9]+)-[0-9a-f]{8}")


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that one process saw; which fields count depends on `what`."""

    at: float
    what: What
    op: str = ""
    """The operation, as its client named it."""
    tenant: str = ""
    who: str = ""
    run: str = ""
    """An execution's number, a response's, a batch's or an event's id; with result, the operation whose results were read."""
    state: str = ""
    text: str | None = None
    """What was answered; with submit, what is right to answer."""
    input: int = 0
    output: int = 0
    characters: int = 0
    """Of the text that an execution had sent when it ended."""
    whole: bool = True
    bills: int = 0
    """Ledger rows of a settled operation."""
    estimated: bool = False
    foreign: int = 0
    """Bytes that were meant for another tenant."""
    count: int = 1
    counts: dict[str, int] = {}
    """Requests of a batch by how they stand, with their `total` where that is told."""
    batch: str = ""
    """With settle: the id of the batch whose request it is."""
    hook: bool = False
    """With submit: somebody is to be told of its end."""


class Journal:
    """The log of one process: each event is a line, written at once and never changed. Any thread may write."""

    def __init__(self, folder: Path, who: str) -> None:
        self._who = who
        self._lock = threading.Lock()
        self._file = (folder / f"{who}.jsonl").open("ab", buffering=0)

    def write(self, event: Event) -> None:
        """Adds an event; it gets the name of the process."""
        line = msgspec.json.encode(msgspec.structs.replace(event, who=self._who)) + b"\n"
        with self._lock:
            self._file.write(line)

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()


def now() -> float:
    """The instant of an event."""
    return time.monotonic()


def gather(folder: Path) -> list[Event]:
    """All events of all logs in the order of time."""
    decoder = msgspec.json.Decoder(Event)
    logs = sorted(folder.glob("*.jsonl"))
    events = [decoder.decode(line) for log in logs for line in log.read_bytes().splitlines()]
    return sorted(events, key=lambda event: event.at)


def canary(tenant: str, op: str, draw: random.Random) -> str:
    """A word that stands in one tenant's operation and nowhere else."""
    return f"canary-{tenant}-{op}-{draw.getrandbits(32):08x}"


def operation_in(data: bytes) -> tuple[str, str] | None:
    """Tenant and operation of the first canary."""
    found = _CANARY.search(data)
    return None if found is None else (found[1].decode(), found[2].decode())


def foreign_bytes(data: bytes, *, tenant: str, op: str) -> int:
    """Bytes of canaries that are not this operation's own."""
    own = (tenant.encode(), op.encode())
    return sum(len(found[0]) for found in _CANARY.finditer(data) if (found[1], found[2]) != own)


def of_kind(events: Iterable[Event], *kinds: What) -> list[Event]:
    """The events of these kinds."""
    return [event for event in events if event.what in kinds]


def batch_of(op: str) -> str:
    """The operation of the batch whose request an operation is; empty where it is none."""
    return op.rpartition("i")[0]
