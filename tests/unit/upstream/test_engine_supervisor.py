"""The supervisor over a llama-server binary: the scriptable upstream behind llama-server's flags."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ingot.clock import SystemClock
from ingot.upstream.engine import Engine, EngineDown, EngineSpec, Tempo
from ingot.upstream.engine.child import WORKER
from ingot.upstream.engine.supervisor import binary_argv, restart_delay

UPSTREAM = Path(__file__).parents[2] / "upstream.py"
PATIENCE = 30.0
QUICK = Tempo(
    patience=PATIENCE,
    poll=0.05,
    poll_timeout=5.0,
    first_delay=0.01,
    longest_delay=0.02,
    failed_delay=PATIENCE,
)

LLAMA_SERVER = f"""#!{sys.executable}
import os, sys, time
words = sys.argv[1:]
flags = dict(zip(words, words[1:]))
with open(flags["--model"] + ".argv", "a") as file:
    file.write(" ".join(words) + "\\n")
if flags.get("--mode") == "exit":
    sys.exit("E the model is broken")
if flags.get("--mode") == "silent":
    time.sleep(600)
key = os.environ["LLAMA_API_KEY"]
os.execv(sys.executable, [sys.executable, {str(UPSTREAM)!r}, "--port", flags["--port"], "--key", key])
"""


class Notes:
    """A log that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    info = warning = error = debug


def binary(tmp_path: Path) -> Path:
    """A llama-server in a folder of its own, whose name has a space."""
    path = tmp_path / "my engines" / "llama-server"
    path.parent.mkdir(exist_ok=True)
    path.write_text(LLAMA_SERVER)
    path.chmod(0o755)
    return path


@asynccontextmanager
async def running(
    tmp_path: Path, *, tempo: Tempo = QUICK, flags: str = "", log: Notes | None = None
) -> AsyncIterator[Engine]:
    """A started engine over that binary."""
    path = binary(tmp_path)
    command = f"'{path}' {flags}" if flags else str(path)
    spec = EngineSpec("small", tmp_path / "model.gguf", parallel=3, context=4096, threads=1, command=command)
    engine = Engine(spec, clock=SystemClock(), log=log or Notes(), tempo=tempo)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop(0.0)


async def until(true: Callable[[], bool]) -> None:
    """Waits for a condition, with a limit that is a safety net alone."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - the state of another process
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in {"", "Z"}


async def status(engine: Engine, key: str | None = None) -> int:
    """What the engine answers to a chat with its own key or another."""
    address = await engine.origin()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    body = b'{"model":"scripted","messages":[{"role":"user","content":"hi"}]}'
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key or address.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_binary_serves_when_a_command_is_set(tmp_path: Path) -> None:
    """Any llama-server takes the wheel's place; its key is ours alone and in no command line."""
    async with running(tmp_path) as engine:
        address = await engine.origin()
        assert engine.ready
        assert engine.state == "ready"
        assert await status(engine) == 200
        assert await status(engine, "another-key") == 401
    said = (tmp_path / "model.gguf.argv").read_text()
    assert address.key not in said
    for words in (
        "--alias small",
        "--host 127.0.0.1",
        "--parallel 3",
        "--ctx-size 12288",
        "--threads 1",
        "--jinja",
    ):
        assert words in said


async def test_engine_returns_when_its_process_is_killed(tmp_path: Path) -> None:
    """The end is noticed without a poll, the next process has another address and another key."""
    notes = Notes()
    async with running(tmp_path, tempo=Tempo(poll=PATIENCE, patience=PATIENCE), log=notes) as engine:
        first = await engine.origin()
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        second = await engine.origin()
        assert second.key != first.key
        assert engine.restarts >= 1
        ends = [fields["reason"] for name, fields in notes.events if name == "engine.ended"]
        assert "SIGKILL" in ends[0]
        assert await status(engine) == 200


