"""What ends in the queue with a settlement: items whose results are written, the money of jobs that are over, the clocks,
the figures of batches.

    settle: conclude_all --> charge --> clear_up         one transaction with responses and ledger

A result whose lease was lost is fenced: it is not written. Plain functions over a connection.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from sqlalchemy import Connection

from ingot.scheduling.fairness import service, virtual
from ingot.store import batch_ends, clocks, deposits, harvest, windows
from ingot.store.batch_ends import OUTCOMES, Tally
from ingot.store.batches import BatchRow
from ingot.store.bulk import insert_rows
from ingot.store.faults import StoreConflict
from ingot.store.queue import Claim
from ingot.store.schema import response_waits

_WAIT = ("response_id", "org_id", "achieved", "queued_us", "due_at")


class Result(windows.Result, Protocol):
    """Of a settlement, what concerns the queue."""

    @property
    def queued_us(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...


def conclude_all(conn: Connection, results: Iterable[Result]) -> tuple[set[str], list[str]]:
    """Takes items out for their results: the ids of those that are fenced, and the money of jobs that are over.

    Raises StoreConflict where one of these ids is also that of a result which counts: they are to be written one by one.
    """
    by_lease: dict[tuple[str, int], list[tuple[str, Claim]]] = {}
    for each in results:
        if each.claim is not None:
            by_lease.setdefault((each.claim.job_id, each.claim.epoch), []).append((each.id, each.claim))
    fenced: set[str] = set()
    counts: set[str] = set()
    over: list[str] = []
    for lease in sorted(by_lease):
        found = by_lease[lease]
        taken, holds = harvest.conclude_some(conn, [claim for _, claim in found])
        fenced |= {which for which, claim in found if claim.seq not in taken}
        counts |= {which for which, claim in found if claim.seq in taken}
        if holds:
            over.append(holds)
    if fenced & counts:
        # A process that stood still took its own work back: by its id alone the result that counts would be fenced, too.
        raise StoreConflict("A request was answered under two leases at once; each answer is written alone.")
    return fenced, over


def clear_up(
    conn: Connection, results: Sequence[Result], over: Sequence[str], *, node: str
) -> list[BatchRow]:
    """Gives back what is left of the money, moves the clocks by what was really used, notes how long each waited and which
    promises were kept, and counts what ended of batches; those that ended with it. `node` is the process.
    """
    for holds in over:
        deposits.release(conn, deposits.decode(holds))
    by: dict[str, int] = defaultdict(int)
    rows = []
    tallies: dict[str, Tally] = defaultdict(Tally)
    at = 0
    for each in results:
        claim = each.claim
        if claim is None:
            continue
        used = service(each.input_tokens, each.output_tokens) + claim.spent
        by[claim.org_id] += virtual(used, claim.weight) - virtual(claim.estimate, claim.weight)
        rows.append((each.id, claim.org_id, each.achieved, each.queued_us, claim.due_at))
        if claim.batch_id != each.id:  # a response in the background is a batch of its own, and no row
            _add(tallies[claim.batch_id], each)
            at = max(at, each.finished_at)
    if not rows:
        return []
    clocks.move(conn, by)
    insert_rows(conn, response_waits, _WAIT, rows)
    windows.note(conn, results, node=node)
    return batch_ends.count(conn, tallies, at=at)


def _add(tally: Tally, each: Result) -> None:
    outcome = each.state if each.state in OUTCOMES else "failed"
    setattr(tally, outcome, getattr(tally, outcome) + 1)
    tally.input_tokens += each.input_tokens
    tally.cached_tokens += each.cached_tokens
    tally.output_tokens += each.output_tokens
    tally.reasoning_tokens += each.reasoning_tokens
