"""The statements about stored responses: found, listed, relabelled, deleted, and let go when their time is over.

    kept       content, metadata, `expires_at`          what a client may read, until `expires_at`
    let go     the row without them, state as it was    retention has passed; the ledger still refers to it
    deleted    the row without them, state `deleted`    somebody asked for it

Content leaves here and nowhere else, with the names of its items:

    one response       delete_response                             in the write that was asked for
    what has expired   sweep                                       a batch at a time, by the retention's turns
    an organization    erase_responses                             a batch at a time, with what else it kept: `erasure`

Every statement is bound to an organization. A row is found by our id or by the id that the client saw; of rows
with the same one (some upstreams count from zero) the newest is meant, and the others are shown under ours. Of answers of
one surface that is the newest that was completed, also once it is deleted: what is older never takes its place.
Our ids are in the order of time.
Lists are in the order of time and go on from a mark. Each looks at no more than `EXAMINED` rows, so that none is
slow; a page may then be short, or empty, and still have a next one.

Plain functions over a connection; who calls decides about transactions, and about who may see what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from ingot.store.orders import forget_object
from ingot.store.schema import (
    idempotency,
    job_events,
    organizations,
    response_items,
    response_losses,
    response_metadata,
    responses,
)

EXAMINED = 10_000
LONGEST_ID = 256

Part = Literal["request", "answer"]

_r = responses.c
_m = response_metadata.c
_l = response_losses.c
_n = response_items.c


class Mark(NamedTuple):
    """A place in the order of time."""

    at: int
    id: str


@dataclass(frozen=True, slots=True)
class Head:
    """A stored response without its content; instants in microseconds."""

    id: str
    public_id: str
    surface: str
    state: str
    kept: bool
    created_at: int
    expires_at: int | None
    metadata: dict[str, str]

    @property
    def mark(self) -> Mark:
        """Its place in lists."""
        return Mark(self.created_at, self.id)


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of a list: under which id it is shown, and how large its answer is."""

    head: Head
    shown: str
    size: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A stored response with its content, as far as it is kept, and the target that gave it."""

    head: Head
    target: str
    request: bytes | None
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which responses a list holds: those of one surface that are complete and can be read at `now`."""

    surface: str
    now: int
    model: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """How a list goes on: after a mark, oldest or newest first, at most `limit` rows."""

    after: Mark | None
    limit: int
    descending: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows of a list, and the mark from which more may follow; None: that was all."""

    rows: list[Listed]
    next: Mark | None


_HEAD = (_r.id, _r.public_id, _r.surface, _r.state, _r.kept, _r.created_at, _r.expires_at, _r.metadata)
_BY_ID = select(*_HEAD).where(_r.org_id == bindparam("org"), _r.id == bindparam("which"))
_BY_PUBLIC_ID = (
    select(*_HEAD)
    .where(_r.org_id == bindparam("org"), _r.public_id == bindparam("which"))
    .order_by(_r.id.desc())
    .limit(1)
)
_ANSWERED_AS = _BY_PUBLIC_ID.where(_r.surface == bindparam("surface"), _r.state.in_(("completed", "deleted")))
_LINK = select(_r.request, _r.answer, _r.target, *_HEAD).where(
    _r.org_id == bindparam("org"), _r.id == bindparam("which")
)
_ANSWERED = select(_r.answer, _r.target, *_HEAD).where(
    _r.org_id == bindparam("org"), _r.id == bindparam("which")
)
_PARTS = {
    part: select(responses.c[part]).where(_r.org_id == bindparam("org"), _r.id == bindparam("which"))
    for part in ("request", "answer")
}
_EMPTY = {"request": None, "answer": None, "metadata": None, "expires_at": None}
_DUE = (
    select(_r.id)
    .where(_r.expires_at <= bindparam("now"))
    .order_by(_r.expires_at)
    .limit(bindparam("most"))
    # Several processes sweep: none waits for rows that another has in hand. SQLite has one writer and no such clause.
    .with_for_update(skip_locked=True)
)
_OF_ORG = (
    select(_r.id)
    .where(_r.org_id == bindparam("org"), _r.expires_at.is_not(None))
    .order_by(_r.created_at, _r.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


def find_response(conn: Connection, org_id: str, which: str, *, surface: str | None = None) -> Head | None:
    """The response with this id, ours or the client's, whatever became of it; of a `surface`, one that was completed."""
    if not is_plain(which):
        return None
    values = {"org": org_id, "which": which}
    row = conn.execute(_BY_ID, values).first()
    if row is None and surface is None:
        row = conn.execute(_BY_PUBLIC_ID, values).first()
    elif row is None:
        row = conn.execute(_ANSWERED_AS, values | {"surface": surface}).first()
    return None if row is None else _head(row)


