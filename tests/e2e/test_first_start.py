"""The first minutes: what a first start prints, what it refuses, how it ends, and that it needs nobody else."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from served import PATIENCE, Served, serving
from upstream import ScriptedUpstream

OFFLINE = Path(__file__).parents[1] / "offline.py"
GUARD = """
import errno, sys

def refuse(event, arguments):
    host = ""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0] or ""
    if host and host not in ("localhost", "::1", "0.0.0.0") and not str(host).startswith("127."):
        raise OSError(errno.ENETUNREACH, "the network is cut")

sys.addaudithook(refuse)
"""
NO_ENGINE = "[engine]\nenabled = false\n"
KEY_LINE = re.compile(r"^\s+(ik_live_\S+)$", re.MULTILINE)


def start_in_vain(folder: Path, *options: str, **variables: str) -> str:
    """Starts a server that must not come up; what it said."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    done = subprocess.run(
        [sys.executable, "-m", "ingot", "serve", "--port", "0", "--data", str(folder / "data"), *options],
        env=environ | {"COLUMNS": "200", "NO_COLOR": "1"} | variables,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "serves at" not in done.stdout
    return done.stderr


def paste(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a line as a shell does that it was pasted into."""
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def test_first_start_and_second(tmp_path: Path) -> None:
    """The first start prints address, key and a call that works when pasted; the second keeps the key to itself."""
    with serving("", tmp_path, key=None) as served:
        greeting = "".join(served.printed)
        assert f"{served.url}/v1" in greeting
        [key] = KEY_LINE.findall(greeting)
        assert re.fullmatch(r"ik_live_[A-Za-z0-9_]{40,}", key)
        [line] = [printed.strip() for printed in served.printed if printed.strip().startswith("curl ")]
        assert set(re.findall(r"ik_live_\S+?(?=[\"\s])", greeting)) == {key}

        done = paste(line, tmp_path)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["object"] == "chat.completion"
        assert answer["model"] == "demo-tiny"
        assert answer["choices"][0]["message"]["content"].strip()
        assert served.call("/v1/models", key=key)[0] == 200
        assert served.call("/v1/models", key=None)[0] == 401
        assert key not in served.log_file.read_text()
        assert oct((tmp_path / "data").stat().st_mode & 0o777) == "0o700"
        assert served.stop() == 0

    with serving(NO_ENGINE, tmp_path, key=None) as again:
        said = "".join(again.printed)
        assert f"{again.url}/v1" in said
        assert "ik_live_" not in said
        assert "ingot keys create" in said
        assert again.call("/v1/models", key=key)[0] == 200
        assert again.stop() == 0


def test_first_start_with_a_chosen_key(tmp_path: Path) -> None:
    """The key that automation sets works, and neither it nor another one is printed."""
    chosen = "chosen-by-automation-1"
    with serving(NO_ENGINE, tmp_path, key=chosen) as served:
        said = "".join(served.printed)
        assert chosen not in said
        assert "ik_live_" not in said
        assert served.call("/v1/models", key=chosen)[0] == 200
        assert chosen not in served.log_file.read_text()


@pytest.mark.parametrize("value", ["too-short", "has a space in its middle", "has-a-line-end-in\nthe-middle"])
def test_first_start_with_a_bad_key(tmp_path: Path, value: str) -> None:
    """A bootstrap key that is short, or that no header can carry, is refused by the variable's name, unrepeated."""
    said = start_in_vain(tmp_path, INGOT_BOOTSTRAP_KEY=value)
    assert "INGOT_BOOTSTRAP_KEY" in said
    assert value not in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_public_bind_without_permission(tmp_path: Path, host: str) -> None:
    """A public address is refused, and the refusal names the option that permits it."""
    said = start_in_vain(tmp_path, "--host", host)
    assert "--allow-public" in said
    assert not (tmp_path / "data" / "ingot.db").exists()


def test_public_bind_with_permission(tmp_path: Path) -> None:
    """With the option it listens, and its metrics then want a key."""
    with serving(NO_ENGINE, tmp_path, options=("--host", "0.0.0.0", "--allow-public")) as served:
        assert served.call("/livez", key=None)[0] == 200
        assert served.call("/metrics", key=None)[0] == 401
        assert served.call("/metrics")[0] == 200


def test_start_on_a_port_that_is_taken(tmp_path: Path) -> None:
    """A taken port is told in one line."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "ingot.toml").write_text(NO_ENGINE)
        said = start_in_vain(tmp_path, "--port", str(port))
    assert str(port) in said
    assert "--port" in said
    # The key of a start that failed was never shown: the next start makes the first one, and shows it.
    with serving(NO_ENGINE, tmp_path, key=None) as served:
        assert KEY_LINE.search("".join(served.printed))


def _is_refused(served: Served) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE):
            return False
    except ConnectionRefusedError:
        return True


async def test_end_while_a_stream_runs(upstream: ScriptedUpstream, relay: Served) -> None:
    """SIGTERM: new connections are refused, the stream goes on to its end, the exit status is 0."""
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=PATIENCE)
    body = {
        "model": "mock",
        "stream": True,
        "messages": [{"role": "user", "content": "words: 20 {{gap 0.1}}"}],
    }
    headers = {"authorization": f"Bearer {relay.key}", "content-type": "application/json"}

    def begin() -> http.client.HTTPResponse:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        reply = connection.getresponse()
        assert reply.readline().startswith(b"data: {")
        return reply

    def end(reply: http.client.HTTPResponse) -> bytes:
        relay.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while not _is_refused(relay):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return reply.read()

    reply = await asyncio.to_thread(begin)
    rest = await asyncio.to_thread(lambda: end(reply))
    connection.close()
    assert rest.rstrip().endswith(b"data: [DONE]")
    assert rest.count(b'"content":"') >= 19
    assert b'"error"' not in rest
    assert await asyncio.to_thread(relay.stop) == 0
    assert upstream.log[0].aborted is None


def _without_network(folder: Path) -> tuple[list[str], dict[str, str]]:
    """A prefix and variables with which a Python program reaches only this machine."""
    unshare = shutil.which("unshare")
    for options in ([], ["--map-root-user"]):
        prefix = [unshare or "false", *options, "--net"]
        if unshare and subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0:
            return [*prefix, sys.executable, str(OFFLINE)], {}
    # No namespaces here (macOS, or a container without the right): every Python process refuses by itself.
    guard = folder / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    return [sys.executable, str(OFFLINE), "--watched"], {"PYTHONPATH": str(guard)}


def test_answer_when_the_network_is_cut(tmp_path: Path) -> None:
    """With nothing but the loopback interface there is a first start and an answer of the demo model."""
    command, variables = _without_network(tmp_path)
    done = subprocess.run(
        [*command, str(tmp_path)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


async def test_end_while_a_stream_outlasts_the_drain(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """What the drain did not wait for is told so: an error event, no [DONE], a record, and exit status 0."""
    config = f"""
        [engine]
        enabled = false
        [server]
        drain_seconds = 1
        [targets.up]
        base_url = "{upstream.url}"
        [models.mock]
        targets = ["up"]
        price = "free"
    """
    with serving(config, tmp_path) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
        body = {
            "model": "mock",
            "stream": True,
            "messages": [{"role": "user", "content": "words: 2000 {{gap 0.1}}"}],
        }
        headers = {"authorization": f"Bearer {served.key}", "content-type": "application/json"}

        def begin() -> http.client.HTTPResponse:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            return connection.getresponse()

        response = await asyncio.to_thread(begin)
        assert await asyncio.to_thread(response.readline)
        served.process.send_signal(signal.SIGTERM)
        rest = (await asyncio.to_thread(response.read)).decode()
        connection.close()
        assert await asyncio.to_thread(served.process.wait, PATIENCE) == 0
        events = [line for line in rest.splitlines() if line.startswith("data: ")]
        assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "overloaded"
        assert "data: [DONE]" not in events
        told = [record for record in served.logs() if record.get("event") == "request"]
        assert (told[-1]["status"], told[-1]["code"]) == (503, "overloaded")
