"""The statements about kept promises: sums by window, model and slot of time, written with each result of the queue.

    result --note--> window_slots, slots of 5 minutes and of an hour --read--> counts by class of turn time
    refusal --refuse--------|                                         '--sweep--> gone after 2 hours, 31 days
    expiry --miss-----------'

Each process adds to rows of its own, so that no two wait for each other. What was let in and never run in its time is a
broken promise; what was cancelled, and what a client got wrong, is none. Plain functions over a connection.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import Connection, and_, delete, func, or_, select

from ingot.scheduling.turns import place
from ingot.store.bulk import add_rows
from ingot.store.queue import Claim
from ingot.store.schema import MICROSECOND, window_slots

FINE: Final = 300
COARSE: Final = 3600
KEPT: Final = {FINE: 2 * 3600, COARSE: 31 * 86_400}
"""Seconds for which slots of a span are kept."""
REFUSED: Final = -1
"""The place of what was not let in."""
LEAST_FAULT: Final = 500
"""Statuses from here on are ours: such a failure breaks the promise, one of the client's does not."""

_w = window_slots.c
_KEY: Final = ("span", "slot", "window", "model", "batch", "place", "node")
_SUMS: Final = ("ended", "kept")
_TOLD: Final = ("completed", "expired")
"""States that tell of a promise, whatever the status."""

Key = tuple[int, int, str, str, int, int, str]


class Result(Protocol):
    """Of a settlement, what concerns promises."""

    @property
    def id(self) -> str: ...
    @property
    def claim(self) -> Claim | None: ...
    @property
    def achieved(self) -> str | None: ...
    @property
    def window(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def created_at(self) -> int: ...
    @property
    def finished_at(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Count:
    """Sums over slots: what ended in a class of turn time, or was refused, and how much of it was in time."""

    window: str
    model: str
    batch: bool
    place: int
    ended: int
    kept: int


@dataclass(frozen=True, slots=True)
class Missed:
    """Requests of a batch that came together and whose time ran out before any was run."""

    window: str
    model: str
    created_at: int
    items: int


def note(conn: Connection, results: Iterable[Result], *, node: str) -> None:
    """Counts results of the queue, each as kept or not."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
    for each in results:
        claim = each.claim
        if claim is None or not _promised(each):
            continue
        kept = each.state == "completed" and (
            each.finished_at <= claim.due_at or each.achieved == each.window
        )
        turn = place((each.finished_at - each.created_at) / MICROSECOND)
        batch = int(claim.batch_id != each.id)
        for key in _keys(each.finished_at, (each.window, each.model, batch, turn, node)):
            sums[key][0] += 1
            sums[key][1] += int(kept)
    _add(conn, sums)


def miss(conn: Connection, missed: Iterable[Missed], *, at: int, node: str) -> None:
    """Counts requests of batches that ended without having run, their time being over: a row for all of a window and model."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
    for each in missed:
        turn = place((at - each.created_at) / MICROSECOND)
        for key in _keys(at, (each.window, each.model, 1, turn, node)):
            sums[key][0] += each.items
    _add(conn, sums)


def refuse(
    conn: Connection, window: str, model: str, *, batch: bool, items: int, now: int, node: str
) -> None:
    """Counts work that was not let in."""
    told = (window, model, int(batch), REFUSED, node)
    _add(conn, {key: [items, 0] for key in _keys(now, told)})


def read(conn: Connection, *, since: int, now: int, fine: bool = False) -> list[Count]:
    """The sums from an instant on; `fine` for the last two hours alone."""
    span = FINE if fine else COARSE
    columns = (_w.window, _w.model, _w.batch, _w.place)
    query = (
        select(*columns, func.sum(_w.ended).label("ended"), func.sum(_w.kept).label("kept"))
        .where(_w.span == span, _w.slot > _slot(since, span), _w.slot <= _slot(now, span))
        .group_by(*columns)
    )
    return [
        Count(row.window, row.model, bool(row.batch), row.place, int(row.ended), int(row.kept))
        for row in conn.execute(query)
    ]


def sweep(conn: Connection, now: int) -> int:
    """Removes slots whose time is over; how many rows."""
    over = [
        and_(_w.span == span, _w.slot < _slot(now - kept * MICROSECOND, span)) for span, kept in KEPT.items()
    ]
    return conn.execute(delete(window_slots).where(or_(*over))).rowcount


def _promised(each: Result) -> bool:
    return each.state in _TOLD or (each.state == "failed" and each.status >= LEAST_FAULT)


def _keys(at: int, told: tuple[str, str, int, int, str]) -> list[Key]:
    return [(span, _slot(at, span), *told) for span in KEPT]


def _slot(at: int, span: int) -> int:
    return at // (span * MICROSECOND)


def _add(conn: Connection, sums: dict[Key, list[int]]) -> None:
    rows = [(*key, *figures) for key, figures in sorted(sums.items())]
    add_rows(conn, window_slots, _KEY + _SUMS, rows, sums=_SUMS)
