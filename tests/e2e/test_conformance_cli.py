"""`ingot conformance` as a process: verdicts as a table and as JSON, exit codes, wrong usage."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from conformancehouse import MODELS, PRICE
from rig import stage
from served import PATIENCE, Served

CONFIG = f"""
    [server]
    preset = "valley"
    [targets.up]
    base_url = "{{up}}"
    [models]
    {" ".join(MODELS["aurora"])} = {{ targets = ["up"], {PRICE} }}
    [hosts]
    "aurora.example.org" = "aurora"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose hosts have two presets."""
    with stage(tmp_path_factory.mktemp("conformance"), CONFIG) as (running, _):
        yield running


def conformance(*words: str, key: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `ingot conformance WORDS` with a key in its variable, and others in theirs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    return subprocess.run(
        [sys.executable, "-m", "ingot", "conformance", *words],
        env={**clean, "NO_COLOR": "1", "COLUMNS": "120", "INGOT_API_KEY": key, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_verdicts_are_a_table_when_all_rows_hold(served: Served) -> None:
    """With the first listed model; exit status 0, and the counts below."""
    done = conformance(served.v1, "--preset", "valley", "--only", "S0-05, S0-12", key=served.key)
    assert done.returncode == 0, done.stderr
    assert "valley at" in done.stdout
    assert "S0-12" in done.stdout
    assert "[DONE]" in done.stdout
    assert done.stdout.endswith("2 passed, 0 failed, 0 skipped\n")


def test_verdicts_are_json_when_a_row_is_red(served: Served) -> None:
    """What was expected and what was seen; exit status 1. No key is printed."""
    words = ("--preset", "aurora", "--only", "S1-02,S1-06,S1-18", "--json")
    done = conformance(served.url, *words, key=served.key)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["model"], told["passed"], told["failed"], told["skipped"]) == ("aurora", 0, 2, 1)
    rows = {row["id"]: row for row in told["rows"]}
    assert (rows["S1-02"]["expected"], rows["S1-02"]["seen"]) == (
        "error.code unauthorized",
        "missing_api_key",
    )
    assert rows["S1-06"]["result"] == "skip"
    assert "--free-key" in rows["S1-06"]["reason"]
    assert rows["S1-18"]["seen"].startswith("id chatcmpl-")
    assert served.key not in done.stdout + done.stderr


def test_other_keys_are_read_when_they_come_in_variables(served: Served) -> None:
    """A row that needs one is tried; a command line would show it to every user of the machine."""
    words = ("--preset", "aurora", "--only", "S1-06", "--host", "aurora.example.org", "--json")
    done = conformance(served.v1, *words, key=served.key, INGOT_FREE_KEY=served.key)
    assert json.loads(done.stdout)["skipped"] == 0
    assert served.key not in done.stdout + done.stderr


def test_host_is_chosen_when_it_is_named(served: Served) -> None:
    """The same URL under another Host header is another service."""
    words = ("--preset", "aurora", "--only", "S1-02,S1-18", "--host", "aurora.example.org", "--json")
    assert conformance(served.v1, *words, key=served.key).returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--preset", "valer"), 2, "no such preset"),
        (("--only", "S9-99"), 2, "no row is named S9-99"),
        (("--preset", "aurora", "--only", "S4-85"), 2, "S4-85 is no row of aurora"),
        (("--model", "m"), 1, "127.0.0.1:9"),
        ((), 1, "127.0.0.1:9"),
    ],
)
def test_wrong_usage_is_told(words: tuple[str, ...], code: int, text: str) -> None:
    """Exit status 2 for what was asked wrongly, 1 for a server that is not there."""
    done = conformance("http://127.0.0.1:9", *words, "--timeout", "5")
    assert done.returncode == code
    assert text in " ".join(done.stderr.replace("│", " ").split())


def test_key_is_needed_when_no_model_is_named(served: Served) -> None:
    """Without one the server lists nothing, and the command says what to do."""
    done = conformance(served.v1, "--only", "W-01")
    assert done.returncode == 1
    assert "name one with --model, and a key with --key" in done.stderr
