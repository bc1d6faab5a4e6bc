"""Everything that is particular to SQLite.

WAL with synchronous FULL: a commit that was acknowledged survives a power cut. The statements, the
migrations and the grouping of writes know nothing of what is decided here.
"""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ingot.store.database import Backend, Purpose
from ingot.store.faults import StoreConflict, StoreError

FILE_NAME = "ingot.db"

# Ours write for milliseconds; who holds the lock for longer than this is stuck or is not ours.
PATIENCE_SECONDS = 5.0

SCRUB_MILLISECONDS = 50
"""How long the log's last frames may wait for readers; writes wait as long, and not for the rest of it."""

_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    # What was deleted is overwritten in the file; some builds do it anyway.
    "PRAGMA secure_delete = ON",
    # After a burst the log shrinks to this instead of keeping its largest size for ever.
    "PRAGMA journal_size_limit = 16777216",
    # What a savepoint needs to go back is copied; in a file that cost as many writes as the log itself.
    "PRAGMA temp_store = MEMORY",
    # Else REPLACE deletes a row without asking the triggers that guard it.
    "PRAGMA recursive_triggers = ON",
)


def backend(data: Path, *, patience: float | None = None) -> Backend:
    """The file in the directory `data`, both created where needed; raises StoreError.

    `patience` is how many seconds to wait for another process that holds the file.
    """
    path = _prepare(data)
    patience = PATIENCE_SECONDS if patience is None else patience
    engine = _engine(path, timeout=patience)

    def connect(purpose: Purpose) -> Connection:
        try:
            conn = engine.connect()
            if purpose == "read":
                _control(conn, "PRAGMA query_only = ON")
            elif purpose == "migrate":
                _enter_wal(conn, path, patience=patience)
        except (DBAPIError, sqlite3.Error) as error:
            raise explain(error, path) from error
        return conn

    return Backend(
        connect=connect,
        begin=_begin,
        lock=lambda _conn, _names: None,  # one writer at a time has the whole file
        keep=_keep,
        undo=lambda conn: _control(conn, "ROLLBACK TO SAVEPOINT one"),
        alive=lambda _: True,
        reset=_reset,
        passing=lambda _: False,
        explain=lambda error: explain(error, path),
        dispose=engine.dispose,
        scrub=lambda: _scrub(engine),
    )


def _prepare(data: Path) -> Path:
    """The database's path, its directory and an empty file in place, readable by the owner alone."""
    path = data / FILE_NAME
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its log files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except FileExistsError as error:
        raise StoreError(
            f"{data} is a file, not a directory. Choose another place with --data DIR."
        ) from error
    except OSError as error:
        raise StoreError(
            f"The data directory {data} cannot be used ({error.strerror}). Make it writable for the user who "
            f"runs ingot, or choose another one with --data DIR."
        ) from error
    return path


def _engine(path: Path, *, timeout: float) -> Engine:
    # No isolation level: the driver then begins nothing on its own, and DDL is part of a transaction.
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        connect_args={"isolation_level": None, "timeout": timeout},
    )

    @event.listens_for(engine, "connect")
    def configure(driver: sqlite3.Connection, _: Any) -> None:
        for pragma in _PRAGMAS:
            driver.execute(pragma).close()

    return engine


def _enter_wal(conn: Connection, path: Path, *, patience: float) -> None:
    """Turns WAL on; the file remembers it.

    The switch does not wait for other processes that make it at the same moment, so this tries again.
    """
    driver = _driver(conn)
    deadline = time.monotonic() + patience
    while True:
        try:
            with closing(driver.execute("PRAGMA journal_mode = WAL")) as cursor:
                mode = cursor.fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StoreError(
            f"The file system of {path} lacks what the database needs (shared memory and locks), as network "
            f"drives do. Choose a local directory with --data DIR."
        )


def _driver(conn: Connection) -> sqlite3.Connection:
    driver = conn.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise StoreError("The database driver is not SQLite's.")
    return driver


def _control(conn: Connection, statement: str) -> None:
    """Runs a statement without a result past SQLAlchemy: 2 us instead of 20, twice for each write."""
    _driver(conn).execute(statement).close()


def _scrub(engine: Engine) -> bool:
    """Moves the log into the file, which has what was deleted overwritten, and cuts the log, which has not."""
    with engine.connect() as conn:
        # Nearly all is copied beside readers and writers; the cut then locks them out for a moment.
        for statement in (
            "PRAGMA wal_checkpoint(PASSIVE)",
            f"PRAGMA busy_timeout = {SCRUB_MILLISECONDS}",
        ):
            _control(conn, statement)
        with closing(_driver(conn).execute("PRAGMA wal_checkpoint(TRUNCATE)")) as cursor:
            busy: int = cursor.fetchone()[0]
    return busy == 0


def _reset(conn: Connection) -> bool:
    driver = _driver(conn)
    if driver.in_transaction:
        driver.rollback()
    return True


def _begin(conn: Connection, purpose: Purpose) -> None:
    # To write takes the lock at once: a read that is upgraded later could find the database changed and fail.
    _control(conn, "BEGIN" if purpose == "read" else "BEGIN IMMEDIATE")
    if purpose == "write":
        _control(conn, "SAVEPOINT one")


def _keep(conn: Connection) -> None:
    _control(conn, "RELEASE SAVEPOINT one")
    _control(conn, "SAVEPOINT one")


def explain(error: BaseException, path: Path) -> BaseException:
    """A driver's fault as a StoreError that says what to do; any other exception as it is."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, sqlite3.Error):
        return error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return error
    if code & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        told: StoreError = StoreConflict(f"The database refused a row: {cause}.")
    elif code & 0xFF in _TEXTS:
        told = StoreError(_TEXTS[code & 0xFF].format(path=path, cause=cause))
    else:
        return error
    told.__cause__ = error
    return told


_TEXTS = {
    sqlite3.SQLITE_FULL: "The disk that holds {path} is full. Free some space; what was being written is not kept.",
    sqlite3.SQLITE_READONLY: "{path} cannot be written. Make it, and the files beside it, writable for the user who "
    "runs ingot, or choose another directory with --data DIR.",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened ({cause}). Make it readable and writable for the user who runs "
    "ingot, or choose another directory with --data DIR.",
    sqlite3.SQLITE_NOTADB: "{path} is not a database. Move it away to start anew, or choose another directory with "
    "--data DIR.",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged ({cause}). Restore the newest backup of the data directory.",
    sqlite3.SQLITE_BUSY: "Another process holds {path} and did not let go in time. Wait for it to end, or stop it.",
    sqlite3.SQLITE_IOERR: "The disk failed to read or write {path} ({cause}). Check the disk and the system's log.",
}


def size(conn: Connection) -> int:
    """Bytes of the database, without its log."""
    pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages * conn.exec_driver_sql("PRAGMA page_size").scalar_one())
