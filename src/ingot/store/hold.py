"""One server process for one SQLite file: who serves from a data directory holds it.

Limits, balances and retries are exact on SQLite because one process decides about them. The hold is a lock on
a file beside the database, which the system takes back when the process ends, however it ends. The commands
need no hold: they write through the database's own lock. Knows nothing of the database itself.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingot.store.faults import StoreError

FILE_NAME = "serve.lock"


@contextmanager
def hold(data: Path, url: str = "") -> Iterator[None]:
    """The data directory is this process's while the block runs; raises StoreError where it is another's.

    With `url` the database is PostgreSQL, which any number of processes share: nothing is held.
    """
    if url:
        yield
        return
    path = data / FILE_NAME
    descriptor = _opened(path)
    try:
        _lock(descriptor, data)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        # The file stays: to remove it would let two processes lock two files of one name.
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be opened ({error.strerror}). Make the data directory writable for the user who runs "
            f"ingot, or choose another one with --data DIR."
        ) from error


def _lock(descriptor: int, data: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        who = f" (process {holder})" if holder.isdigit() else ""
        raise StoreError(
            f"Another `ingot serve`{who} runs on the SQLite database in {data}, and one process at a time may. Stop "
            f'it, choose another directory with --data DIR, or let several share PostgreSQL: database = "postgresql'
            f'://USER:PASSWORD@HOST/NAME" in [server], or INGOT_DATABASE.'
        ) from error
    except OSError as error:
        raise StoreError(
            f"The file system of {data} has no locks ({error.strerror}), as network drives may not. Choose a local "
            f"directory with --data DIR."
        ) from error
