"""The table of faults adds up what runs have left, and says so where a rule was broken."""

from pathlib import Path

import msgspec
import pytest

from faults.catalogue import FAULTS, on
from faults.run import Row
from faults.table import HEAD, main, table

ROW = Row(
    fault="F01",
    store="sqlite",
    seed="7-0",
    operations=40,
    executions=50,
    repeats=10,
    lost=0,
    doubled=0,
    foreign=0,
    other=0,
    fenced=1,
    failures={"503": 2},
    recovery=1.25,
)


def left(folder: Path, *rows: Row) -> str:
    """A folder in which runs have left these rows, one process each."""
    for number, row in enumerate(rows):
        (folder / f"{number}.jsonl").write_bytes(msgspec.json.encode(row) + b"\n")
    return str(folder)


def test_rows_of_one_fault_and_store_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs, operations and shares; stores stand apart; the page says how to repeat it."""
    other = msgspec.structs.replace(ROW, recovery=3.0, seed="7-1")
    apart = msgspec.structs.replace(ROW, store="postgres", recovery=None)
    written = tmp_path / "page.md"
    folder = tmp_path / "rows"
    folder.mkdir()
    assert main(left(folder, ROW, other, apart), str(written)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.count("|") == len(HEAD) + 1 for line in lines)
    cells = [each.strip() for each in lines[2].split("|")[1:-1]]
    assert cells[:2] == ["F01", "sqlite"]
    assert cells[3:] == ["2", "80", "0", "0", "0", "0", "2", "20 (20.0 %)", "4", "2.1, 3.0"]
    assert "none under way" in lines[3]
    assert "Seed 7;" in written.read_text()


@pytest.mark.parametrize("broken", ["lost", "doubled", "foreign", "other"])
def test_status_is_1_when_a_rule_was_broken(tmp_path: Path, broken: str) -> None:
    """One run among many is enough."""
    assert main(left(tmp_path, ROW, msgspec.structs.replace(ROW, **{broken: 1}))) == 1


def test_status_is_1_when_nothing_ran(tmp_path: Path) -> None:
    """An empty table proves nothing."""
    assert main(str(tmp_path)) == 1
    assert table([]).count("\n") == 2


def test_every_fault_says_what_it_does() -> None:
    """In the table, and with its name in its docstring; each runs on a store."""
    names = [fault.name for fault in FAULTS]
    assert names == sorted(set(names))
    assert all(fault.summary for fault in FAULTS)
    assert {fault.name for store in ("sqlite", "postgres") for fault in on(store)} == set(names)
