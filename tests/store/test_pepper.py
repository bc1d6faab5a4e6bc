"""The pepper: private, whole, made once, and never made anew under keys that need the old one."""

import stat
from pathlib import Path

import pytest

from ingot.store.faults import StoreError
from ingot.store.pepper import FILE_NAME, SIZE, load_pepper


def test_pepper_is_private_when_created(tmp_path: Path) -> None:
    """32 bytes that the owner alone may read; nothing else is left in the directory."""
    made = load_pepper(tmp_path, create=True)
    assert len(made) == SIZE
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


def test_pepper_is_the_same_when_loaded_again(tmp_path: Path) -> None:
    """A second start does not change it, whether it may create one or not."""
    made = load_pepper(tmp_path, create=True)
    assert load_pepper(tmp_path, create=True) == made
    assert load_pepper(tmp_path, create=False) == made


def test_pepper_is_that_of_the_first_when_two_create_it(tmp_path: Path) -> None:
    """Who loses the race signs with the winner's: two servers share a data directory where PostgreSQL is the store."""
    winners: list[bytes] = []

    def late(size: int) -> bytes:
        if not winners and size == SIZE:
            winners.append(load_pepper(tmp_path, create=True))
        return bytes(size)

    assert load_pepper(tmp_path, create=True, random_bytes=late) == winners[0] != bytes(SIZE)
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_pepper_is_refused_when_others_may_read_it(tmp_path: Path, mode: int) -> None:
    """The text gives the command that mends it."""
    load_pepper(tmp_path, create=True)
    (tmp_path / FILE_NAME).chmod(mode)
    with pytest.raises(StoreError, match="chmod 600"):
        load_pepper(tmp_path, create=True)


@pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
def test_pepper_is_refused_when_its_size_is_wrong(tmp_path: Path, size: int) -> None:
    """A cut file is a damaged file."""
    (tmp_path / FILE_NAME).write_bytes(b"x" * size)
    (tmp_path / FILE_NAME).chmod(0o600)
    with pytest.raises(StoreError, match="damaged"):
        load_pepper(tmp_path, create=True)


def test_pepper_is_not_replaced_when_keys_need_it(tmp_path: Path) -> None:
    """A missing pepper under existing keys is an error, not a reason for a new one."""
    with pytest.raises(StoreError, match="restore it from the backup"):
        load_pepper(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


def test_reason_is_told_when_the_directory_is_missing(tmp_path: Path) -> None:
    """A path that cannot be written is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="pepper cannot be read or written"):
        load_pepper(tmp_path / "file", create=True)
