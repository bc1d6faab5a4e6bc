"""How a secret follows the one before it."""

import pytest

from ingot.deliveries import Generation
from ingot.errors import Conflict
from ingot.services.webhooks.endpoints import OVERLAP, rotated


def test_old_secret_ends_at_once_when_it_is_not_kept() -> None:
    """As OpenAI does it unless asked otherwise."""
    assert rotated(Generation(), 100, overlap=False, force=False) == Generation(2, None)


def test_old_secret_signs_for_a_day_when_it_is_kept() -> None:
    """W10: the new one at once."""
    made = rotated(Generation(), 100, overlap=True, force=False)
    assert made == Generation(2, 100 + OVERLAP)
    assert made.numbers(100) == (2, 1)


@pytest.mark.parametrize("overlap", [True, False])
def test_rotation_is_refused_when_the_last_one_still_overlaps(*, overlap: bool) -> None:
    """W10: 409 unless forced, whether the old one is to go on or not; afterwards nothing stands in the way."""
    busy = Generation(2, old_until=1_000)
    with pytest.raises(Conflict) as caught:
        rotated(busy, 999, overlap=overlap, force=False)
    assert caught.value.code == "secret_rotated_recently"
    assert rotated(busy, 999, overlap=overlap, force=True).number == 3
    assert rotated(busy, 1_000, overlap=overlap, force=False) == Generation(
        3, 1_000 + OVERLAP if overlap else None
    )
