"""Where Node is, and the client that the tests installed for it."""

import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "e2e" / "node"
MODULES = FOLDER / "node_modules"


def find_node() -> str:
    """The path of Node; skips where it is missing, fails where only the client is."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    if not (MODULES / "openai").is_dir():
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed")
        pytest.fail(f"the client is not installed: run `npm ci --ignore-scripts` in {FOLDER}")
    return found
