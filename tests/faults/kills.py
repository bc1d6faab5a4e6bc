"""Faults of processes: killed, put to sleep, restarted one after the other, brought down by what they work on."""

import socket
import time
from contextlib import closing, suppress

from faults.load import Load, Mix
from faults.nodes import CONCURRENCY, LEASE, Node, metric, scale
from faults.run import HOLD, ORDINARY, Run
from rig import wait_until

KILLS = int(scale("KILLS", "2"))
WORK = Mix(
    clients={"stream": 1, "sync": 1, "background": 6, "batch": 2}, markers=("{{delay 0.3}}", "{{delay 0.1}}")
)
REST = 16
STREAMS = Mix(clients={"stream": 6, "background": 1, "batch": 1}, markers=("{{gap 0.03}}",))
PROMPT = Mix(
    clients={"stream": 2, "sync": 2, "background": 1, "batch": 1},
    keyed=0.0,
    markers=("{{gap 0.01}}", ""),
    rest=0.3,
)


def workers_killed(run: Run) -> None:
    """F01: SIGKILL for those who work on the queue, again and again: repeats are at most what was under way."""
    nodes = run.nodes
    with run.load(WORK, of=[nodes.front], at_least=20) as load:
        for _ in range(KILLS):
            load.until_done(run.draw.randrange(4, 10))
            victim = run.draw.choice(nodes.workers)
            run.kill(victim)
            victim.start()
    found = run.proved()
    each = CONCURRENCY if nodes.postgres else CONCURRENCY + sum(load.mix.clients.values())
    assert found.repeats <= KILLS * each
    assert not run.failures


def server_killed(run: Run) -> None:
    """F02: SIGKILL for the server in the middle of streams: with a key every one of them comes to its end elsewhere, or later."""
    nodes = run.nodes
    with run.load(STREAMS, at_least=16) as load:
        for _ in range(KILLS):
            load.until_begun(load.mix.clients["stream"])
            victim = run.draw.choice(nodes.all)
            _until_streaming(run)
            run.kill(victim)
            victim.start()
    run.proved()
    assert not run.failures


def worker_asleep(run: Run) -> None:
    """F03: SIGSTOP for longer than the lease, then SIGCONT: what the zombie still says does not count."""
    nodes = run.nodes
    victim = nodes.workers[-1]
    others = [node for node in nodes.all if node is not victim] or [victim]
    with run.load(WORK, of=others) as load:
        load.until_done(4)
        for _ in range(5):  # until it was asleep over a piece of work
            wait_until(lambda: _busy(victim), "the victim works on something")
            with victim.asleep():
                time.sleep(max(HOLD, LEASE + 1.5))
                if nodes.postgres:
                    load.until_done(8)
            run.mark()
            load.until_done(8)
            if _repeats(run) or not nodes.postgres:
                break
    found = run.proved()
    if nodes.postgres:
        assert found.repeats > 0
    assert not run.failures


def rolling_restart(run: Run) -> None:
    """F04: SIGTERM and a new process, one node after the other: no client sees an error, with a key or without."""
    with run.load(PROMPT, at_least=12) as load:
        for node in run.nodes.all:
            load.until_done(3)
            run.harm(node.stop)
            node.start()
        load.until_done(3)
    run.proved()
    assert not run.failures


def loop_stalled(run: Run) -> None:
    """F17: a process that serves and works stands still for longer than its leases: whoever looks sees it, and nothing counts twice."""
    victim = run.nodes.workers[0]
    with run.load(ORDINARY) as load:
        load.until_done(6)
        with victim.asleep():
            assert _silent(victim)
            time.sleep(max(HOLD, LEASE + 1.0))
        run.mark()
        load.until_done(8)
    run.proved()
    # Streams whose target was not heard for so long are told that they broke off.
    assert run.failures.keys() <= {"error"}


def poison(run: Run) -> None:
    """F20: one piece of work brings down whoever takes it, another never ends: both fail by themselves, all others are done."""
    nodes = run.nodes
    victim, spare = nodes.workers[0], nodes.workers[1:]
    crash = Mix(clients={"background": 1}, model="slow", markers=("{{silent}}",))
    # At a target of its own, which is taken for ill where it is timed out.
    hang = Mix(clients={"background": 1}, model="odd", markers=("{{silent}}",), window="brief")
    rest = Mix(clients={"background": REST - 1, "batch": 1}, markers=("{{delay 0.3}}",))
    with (
        run.load(crash, at_least=1, at_most=1) as crashing,
        run.load(hang, at_least=1, at_most=1) as hanging,
        run.load(rest, at_least=REST, at_most=REST) as load,
    ):
        loads = (crashing, hanging, load)
        # All of it is taken before anybody dies: with few who work on it the server promises no more.
        wait_until(lambda: all(each.admitted == each.at_most for each in loads), "all work is taken")
        for node in spare:
            run.kill(node)

        killed = 0

        def over() -> bool:
            nonlocal killed
            if _begun(run, crashing) > killed:  # whoever dies takes all with it that it has
                run.kill(victim)
                victim.start()
                killed += 1
            return crashing.done == 1

        wait_until(over, "the poison has failed")
    run.proved()
    assert crashing.failures == {"failed worker_crashed": 1}
    assert sum(hanging.failures.values()) == 1
    assert not load.failures
    for node in spare:
        node.start()


def _until_streaming(run: Run) -> None:
    """A stream is under way at the upstream."""
    log = run.nodes.upstream.up.log
    wait_until(
        lambda: any(
            each.events > 1 and each.finished is None and each.aborted is None for each in list(log)[-40:]
        ),
        "a stream is under way",
    )


def _repeats(run: Run) -> int:
    """Executions beyond the first of each operation, so far."""
    begun = [event.op for event in run.executions() if event.what == "exec_start"]
    return len(begun) - len(set(begun))


def _busy(node: Node) -> bool:
    """Whether a node has a call under way."""
    return metric(node.now, "ingot_target_in_flight") > 0


def _begun(run: Run, load: Load) -> int:
    """How often an operation of the load has come to the upstream."""
    return sum(load.run.encode() in each.body for each in list(run.nodes.upstream.up.log))


def _silent(node: Node) -> bool:
    """Whether a health check waits in vain."""
    with closing(socket.create_connection(("127.0.0.1", node.now.port), 1.0)) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        line.settimeout(0.5)
        with suppress(TimeoutError):
            return not line.recv(1)
    return True
