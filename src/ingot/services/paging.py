"""Lists, a page at a time: where a page begins, how far it goes, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ingot.errors import InvalidRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paging:
    """Where a list goes on, how far, and in which order; ids as clients know them."""

    after: str | None = None
    limit: int = 20
    descending: bool = False


def cut(items: Sequence[tuple[str, T]], paging: Paging) -> tuple[Sequence[tuple[str, T]], bool]:
    """The page of a list that is at hand whole, its oldest first; and whether more follows. Raises InvalidRequest."""
    items = items[::-1] if paging.descending else items
    start = 0
    if paging.after is not None:
        places = {shown: place for place, (shown, _) in enumerate(items)}
        if paging.after not in places:
            raise no_place()
        start = places[paging.after] + 1
    end = start + paging.limit
    return items[start:end], end < len(items)


def no_place(param: str = "after") -> InvalidRequest:
    """The error for a mark that a list does not hold."""
    return InvalidRequest(f"'{param}' names nothing in this list; take it from the page before.", param=param)
