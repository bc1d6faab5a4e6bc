"""T-Q-chaos, F01, F03: processes that work on the queue are killed and stalled; every piece of work is answered, and billed once.

On SQLite one server is killed and started again; on PostgreSQL a server takes the work, and several that work on it are
killed, stopped for longer than their leases, and replaced. What happens when is drawn from a seed, which is told.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from databases import postgres_url
from retryclient import rows
from rig import Backstage, fresh_id, wait_until
from served import PATIENCE, Served, serving

SEED = int(os.environ.get("INGOT_SEED", "20261127"))
WORK = int(os.environ.get("INGOT_CHAOS_WORK", "60"))
KILLS = 2
LEASE = 3
CONFIG = f"""
    [engine]
    enabled = false
    [targets.up]
    base_url = "{{up}}"
    breaker = {{ failures = 1000 }}
    [models.mock]
    targets = ["up"]
    windows = ["asap", "standard"]
    price = {{ input = 1, output = 2 }}
    attempts = 1
    [worker]
    concurrency = 8
    lease_seconds = {LEASE}
"""
PATH = "/v1/chat/completions"


def submit(served: Served, mark: str, number: int) -> str:
    """A piece of work; its id."""
    text = f"{{{{delay 0.1}}}} echo: {mark} {number}"
    body = {"model": "mock", "messages": [{"role": "user", "content": text}], "background": True}
    status, _, answer = served.call(PATH, body)
    assert status == 200, answer
    return str(json.loads(answer)["id"])


def record(served: Served, which: str) -> Any:
    """The record of a piece of work."""
    return json.loads(served.call(f"{PATH}/{which}")[2])


def until_done(served: Served, count: int) -> None:
    """So much of the work is done."""
    wait_until(lambda: len(rows(served.data, "SELECT id FROM responses")) >= count, f"{count} are done")


def check(served: Served, ids: list[str], *, mark: str, upstream: Backstage, billed: list[str]) -> None:
    """Every piece has its own answer and one ledger row; repeats are no more than what was cut off."""
    for number, which in enumerate(ids):
        told = record(served, which)
        assert (told["status"], told["choices"][0]["message"]["content"]) == ("completed", f"{mark} {number}")
    assert sorted(billed) == sorted(ids)
    asked = sum(mark.encode() in seen.body for seen in list(upstream.up.log))
    assert asked >= len(ids)


def test_q08_work_is_done_once_when_the_server_is_killed(tmp_path: Path) -> None:
    """SIGKILL in the middle of it, a few times, on SQLite: after each start what waits goes on where it was."""
    draw = random.Random(SEED)  # noqa: S311  # a seed, so that a run can be repeated
    mark = fresh_id()
    with Backstage() as upstream:
        config = textwrap.dedent(CONFIG).replace("{up}", upstream.url)
        ids: list[str] = []
        done = 0
        for _ in range(KILLS):
            with serving(config, tmp_path) as served:
                ids += [submit(served, mark, number) for number in range(len(ids), len(ids) + WORK // KILLS)]
                done = min(done + draw.randrange(1, WORK // KILLS), len(ids))
                until_done(served, done)
                served.process.send_signal(signal.SIGKILL)
                served.process.wait()
        with serving(config, tmp_path) as served:
            wait_until(
                lambda: not rows(served.data, "SELECT id FROM items LIMIT 1"), f"all is done, seed {SEED}"
            )
            billed = [
                each
                for (each,) in rows(served.data, "SELECT billable_id FROM ledger WHERE kind = 'inference'")
            ]
            check(served, ids, mark=mark, upstream=upstream, billed=billed)


class Crew:
    """Processes that work on the queue, some of which come to harm."""

    def __init__(self, config: str, folder: Path) -> None:
        self._file = folder / "work.toml"
        self._file.write_text(config)
        self._folder = folder
        self.alive: list[subprocess.Popen[str]] = []

    def hire(self) -> None:
        """One more `ingot work`."""
        command = [
            sys.executable,
            "-m",
            "ingot",
            "work",
            "--config",
            str(self._file),
            "--data",
            str(self._folder / "data"),
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=self._folder
        )
        assert process.stdout is not None
        while "works on the queue" not in process.stdout.readline():
            assert process.poll() is None
        self.alive.append(process)

    def kill(self, place: int) -> None:
        """One of them dies at once."""
        victim = self.alive.pop(place)
        victim.kill()
        victim.wait()
        if victim.stdout is not None:
            victim.stdout.close()

    def end(self) -> None:
        """All of them end, as they are asked to."""
        for process in self.alive:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            assert process.wait(PATIENCE) == 0


@contextlib.contextmanager
def crew(config: str, folder: Path) -> Iterator[Crew]:
    """Nobody yet."""
    made = Crew(config, folder)
    try:
        yield made
    finally:
        while made.alive:
            made.kill(0)


def test_q04_work_is_done_once_when_workers_are_killed_and_stalled(tmp_path: Path) -> None:
    """On PostgreSQL workers die, and one sleeps past its leases and wakes as a zombie: nobody's result counts twice."""
    draw = random.Random(SEED + 1)  # noqa: S311  # a seed, so that a run can be repeated
    mark = fresh_id()
    url = postgres_url()
    with Backstage() as upstream:
        config = textwrap.dedent(CONFIG).replace("{up}", upstream.url) + f'[server]\ndatabase = "{url}"\n'
        folder = tmp_path / "crew"
        folder.mkdir()
        with serving(config, tmp_path, options=("--no-worker",)) as served:
            (folder / "data").symlink_to(served.data)  # the same pepper
            with crew(config, folder) as workers, psycopg.connect(url, autocommit=True) as conn:
                workers.hire()
                workers.hire()
                ids = [submit(served, mark, number) for number in range(WORK)]
                stalled = workers.alive[0]
                stalled.send_signal(signal.SIGSTOP)
                time.sleep(draw.uniform(0.1, 0.8))
                workers.kill(1)
                workers.hire()

                def left() -> int:
                    return int((conn.execute("SELECT count(*) FROM items").fetchone() or (0,))[0])

                wait_until(lambda: not left(), f"all is done, seed {SEED}")
                stalled.send_signal(signal.SIGCONT)
                workers.end()
                query = "SELECT billable_id FROM ledger WHERE kind = 'inference'"
                billed = [str(row[0]) for row in conn.execute(query)]
            check(served, ids, mark=mark, upstream=upstream, billed=billed)
