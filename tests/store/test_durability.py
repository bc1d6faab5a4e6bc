"""Durable before acknowledged: SIGKILL in the middle of writes loses nothing that was acknowledged."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from ingot.store.engine import FILE_NAME

_ACKNOWLEDGED = 400

# Writes numbers without end from 16 tasks, and says each one once its write has returned.
_WRITER = """
import asyncio, itertools, os, sys
from pathlib import Path
from sqlalchemy import text
from ingot.store.engine import open_database

async def main():
    numbers = itertools.count()
    async with open_database(Path(sys.argv[1])) as db:
        await db.write(lambda conn: conn.execute(text("CREATE TABLE things (n INTEGER PRIMARY KEY)")))
        async def work():
            for n in numbers:
                await db.write(lambda conn: conn.execute(text("INSERT INTO things VALUES (:n)"), {"n": n}))
                os.write(1, b"%d\\n" % n)
        await asyncio.gather(*(work() for _ in range(16)))

asyncio.run(main())
"""


def test_acknowledged_writes_survive_when_the_process_is_killed(tmp_path: Path) -> None:
    """Every number that was said is in the file, and the file is whole."""
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        said = [int(child.stdout.readline()) for _ in range(_ACKNOWLEDGED)]
        child.send_signal(signal.SIGKILL)
        said += [int(line) for line in child.stdout.read().splitlines()]
    conn = sqlite3.connect(tmp_path / FILE_NAME)
    kept = {row[0] for row in conn.execute("SELECT n FROM things")}
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    conn.close()
    assert len(said) >= _ACKNOWLEDGED
    assert set(said) <= kept
