"""A real `ingot serve` in a process of its own, on a free port, for tests to call and to harm."""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEY = "ik-test-bootstrap-key-0123456789"
PATIENCE = 60.0
"""Seconds; a safety net for a machine that does much else, no expectation."""


@dataclass
class Served:
    """A running server: where it is, its key, its process, what it printed."""

    process: subprocess.Popen[str]
    url: str
    data: Path
    config: Path
    key: str = KEY
    printed: list[str] = field(default_factory=list)
    log_file: Path = field(default=Path())

    @property
    def v1(self) -> str:
        """The base URL for SDKs."""
        return f"{self.url}/v1"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def call(
        self,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
        key: str | None = KEY,
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP exchange: status, headers (lower case), body; errors are answers too."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)  # noqa: S310  # our own server
        if key:
            request.add_header("authorization", f"Bearer {key}")
        if data is not None:
            request.add_header("content-type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310  # our own server
                return reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def chat(self, text: str, *, model: str = "mock", **fields: Any) -> tuple[int, dict[str, str], Any]:
        """A chat call with one user message; the body decoded."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        status, headers, answer = self.call("/v1/chat/completions", body)
        return status, headers, json.loads(answer)

    def metric(self, name: str) -> float:
        """The sum of one metric's series; 0 where there is none."""
        _, _, page = self.call("/metrics")
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", page.decode(), re.MULTILINE)
        return sum(map(float, found))

    def logs(self) -> list[dict[str, Any]]:
        """The log so far, a record a line; one that is still being written is left for the next look."""
        whole = self.log_file.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def serving(
    config: str,
    folder: Path,
    *,
    options: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
    key: str | None = KEY,
) -> Iterator[Served]:
    """Starts a server on a free port with `config` (TOML); ends it on the way out."""
    file = folder / "ingot.toml"
    file.write_text(textwrap.dedent(config))
    data = folder / "data"
    log_file = folder / "log.jsonl"
    env = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    if key:
        env["INGOT_BOOTSTRAP_KEY"] = key
    env.update(environ or {})
    command = [
        sys.executable,
        "-m",
        "ingot",
        "serve",
        "--port",
        "0",
        "--config",
        str(file),
        "--data",
        str(data),
    ]
    with (
        log_file.open("wb") as log,
        subprocess.Popen(
            [*command, "--log-format", "json", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=env,
            cwd=folder,
        ) as process,
    ):
        printed: list[str] = []
        try:
            url = _wait_for_url(process, printed, log_file)
            yield Served(process, url, data, file, key or "", printed, log_file)
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for_url(process: subprocess.Popen[str], printed: list[str], log_file: Path) -> str:
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        line = lines.get(timeout=PATIENCE)
        if line is None:
            message = f"the server ended before it listened:\n{''.join(printed)}\n{log_file.read_text()}"
            raise AssertionError(message)
        printed.append(line)
        match = re.search(r"serves at (http://[^/\s]+)/v1", line)
        if match:
            _drain(lines, printed)
            return match[1]


def _drain(lines: "queue.Queue[str | None]", printed: list[str]) -> None:
    """Takes the rest of the greeting; it is written in one piece."""
    with contextlib.suppress(queue.Empty):
        while (line := lines.get(timeout=0.2)) is not None:
            printed.append(line)
