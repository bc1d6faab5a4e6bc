"""Files that the configuration names: found, opened and read up to a bound, or a ValueError that says why not.

Decides nothing about what a file holds, or who may read it.
"""

import os
from pathlib import Path


def read_beginning(directory: Path, name: str, *, most: int) -> tuple[Path, int, bytes]:
    """The path of a file relative to `directory`, its mode, and its first `most` bytes."""
    path = directory / name
    try:
        path = directory / Path(name).expanduser()
        if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
            raise ValueError(f"{path} is not a regular file")
        with path.open("rb") as file:
            return path, os.fstat(file.fileno()).st_mode, file.read(most)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except RuntimeError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
