"""`ingot windows` as a process of its own, on both databases."""

import json
import os
import subprocess
import sys
from functools import partial

from databases import Place, open_store
from ingot.clock import SystemClock
from ingot.store import windows
from ingot.store.schema import micros

CONFIG = """
[targets.up]
base_url = "http://127.0.0.1:9/v1"
[models.fast]
targets = ["up"]
windows = ["standard", "night"]
price = { input = 1, output = 2, windows = { night = { input = 0.25, output = 0.5 } } }
[windows.night]
seconds = 36000
"""


def _run(place: Place, *options: str) -> subprocess.CompletedProcess[str]:
    file = place.data.parent / "ingot.toml"
    file.write_text(CONFIG)
    command = [sys.executable, "-m", "ingot", "windows", "--data", str(place.data), "--config", str(file)]
    environ = {**os.environ, "INGOT_DATABASE": place.url, "COLUMNS": "200"}
    return subprocess.run([*command, *options], env=environ, text=True, capture_output=True, check=False)


async def test_windows_are_printed_when_asked(backend: Place) -> None:
    """A table for people, one JSON value for programs; windows of the configuration are there, with their price factor."""
    now = micros(SystemClock().now())
    refuse = partial(windows.refuse, window="night", model="fast", batch=False, items=7, now=now, node="n")
    async with open_store(backend) as db:
        await db.write(refuse)
    table = _run(backend).stdout
    assert "night" in table
    found = {each["id"]: each for each in json.loads(_run(backend, "--json").stdout)["data"]}
    assert list(found) == ["asap", "priority", "standard", "flex", "night"]
    assert found["night"]["models"] == [{"id": "fast", "factor": 0.25}]
    assert found["night"]["requests"]["last_24h"]["refused"] == 7
    assert found["night"]["requests"]["last_24h"]["share"] is None


def test_reason_is_told_when_there_is_no_database(backend: Place) -> None:
    """On stderr, with the exit status; nothing is made."""
    if backend.postgres:
        return
    ended = _run(backend)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no database" in ended.stderr