def read_part(conn: Connection, org_id: str, response_id: str, *, part: Part) -> bytes | None:
    """The request or the answer as it was kept; `response_id` is ours."""
    found = conn.execute(_PARTS[part], {"org": org_id, "which": response_id}).scalar()
    return None if found is None else bytes(found)


def read_exchange(conn: Connection, org_id: str, response_id: str) -> Exchange | None:
    """What a response was asked and what it gave; `response_id` is ours. None where there is no such row."""
    if not is_plain(response_id):
        return None
    row = conn.execute(_LINK, {"org": org_id, "which": response_id}).first()
    if row is None:
        return None
    parts = [None if part is None else bytes(part) for part in (row.request, row.answer)]
    return Exchange(_head(row), row.target, *parts)


def read_answered(conn: Connection, org_id: str, response_id: str) -> Exchange | None:
    """The same without what it was asked, which may be much more."""
    if not is_plain(response_id):
        return None
    row = conn.execute(_ANSWERED, {"org": org_id, "which": response_id}).first()
    if row is None:
        return None
    return Exchange(_head(row), row.target, None, None if row.answer is None else bytes(row.answer))


def list_responses(conn: Connection, org_id: str, which: Filter, *, step: Step) -> Sheet:
    """The next rows of a list."""
    look = _labelled if which.metadata else _stored
    query, edge = look(conn, org_id, which, step)
    found = conn.execute(query.limit(step.limit + 1)).all()
    rows = [Listed(_head(row), _shown(row), row.size) for row in found[: step.limit]]
    if len(found) > step.limit:
        return Sheet(rows, rows[-1].head.mark)
    return Sheet(rows, edge)


def relabel_response(conn: Connection, org_id: str, response_id: str, *, metadata: Mapping[str, str]) -> None:
    """Puts new metadata in place of the old, in the row and for the filters."""
    text = msgspec.json.encode(metadata).decode() if metadata else None
    own = (_r.org_id == org_id, _r.id == response_id)
    conn.execute(update(responses).where(*own).values(metadata=text))
    conn.execute(delete(response_metadata).where(_m.org_id == org_id, _m.response_id == response_id))
    rows = [
        {"org_id": org_id, "name": name, "value": value, "response_id": response_id}
        for name, value in metadata.items()
    ]
    if rows:
        conn.execute(insert(response_metadata), rows)


def delete_response(conn: Connection, org_id: str, response_id: str, *, completed: bool = True) -> None:
    """Removes content, metadata and the kept answer to retries; the row stays for the ledger, as `deleted`.

    One that was never `completed` was not paid for: its row keeps saying how it ended.
    """
    own = (_r.org_id == org_id, _r.id == response_id)
    conn.execute(update(responses).where(*own).values(_EMPTY | {"state": "deleted"} if completed else _EMPTY))
    conn.execute(delete(response_metadata).where(_m.org_id == org_id, _m.response_id == response_id))
    conn.execute(delete(response_losses).where(_l.org_id == org_id, _l.response_id == response_id))
    conn.execute(delete(job_events).where(job_events.c.response_id == response_id))
    conn.execute(delete(response_items).where(_n.org_id == org_id, _n.response_id == response_id))
    forget_object(conn, org_id, response_id)
    # Without its answer the key is free again: a retry is then a new request.
    retry = (idempotency.c.org_id == org_id, idempotency.c.response_id == response_id)
    conn.execute(delete(idempotency).where(*retry, idempotency.c.state != "running"))


def sweep(conn: Connection, now: int, *, most: int = 500) -> int:
    """Lets go of what has expired at `now`, at most `most` responses; how many there were."""
    return let_go(conn, conn.execute(_DUE, {"now": now, "most": most}).scalars().all())


def erase_responses(conn: Connection, org_id: str, *, most: int = 500) -> int:
    """Lets go of an organization's content, expired or not, at most `most` responses; how many there were."""
    retries = (
        select(idempotency.c.response_id)
        .where(idempotency.c.org_id == org_id, idempotency.c.state != "running")
        .limit(most)
    )
    erased = delete(idempotency).where(idempotency.c.response_id.in_(retries))
    ids = conn.execute(erased.returning(idempotency.c.response_id)).scalars().all()
    if ids:
        conn.execute(delete(response_losses).where(_l.response_id.in_(ids)))
    return let_go(conn, conn.execute(_OF_ORG, {"org": org_id, "most": most}).scalars().all())


def organizations_with_content(conn: Connection) -> list[str]:
    """The deleted organizations of which something is still kept."""
    left: Select[Any] = (
        select(literal_column("1"))
        .where(_r.org_id == organizations.c.id, _r.expires_at.is_not(None))
        .limit(1)
        .correlate(organizations)
    )
    retries: Select[Any] = (
        select(literal_column("1")).where(idempotency.c.org_id == organizations.c.id).limit(1)
    )
    query = select(organizations.c.id).where(
        organizations.c.deleted_at.is_not(None), or_(left.exists(), retries.correlate(organizations).exists())
    )
    return list(conn.execute(query).scalars())


