"""The pepper: 32 random bytes in a file beside the database, never in it.

Who steals the database alone can test no guess of a key against it. Decides that the file is whole and
private; does not know what it signs.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ingot.store.faults import StoreError

FILE_NAME = "pepper"
SIZE = 32
VERSION = 1  # rows name the pepper that signed them, so that a later one can take over step by step


def load_pepper(data: Path, *, create: bool, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """The pepper of the directory `data`, made if `create` and there is none; raises StoreError.

    Of two processes that create it at the same moment both get the one that was there first.
    """
    path = data / FILE_NAME
    try:
        if create and not path.exists():
            _write_new(path, random_bytes)
        return _read(path)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} is missing, and every key in the database was signed with it. Copy it from another server on "
            f"the same database, or restore it from the backup that holds the database; without it those keys are "
            f"lost, and an empty database is the way on."
        ) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read or written ({error.strerror}).") from error


def _write_new(path: Path, random_bytes: Callable[[int], bytes]) -> None:
    """Puts the file in place, whole and never over another, and onto the disk before any key depends on it."""
    draft = path.with_name(f"{path.name}.{random_bytes(8).hex()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(random_bytes(SIZE))
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):  # another process was faster
        os.link(draft, path)
    draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise StoreError(
                f"{path} may be read by others (mode {mode:04o}). If nobody else had access so far, run "
                f"`chmod 600 {path}`; otherwise start with a new data directory and new keys."
            )
        secret = file.read(SIZE + 1)
    if len(secret) != SIZE:
        raise StoreError(f"{path} should hold {SIZE} bytes but is damaged. Restore it from a backup.")
    return secret
