"""One history against the rules that every run owes, whatever harm was done in it.

    lost        what was taken, or told as answered, has ended in the database
    doubled     an operation has one ledger row where it was answered, and never two; no ledger row is without a settlement
    tokens      what is billed is what exactly one execution used; an estimate is of one that broke off
    backwards   what was read once is never read as less, and an answer never as another
    wrong       an answer is the upstream's function of its prompt
    mixed       no byte of one tenant's work reaches another
    untold      each end that somebody is to be told of was sent, and what was sent arrived
    uncounted   a batch's counts add up at every poll and never go back; once it has ended each of its requests has one result,
                and there are as many of each kind as are counted

Decides what is a violation; refuses to know processes, files and databases.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from faults.history import BATCH_ENDED, ENDED, Event, batch_of

OUTCOMES = ("completed", "failed", "cancelled", "expired")
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
    uncounted: list[str]
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
        first = (self.lost, self.doubled, self.tokens, self.backwards)
        rules = (*first, self.wrong, self.mixed, self.untold, self.uncounted)
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
    polls: list[Event] = field(default_factory=list)
    kept: list[Event] = field(default_factory=list)


_PLACES = {
    "submit": "submits",
    "admit": "admits",
    "read": "reads",
    "result": "reads",
    "poll": "polls",
    "kept": "kept",
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

    reads = [event for event in events if event.what in {"read", "result"}]
    return Findings(
        lost=by(_lost),
        doubled=by(_doubled),
        tokens=by(_tokens),
        backwards=by(_backwards),
        wrong=by(_wrong),
        mixed=by(_mixed),
        untold=by(_untold),
        uncounted=by(_uncounted) + _unlisted(events),
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
    if len({each.batch for each in op.settles if each.batch}) > 1:
        return ["it is in more than one batch"]
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


def _uncounted(op: _Operation) -> list[str]:
    """How a batch was counted at each look, against the look before, and what the database keeps of it in the end."""
    wrong = []
    looks = [*op.polls, *op.kept]
    for each in looks:
        parts = {name: count for name, count in each.counts.items() if name != "total"}
        total = each.counts.get("total", sum(parts.values()))
        if sum(parts.values()) != total or min(each.counts.values(), default=0) < 0:
            wrong.append(f"{each.counts} do not add up")
    for before, after in pairwise(looks):
        if before.state in BATCH_ENDED and before.state != after.state:
            wrong.append(f"it was {before.state} and is {after.state}")
        less = [name for name in OUTCOMES if after.counts.get(name, 0) < before.counts.get(name, 0)]
        wrong += [f"{before.counts} became {after.counts}"] if less else []
    if len({each.run for each in op.kept}) > 1:
        wrong.append(f"it was made {len(op.kept)} times")
    return wrong


def _unlisted(events: Sequence[Event]) -> list[str]:
    """The results of each batch that were read, against its requests and against what it counted."""
    wrong = []
    listed: dict[str, Counter[str]] = defaultdict(Counter)
    states: dict[str, Counter[str]] = defaultdict(Counter)
    for event in events:
        if event.what == "result":
            listed[event.run][event.op] += 1
            states[event.run][event.state] += 1
    wanted: dict[str, Counter[str]] = defaultdict(Counter)
    counted: dict[str, dict[str, int]] = {}
    for event in events:
        if event.what == "admit" and (name := batch_of(event.op)):
            wanted[name][event.op] += 1
        elif event.what == "poll" and event.state in BATCH_ENDED:
            counted[event.op] = {name: event.counts.get(name, 0) for name in OUTCOMES}
    for name in wanted.keys() | listed.keys():
        odd = {
            op: listed[name][op]
            for op in (wanted[name] | listed[name])
            if listed[name][op] != wanted[name][op]
        }
        wrong += [f"{name}: {op} has {count} results" for op, count in sorted(odd.items())]
        told = {state: states[name][state] for state in OUTCOMES}
        if counted.get(name) != told:
            wrong.append(f"{name}: its results are {told}, and it counts {counted.get(name)}")
    return wrong
