"""`ingot usage` as a process of its own, on both databases."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from databases import Place, open_store
from ledgerbook import Entry, add_organization, book


def _run(place: Place, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ingot", "usage", "--data", str(place.data), *options]
    environ = {**os.environ, "INGOT_DATABASE": place.url, "COLUMNS": "200"}
    return subprocess.run(command, env=environ, text=True, capture_output=True, check=False)


async def _fill(place: Place) -> None:
    now = time.time()
    entries = [Entry(number=n, at=now - n, model="a[b]", cost=10**10) for n in range(3)]
    entries.append(Entry(number=9, at=now, org="org_two", cost=5 * 10**10))
    async with open_store(place) as db:
        await db.write(partial(add_organization, org_id="org_two"))
        await db.write(partial(book, entries=entries))


async def test_usage_is_printed_when_asked(backend: Place) -> None:
    """A table for people, one JSON value for programs, a line for each request as CSV."""
    await _fill(backend)
    table = _run(backend).stdout
    assert "a[b]" in table
    assert "spent in 30d: 0.0300 USD" in table
    found = json.loads(_run(backend, "--json", "--range", "7d").stdout)
    assert (found["summary"]["period_spend"], found["summary"]["range"]) == (3.0, "7d")
    assert found["breakdown"]["models"][0]["model"] == "a[b]"
    rows = list(csv.DictReader(io.StringIO(_run(backend, "--csv").stdout)))
    assert [row["response_id"] for row in rows] == ["chatcmpl-0", "chatcmpl-1", "chatcmpl-2"]
    theirs = json.loads(_run(backend, "--json", "--org", "org_two").stdout)
    assert theirs["summary"]["period_spend"] == 5.0


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (("--org", "nobody"), 1, "no organization with the id or name 'nobody'"),
        (("--range", "1h"), 1, "24h, 7d, 30d or period"),
        (("--json", "--csv"), 2, "one of --json and --csv"),
    ],
)
async def test_reason_is_told_when_usage_cannot_be_shown(
    backend: Place, options: tuple[str, ...], status: int, told: str
) -> None:
    """On stderr, with the exit status."""
    async with open_store(backend):
        pass
    done = _run(backend, *options)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr


def test_nothing_is_made_when_there_is_no_database(tmp_path: Path) -> None:
    """To look creates no file."""
    done = _run(Place("sqlite", tmp_path / "data", ""))
    assert done.returncode == 1
    assert "there is no database in" in done.stderr
    assert not (tmp_path / "data").exists()
