"""The statements about marks of what targets sealed: by a mark it is known which target made it.

    kept      by the settlement of a response, whether its content is kept or not
    found     the target of the newest response that gave it
    let go    with the response's content, else after `DAYS`

A mark is a keyed digest under a name of its own among the names of items, so that one index serves both. It tells nothing of
what it stands for.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select

from ingot.ids import ordered_id
from ingot.store.bulk import insert_rows
from ingot.store.schema import MICROSECOND, response_items, responses

DAYS: Final = 30
MOST: Final = 1_000
"""Of one response."""

_PREFIX: Final = "mark_"
_AT_ONCE: Final = 500
_COLUMNS: Final = ("org_id", "item_id", "response_id")
_n = response_items.c
_IS_MARK = func.substr(_n.item_id, 1, len(_PREFIX)) == _PREFIX
_MAKERS = (
    select(_n.item_id, responses.c.target)
    .join(responses, responses.c.id == _n.response_id)
    .where(_n.org_id == bindparam("org"), _n.item_id.in_(bindparam("names", expanding=True)))
    .order_by(_n.response_id)
)


class Marked(NamedTuple):
    """A response whose target sealed something."""

    org_id: str
    response_id: str
    marks: Sequence[str]


def named(digest: bytes) -> str:
    """The mark that a keyed digest makes."""
    return _PREFIX + digest[:16].hex()


def keep_marks(conn: Connection, marked: Iterable[Marked]) -> None:
    """Adds the marks of responses."""
    rows = [(each.org_id, mark, each.response_id) for each in marked for mark in each.marks[:MOST]]
    insert_rows(conn, response_items, _COLUMNS, rows)


def find_makers(conn: Connection, org_id: str, names: Sequence[str]) -> dict[str, str]:
    """The targets that made what these marks stand for, of those that are known."""
    found: dict[str, str] = {}
    for start in range(0, len(names), _AT_ONCE):
        some = list(names[start : start + _AT_ONCE])
        found |= {row.item_id: row.target for row in conn.execute(_MAKERS, {"org": org_id, "names": some})}
    return found


def sweep(conn: Connection, now: int, *, most: int = 500) -> int:
    """Lets go of marks that are old at `now`, of responses whose content is not kept; at most `most`, and how many."""
    before = ordered_id("resp", now / MICROSECOND - DAYS * 86_400)
    due = (
        select(_n.response_id)
        .join(responses, responses.c.id == _n.response_id)
        .where(
            _n.response_id < before,
            _IS_MARK,
            responses.c.expires_at.is_(None),
        )
        .limit(most)
    )
    ids = list(dict.fromkeys(conn.execute(due).scalars()))
    if ids:
        conn.execute(delete(response_items).where(_n.response_id.in_(ids), _IS_MARK))
    return len(ids)
