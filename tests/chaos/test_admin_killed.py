"""The server is killed at two points of a change with an idempotency key, and under load: each change is made once."""

import json
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from retryclient import rows
from rig import Line, wait_until
from served import Served, serving

CONFIG = """
    [engine]
    enabled = false
"""
PATH = "/admin/v1/organizations"

# Between the change and its answer, inside their transaction: the statement that keeps the answer is never reached.
STALL = """
    CREATE TRIGGER stall AFTER INSERT ON organizations WHEN NEW.name = 'Stalled' BEGIN
        INSERT INTO audit (actor, action, subject, detail, at)
        WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 100000000000)
        SELECT 'x', 'x', 'x', '{}', count(*) FROM counted;
    END
"""


def run(data: Path, statement: str) -> None:
    """A statement past the server."""
    with closing(sqlite3.connect(data / "ingot.db", isolation_level=None)) as conn:
        conn.execute(statement)


def admin_key(served: Served) -> str:
    """A key of the operator's organization for the admin API."""
    command = ["keys", "create", "--name", "admin", "--admin", "--json", "--data", str(served.data)]
    done = subprocess.run(
        [sys.executable, "-m", "ingot", *command], cwd=served.config.parent, capture_output=True, check=True
    )
    return str(json.loads(done.stdout)["key"])


def create(served: Served, name: str, *, key: str) -> tuple[int, bool, Any]:
    """The creation of an organization, its name being its idempotency key."""
    status, headers, body = served.call(PATH, {"name": name}, headers={"Idempotency-Key": name}, key=key)
    return status, headers.get("idempotent-replayed") == "true", json.loads(body)


def send(served: Served, name: str, *, key: str) -> Line:
    """The same, by a client that reads nothing."""
    body = json.dumps({"name": name})
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\nidempotency-key: {name}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    line = Line(served.port)
    line.send(f"{head}{body}".encode())
    return line


def kill(served: Served) -> None:
    """SIGKILL, as a machine that loses its power."""
    served.process.send_signal(signal.SIGKILL)
    served.process.wait()


def is_held(data: Path) -> bool:
    """Whether somebody is inside a write for longer than any of ours takes."""
    with closing(sqlite3.connect(data / "ingot.db", timeout=0.3, isolation_level=None)) as conn:
        try:
            conn.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        conn.rollback()
    return False


def named(data: Path, name: str) -> int:
    """How many organizations have this name."""
    return int(rows(data, "SELECT count(*) FROM organizations WHERE name = ?", name)[0][0])


def states(data: Path) -> list[str]:
    """How the idempotency keys stand."""
    return [str(state) for (state,) in rows(data, "SELECT state FROM idempotency")]


def test_i08_change_is_made_once_when_the_server_dies_between_change_and_answer(tmp_path: Path) -> None:
    """Killed with the organization's row written and its answer not: the row is gone with it, and the retry makes it."""
    with serving(CONFIG, tmp_path) as served:
        key, data = admin_key(served), served.data
        run(data, STALL)
        line = send(served, "Stalled", key=key)
        wait_until(lambda: states(data) == ["running"], "the key is taken")
        wait_until(lambda: is_held(data), "the change is written and not committed")
        kill(served)
        line.leave(reset=True)
    assert (named(data, "Stalled"), states(data)) == (0, ["running"])
    run(data, "DROP TRIGGER stall")
    with serving(CONFIG, tmp_path) as served:
        status, replayed, made = create(served, "Stalled", key=key)
        assert (status, replayed) == (201, False)
        assert create(served, "Stalled", key=key) == (201, True, made)
    assert named(data, "Stalled") == 1


def test_i09_answer_is_told_when_the_server_dies_after_its_commit(tmp_path: Path) -> None:
    """Killed before the client has read a byte: the retry gets the answer, from the next process."""
    with serving(CONFIG, tmp_path) as served:
        key, data = admin_key(served), served.data
        line = send(served, "Kept", key=key)
        wait_until(lambda: states(data) == ["done"], "the answer is kept")
        kill(served)
        line.leave(reset=True)
    with serving(CONFIG, tmp_path) as served:
        status, replayed, made = create(served, "Kept", key=key)
        assert (status, replayed) == (201, True)
        assert made["name"] == "Kept"
    assert named(data, "Kept") == 1


def test_i08_each_change_is_made_once_when_the_server_dies_under_load(tmp_path: Path) -> None:
    """Forty organizations at once, the server killed in the midst, all sent again: forty, and no answer was taken back."""
    names = [f"org-{number}" for number in range(40)]

    def attempt(served: Served, name: str) -> tuple[int, bool, Any] | None:
        try:
            return create(served, name, key=key)
        except (OSError, ValueError):
            return None

    with serving(CONFIG, tmp_path) as served, ThreadPoolExecutor(8) as pool:
        key, data = admin_key(served), served.data
        asked = [pool.submit(attempt, served, name) for name in names]
        wait_until(lambda: states(data).count("done") >= 10, "ten are made")
        kill(served)
        before = {name: each.result() for name, each in zip(names, asked, strict=True)}
    with serving(CONFIG, tmp_path) as served, ThreadPoolExecutor(8) as pool:
        after = dict(zip(names, pool.map(lambda name: create(served, name, key=key), names), strict=True))
    assert {status for status, _, _ in after.values()} == {201}
    for name, told in before.items():
        if told is not None:
            assert after[name] == (201, True, told[2])
    assert [named(data, name) for name in names] == [1] * 40
