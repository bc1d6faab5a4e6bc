"""Where Node is, the clients that the tests installed for it, and a program of theirs run against a server."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pictures import png

FOLDER = Path(__file__).parent / "e2e" / "node"
MODULES = FOLDER / "node_modules"
CLIENTS = ("openai", "@anthropic-ai/sdk")
PATIENCE = 120


def find_node() -> str:
    """The path of Node; skips where it is missing, fails where only a client is."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    if not all((MODULES / client).is_dir() for client in CLIENTS):
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed")
        pytest.fail(f"the clients are not installed: run `npm ci --ignore-scripts` in {FOLDER}")
    return found


def run_program(program: str, *, url: str, key: str) -> None:
    """Runs one program of `node/`, and shows what it printed if it fails."""
    done = subprocess.run(
        [find_node(), str(FOLDER / f"{program}.mjs")],
        env=os.environ
        | {"INGOT_URL": url, "INGOT_KEY": key, "INGOT_PNG": base64.b64encode(png(16, 16)).decode()},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
