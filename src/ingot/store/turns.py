"""What an answer adds to its conversation, in the commit that bills it: the request's own items, then those of the answer.

Only an answer that can be gone on from adds anything: one that failed leaves the conversation as it was. A conversation that
was deleted meanwhile stays deleted. An id that the conversation has already, as upstreams that count from zero give, is
replaced by one of ours. Decides nothing about who may append: the request was refused, or not, before.
"""

from collections.abc import Iterator

from msgspec import Struct
from sqlalchemy import Connection

from ingot.dialects import responses_fold
from ingot.dialects.dialect import Past
from ingot.dialects.fold import Unfoldable
from ingot.dialects.items import PREFIXES, Item, complete, encode_item
from ingot.dialects.responses_state import GOES_ON, items_out, status_of
from ingot.ids import new_id
from ingot.store.conversations import Kept, insert_items, take_places, taken_ids


class Turn(Struct, frozen=True, kw_only=True, gc=False):
    """What a request said on top of its conversation, each item with its id, and what it was answered.

    An item that the request only referred to keeps its maker.
    """

    conversation: str
    own: list[Past]
    answer: bytes
    streamed: bool


def append_turn(conn: Connection, org_id: str, turn: Turn, *, maker: str) -> None:
    """Adds the turn; `maker` is the target that answered. Whoever calls commits."""
    said = [(complete(past.item, new_id=new_id), past.maker) for past in turn.own]
    try:
        whole = responses_fold.assemble(turn.answer) if turn.streamed else turn.answer
        if status_of(whole) not in GOES_ON:
            return
        answered = [(complete(item, new_id=new_id), maker) for item in items_out(whole)]
    except (ValueError, Unfoldable):
        return
    both: list[tuple[Item, str | None]] = [*said, *answered]
    first = take_places(conn, org_id, turn.conversation, count=len(both))
    if first is None:
        return
    taken = taken_ids(conn, turn.conversation, [item.id for item, _ in both])
    named = _named([item for item, _ in both], taken)
    rows = [
        Kept(first + index, item.id, encode_item(item.value), by)
        for index, (item, (_, by)) in enumerate(zip(named, both, strict=True))
    ]
    insert_items(conn, turn.conversation, rows, org_id=org_id)


def _named(items: list[Item], taken: set[str]) -> Iterator[Item]:
    """The items, each under an id that no other has."""
    for item in items:
        name = item.id
        if name in taken:
            name = new_id(PREFIXES.get(item.value["type"], "item"))
        taken.add(name)
        yield Item(name, {**item.value, "id": name})
