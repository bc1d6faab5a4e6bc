"""Copies of the database, whole and of one moment, while servers go on: SQLite by its own copier, PostgreSQL by pg_dump.

A copy gets its name when it is complete, is private to its owner, and never replaces anything. The pepper goes
beside it: without it the keys in the copy are worthless.
"""

import os
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from ingot.store import pepper, postgres, sqlite
from ingot.store.faults import StoreError


@dataclass(frozen=True, slots=True)
class Backup:
    """What was written; `pepper` is None where the data directory has none yet."""

    file: Path
    pepper: Path | None
    size_bytes: int


def back_up(data: Path, url: str, file: Path) -> Backup:
    """Writes the database and the pepper of `data` to `file` and `file`.pepper; raises StoreError."""
    beside = file.with_name(f"{file.name}.pepper")
    try:
        with _draft(file) as draft:
            if url:
                _dump(url, draft, file)
            else:
                _copy(data / sqlite.FILE_NAME, draft)
            kept = _keep_pepper(data / pepper.FILE_NAME, beside)
        return Backup(file, kept, file.stat().st_size)
    except OSError as error:
        raise StoreError(f"{error.filename or file} cannot be written or read ({error.strerror}).") from error


@contextmanager
def _draft(file: Path) -> Iterator[Path]:
    """A new file beside `file`, which takes its name once all went well and is gone otherwise."""
    if file.exists():
        raise StoreError(f"{file} is there already. Name a new file: a backup replaces nothing.")
    draft = file.with_name(f".{file.name}.{os.getpid()}.new")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        yield draft
        _sync(draft)
        os.link(draft, file)
        _sync(file.parent)
    except FileExistsError as error:
        raise StoreError(f"{file} was made by somebody else meanwhile. Name a new file.") from error
    finally:
        draft.unlink(missing_ok=True)


def _copy(source: Path, draft: Path) -> None:
    if not source.exists():
        raise StoreError(f"There is no database in {source.parent}. Name the data directory with --data DIR.")
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)) as live,
            closing(sqlite3.connect(draft)) as copy,
        ):
            live.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").close()  # one file, without a log beside it
            verdict = copy.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        told = sqlite.explain(error, source)
        raise (
            told if isinstance(told, StoreError) else StoreError(f"{source} could not be copied: {error}.")
        ) from error
    if verdict != "ok":
        raise StoreError(f"{source} is damaged ({verdict}). Restore the newest backup of the data directory.")


def _dump(url: str, draft: Path, file: Path) -> None:
    address = postgres.parsed(url)
    password = address.password or address.query.get("password")
    bare = URL.create(
        "postgresql",
        username=address.username,
        host=address.host,
        port=address.port,
        database=address.database,
        query={name: value for name, value in address.query.items() if name != "password"},
    ).render_as_string()
    command = ["pg_dump", "--format=custom", "--file"]
    program = shutil.which(command[0])
    if program is None:
        shown = shlex.join([*command, str(file), bare])
        raise StoreError(
            f"pg_dump, of PostgreSQL's client programs, is not on the PATH. Install it, or run where it is "
            f"(the password comes from PGPASSWORD or ~/.pgpass):\n\n  {shown}\n"
        )
    environ = dict(os.environ)
    if password:
        environ["PGPASSWORD"] = str(password)
    done = subprocess.run(  # noqa: S603  # the program that was named, without a shell
        [program, *command[1:], str(draft), bare],
        env=environ,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise StoreError(f"pg_dump failed, and nothing was saved:\n{said}")


def _keep_pepper(source: Path, target: Path) -> Path | None:
    if not source.exists():
        return None
    with _draft(target) as draft:
        draft.write_bytes(source.read_bytes())
    return target


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
