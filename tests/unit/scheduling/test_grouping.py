"""Batches cut into jobs: nothing lost, bounds held, equal beginnings side by side (Q02)."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ingot.scheduling.grouping import Bounds, Piece, jobs, ordered

PIECES = st.lists(
    st.tuples(st.integers(1, 3_000_000), st.integers(1, 40_000), st.sampled_from(["", "a", "b", "c"])),
    max_size=200,
).map(lambda rows: [Piece(place, *row) for place, row in enumerate(rows)])


@given(PIECES)
def test_q02_every_item_is_in_one_job_within_the_bounds(pieces: list[Piece]) -> None:
    """64 items, 2 MB and the service of a job are kept, but for an item that is larger alone."""
    cut = list(jobs(pieces))
    assert sorted(piece.place for job in cut for piece in job) == list(range(len(pieces)))
    bounds = Bounds()
    for job in cut:
        assert len(job) <= bounds.items
        assert len(job) == 1 or sum(piece.size for piece in job) <= bounds.size
        assert len(job) == 1 or sum(piece.service for piece in job) <= bounds.service


@given(PIECES)
def test_q02_no_job_could_have_taken_the_next_item(pieces: list[Piece]) -> None:
    """Jobs are as large as the bounds let them be."""
    bounds = Bounds(items=5, size=4_000_000, service=60_000)
    cut = list(jobs(pieces, bounds))
    for job, following in itertools.pairwise(cut):
        more = [*job, following[0]]
        assert (
            len(more) > bounds.items
            or sum(piece.size for piece in more) > bounds.size
            or sum(piece.service for piece in more) > bounds.service
        )


def test_items_that_begin_alike_are_side_by_side() -> None:
    """Groups come as they first appear; an item without one keeps its place behind them."""
    prefixes = ["b", "", "a", "b", "", "a"]
    pieces = [Piece(place, 1, 1, prefix) for place, prefix in enumerate(prefixes)]
    assert [piece.place for piece in ordered(pieces)] == [0, 3, 2, 5, 1, 4]
