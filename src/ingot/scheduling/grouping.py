"""Which requests begin alike: they are kept together, so that a target finds their prompt in its cache.

    prompt_cache_key given    the key
    else                      a hash of the prompt's first part, made by whoever has the bytes

A batch is put in order by these groups before it is cut into jobs, so that a job's items mostly share one prefix.
When the next job is chosen, an organization's job with the prefix that the target worked on last may go before
the one that is due first, if that one can wait: see `choice`. Refuses to know bodies and hashes.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

ITEMS: Final = 64
BYTES: Final = 2 * 1024 * 1024
SERVICE: Final = 16_384
"""The most of a job: a lease holds so many items (Q02), bytes, and tokens of service, which is what fairness is
measured in: a job of 64 long items would be served in one piece.
"""


class Piece(Struct, frozen=True):
    """One item of a batch: its place there, its size, the service it is estimated at, and its group."""

    place: int
    size: int
    service: int
    prefix: str = ""


class Bounds(Struct, frozen=True):
    """The most that a job holds; one item may be larger alone."""

    items: int = ITEMS
    size: int = BYTES
    service: int = SERVICE


USUAL: Final = Bounds()


def ordered(pieces: Sequence[Piece]) -> list[Piece]:
    """The items by group, groups as they first appear, items without one in their places at the end."""
    first: dict[str, int] = {}
    for piece in pieces:
        first.setdefault(piece.prefix, piece.place)
    last = len(pieces) + max((piece.place for piece in pieces), default=0)
    return sorted(
        pieces, key=lambda piece: (first[piece.prefix] if piece.prefix else last, piece.prefix, piece.place)
    )


def jobs(pieces: Sequence[Piece], bounds: Bounds = USUAL) -> Iterator[tuple[Piece, ...]]:
    """The items in the order of their groups, cut so that no job passes a bound."""
    job: list[Piece] = []
    size = service = 0
    for piece in ordered(pieces):
        full = len(job) >= bounds.items or size + piece.size > bounds.size
        if job and (full or service + piece.service > bounds.service):
            yield tuple(job)
            job, size, service = [], 0, 0
        job.append(piece)
        size += piece.size
        service += piece.service
    if job:
        yield tuple(job)
