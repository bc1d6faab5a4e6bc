"""Faults of crowds: one tenant floods the queue, work is nearly due, all leave at once."""

from collections.abc import Mapping

from faults.history import batch_of
from faults.load import Mix
from faults.nodes import scale
from faults.run import Run
from rig import wait_until
from tcpproxy import Harm

FLOOD = int(scale("FLOOD", "60"))
FEW = 5
CROWD = {"batch": 1, "background": FLOOD - 1}
"""One of the flood is a batch."""
SLOW = ("{{delay 0.05}}",)
MOST = 100
"""Tokens of an answer: the queue charges by estimates, which are about what such answers come to."""


def flood(run: Run) -> None:
    """F21: one organization has put in far more than there is room for: another's few are not behind all of it."""
    crowd = Mix(clients=CROWD, model="slow", markers=SLOW, tenants=("bea",), most=MOST, cancels=0.0)
    few = Mix(clients={"background": FEW}, model="slow", markers=SLOW, tenants=("ada",), most=MOST)
    _few_come_before_the_rest(run, crowd, few)


def crunch(run: Run) -> None:
    """F22: work that is nearly due stands behind much that has time: it comes first, and nothing is late."""
    crowd = Mix(clients=CROWD, model="slow", markers=SLOW, tenants=("bea",), cancels=0.0)
    few = Mix(clients={"background": FEW}, model="slow", markers=SLOW, tenants=("bea",), window="near")
    _few_come_before_the_rest(run, crowd, few)


def all_leave(run: Run) -> None:
    """F23: streams whose clients are gone after a few events: their calls end, and nothing is left open."""
    work = {"batch": 1, "stream": 24}
    many = Mix(
        clients=work, keyed=0.0, markers=("{{gap 0.05}}",), words=60, leaves=True, rest=0.0, cancels=0.0
    )
    with run.load(many, at_least=25, at_most=48):
        run.mark()
    run.proved()
    assert run.failures.keys() <= {"left"}
    ends = [event for event in run.executions() if event.what == "exec_end" and not batch_of(event.op)]
    left = [event for event in ends if not event.whole]
    assert len(left) > len(ends) / 2
    served = run.nodes.metric("ingot_upstream_connections")
    assert served <= run.nodes.up.open + run.nodes.upstream.up.open_connections


def _few_come_before_the_rest(run: Run, crowd: Mix, few: Mix) -> None:
    """From the first of the few to the last of them not many of the crowd begin, and more of it still waits."""
    run.nodes.up.harm(Harm(stalled=True))  # until everybody has come
    with run.load(crowd, at_least=FLOOD, at_most=FLOOD) as flooding:
        wait_until(lambda: flooding.admitted == FLOOD, "the crowd's work is taken")
        run.mark()
        with run.load(few, at_least=FEW, at_most=FEW) as those:
            wait_until(lambda: those.admitted == FEW, "the work of the few is taken")
            run.nodes.up.heal()
    run.proved()
    assert not run.failures
    begun = [event.op for event in run.executions() if event.what == "exec_start"]
    own = [place for place, op in enumerate(begun) if op.startswith(f"{those.run}n")]
    between = own[-1] - own[0] + 1 - FEW
    behind = len(begun) - 1 - own[-1]
    order = _places(begun, {"crowd": flooding.run, "few": those.run})
    assert between <= 4 * FEW, order
    assert behind >= FEW, order


def _places(begun: list[str], runs: Mapping[str, str]) -> str:
    return " ".join(next(name for name, run in runs.items() if op.startswith(f"{run}n")) for op in begun)
