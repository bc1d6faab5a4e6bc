"""The mark of a refusal: however a text is cut, its pieces say what the whole of it says."""

from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.marks import Opening, refusal_in

MARK = "[refusal]"

TEXTS = st.lists(st.sampled_from([" ", "\n", MARK, "[ref", "[refusal", "]", "No", "[", "sal]"]), max_size=8)
"""Pieces that spell the mark, or something like it."""


@given(TEXTS)
def test_text_in_pieces_tells_what_the_whole_one_tells(pieces: list[str]) -> None:
    """The words of a refusal without the mark and the space around it; every character of another text."""
    whole, opening = "".join(pieces), Opening(MARK)
    due = [opening.feed(piece) or "" for piece in pieces]
    due.append(opening.settle())
    words = refusal_in(whole, MARK)
    assert (opening.refuses, words is None) == (words is not None, not opening.refuses)
    # Space at the end of a refusal's words stays, as it does in a whole one.
    assert "".join(due) == (whole if words is None else words)


def test_nothing_is_due_before_the_text_tells() -> None:
    """A beginning of the mark is held, and given with the piece that makes it another text."""
    opening = Opening(MARK)
    assert [opening.feed(each) for each in (" [", "ref", "use", "d")] == [None, None, " [refuse", "d"]
    assert opening.refuses is False
