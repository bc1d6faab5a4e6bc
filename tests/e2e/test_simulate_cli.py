"""`ingot simulate` as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

LINE = '{"at": %d, "organization": "%s", "window": "standard", "items": [{"input": 90, "output": 20, "most": 50}]}\n'


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What the command says."""
    return subprocess.run(
        [sys.executable, "-m", "ingot", "simulate", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )


def test_simulate_when_small_seeds_are_run_shows_what_must_hold() -> None:
    """Two seeds as JSON: counts, the lines that they are judged by, and an exit code that says the same."""
    done = run("--small", "--seeds", "2", "--seed", "5", "--json")
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert (found["seed"], found["seeds"]) == (5, 2)
    assert (found["lost"], found["passed_over"], found["idle"]) == (0, 0, 0)
    assert [line["holds"] for line in found["lines"]] == [True]
    assert done.returncode == 0
    assert run("--small", "--seeds", "2", "--seed", "5", "--json").stdout == done.stdout


def test_simulate_when_a_record_is_given_runs_it(tmp_path: Path) -> None:
    """Two organizations' requests are let in and end in time; the table names the window."""
    record = tmp_path / "day.jsonl"
    record.write_text("".join(LINE % (second, "ab"[second % 2]) for second in range(20)))
    done = run("--record", str(record))
    assert (done.returncode, done.stderr) == (0, "")
    assert "standard" in done.stdout
    assert "100.00% of 20 (at least 99%)" in done.stdout


def test_simulate_when_the_record_is_wrong_names_the_line(tmp_path: Path) -> None:
    """The message tells where and what."""
    record = tmp_path / "day.jsonl"
    record.write_text(LINE % (1, "a") + "[]\n")
    done = run("--record", str(record))
    assert done.returncode == 1
    assert f"{record}: line 2: " in done.stderr
