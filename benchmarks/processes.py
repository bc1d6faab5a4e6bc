"""Processes of a benchmark: started on one core, watched through /proc, stopped with all their children.

Linux only. It knows nothing of gateways or of load.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
GRACE = 8.0  # seconds between SIGTERM and SIGKILL


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(core: int, command: list[str]) -> list[str]:
    """The command, confined to one core with everything that it starts."""
    return ["taskset", "-c", str(core), *command]


def start(command: list[str], *, core: int, log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a command on a core, in a process group of its own, its output in a file."""
    with log.open("wb") as out:
        return subprocess.Popen(
            pinned(core, command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and its group: politely, then not."""
    for which, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        try:
            os.killpg(process.pid, which)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        else:
            return


def tree(pid: int) -> list[int]:
    """A process and all its descendants that still run."""
    found, todo = [], [pid]
    while todo:
        current = todo.pop()
        found.append(current)
        try:
            for task in Path(f"/proc/{current}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except OSError:  # it ended while we looked
            continue
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree so far, children that ended and were waited for included."""
    ticks = 0
    for member in tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return ticks / TICKS


def rss_megabytes(pid: int) -> float:
    """Resident memory of a process tree; pages shared between its members count for each."""
    kilobytes = 0
    for member in tree(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return kilobytes / 1024


def settle(pid: int, *, patience: float = 45.0) -> None:
    """Waits until a process tree has finished what the last run left it with: below 3 % of a core."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(0.4)
        if cpu_seconds(pid) - before < 0.012:
            return
