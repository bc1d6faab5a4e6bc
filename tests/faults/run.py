"""One fault on one scene: the load, the harm, the check of the whole history, and the row of the table that is left.

    with running("F01", scene, folder) as run:
        with run.load() as load:
            load.until_done(10)
            run.harm(scene.workers[0].kill)
        run.proved()

Decides what every run must show, whatever its fault; refuses to know how a fault is done.
"""

import contextlib
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from faults.books import executed, settled, told
from faults.checker import Findings, check
from faults.drivers import DRIVERS
from faults.history import Event, Journal, gather, now
from faults.load import Load, Mix
from faults.nodes import Node, Nodes, scale
from receiver import Post

SEED: Final = os.environ.get("INGOT_CHAOS_SEED", "20261127")
RUNS: Final = int(scale("RUNS", "1"))
SIZE: Final = scale("LOAD", "1")
"""Clients, as a multiple of a short run's."""
HOLD: Final = scale("HOLD", "1.5")
"""Seconds that an outage lasts."""
LONG: Final = 30.0
"""Seconds of an outage from which on a run waits for every lease."""
FOLDER: Final = os.environ.get("INGOT_FAULTS", "")
"""Where rows of the table are left."""

ORDINARY: Final = Mix(clients={"stream": 2, "sync": 2, "background": 3, "batch": 1})


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one run leaves for the table."""

    fault: str
    store: str
    seed: str
    operations: int
    executions: int
    repeats: int
    lost: int
    doubled: int
    foreign: int
    other: int
    """Violations of other rules."""
    fenced: int
    failures: dict[str, int]
    """Operations that failed for their clients, by how."""
    recovery: float | None
    """Seconds from the harm, or its end, to the end of the last operation that was under way."""


@dataclass(slots=True)
class Run:
    """One fault on one scene."""

    fault: str
    nodes: Nodes
    seed: str
    draw: random.Random
    folder: Path
    journal: Journal
    failures: dict[str, int] = field(default_factory=dict)
    _since: int = 0
    _marks: list[float] = field(default_factory=list)
    _loads: list[Load] = field(default_factory=list)
    _fenced: float = 0

    @property
    def name(self) -> str:
        """What its operations begin with."""
        return f"{self.fault.lower()}r{self.seed.rpartition('-')[2]}"

    @contextlib.contextmanager
    def load(
        self,
        mix: Mix = ORDINARY,
        *,
        of: Sequence[Node] | None = None,
        at_least: int = 0,
        at_most: int = 1_000_000,
    ) -> Iterator[Load]:
        """Clients of these nodes, or of all, while the block lasts; then their last answers."""
        clients = {kind: max(round(count * SIZE), 1) for kind, count in mix.clients.items()}
        load = Load(
            f"{self.name}l{len(self._loads)}",
            replace(mix, clients=clients),
            self.nodes.tenants,
            lambda: self.nodes.ports(of=of),
            self.journal,
            random.Random(self.draw.random()),  # noqa: S311  # a seeded load
            DRIVERS,
            at_least,
            at_most,
        )
        self._loads.append(load)
        with load:
            yield load
        for why, count in load.failures.items():
            self.failures[why] = self.failures.get(why, 0) + count

    def harm(self, act: Callable[[], object]) -> None:
        """Does it, and remembers when."""
        self.mark()
        act()

    def mark(self) -> None:
        """From here on it is counted how long it takes until all is answered that was under way."""
        self._marks.append(now())

    def kill(self, node: Node) -> None:
        """SIGKILL; in a short run the time is over at once for which what it led, and files of batches, stay its own on
        PostgreSQL.
        """
        port = node.now.port
        self.harm(node.kill)
        if self.nodes.postgres and HOLD < LONG:
            keys = [op for load in self._loads for op, asked in list(load.asking.items()) if asked == port]
            names = ", ".join(f"'{key}'" for key in ["", *keys])
            self.nodes.place.run(
                f"UPDATE idempotency SET lease_until = 0 WHERE state = 'running' AND key IN ({names})",  # noqa: S608  # our own names
                "UPDATE batches SET lease_until = 0 WHERE state IN ('validating', 'finalizing')",
            )

    def executions(self) -> list[Event]:
        """What the upstream saw of this run, in the order in which it came."""
        log = self.nodes.upstream.up.log[self._since :]
        return [event for event in executed(log) if event.op.startswith(f"{self.name}l")]

    def proved(self, posts: Iterable[Post] = ()) -> Findings:
        """The findings of a run that has come to rest; any violation fails. `posts` are webhooks that were taken."""
        self.nodes.rest()
        tenants = {each.org_id: each.name for each in self.nodes.tenants}
        fenced = round(self._fences() - self._fenced)
        for who, events in (
            ("upstream", self.executions()),
            ("database", settled(self.nodes.place, self.name, tenants=tenants)),
            ("receiver", told(self.nodes.place, self.name, posts)),
            ("servers", [Event(at=now(), what="fence", count=fenced)] if fenced > 0 else ()),
        ):
            journal = Journal(self.folder, who)
            for event in events:
                journal.write(event)
            journal.close()
        history = gather(self.folder)
        found = check(history)
        self._leave(found, _recovery(history, self._marks))
        assert found.all == [], f"{self.fault}, seed {self.seed}, logs in {self.folder}:\n" + "\n".join(
            found.all
        )
        assert found.operations > 0
        return found

    def _fences(self) -> float:
        return self.nodes.metric("ingot_queue_total", 'event="fenced"')

    def _leave(self, found: Findings, recovery: float | None) -> None:
        row = Row(
            fault=self.fault,
            store=self.nodes.kind,
            seed=self.seed,
            operations=found.operations,
            executions=found.executions,
            repeats=found.repeats,
            lost=len(found.lost),
            doubled=len(found.doubled),
            foreign=found.foreign,
            other=len(found.all) - len(found.lost) - len(found.doubled),
            fenced=found.fenced,
            failures=self.failures,
            recovery=recovery,
        )
        told = msgspec.json.encode(row)
        print(told.decode())  # noqa: T201 - pytest shows it with a failure
        if FOLDER:
            with (Path(FOLDER) / f"{self.nodes.kind}-{os.getpid()}.jsonl").open("ab") as file:
                file.write(told + b"\n")


@contextlib.contextmanager
def running(fault: str, nodes: Nodes, folder: Path, *, number: int = 0) -> Iterator[Run]:
    """A run of a fault on a scene that is well; its seed is printed, and `INGOT_CHAOS_SEED` repeats it."""
    seed = f"{SEED}-{number}"
    print(f"{fault} on {nodes.kind}: INGOT_CHAOS_SEED={SEED}, run {number}")  # noqa: T201 - pytest shows it with a failure
    nodes.mend()
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder, "clients")
    draw = random.Random(f"{fault} {nodes.kind} {seed}")  # noqa: S311  # a seeded fault
    run = Run(fault, nodes, seed, draw, folder, journal)
    run._since = len(nodes.upstream.up.log)
    run._fenced = run._fences()
    try:
        yield run
    finally:
        nodes.mend()
        journal.close()


def _recovery(history: Sequence[Event], marks: Sequence[float]) -> float | None:
    """The longest that an operation under way at a mark took from there to its end."""
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    for event in history:
        if event.what == "submit":
            begun[event.op] = event.at
        elif event.what in {"read", "failed"}:
            ended[event.op] = event.at
    hit = [at - mark for mark in marks for op, at in ended.items() if begun.get(op, mark) < mark < at]
    return max(hit) if hit else None
