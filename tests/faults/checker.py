"""One history against the rules that every run owes, whatever harm was done in it.

    lost        what was taken, or told as answered, has ended in the database
    doubled     an operation has one ledger row where it was answered, and never two; no ledger row is without a settlement
    tokens      what is billed is what exactly one execution used; an estimate is of one that broke off
    backwards   what was read once is never read as less, and an answer never as another
    wrong       an answer is the upstream's function of its prompt
    mixed       no byte of one tenant's work reaches another
    untold      each end that somebody is to be told of was sent, and what was sent arrived

Decides what is a violation; refuses to know processes, files and databases.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from faults.history import ENDED, Event

_RANKS = {"queued": 0, "in_progress": 1}


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with a history, a sentence each; empty where nothing is. And what it holds."""

    lost: list[str]
    doubled: list[str]
    tokens: list[str]
    backwards: list[str]
    wrong: list[str]
    mixed: list[str]
    untold: list[str]
    operations: int
    executions: int
    repeats: int
    """Executions beyond the first of each operation."""
    foreign: int
    """Bytes that reached another tenant."""
    fenced: int

    @property
    def all(self) -> list[str]:
        """Every violation."""
        rules = (self.lost, self.doubled, self.tokens, self.backwards, self.wrong, self.mixed, self.untold)
        return [sentence for rule in rules for sentence in rule]


@dataclass(slots=True)
class _Operation:
    """All that is known of one operation."""

    submits: list[Event] = field(default_factory=list)
    admits: list[Event] = field(default_factory=list)
    reads: list[Event] = field(default_factory=list)
    starts: list[Event] = field(default_factory=list)
    ends: list[Event] = field(default_factory=list)
    settles: list[Event] = field(default_factory=list)
    waits: list[Event] = field(default_factory=list)
    sent: list[Event] = field(default_factory=list)
    acked: list[Event] = field(default_factory=list)


_PLACES = {
    "submit": "submits",
    "admit": "admits",
    "read": "reads",
    "exec_start": "starts",
    "exec_end": "ends",
    "settle": "settles",
    "waiting": "waits",
    "event_sent": "sent",
    "event_acked": "acked",
}


def check(events: Sequence[Event]) -> Findings:
    """What is wrong with the events of a run that has come to rest, in the order of time."""
    found: dict[str, _Operation] = defaultdict(_Operation)
    for event in events:
        if event.what in _PLACES:
            getattr(found[event.op], _PLACES[event.what]).append(event)

    def by(rule: Callable[[_Operation], list[str]]) -> list[str]:
        return [f"{name}: {sentence}" for name, each in found.items() for sentence in rule(each)]

    reads = [event for event in events if event.what == "read"]
    return Findings(
        lost=by(_lost),
        doubled=by(_doubled),
        tokens=by(_tokens),
        backwards=by(_backwards),
        wrong=by(_wrong),
        mixed=by(_mixed),
        untold=by(_untold),
        operations=sum(bool(each.submits) for each in found.values()),
        executions=sum(len(each.starts) for each in found.values()),
        repeats=sum(max(len(each.starts) - 1, 0) for each in found.values()),
        foreign=sum(event.foreign for event in reads),
        fenced=sum(event.count for event in events if event.what == "fence"),
    )


def _lost(op: _Operation) -> list[str]:
    answered = any(read.state == "completed" for read in op.reads)
    if not op.admits and not answered:
        return []
    if op.waits:
        return ["it was taken and waits to this day"]
    states = {each.state for each in op.settles}
    if not states & ENDED:
        return ["it was taken and has no end"]
    return ["it was answered and ended otherwise"] if answered and "completed" not in states else []


def _doubled(op: _Operation) -> list[str]:
    if op.settles and not op.submits:
        return ["it was settled and nobody sent it"]
    bills = sum(each.bills for each in op.settles)
    if bills > 1:
        return [f"it has {bills} ledger rows"]
    completed = [each for each in op.settles if each.state == "completed"]
    if len(completed) > 1:
        return [f"it was completed {len(completed)} times"]
    return ["it was completed and has no ledger row"] if completed and not bills else []


def _tokens(op: _Operation) -> list[str]:
    used = {(each.input, each.output) for each in op.ends if each.whole}
    wrong = []
    for each in op.settles:
        if not each.bills or (each.input, each.output) in used:
            continue
        said = max((end.characters for end in op.ends), default=-1)
        if each.estimated and each.output <= said:
            continue
        wrong.append(f"{each.input} and {each.output} tokens are billed, its executions used {sorted(used)}")
    return wrong


def _backwards(op: _Operation) -> list[str]:
    """What was read of it, each time against the time before."""
    wrong = []
    for before, after in zip(op.reads, op.reads[1:], strict=False):
        if before.state in ENDED:
            if (before.state, before.text) != (after.state, after.text):
                wrong.append(f"it was {before.state} and is {after.state}, or says something else")
        elif _RANKS.get(after.state, 2) < _RANKS.get(before.state, 2):
            wrong.append(f"it was {before.state} and is {after.state}")
    return wrong


def _wrong(op: _Operation) -> list[str]:
    right = {each.text for each in op.submits}
    told = [each for each in (*op.reads, *op.settles) if each.state == "completed" and each.text is not None]
    return [f"{each.what} says {each.text!r}" for each in told if each.text not in right]


def _mixed(op: _Operation) -> list[str]:
    wrong = [f"{each.foreign} bytes are another's" for each in (*op.reads, *op.settles) if each.foreign]
    if len({each.tenant for each in (*op.submits, *op.starts, *op.settles)}) > 1:
        wrong.append("more than one tenant has it")
    return wrong


def _untold(op: _Operation) -> list[str]:
    if not any(each.hook for each in op.submits):
        return []
    wrong = []
    if {each.state for each in op.settles} & ENDED and not op.sent:
        wrong.append("its end was told to nobody")
    arrived = {each.run for each in op.acked}
    wrong += [f"event {each.run} never arrived" for each in op.sent if each.run not in arrived]
    return wrong
