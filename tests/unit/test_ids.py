"""Ids are unique, shaped as documented, and safe to stand in logs and URLs."""

import re

from ingot.ids import IdSource, base62, random_text


def test_ids_differ_when_many_are_made() -> None:
    """Across several blocks of randomness no id repeats."""
    source = IdSource()
    ids = [source("req") for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(re.fullmatch(r"req_[0-9a-f]{24}", each) for each in ids)


def test_base62_is_padded_when_the_number_is_small() -> None:
    """The width is fixed, the most significant digit comes first."""
    assert base62(0, 3) == "000"
    assert base62(61, 2) == "0z"
    assert base62(62, 2) == "10"


def test_random_text_uses_letters_and_digits_when_drawn() -> None:
    """Nothing in it needs quoting anywhere."""
    assert re.fullmatch(r"[0-9A-Za-z]{40}", random_text(40))
