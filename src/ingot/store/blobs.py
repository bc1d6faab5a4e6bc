"""Bytes on disk by name: written aside, put in place whole, read, removed.

    begin --> Draft: write, write, ... --keep--> NAME      on disk and found after a crash, or not there at all
                                      '-discard

What a name means and who may read it is said by a row of the database, which is written after its bytes are in place and
deleted before they go: a crash leaves bytes without a row, never a row without bytes. `strays` finds those. All calls
block, and are made on a thread. Knows no table.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

PIECE = 1024 * 1024
_DRAFTS = "drafts"


class Draft:
    """Bytes that are being written; its owner keeps or discards it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._file = os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
        )

    def write(self, data: bytes) -> None:
        """Appends; raises OSError where the disk refuses."""
        self._file.write(data)
        self.sha256.update(data)
        self.md5.update(data)
        self.size += len(data)

    def flush(self) -> None:
        """Lets who opens the path read all that was written; a crash may still lose it."""
        self._file.flush()

    def close(self) -> None:
        """Returns when all is on disk; again is no error."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def discard(self) -> None:
        """Removes what was written, unless it was kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Blobs:
    """A directory of them, in 256 folders by the end of the name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Makes the directory; raises OSError where that cannot be."""
        (self.root / _DRAFTS).mkdir(mode=0o700, parents=True, exist_ok=True)

    def begin(self) -> Draft:
        """A new draft; raises OSError."""
        self.prepare()
        return Draft(self.root / _DRAFTS / secrets.token_hex(16))

    def keep(self, draft: Draft, name: str) -> None:
        """Puts a draft in place under a new name; once this returns it outlives a crash."""
        draft.close()
        place = self.path(name)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        draft.path.replace(place)
        for folder in (place.parent, self.root):
            _sync(folder)

    def join(self, names: Sequence[str]) -> Draft:
        """A draft of the bytes under these names, one after the other; raises OSError where one is missing."""
        draft = self.begin()
        try:
            for name in names:
                with self.path(name).open("rb") as part:
                    while piece := part.read(PIECE):
                        draft.write(piece)
        except BaseException:
            draft.discard()
            raise
        return draft

    def path(self, name: str) -> Path:
        """Where the bytes of a name lie, whether they are there or not."""
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{name!r} is not the name of a blob")
        return self.root / name[-2:] / name

    def remove(self, names: Sequence[str]) -> None:
        """Removes what is there of these."""
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def strays(self, before: float) -> Iterator[str]:
        """The names of what was last written before an instant, for a look whether anybody knows them; old drafts go."""
        for folder in list(self.root.iterdir()) if self.root.is_dir() else []:
            for entry in list(os.scandir(folder)) if folder.is_dir() else []:
                if entry.stat(follow_symlinks=False).st_mtime >= before:
                    continue
                if folder.name == _DRAFTS:
                    Path(entry.path).unlink(missing_ok=True)
                else:
                    yield entry.name


def _sync(folder: Path) -> None:
    """A new name is on disk once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