async def test_engine_returns_when_its_process_hangs(tmp_path: Path) -> None:
    """A process that answers no health poll is killed and replaced."""
    tempo = Tempo(patience=PATIENCE, poll=0.02, poll_timeout=0.3, polls_missed=2)
    async with running(tmp_path, tempo=tempo) as engine:
        first = await engine.origin()
        stuck = engine.pid
        assert stuck is not None
        os.kill(stuck, signal.SIGSTOP)
        await until(lambda: engine.restarts > 0)
        second = await engine.origin()
        assert second != first
        assert not alive(stuck)


async def test_engine_fails_when_five_processes_end_at_once(tmp_path: Path) -> None:
    """A model that cannot be loaded is not tried for ever; the reason is the engine's own, for the log only."""
    notes = Notes()
    async with running(tmp_path, flags="--mode exit", log=notes) as engine:
        await until(lambda: engine.state == "failed")
        with pytest.raises(EngineDown) as down:
            await engine.origin()
        assert "the model is broken" in (down.value.reason or "")
        assert "broken" not in str(down.value)
        assert down.value.retry_after is not None
        assert down.value.retry_after > 1
        assert len((tmp_path / "model.gguf.argv").read_text().splitlines()) == 5
    assert [name for name, _ in notes.events if name == "engine.failed"] == ["engine.failed"]


async def test_engine_fails_when_the_command_does_not_exist(tmp_path: Path) -> None:
    """A mistyped path is said as such."""
    spec = EngineSpec("small", tmp_path / "model.gguf", command="/nowhere/llama-server")
    engine = Engine(spec, clock=SystemClock(), log=Notes(), tempo=QUICK)
    await engine.start()
    await until(lambda: engine.state == "failed")
    assert "/nowhere/llama-server cannot be run" in (engine.last_error or "")
    await engine.stop(0.0)


async def test_origin_raises_when_the_engine_loads_for_longer_than_the_patience(tmp_path: Path) -> None:
    """A client is told to come back, and when."""
    async with running(tmp_path, tempo=Tempo(patience=0.05), flags="--mode silent") as engine:
        with pytest.raises(EngineDown) as down:
            await engine.origin()
        assert down.value.retry_after == 1.0
        assert engine.state == "starting"


async def test_engine_fails_when_loading_takes_longer_than_the_limit(tmp_path: Path) -> None:
    """A process that never listens is ended."""
    tempo = Tempo(patience=0.05, start_limit=0.5, first_delay=0.01, failed_after=2, failed_delay=PATIENCE)
    async with running(tmp_path, tempo=tempo, flags="--mode silent") as engine:
        await until(lambda: engine.state == "failed")
        assert "was not ready" in (engine.last_error or "")


async def test_stop_ends_the_process_when_called_twice(tmp_path: Path) -> None:
    """Stopping is final and may be repeated; a stopped engine starts again."""
    async with running(tmp_path) as engine:
        await engine.origin()
        pid = engine.pid
        assert pid is not None
        await engine.stop(PATIENCE)
        await engine.stop(0.0)
        assert not alive(pid)
        assert engine.state == "stopped"
        with pytest.raises(EngineDown) as down:
            await engine.origin()
        assert down.value.retry_after is None
        await engine.start()
        await engine.origin()


async def test_stop_ends_the_process_when_it_is_still_starting(tmp_path: Path) -> None:
    """A server that stops at once leaves nothing behind."""
    async with running(tmp_path, flags="--mode silent") as engine:
        await until(lambda: engine.pid is not None)
        pid = engine.pid
        assert pid is not None
    assert not alive(pid)


async def test_doubt_checks_the_address_when_a_caller_could_not_connect(tmp_path: Path) -> None:
    """An engine that does answer is handed out again, and doubts about a former address change nothing."""
    async with running(tmp_path, tempo=Tempo(poll=PATIENCE, patience=PATIENCE)) as engine:
        address = await engine.origin()
        engine.doubt(address)
        assert not engine.ready
        assert await engine.origin() == address
        engine.doubt(type(address)("127.0.0.1", 1, "old"))
        assert engine.ready


async def test_log_of_the_process_is_relayed(tmp_path: Path) -> None:
    """What the process says at its start is worth reading when it does not start."""
    notes = Notes()
    async with running(tmp_path, flags="--mode exit", log=notes) as engine:
        await until(lambda: engine.restarts > 0)
    assert ("engine.log", {"model": "small", "line": "E the model is broken"}) in notes.events


