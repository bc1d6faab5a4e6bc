"""The isolated environments of the client matrix, and a client's script run in one.

An environment lies in `.build/clients`, under the client's name and the sum of its lock, and is made once. Knows nothing of
what a client should see.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from matrix import FOLDER, TARGETS, Client, Line, rows_of
from repository import ROOT
from served import Served

BUILD = ROOT / ".build" / "clients"
PATIENCE = 600
# What would lead a client elsewhere than to the server that it is told.
STEERING = ("ANTHROPIC_", "INGOT_", "LLM_", "OPENAI_", "PYTHON", "VIRTUAL_ENV")


def _call(command: list[str], folder: Path, environ: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as late:
        raise AssertionError(
            f"{command} in {folder} was not done after {PATIENCE} s:\n{late.stderr!r}"
        ) from late
    assert done.returncode == 0, f"{command} in {folder}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(STEERING)}


def environment(client: Client) -> Path:
    """The client's environment, made if its lock is new; older ones of this client go."""
    folder = BUILD / f"{client.name}-{hashlib.sha256(client.lock.read_bytes()).hexdigest()[:16]}"
    done = folder / ".done"
    if not done.exists():
        for old in BUILD.glob(f"{client.name}-*"):
            shutil.rmtree(old)
        folder.mkdir(parents=True)
        if client.language == "python":
            _install_python(client, folder)
        else:
            _install_node(client, folder)
        done.touch()
    return folder


def _install_python(client: Client, folder: Path) -> None:
    environ = _environ()
    # Either a command, or a path below the root.
    named = _call(["sh", "-c", '. scripts/uv.sh && printf %s "$UV"'], ROOT, environ)
    uv = str(ROOT / named) if "/" in named else named
    _call([uv, "venv", "--quiet", "--python", sys.executable, "venv"], folder, environ)
    environ["VIRTUAL_ENV"] = str(folder / "venv")
    _call([uv, "pip", "install", "--quiet", "--require-hashes", "-r", str(client.lock)], folder, environ)


def _install_node(client: Client, folder: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(client.folder / name, folder)
    _call(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], folder, _environ())


def perform(client: Client, served: Served) -> list[Line]:
    """What the client's script saw before the server."""
    folder = environment(client)
    environ = _environ() | {
        "INGOT_URL": served.url,
        "INGOT_KEY": served.key,
        "INGOT_MODELS": json.dumps({model: rows_of(model) for model in TARGETS}),
        "PYTHONPATH": str(FOLDER),
        "PYTHONDONTWRITEBYTECODE": "1",
        # No client asks anybody but the server: not for news, not to tell.
        "DO_NOT_TRACK": "1",
        "LANGSMITH_TRACING": "false",
    }
    if client.language == "python":
        command = [str(folder / "venv" / "bin" / "python"), str(client.folder / "client.py")]
    else:
        # Node looks for packages where a script lies.
        for path in (client.folder / "client.mjs", FOLDER / "report.mjs", FOLDER / "scenes.json"):
            shutil.copy(path, folder)
        command = ["node", "client.mjs"]
    said = _call(command, folder, environ)
    return [Line(**json.loads(line)) for line in said.splitlines() if line.startswith('{"surface"')]
