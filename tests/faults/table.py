"""The rows that runs have left, as one table: `python -m faults.table FOLDER [PAGE]` prints it, and writes the page.

A row for each fault and store: how often, on how many operations, and what came of it. Decides how rows add up.
"""

import os
import platform
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import msgspec

from faults.catalogue import FAULTS
from faults.run import Row

HEAD = (
    "fault", "store", "what is done", "runs", "operations", "lost", "billed twice", "cross-tenant bytes", "other violations",
    "fenced", "repeated upstream calls", "failed for clients", "recovery, s (median, longest)",
)  # fmt: skip


def read(folder: Path) -> list[Row]:
    """The rows of all processes that left some."""
    decoder = msgspec.json.Decoder(Row)
    return [
        decoder.decode(line)
        for log in sorted(folder.glob("*.jsonl"))
        for line in log.read_bytes().splitlines()
    ]


def table(rows: Iterable[Row]) -> str:
    """The table in Markdown."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.fault, row.store].append(row)
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    said = {fault.name: fault.summary for fault in FAULTS}
    lines += [
        _line(_cells(fault, store, said.get(fault, ""), groups[fault, store]))
        for fault, store in sorted(groups, key=lambda key: (key[0], key[1] != "sqlite"))
    ]
    return "\n".join(lines) + "\n"


def page(rows: Sequence[Row]) -> str:
    """A page with the table, for those who did not see the runs."""
    seeds = ", ".join(sorted({row.seed.rpartition("-")[0] for row in rows}))
    return (
        "# Faults\n\n"
        "Written by `python -m faults.table` from runs of tests/chaos, long ones by `make chaos`. Each row is a fault that was done to real processes under load, on SQLite with one server or on\n"
        "PostgreSQL and Valkey with three; the history of each run was checked whole. Recovery is the time from the harm, or from its\n"
        "end where it lasts, to the end of the last operation that was under way. What failed for clients failed with an error that\n"
        "said so, in requests without an idempotency key or by the fault's own design.\n\n"
        f"Seed {seeds}; {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}. "
        "`INGOT_CHAOS_SEED` repeats a run.\n\n" + table(rows)
    )


def _cells(fault: str, store: str, said: str, rows: Sequence[Row]) -> list[str]:
    executions, repeats = sum(row.executions for row in rows), sum(row.repeats for row in rows)
    failures = sum(sum(row.failures.values()) for row in rows)
    times = sorted(row.recovery for row in rows if row.recovery is not None)
    recovery = f"{median(times):.1f}, {times[-1]:.1f}" if times else "none under way"
    sums = [
        sum(each)
        for each in zip(
            *((row.lost, row.doubled, row.foreign, row.other, row.fenced) for row in rows), strict=True
        )
    ]
    return [
        fault,
        store,
        said,
        f"{len(rows)}",
        f"{sum(row.operations for row in rows):,}",
        *(f"{each}" for each in sums),
        f"{repeats} ({100 * repeats / max(executions, 1):.1f} %)",
        f"{failures}",
        recovery,
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main(folder: str, target: str = "") -> int:
    """Prints the table; exit status 1 where a rule was broken or nothing ran."""
    rows = read(Path(folder))
    sys.stdout.write(table(rows))
    if target and rows:
        Path(target).write_text(page(rows), encoding="utf-8")
    return 0 if rows and not any(row.lost or row.doubled or row.foreign or row.other for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
