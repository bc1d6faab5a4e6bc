"""`ingot presets` as a process: its output, its errors and its exit codes."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

# The program is the group alone, so that these tests need no server.
PROGRAM = "from ingot.cli.presets import app; app()"
MINE = 'extends = "aurora"\nabout = "Mine."\n[keys]\nmost = 5\n'


def ingot_presets(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `ingot presets ARGUMENTS` in a folder."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_presets_are_listed(tmp_path: Path) -> None:
    """A line each, or one JSON array."""
    lines = ingot_presets("list", folder=tmp_path).stdout.splitlines()
    listed = json.loads(ingot_presets("list", "--json", folder=tmp_path).stdout)
    assert [line.split()[0] for line in lines] == [each["name"] for each in listed]
    assert {"name": "aurora-v2", "extends": "aurora"}.items() <= listed[3].items()
    assert listed[0]["extends"] is None


def test_preset_is_shown_with_what_it_extends(tmp_path: Path) -> None:
    """As TOML, and as the same in JSON; a file is shown like one that ships."""
    (tmp_path / "mine.toml").write_text(MINE)
    shown = ingot_presets("show", "mine.toml", folder=tmp_path)
    tree = tomllib.loads(shown.stdout)
    assert tree == json.loads(ingot_presets("show", "mine.toml", "--json", folder=tmp_path).stdout)
    assert tree["keys"] == {"prefix": "mk", "headers": ["bearer"], "most": 5}
    assert "[plans.rows]" in ingot_presets("show", "valar", folder=tmp_path).stdout


def test_two_presets_are_told_apart(tmp_path: Path) -> None:
    """A line for each key that differs, of names and of files."""
    (tmp_path / "mine.toml").write_text(MINE)
    lines = ingot_presets("diff", "aurora", "mine.toml", folder=tmp_path).stdout.splitlines()
    assert "keys.most: 3 -> 5" in lines
    assert len(lines) == 3
    found = json.loads(ingot_presets("diff", "open", "valar", "--json", folder=tmp_path).stdout)
    assert {"key": "fields.chat.stop", "first": None, "second": '"reject"'} in found
    assert ingot_presets("diff", "open", "open", folder=tmp_path).stdout == ""


def test_file_is_checked(tmp_path: Path) -> None:
    """All that is wrong, with lines, and exit status 1; or one line that says ok."""
    (tmp_path / "mine.toml").write_text(MINE)
    right = ingot_presets("check", "mine.toml", folder=tmp_path)
    assert (right.returncode, right.stdout) == (0, "ok: mine.toml\n")
    (tmp_path / "mine.toml").write_text(MINE + 'prefx = "x"\n[fields.chat]\nn = "refuse"\n')
    wrong = ingot_presets("check", "mine.toml", folder=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "error: line 5: keys.prefx: unknown key; did you mean `prefix`?" in wrong.stderr
    assert "line 7: fields.chat.n" in wrong.stderr
    told = json.loads(ingot_presets("check", "mine.toml", "--json", folder=tmp_path).stdout)
    assert told["ok"] is False
    assert [each["line"] for each in told["problems"]] == [5, 7]


def test_presets_of_the_configuration_are_there_too(tmp_path: Path) -> None:
    """Listed, shown with all that they extend and told apart, from ./ingot.toml or the file that is named."""
    (tmp_path / "ingot.toml").write_text(
        '[presets.ours]\nextends = "valar"\n[presets.ours.keys]\nmost = 20\n'
    )
    listed = json.loads(ingot_presets("list", "--json", folder=tmp_path).stdout)
    assert {"name": "ours", "extends": "valar"}.items() <= listed[-1].items()
    shown = json.loads(ingot_presets("show", "ours", "--json", folder=tmp_path).stdout)
    assert (shown["keys"]["prefix"], shown["keys"]["most"]) == ("valar", 20)
    (tmp_path / "ingot.toml").rename(tmp_path / "other.toml")
    different = ingot_presets("diff", "valar", "ours", "--config", "other.toml", folder=tmp_path)
    assert different.stdout.splitlines() == ['extends: "open" -> "valar"', "keys.most: not set -> 20"]
    assert ingot_presets("show", "ours", folder=tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "aurra"], "no preset is named `aurra`; did you mean `aurora`?"),
        (["check", "none.toml"], "cannot read none.toml: No such file"),
        (["check", "bytes.toml"], "it is not UTF-8"),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, arguments: list[str], words: str) -> None:
    """Exit status 1, and what to do instead."""
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    ended = ingot_presets(*arguments, folder=tmp_path)
    assert ended.returncode == 1
    assert words in ended.stderr