def is_plain(text: str) -> bool:
    """Whether a client's text can be an id or a name at all; PostgreSQL refuses the character U+0000."""
    return 0 < len(text) <= LONGEST_ID and "\0" not in text


def beyond(at: ColumnElement[int], row_id: ColumnElement[str], step: Step) -> list[ColumnElement[bool]]:
    """The condition that a list goes on after its mark."""
    if step.after is None:
        return []
    place, mark = tuple_(at, row_id), tuple_(step.after.at, step.after.id)
    return [place < mark if step.descending else place > mark]


def let_go(conn: Connection, ids: Sequence[str]) -> int:
    """Removes what is kept of these responses; how many they are."""
    if ids:
        conn.execute(update(responses).where(_r.id.in_(ids)).values(**_EMPTY))
        conn.execute(delete(response_metadata).where(_m.response_id.in_(ids)))
        conn.execute(delete(response_losses).where(_l.response_id.in_(ids)))
        conn.execute(delete(job_events).where(job_events.c.response_id.in_(ids)))
        conn.execute(delete(response_items).where(_n.response_id.in_(ids)))
    return len(ids)


def _rows(which: Filter) -> Select[Any]:
    """What a list shows of each row."""
    other = responses.alias("other")
    newest = (
        select(other.c.id)
        .where(
            other.c.org_id == _r.org_id, other.c.public_id == _r.public_id, other.c.surface == which.surface
        )
        .where(other.c.state.in_(("completed", "deleted")))
        .order_by(other.c.id.desc())
        .limit(1)
        .correlate(responses)
        .scalar_subquery()
    )
    query = select(*_HEAD, func.length(_r.answer).label("size"), newest.label("newest")).where(
        _r.surface == which.surface,
        _r.state == "completed",
        _r.kept == 1,
        _r.expires_at > which.now,
        _r.answer.is_not(None),
    )
    return query if which.model is None else query.where(_r.model == which.model)


def _stored(conn: Connection, org_id: str, which: Filter, step: Step) -> tuple[Select[Any], Mark | None]:
    """The rows by time, and the mark up to which they were looked at."""
    within = (_r.org_id == org_id, _r.expires_at.is_not(None), *beyond(_r.created_at, _r.id, step))
    order = _ordered(step, _r.created_at, _r.id)
    last = select(_r.created_at, _r.id).where(*within).order_by(*order).offset(EXAMINED - 1).limit(1)
    found = conn.execute(last).first()
    edge = None if found is None else Mark(*found)
    return _rows(which).where(*within, *_up_to(edge, step)).order_by(*order), edge


def _labelled(conn: Connection, org_id: str, which: Filter, step: Step) -> tuple[Select[Any], Mark | None]:
    """The same for those with certain metadata, in the order of our ids."""
    first, *more = (which.metadata or {}).items()
    within = [_m.org_id == org_id, _m.name == first[0], _m.value == first[1]]
    if step.after is not None:
        mark = step.after.id
        within.append(_m.response_id < mark if step.descending else _m.response_id > mark)
    order = _ordered(step, _m.response_id)
    last = select(_m.response_id).where(*within).order_by(*order).offset(EXAMINED - 1).limit(1)
    edge = conn.execute(last).scalar()
    if edge is not None:
        within.append(_m.response_id >= edge if step.descending else _m.response_id <= edge)
    query = _rows(which).join(response_metadata, _r.id == _m.response_id)
    for name, value in more:
        pair = response_metadata.alias()
        also = (pair.c.org_id == org_id, pair.c.name == name, pair.c.value == value)
        query = query.where(select(pair.c.name).where(*also, pair.c.response_id == _m.response_id).exists())
    query = query.where(*within, _r.org_id == org_id).order_by(*order)
    return query, None if edge is None else Mark(0, edge)  # the instant does not matter here


def _ordered(step: Step, *columns: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    return [column.desc() if step.descending else column.asc() for column in columns]


def _up_to(edge: Mark | None, step: Step) -> list[ColumnElement[bool]]:
    if edge is None:
        return []
    place, mark = tuple_(_r.created_at, _r.id), tuple_(edge.at, edge.id)
    return [place >= mark if step.descending else place <= mark]


def _shown(row: Any) -> str:
    """The client's id where it leads to this row, else ours."""
    return str(row.public_id if row.newest == row.id else row.id)


def _head(row: Any) -> Head:
    return Head(
        id=row.id,
        public_id=row.public_id,
        surface=row.surface,
        state=row.state,
        kept=bool(row.kept),
        created_at=row.created_at,
        expires_at=row.expires_at,
        metadata={} if row.metadata is None else msgspec.json.decode(row.metadata, type=dict[str, str]),
    )
