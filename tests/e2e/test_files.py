"""Files on a real port: large ones in little memory, and nothing left of what broke off."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from rig import memory
from served import PATIENCE, Served, serving

SIZE = 80_000_000
ROOM = 40_000_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server without the engine."""
    with serving("[engine]\nenabled = false\n", tmp_path_factory.mktemp("files")) as running:
        yield running


def _left(served: Served) -> list[Path]:
    return [path for path in (served.data / "files").rglob("*") if path.is_file()]


def test_file_costs_little_memory_when_large(served: Served, tmp_path: Path) -> None:
    """It goes to disk as it comes and leaves as it is read, by OpenAI's own client."""
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        for _ in range(SIZE // 1_000_000):
            file.write(os.urandom(1_000_000))
    client = OpenAI(base_url=served.v1, api_key=served.key, max_retries=0)
    client.files.list()
    before = memory(served.process.pid, "VmHWM")
    made = client.files.create(file=source, purpose="user_data")
    with client.files.with_streaming_response.content(made.id) as answer, source.open("rb") as file:
        for piece in answer.iter_bytes(1_000_000):
            assert piece == file.read(len(piece))
        assert not file.read(1)
    assert memory(served.process.pid, "VmHWM") - before < ROOM
    client.files.delete(made.id)
    assert _left(served) == []


def test_nothing_is_left_when_the_client_leaves(served: Served) -> None:
    """In the middle of a file."""
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {served.key}\r\n"
        "content-type: multipart/form-data; boundary=xx\r\ncontent-length: 100000000\r\n\r\n"
        '--xx\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    ).encode()
    with socket.create_connection(("127.0.0.1", served.port)) as line:
        line.sendall(head + bytes(3_000_000))
        deadline = time.monotonic() + PATIENCE
        while not any(path.stat().st_size for path in _left(served)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    while _left(served):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert served.call("/v1/files")[0] == 200


def test_file_is_refused_early_when_its_key_is_wrong(served: Served) -> None:
    """Before anything of it is taken."""
    status, _, _ = served.call(
        "/v1/files", b"x", key="ik-wrong", headers={"content-type": "multipart/form-data"}
    )
    assert status == 401
    assert _left(served) == []
