"""One load run: wrk against one URL, its own figures read as JSON, beside them the gateway's processor time.

Also `check`, a single raw exchange that proves a gateway's answer complete before anything is measured. What the
mock upstream sends is known here: its answer's words and the number of its chunks.
"""

import json
import re
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import cpu_seconds, pinned, rss_megabytes

CHUNKS = 200
KEY = "sk-bench-0123456789abcdef"
LONGEST_ANSWER = 30.0  # seconds

PLAIN: dict[str, Any] = {
    "model": "mock",
    "messages": [
        {"role": "system", "content": "You answer in one or two plain sentences."},
        {
            "role": "user",
            "content": "Describe the bridge below the mill, and what the cat does when the water is high.",
        },
    ],
    "max_tokens": 128,
    "temperature": 0.7,
}
STREAM: dict[str, Any] = {
    "model": "mock",
    "messages": [{"role": "user", "content": "Count slowly, please: slow is the word."}],
    "max_tokens": 256,
    "stream": True,
}

# wrk calls `done` once with its merged statistics; times are microseconds.
SCRIPT = """
wrk.method = "POST"
wrk.body = %s
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %s"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests":%%d,"bytes":%%d,"micros":%%d,"p50":%%f,"p99":%%f,"bad":%%d,"broken":%%d,"late":%%d}\\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write, e.timeout))
end
"""


class Incomplete(Exception):
    """A gateway's answer is not the one that the mock gave."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one load run showed."""

    requests: int
    received: int  # bytes on the wire
    seconds: float
    p50: float  # seconds
    p99: float
    errors: int  # answers other than 2xx and 3xx, broken connections, requests past wrk's time-out
    cpu: float  # seconds of the gateway's process tree
    rss: float  # megabytes, right after the run

    @property
    def rate(self) -> float:
        """Whole answers a second."""
        return self.requests / self.seconds if self.seconds else 0.0


def drive(url: str, pid: int, *, body: dict[str, Any], connections: int, seconds: int, core: int) -> Run:
    """Keeps `connections` requests under way for a time."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % (json.dumps(json.dumps(body, separators=(",", ":"))), KEY))
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "60s",
            "-s",
            script.name,
            url,
        ]
        before = cpu_seconds(pid)
        done = subprocess.run(pinned(core, command), capture_output=True, text=True, check=True)
        used = cpu_seconds(pid) - before
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Run(
        requests=found["requests"],
        received=found["bytes"],
        seconds=found["micros"] / 1e6,
        p50=found["p50"] / 1e6,
        p99=found["p99"] / 1e6,
        errors=found["bad"] + found["broken"] + found["late"],
        cpu=used,
        rss=rss_megabytes(pid),
    )


def exchange(port: int, body: dict[str, Any]) -> bytes:
    """The bytes of one answer, head included, over a connection that wrk's would look like."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=LONGEST_ANSWER) as connection:
        connection.sendall(head.encode() + payload)
        answer = b""
        while not whole(answer):
            piece = connection.recv(1 << 16)
            if not piece:
                break
            answer += piece
    return answer


def whole(answer: bytes) -> bool:
    """Whether the HTTP answer has come to its end."""
    head, separator, rest = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return len(rest) >= int(length[1]) if length else rest.endswith(b"0\r\n\r\n")


def check(port: int) -> int:
    """The bytes of one streamed answer on the wire; Incomplete where a plain or a streamed answer lacks something."""
    plain = exchange(port, PLAIN)
    if not plain.startswith(b"HTTP/1.1 200") or b"roof until it falls again" not in plain:
        raise Incomplete(f"plain answer: {plain[:300]!r}")
    streamed = exchange(port, STREAM)
    words = len(re.findall(rb'"content": ?" word\d+"', streamed))
    if words != CHUNKS or b"data: [DONE]" not in streamed:
        raise Incomplete(f"stream of {words} chunks, the end is {streamed[-200:]!r}")
    return len(streamed)


def tool_version(name: str, flag: str, *, search: str = r"(\d[\w.]*)") -> str:
    """The version that a command says it has."""
    done = subprocess.run([name, flag], capture_output=True, text=True, check=False)
    found = re.search(search, done.stdout + done.stderr)
    return found[1] if found else "unknown"


def compile_mock(folder: Path) -> Path:
    """Builds the mock upstream with the machine's C compiler."""
    binary = folder / "mock_upstream"
    source = Path(__file__).with_name("mock_upstream.c")
    subprocess.run(
        ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", str(binary), str(source)], check=True
    )
    return binary
