"""`ingot models` as a person and a script use it, against a hub on this machine."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hub import Hub, running
from ingot.cli.models import app
from tiny_gguf import gguf

WEIGHTS = gguf(rows=40_000)
SUM = hashlib.sha256(WEIGHTS).hexdigest()
PATIENCE = 60.0
COMMAND = [sys.executable, "-m", "ingot", "models"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one small model in two quantizations."""
    with running(Hub({"small-Q4_K_M.gguf": WEIGHTS, "small-Q8_0.gguf": gguf(rows=50_000)})) as hub:
        yield hub


def environ(hub: Hub, **more: str) -> dict[str, str]:
    """The environment of the command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "INGOT_"))}
    return {**kept, "HF_ENDPOINT": hub.url, "no_proxy": "*", "COLUMNS": "120", **more}


def models(hub: Hub, data: Path, *words: str, **more: str) -> Result:
    """Runs `ingot models ...` in this process: a process of its own costs a second."""
    cleared = {name: None for name in os.environ if name.startswith(("HF_", "INGOT_"))}
    return CliRunner().invoke(app, [*words, "--data", str(data)], env={**cleared, **environ(hub), **more})


def listed(hub: Hub, data: Path) -> dict[str, Any]:
    """All models by name."""
    done = models(hub, data, "list", "--json")
    assert done.exit_code == 0, done.stderr
    return {model["name"]: model for model in json.loads(done.stdout)}


def test_model_is_pulled_listed_shown_and_removed(hub: Hub, tmp_path: Path) -> None:
    """The whole life of a model; results on stdout, progress on stderr."""
    done = models(hub, tmp_path, "pull", "hf:org/small", "--name", "org/small")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == f"org/small is at {tmp_path / 'models/org/small.gguf'}"
    assert "licence apache-2.0" in done.stderr
    assert "(100 %)" in done.stderr
    found = listed(hub, tmp_path)
    assert found["org/small"]["sha256"] == SUM
    assert found["org/small"]["source"] == "hf:org/small/small-Q4_K_M.gguf"
    assert found["demo-tiny"]["owned_by"] == "bundled-demo"
    shown = models(hub, tmp_path, "show", "org/small", "--json")
    assert json.loads(shown.stdout)["memory_at_4096"] > len(WEIGHTS)
    assert "quantization     Q8_0" in models(hub, tmp_path, "show", "org/small").stdout
    assert "org/small" in models(hub, tmp_path, "list").stdout
    removed = models(hub, tmp_path, "rm", "org/small", "--json")
    assert json.loads(removed.stdout) == {"name": "org/small", "removed": True, "freed_bytes": len(WEIGHTS)}
    assert list(listed(hub, tmp_path)) == ["demo-tiny"]


def test_command_works_as_a_process(hub: Hub, tmp_path: Path) -> None:
    """As it is installed."""
    done = subprocess.run(
        [*COMMAND, "pull", "hf:org/small", "--data", str(tmp_path)],
        env=environ(hub), capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "is at" in done.stdout


def test_pull_prints_the_manifest_when_asked_for_json(hub: Hub, tmp_path: Path) -> None:
    """A script reads one value."""
    done = models(hub, tmp_path, "pull", "hf:org/small:q8_0", "--json", "--yes")
    assert done.exit_code == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert manifest["name"] == "small-Q8_0"
    assert manifest["price"] == "free"


def test_pull_shows_a_bar_when_there_is_a_terminal(hub: Hub, tmp_path: Path) -> None:
    """Bytes, rate and time left."""
    done = models(hub, tmp_path, "pull", "hf:org/small", FORCE_COLOR="1", TERM="xterm")
    assert done.exit_code == 0, done.stderr
    assert "2.7/2.7 MB" in done.stderr or "2.7 MB" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pull", "hf:org/small:Q2_K"], "has no Q2_K; it has small-Q4_K_M.gguf, small-Q8_0.gguf"),
        (["pull", "hf:org/small", "--offline"], "--offline"),
        (["pull", "hf:org/small", "--sha256", "0" * 64], "was promised"),
        (["pull", "hf:org/small", "--name", "../x"], "not a name"),
        (["pull", "http://example.test/x.gguf"], "https only"),
        (["rm", "demo-tiny"], "demo = false"),
        (["rm", "nothing"], "no model nothing"),
        (["show", "nothing"], "no model nothing"),
    ],
)
def test_command_fails_in_one_sentence(hub: Hub, tmp_path: Path, words: list[str], says: str) -> None:
    """Exit status 1 and what would be right, never a traceback."""
    done = models(hub, tmp_path, *words)
    assert done.exit_code == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(listed(hub, tmp_path)) == ["demo-tiny"]


def test_sum_is_refused_when_it_is_no_sum(hub: Hub, tmp_path: Path) -> None:
    """A typing error is wrong usage."""
    assert models(hub, tmp_path, "pull", "hf:org/small", "--sha256", "abc").exit_code == 2


def test_token_is_taken_from_the_environment(hub: Hub, tmp_path: Path) -> None:
    """Gated models open with HF_TOKEN, and it is printed nowhere."""
    hub.token = "hf_hush_hush_hush"
    refused = models(hub, tmp_path, "pull", "hf:org/small")
    assert refused.exit_code == 1
    assert "set HF_TOKEN" in refused.stderr
    done = models(hub, tmp_path, "pull", "hf:org/small", HF_TOKEN=hub.token)
    assert done.exit_code == 0, done.stderr
    assert hub.token not in done.stdout + done.stderr
    assert hub.token not in (tmp_path / "models/small-Q4_K_M.json").read_text()


def test_pull_goes_on_when_it_was_interrupted(hub: Hub, tmp_path: Path) -> None:
    """Ctrl-C keeps the bytes; the same command asks for the rest alone."""
    hub.pause_at, hub.go_on = 1_500_000, threading.Event()
    with subprocess.Popen(
        [*COMMAND, "pull", "hf:org/small", "--data", str(tmp_path)],
        env=environ(hub),
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in its background has them ignore it, and what they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no thread holds a lock there
    ) as pulling:
        part = tmp_path / "models/small-Q4_K_M.part"
        deadline = time.monotonic() + PATIENCE
        while not (part.exists() and part.stat().st_size >= 1 << 20) and time.monotonic() < deadline:
            time.sleep(0.02)
        pulling.send_signal(signal.SIGINT)
        _, said = pulling.communicate(timeout=PATIENCE)
        hub.go_on.set()
    assert pulling.returncode == 130
    assert "goes on from here" in said
    hub.pause_at = None
    hub.log.clear()
    assert models(hub, tmp_path, "pull", "hf:org/small").exit_code == 0
    assert hub.asked("/resolve/")[0]["range"].startswith("bytes=")
    assert listed(hub, tmp_path)["small-Q4_K_M"]["sha256"] == SUM