def worker_settings(tmp_path: Path, parent: int, **more: object) -> bytes:
    """One line for a worker's stdin."""
    settings = {
        "path": str(tmp_path / "model.gguf"), "alias": "small", "threads": 1, "parallel": 1, "context": 512,
        "command": [str(binary(tmp_path))], "embeddings": True, "predict": -1, "pooling": True, "guard": True, "key": "k",
        "parent": parent,
    }  # fmt: skip
    return json.dumps(settings | more).encode() + b"\n"


def wait_for_children(pid: int) -> list[int]:
    """The processes that a process has started."""
    for _ in range(int(PATIENCE * 20)):
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
        )
        if found.stdout.split():
            return [int(word) for word in found.stdout.split()]
        time.sleep(0.05)
    raise AssertionError("no child was started")


@pytest.mark.skipif(sys.platform != "linux", reason="ps --ppid is Linux's")
@pytest.mark.parametrize("how", ["eof", "sigterm"])
def test_guard_takes_the_binary_with_it_when_the_parent_goes(tmp_path: Path, how: str) -> None:
    """Where the kernel sends no signal at a parent's death, the worker stays and watches its stdin."""
    with subprocess.Popen(
        [sys.executable, "-P", str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(worker_settings(tmp_path, os.getpid()))
        worker.stdin.flush()
        assert json.loads(worker.stdout.readline())["host"] == "127.0.0.1"
        (child,) = wait_for_children(worker.pid)
        while not (said := tmp_path / "model.gguf.argv").exists():
            time.sleep(0.02)
        if how == "eof":
            worker.stdin.close()
        else:
            worker.send_signal(signal.SIGTERM)
        worker.wait(PATIENCE)
        assert not alive(child)
    assert "--embeddings" in said.read_text()
    assert "--pooling mean" in said.read_text()


def test_worker_ends_when_its_parent_was_gone_before_it_looked(tmp_path: Path) -> None:
    """The kernel's promise begins when it is asked for; a parent that died earlier is noticed by its number."""
    line = worker_settings(tmp_path, parent=1 if os.getppid() != 1 else 2)
    done = subprocess.run([sys.executable, "-P", str(WORKER)], input=line, capture_output=True, check=False)
    assert done.returncode == 1
    assert not (tmp_path / "model.gguf.argv").exists()


ORPHAN = """
import asyncio, os, signal, sys
from pathlib import Path
from ingot.clock import SystemClock
from ingot.upstream.engine import Engine, EngineSpec
class Quiet:
    def debug(self, event, **fields): pass
    info = warning = error = debug
async def main():
    engine = Engine(EngineSpec("m", Path(sys.argv[1]), command=sys.argv[2]), clock=SystemClock(), log=Quiet())
    await engine.start()
    if sys.argv[3] == "ready":
        await engine.origin()
    while engine.pid is None:
        await asyncio.sleep(0)
    print(engine.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["ready", "starting"])
def test_process_dies_when_its_parent_gets_sigkill(tmp_path: Path, when: str) -> None:
    """Nobody is left to end it; the kernel does."""
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tmp_path / "model.gguf"), str(binary(tmp_path)), when],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + PATIENCE
    while alive(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(int(done.stdout))


def test_restart_delay_doubles_to_its_cap() -> None:
    """A tenth of a second first, so that one crash costs nobody three seconds."""
    delays = [restart_delay(Tempo(), crashes) for crashes in range(1, 10)]
    assert delays[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert delays[-1] == 10.0
    assert restart_delay(Tempo(), 10_000) == 10.0


def test_command_is_a_path_or_words(tmp_path: Path) -> None:
    """A path with spaces needs no quotes unless flags follow it."""
    path = binary(tmp_path)
    assert binary_argv("") == []
    assert binary_argv(str(path)) == [str(path)]
    assert binary_argv(f"'{path}' --n-gpu-layers 99") == [str(path), "--n-gpu-layers", "99"]
