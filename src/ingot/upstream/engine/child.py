"""One run of the engine's process: started, heard, asked for its health, ended.

It decides how a process is spoken to, and refuses to know why: restarts and their timing are the supervisor's.
The log of a serving engine can quote what a client sent, so that from then on only the harmless head of a line is
passed on.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What the operator's secrets are called in the environment; a child that runs somebody's binary needs none of them.
SECRET_NAME = re.compile(r"^INGOT_|KEY$|TOKEN$|SECRET$|PASSWORD$|^LLAMA_API_KEY")
# `0.03.477.810 W srv operator(): got exception: {"error": ...`; the head ends at the second colon.
STAMP = re.compile(r"\d+\.\d\d\.\d{3}\.\d{3} (?=[A-Z] )")
HEAD = re.compile(r"[A-Z] [^:]*:?[^:]*")
NATIVE_FAULT = re.compile(r"GGML_ASSERT\([^\"']*\) failed|GGML_ABORT|terminate called")
WORKER = Path(__file__).with_name("worker.py")
LONGEST_LINE = 400
TAIL_LINES = 4


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where an engine listens and the key that opens it; a restarted engine has another address."""

    host: str
    port: int
    key: str

    def __repr__(self) -> str:
        """Never shows the key."""
        return f"EngineAddress(host={self.host!r}, port={self.port})"


class Child:
    """A running engine process."""

    def __init__(self, process: Process, *, key: str, log: Callable[[str], None]) -> None:
        """`log` gets each line of the engine's log that may be kept."""
        self.pid = process.pid
        self.serving = False
        self.hung = False
        self.up_at: float | None = None
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.complaints: list[str] = []
        self._process = process
        self._key = key
        self._log = log
        self._pump = asyncio.create_task(self._relay())
        self.exited = asyncio.create_task(self._wait())

    async def address(self) -> EngineAddress:
        """Where the engine listens, once it says so; ValueError where it ends without a word."""
        assert self._process.stdout is not None  # noqa: S101 - spawn() asked for a pipe
        line = await self._process.stdout.readline()
        if not line:
            raise ValueError("the engine ended before it listened")
        said = json.loads(line)
        return EngineAddress(host=said["host"], port=said["port"], key=self._key)

    def epitaph(self) -> str:
        """How the process ended and the last that it had to say."""
        code = self._process.returncode
        if code is None:
            how = "is still running"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"exited with status {code}"
        last_words = self.complaints or self.tail
        return f"the engine {how}: {' | '.join(last_words)}" if last_words else f"the engine {how}"

    async def end(self, drain: float) -> None:
        """Ends the process: asks, waits `drain` seconds, insists."""
        if drain > 0:
            self._signal(signal.SIGTERM)
            await asyncio.wait({self.exited}, timeout=drain)
        self._signal(signal.SIGKILL)
        await self.exited

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            # The process leads a group of its own; a guard and the binary that it guards go together.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def _wait(self) -> int:
        code = await self._process.wait()
        # The log's end may still sit in the pipe; a grandchild could hold it open, so this wait is bounded.
        await asyncio.wait({self._pump}, timeout=0.5)
        self._pump.cancel()
        return code

    async def _relay(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - spawn() asked for a pipe
        rest = b""
        while data := await self._process.stderr.read(1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-LONGEST_LINE:]
            for line in lines:
                self._keep(line)
        self._keep(rest)

    def _keep(self, raw: bytes) -> None:
        line = raw[:LONGEST_LINE].decode("utf-8", "replace").strip()
        kept = harmless(line) if self.serving else STAMP.sub("", line)
        if not kept:
            return
        self.tail.append(kept)
        # Of many complaints about one fault the first name its cause; those of a serving engine are about requests.
        if kept.startswith("E ") and not self.serving and len(self.complaints) < TAIL_LINES:
            self.complaints.append(kept.removeprefix("E ").strip())
        self._log(kept)


async def spawn(
    settings: Mapping[str, object],
    *,
    key: str,
    log: Callable[[str], None],
    argv: Sequence[str] = (),
) -> Child:
    """Starts a worker process with these settings; OSError where that fails."""
    process = await asyncio.create_subprocess_exec(
        # -P: a file called xllamacpp.py in the working directory must not be taken for the engine.
        # Run as a file, not as a module: `-m` would import our packages first, and a start pays for each.
        *(argv or (sys.executable, "-P", str(WORKER))),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=child_environ(os.environ),
        start_new_session=True,
    )
    child = Child(process, key=key, log=log)
    assert process.stdin is not None  # noqa: S101 - asked for a pipe above
    # The pipe stays open: its end is how the worker learns that we are gone.
    process.stdin.write(json.dumps({**settings, "key": key, "parent": os.getpid()}).encode() + b"\n")
    return child


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that looks like a secret."""
    return {name: value for name, value in environ.items() if not SECRET_NAME.search(name.upper())}


def harmless(line: str) -> str:
    """What may be kept of a log line while requests run: its head, or nothing."""
    stamp = STAMP.match(line)
    if stamp:
        head = HEAD.match(line, stamp.end())
        return head.group(0).strip() if head else ""
    fault = NATIVE_FAULT.search(line)
    return fault.group(0) if fault else ""


async def healthy(address: EngineAddress, timeout: float) -> bool:  # noqa: ASYNC109 - a poll owns its limit
    """Asks the engine's /health once; anything but a 200 in time is a no."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                writer.write(b"GET /health HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError):
        return False
    return status.startswith(b"HTTP/1.1 200")
