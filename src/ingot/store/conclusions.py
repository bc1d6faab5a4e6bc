"""What ends in the queue with a settlement: items whose results are written, the money of jobs that are over, the clocks.

    settle: conclude_all --> charge --> clear_up         one transaction with responses and ledger

A result whose lease was lost is fenced: it is not written. Plain functions over a connection.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from sqlalchemy import Connection

from ingot.scheduling.fairness import service, virtual
from ingot.store import clocks, deposits, queue
from ingot.store.bulk import insert_rows
from ingot.store.queue import Claim
from ingot.store.schema import response_waits

_WAIT = ("response_id", "org_id", "achieved", "queued_us", "due_at")


class Result(Protocol):
    """Of a settlement, what concerns the queue."""

    @property
    def id(self) -> str: ...
    @property
    def claim(self) -> Claim | None: ...
    @property
    def achieved(self) -> str | None: ...
    @property
    def queued_us(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...


def conclude_all(conn: Connection, results: Iterable[Result]) -> tuple[set[str], list[str]]:
    """Takes items out for their results: the ids of those that are fenced, and the money of jobs that are over."""
    fenced: set[str] = set()
    over: list[str] = []
    for each in results:
        if each.claim is None:
            continue
        holds = queue.conclude(conn, each.claim)
        if holds is None:
            fenced.add(each.id)
        elif holds:
            over.append(holds)
    return fenced, over


def clear_up(conn: Connection, results: Sequence[Result], over: Sequence[str]) -> None:
    """Gives back what is left of the money, moves the clocks by what was really used, and notes how long each waited."""
    for holds in over:
        deposits.release(conn, deposits.decode(holds))
    by: dict[str, int] = defaultdict(int)
    rows = []
    for each in results:
        claim = each.claim
        if claim is None:
            continue
        used = service(each.input_tokens, each.output_tokens)
        by[claim.org_id] += virtual(used, claim.weight) - virtual(claim.estimate, claim.weight)
        rows.append((each.id, claim.org_id, each.achieved, each.queued_us, claim.due_at))
    if rows:
        clocks.move(conn, by)
        insert_rows(conn, response_waits, _WAIT, rows)
