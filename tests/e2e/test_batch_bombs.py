"""T-B-bad: bodies that are meant to do harm, or never come whole: no batch is made, and not a row of one is left."""

import gzip
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import pytest

from batchhouse import CHAT, CONFIG, Scene, chat, make, named, over
from retryclient import rows
from rig import post, stage, wait_until
from served import PATIENCE, Served

MOST: Final = 500
"""Requests of a batch by the configuration."""
TABLES: Final = ("batches", "batch_lines", "items", "jobs")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("bombs"), CONFIG) as both:
        yield both


def whole(requests: list[Any]) -> bytes:
    """The body of a batch."""
    return json.dumps({"endpoint": CHAT, "requests": requests}).encode()


def counted(served: Served) -> list[Any]:
    """How many rows each table of batches has."""
    return [rows(served.data, f"SELECT count(*) FROM {table}") for table in TABLES]  # noqa: S608  # our own names


DEEP: Final = whole(named({"a": "x"})).replace(b'"content": "x"', b'"content": ' + b"[" * 5000 + b"]" * 5000)
BOMBS: Final[list[tuple[str, bytes, dict[str, str], int]]] = [
    ("too many", whole(named({f"r{number}": "x" for number in range(MOST + 1)})), {}, 400),
    ("twice the same name", whole([*named({"a": "x"}), *named({"a": "y"})]), {}, 400),
    ("deep", DEEP, {}, 400),
    ("cut off", whole(named({"a": "x", "b": "y"}))[:-20], {}, 400),
    ("a number too large to hold", whole([{"custom_id": "a", "params": {}}]).replace(b"{}", b"9" * 5000), {}, 400),
    ("compressed", gzip.compress(b"[" * 20_000_000), {"content-encoding": "gzip"}, 415),
    ("too large a request", whole(named({"a": "x" * 30_000})), {}, 413),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "headers", "status"), [row[1:] for row in BOMBS], ids=[row[0] for row in BOMBS]
)
def test_t_b_bad_nothing_is_left_when_a_body_is_a_bomb(
    scene: Scene, body: bytes, headers: dict[str, str], status: int
) -> None:
    """B01, B02: an error of the client, that says what is wrong, and no row of a batch."""
    served, _ = scene
    before = counted(served)
    found, _, told = served.call("/v1/batches", body, headers=headers)
    assert found == status, told
    assert json.loads(told)["error"]["message"]
    wait_until(lambda: counted(served) == before, "nothing is left")


@pytest.mark.parametrize("leaves", ["at the end", "with a reset"])
def test_t_b_bad_nothing_is_left_when_a_body_comes_slowly_and_never_whole(scene: Scene, leaves: str) -> None:
    """B01: its client sends a little at a time, and is gone before the end; others are served all the while."""
    served, _ = scene
    before = counted(served)
    raw = post(whole(named({f"r{number}": "x" * 100 for number in range(200)})), path="/v1/batches")
    pieces = [raw[at : at + 4096] for at in range(0, len(raw), 4096)]
    with closing(socket.create_connection(("127.0.0.1", served.port), PATIENCE)) as line:
        for piece in pieces[:-1]:
            line.sendall(piece)
            assert served.call("/v1/models")[0] == 200
        if leaves == "with a reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: counted(served) == before, "nothing is left")
    status, _, made = make(served, [{"custom_id": "a", "params": chat("echo: on")}])
    assert status == 200, made
    assert over(served, made["id"])["status"] == "completed"
