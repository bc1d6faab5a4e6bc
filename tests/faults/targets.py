"""Faults of targets: they fail, refuse, say nothing, break off."""

import time

from faults.load import Mix
from faults.run import HOLD, Run
from tcpproxy import Harm
from upstream_script import Step

PLAIN = Mix(clients={"stream": 2, "sync": 2, "background": 3, "batch": 1}, keyed=0.0, markers=("",))
RETRY_AFTER = 1


def target_fails(run: Run) -> None:
    """F05: nothing but 503 for a while: who waits is told at once and when to come again, queued work is done later, nothing is billed."""
    with run.load(PLAIN, at_least=10) as load:
        load.until_done(6)
        run.nodes.upstream.up.default = Step(fail=503)
        time.sleep(HOLD)
        load.until_done(4)
        run.nodes.upstream.up.default = Step()
        run.mark()
        load.until_done(4)
    run.proved()
    assert run.failures.keys() <= {"502", "503"}
    assert run.failures


def target_refuses(run: Run) -> None:
    """F06: nothing but 429 with a Retry-After: queued work comes back no sooner."""
    work = Mix(clients={"sync": 2, "background": 5, "batch": 1}, keyed=0.0, markers=("",), cancels=0.0)
    with run.load(work, at_least=10) as load:
        load.until_done(4)
        run.nodes.upstream.up.default = Step(fail=429, retry_after=f"{RETRY_AFTER}")
        time.sleep(HOLD)
        run.nodes.upstream.up.default = Step()
        run.mark()
        load.until_done(8)
    run.proved()
    assert run.failures.keys() <= {"429"}
    refused: dict[str, float] = {}
    for event in run.executions():
        if event.what == "exec_end" and not event.whole:
            refused[event.op] = event.at
        elif event.what == "exec_start" and event.op in refused:
            assert event.at >= refused.pop(event.op) + RETRY_AFTER
    assert len(refused) <= sum(run.failures.values())  # all others were sent again


def target_silent(run: Run) -> None:
    """F07: it takes connections and says nothing: another one answers, and no place is held for ever."""
    work = {"stream": 2, "sync": 2, "background": 2, "batch": 1}
    both = Mix(clients=work, keyed=0.0, model="pair", markers=("",))
    with run.load(both) as load:
        load.until_done(4)
        run.nodes.up.harm(Harm(stalled=True))
        time.sleep(HOLD)
        load.until_done(6)
        run.nodes.up.heal()
        run.mark()
        load.until_done(4)
    run.proved()
    assert not run.failures


def target_breaks_off(run: Run) -> None:
    """F08: its answers end in the middle, with FIN or RST: each client is told, and pays for no more than came."""
    work = {"stream": 4, "background": 2, "batch": 1}
    streams = Mix(clients=work, keyed=0.0, markers=("{{gap 0.002}}",), words=60)
    with run.load(streams) as load:
        for _ in range(2):
            load.until_done(4)
            size = run.draw.randrange(200, 3000)
            run.nodes.up.harm(Harm(cut=size) if run.draw.random() < 0.5 else Harm(reset=size))
            load.until_begun(8)
            load.until_done(4)
            run.nodes.up.heal()
            run.mark()
    run.proved()
    assert run.failures.keys() <= {"error", "502", "503", "504"}
    assert run.failures
