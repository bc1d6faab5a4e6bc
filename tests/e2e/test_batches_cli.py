"""`ingot batches` beside a running server: what is under way, one batch, its end, and what it says where there is none."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchhouse import CONFIG, Scene, make, named, over, read
from rig import stage


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("batches_cli"), CONFIG) as both:
        yield both


def ingot(data: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The command, with the exit status that it should have."""
    command = [sys.executable, "-m", "ingot", "batches", *words, "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_operator_sees_and_ends_batches_when_a_server_runs(scene: Scene) -> None:
    """An empty list names the way to the first one; counts are those of the API; a cancelled batch is so for its client."""
    served, _ = scene
    assert "POST /v1/batches" in ingot(served.data, "list").stderr
    _, _, done = make(served, named({"a": "echo: a", "b": "{{fail 400}} b"}))
    over(served, done["id"])
    _, _, silent = make(
        served, named({f"r{number}": "{{silent}} x" for number in range(100)}, model="single")
    )
    listed = json.loads(ingot(served.data, "list", "--json").stdout)
    assert [each["id"] for each in listed] == [silent["id"], done["id"]]
    assert (listed[1]["completed"], listed[1]["failed"]) == (1, 1)
    assert done["id"] in ingot(served.data, "list").stdout
    assert "state: completed" in ingot(served.data, "show", done["id"]).stdout
    told = json.loads(ingot(served.data, "cancel", silent["id"], "--json").stdout)
    assert told["cancelled"] >= 36
    assert read(served, silent["id"])["request_counts"]["cancelled"] >= 36


def test_reason_is_told_when_a_batch_cannot_be_ended(scene: Scene) -> None:
    """An unknown id, and one that has ended by itself."""
    served, _ = scene
    assert "batch_nobody" in ingot(served.data, "show", "batch_nobody", code=1).stderr
    _, _, done = make(served, named({"a": "echo: a"}))
    over(served, done["id"])
    assert "completed" in ingot(served.data, "cancel", done["id"], code=1).stderr
