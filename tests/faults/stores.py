"""Faults of what is stored in: the database stops, hangs, is cut off or full; the server of the limits is away."""

import contextlib
import resource
import sqlite3
import time
from collections.abc import Iterator

from databases import postgres_server, valkey_server
from faults.load import Mix
from faults.nodes import LEASE, Node, scale
from faults.run import HOLD, Run
from ingot.store.engine import FILE_NAME
from rig import wait_until
from tcpproxy import Harm

COMMITS = int(scale("COMMITS", "3"))
MIXED = Mix(clients={"stream": 2, "sync": 2, "background": 3, "batch": 1}, keyed=0.5)
TOLD = {"503", "error", "broken"}
"""What a client may be told whose answer cannot be written down."""


def database_stopped(run: Run) -> None:
    """F10: PostgreSQL is away: who waits is told at once, what was taken stays, and all goes on by itself."""
    with run.load(MIXED) as load:
        load.until_done(6)
        with postgres_server().stopped():
            time.sleep(HOLD)
        run.mark()
        load.until_done(8)
    run.proved()
    assert run.failures.keys() <= TOLD


def database_unheard(run: Run) -> None:
    """F12: one server's way to the database swallows all bytes and tells of no end: it finds out, and a new connection serves."""
    victim = run.nodes.front
    with run.load(MIXED) as load:
        load.until_done(6)
        victim.wires["database"].harm(Harm(black_hole=True))
        time.sleep(HOLD)
        victim.wires["database"].heal()
        run.mark()
        wait_until(lambda: victim.answers, "the server has found a new connection")
        load.until_done(4)
    run.proved()
    assert run.failures.keys() <= TOLD


def worker_cut_off(run: Run) -> None:
    """F24: one that works on the queue no longer reaches the database, others do: the database decides whose work it is."""
    victim = run.nodes.workers[-1]
    work = Mix(clients={"sync": 1, "background": 6, "batch": 2}, markers=("{{delay 0.3}}", "{{delay 0.1}}"))
    others = [node for node in run.nodes.all if node is not victim]
    with run.load(work, of=others) as load:
        load.until_done(6)
        victim.wires["database"].harm(Harm(black_hole=True))
        victim.wires["limiter"].harm(Harm(black_hole=True))
        run.mark()
        time.sleep(max(HOLD, LEASE + 1.5))
        load.until_done(4)
        for wire in victim.wires.values():
            wire.heal()
        load.until_done(6)
    run.proved()
    assert not run.failures


def limits_away(run: Run) -> None:
    """F13: the server of the limits is killed, hangs, forgets: no request fails for it."""
    server = valkey_server()
    plain = Mix(clients={"stream": 2, "sync": 3, "background": 2, "batch": 1}, keyed=0.0)
    with run.load(plain) as load:
        for harm in (server.stopped, server.paused):
            load.until_done(4)
            with harm():
                time.sleep(HOLD / 2)
                load.until_done(4)
            run.mark()
        load.until_done(4)
    run.proved()
    assert not run.failures


def disk_full(run: Run) -> None:
    """F14: no file may grow: writes are refused cleanly, reads go on, and nothing is to be repaired afterwards."""
    node = run.nodes.front
    with run.load(MIXED) as load:
        load.until_done(6)
        with _no_room(node):
            wait_until(lambda: _refuses(node), "writes are refused")
            assert node.now.call("/v1/models")[0] == 200
            assert node.now.call("/v1/usage/requests")[0] == 200
            time.sleep(HOLD)
        run.mark()
        load.until_done(8)
    run.proved()
    assert run.failures.keys() <= TOLD
    assert _sound(run)


def killed_in_commits(run: Run) -> None:
    """F15: SIGKILL while commits are under way, again and again: the file is sound each time."""
    node = run.nodes.front
    with run.load(
        Mix(clients={"stream": 1, "sync": 4, "background": 2, "batch": 1}, markers=("",), rest=0.0)
    ) as load:
        for _ in range(COMMITS):
            load.until_done(run.draw.randrange(2, 12))
            run.harm(node.kill)
            assert _sound(run)
            node.start()
    run.proved()
    assert not run.failures


def _refuses(node: Node) -> bool:
    return node.now.chat("hello")[0] == 503


@contextlib.contextmanager
def _no_room(node: Node) -> Iterator[None]:
    """The process may write no file beyond its first bytes, as if the disk were full."""
    pid = node.now.process.pid
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, most))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


def _sound(run: Run) -> bool:
    with contextlib.closing(sqlite3.connect(run.nodes.place.data / FILE_NAME)) as conn:
        return conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
