"""F15: Durable before acknowledged: SIGKILL in the middle of writes loses nothing that was acknowledged."""

import signal
import subprocess
import sys

from databases import Place
from things import kept

_ACKNOWLEDGED = 400

# Writes numbers without end from 16 tasks, and says each one once its write has returned.
_WRITER = """
import asyncio, itertools, os, sys
from pathlib import Path
from sqlalchemy import text
from ingot.store.engine import open_database

async def main():
    numbers = itertools.count()
    async with open_database(Path(sys.argv[1]), sys.argv[2]) as db:
        await db.write(lambda conn: conn.execute(text("CREATE TABLE things (n INTEGER PRIMARY KEY)")))
        async def work():
            for n in numbers:
                await db.write(lambda conn: conn.execute(text("INSERT INTO things VALUES (:n)"), {"n": n}))
                os.write(1, b"%d\\n" % n)
        await asyncio.gather(*(work() for _ in range(16)))

asyncio.run(main())
"""


def test_acknowledged_writes_survive_when_the_process_is_killed(backend: Place) -> None:
    """Every number that was said is in the database, and a SQLite file is whole."""
    command = [sys.executable, "-c", _WRITER, str(backend.data), backend.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        said = [int(child.stdout.readline()) for _ in range(_ACKNOWLEDGED)]
        child.send_signal(signal.SIGKILL)
        said += [int(line) for line in child.stdout.read().splitlines()]
    if not backend.postgres:
        assert backend.run("PRAGMA integrity_check") == [("ok",)]
    assert len(said) >= _ACKNOWLEDGED
    assert set(said) <= set(kept(backend))
