"""Characters that were cut in two: nothing half is passed on, and nothing is lost."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.dialects.cuts import load, mend, mend_start

WORDS = st.text(st.sampled_from("ab é中😀\U0001f469\u200d"), max_size=20)


def run(pieces: list[str]) -> str:
    """The pieces as they are passed on, the last remainder mended."""
    told, rest = [], ""
    for piece in pieces:
        whole, rest = mend_start(rest + piece)
        whole.encode()
        told.append(whole)
    return "".join(told) + mend(rest)


@given(text=WORDS, at=st.lists(st.integers(0, 80), max_size=6))
def test_text_when_its_bytes_are_cut_anywhere(text: str, at: list[int]) -> None:
    """Bytes of one character in several events are that character, and no event holds half of it."""
    data = text.encode()
    ends = sorted({0, len(data), *(min(each, len(data)) for each in at)})
    pieces = [load(b'"' + data[low:high] + b'"') for low, high in itertools.pairwise(ends) if low < high]
    assert run(pieces) == text


@given(text=WORDS, at=st.lists(st.integers(0, 80), max_size=6))
def test_text_when_escaped_pairs_are_cut(text: str, at: list[int]) -> None:
    """Halves of an escaped pair in two events are one character."""
    units = text.encode("utf-16-le")
    ends = sorted({0, len(units), *(min(2 * each, len(units)) for each in at)})
    halves = [units[low:high].decode("utf-16-le", "surrogatepass") for low, high in itertools.pairwise(ends)]
    assert run([load(json.dumps(half).encode()) for half in halves]) == text


@pytest.mark.parametrize(
    ("text", "whole"),
    [("\ud83d", "\ufffd"), ("a\udcf0\udc9f", "a\ufffd"), ("\udc98b", "\ufffdb"), ("\ud83dx", "\ufffdx")],
)
def test_text_when_half_of_a_character_is_all_that_came(text: str, whole: str) -> None:
    """What stays half is the replacement character."""
    assert mend(text) == whole


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": tru', b"[" * 100_000])
def test_load_when_it_is_no_json(data: bytes) -> None:
    """Anything that is not JSON is refused."""
    with pytest.raises(ValueError, match=r".+"):
        load(data)
