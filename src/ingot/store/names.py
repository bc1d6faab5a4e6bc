"""The statements about items of stored responses that are found by an id which does not tell their response.

    named     by the settlement of a response, where its content is kept
    found     the newest response that has an item of this id and can be read
    let go    with the response's content: see `responses`

Some upstreams count from zero, so that many responses have an item of the same id. Decides how many names a response has
at most: a request of many thousand items is no reason for the others of its commit to wait.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select

from ingot.dialects.responses_state import named
from ingot.store.bulk import insert_rows
from ingot.store.responses import is_plain
from ingot.store.schema import response_items, responses

MOST_NAMES: Final = 1_000

_COLUMNS: Final = ("org_id", "item_id", "response_id")
_n = response_items.c
_HOLDER = (
    select(_n.response_id)
    .join(responses, responses.c.id == _n.response_id)
    .where(
        _n.org_id == bindparam("org"),
        _n.item_id == bindparam("item_id"),
        responses.c.expires_at > bindparam("now"),
    )
    .order_by(_n.response_id.desc())
    .limit(1)
)


class Told(NamedTuple):
    """A response as it is kept."""

    org_id: str
    response_id: str
    request: bytes
    answer: bytes


def name_items(conn: Connection, kept: Iterable[Told]) -> None:
    """Adds the names of responses that are kept; of one with very many the newest `MOST_NAMES`."""
    insert_rows(conn, response_items, _COLUMNS, [row for each in kept for row in _rows(each)])


def find_holder(conn: Connection, org_id: str, item_id: str, *, now: int) -> str | None:
    """The newest response of the organization with an item that has this id, of those that can be read at `now`."""
    if not is_plain(item_id):
        return None
    found: str | None = conn.execute(_HOLDER, {"org": org_id, "item_id": item_id, "now": now}).scalar()
    return found


def _rows(each: Told) -> Iterator[tuple[str, str, str]]:
    try:
        names = named(each.request, each.answer, each.response_id)
    except (ValueError, RecursionError):
        return  # nobody can read its items either
    for name in [name for name in names if is_plain(name)][:MOST_NAMES]:
        yield each.org_id, name, each.response_id
