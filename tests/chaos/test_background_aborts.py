"""T-B-abort-bytes: a client leaves after any byte of its request, or of the answer: no work of it is stuck for ever.

What was taken ends, and what was not leaves nothing (B10). `INGOT_ABORT_STEP` sets how many bytes lie between two tries.
"""

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import pytest

from batchhouse import CHAT, ENDED, named
from retryclient import rows
from rig import Backstage, chat, post, stage, wait_until
from served import PATIENCE, Served

STEP: Final = int(os.environ.get("INGOT_ABORT_STEP", "5"))
CONFIG: Final = """
    [targets.up]
    base_url = "{up}"
    breaker = { failures = 1000 }
    [models]
    mock = { targets = ["up"], windows = ["asap", "standard"], price = { input = 1, output = 2 } }
"""
Stage = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("aborts"), CONFIG) as both:
        yield both


def work(kind: str) -> bytes:
    """A request that makes work that waits."""
    if kind == "background":
        return post(chat("echo: hello", background=True))
    body: dict[str, Any] = {"endpoint": CHAT, "requests": named({"a": "echo: one", "b": "echo: two"})}
    return post(_encoded(body), path="/v1/batches")


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def leave(served: Served, raw: bytes, *, after: int) -> None:
    """Sends a request and is gone, by RST, after so many bytes of the answer; negative: so many before the request's end."""
    with closing(socket.create_connection(("127.0.0.1", served.port), PATIENCE)) as line:
        line.sendall(raw[:after] if after < 0 else raw)
        left = max(after, 0)
        while left > 0 and (came := line.recv(left)):
            left -= len(came)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def length(served: Served, raw: bytes) -> int:
    """Bytes of the whole answer."""
    with closing(socket.create_connection(("127.0.0.1", served.port), PATIENCE)) as line:
        line.sendall(raw)
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(1)
        lines = head.lower().split(b"\r\n")
        size = next(int(each[15:]) for each in lines if each.startswith(b"content-length:"))
    return len(head) + size


@pytest.mark.parametrize("kind", ["background", "batch"])
def test_t_b_abort_bytes_nothing_is_stuck_when_a_client_leaves_at_any_byte(scene: Stage, kind: str) -> None:
    """B10: whatever was taken has ended with one ledger row for each answer, whether its client heard of it or not."""
    served, _ = scene
    raw = work(kind)
    size = length(served, raw)
    for after in (*range(-len(raw) + 1, 0, STEP), *range(0, size, STEP)):
        leave(served, raw, after=after)
    heard = size // STEP - 1  # these had the first byte of an answer
    wait_until(lambda: rows(served.data, "SELECT count(*) FROM items") == [(0,)], "nothing waits")
    wait_until(lambda: rows(served.data, "SELECT count(*) FROM jobs") == [(0,)], "nothing is leased")
    if kind == "batch":
        states = rows(served.data, "SELECT state FROM batches")
        assert {state for (state,) in states} <= ENDED
        assert len(states) >= heard
        lines = "SELECT count(*) FROM batch_lines AS l LEFT JOIN responses AS r ON r.id = l.response_id WHERE r.id IS NULL"
        assert rows(served.data, lines) == [(0,)]
    found = rows(served.data, "SELECT state, count(*) FROM responses GROUP BY state")
    assert [state for state, _ in found] == ["completed"]
    assert found[0][1] >= heard
    billed = "SELECT count(*), count(DISTINCT billable_id) FROM ledger WHERE kind = 'inference'"
    assert rows(served.data, billed) == [(found[0][1], found[0][1])]
    status, _, _ = served.chat("still here")
    assert status == 200
    assert not [line for line in served.logs() if line["level"] == "error"]
