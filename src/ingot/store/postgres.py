"""Everything that is particular to PostgreSQL, through psycopg.

Writers run at READ COMMITTED, readers on a snapshot that cannot write. Whatever the server's defaults are, no
statement runs for longer than 5 s, no transaction stays idle for longer than 10 s, a commit is on the disk
before it is acknowledged, and a peer that is gone is noticed, also where something on the way takes the bytes for
it. The statements and the migrations know nothing of what is decided here.
"""

import hashlib
import select
from collections.abc import Iterable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from ingot.store.database import Backend, Purpose
from ingot.store.faults import StoreConflict, StoreError

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""How long a start waits for another process that migrates."""
STATEMENT_SECONDS = 5
IDLE_SECONDS = 10
ANSWER_SECONDS = 8.0
"""How long a statement may stay without an answer. The server ends it earlier, where it is heard at all."""

# 8 bytes of our own: other programs in the same database may use advisory locks too.
_LOCK = int.from_bytes(b"ingotmig")

_CONNECT = {
    "application_name": "ingot",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    # A peer that vanished is noticed after 10 + 3 * 5 s, and data that nobody acknowledges after 15 s.
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}

_SETTINGS = (
    "SELECT set_config('statement_timeout', %s, false),"
    " set_config('idle_in_transaction_session_timeout', %s, false),"
    # Whoever asks for more than the disk of this server keeps it.
    " CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN ''"
    " ELSE set_config('synchronous_commit', 'on', false) END"
)

_BEGIN: dict[Purpose, str] = {
    "read": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "write": "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SAVEPOINT one",
    "migrate": "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
}


class _Connection(psycopg.Connection[Any]):
    """A connection that is given up where the server says nothing for too long; then nobody knows what became of the statement."""

    patience: float | None = ANSWER_SECONDS

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """psycopg's, with an end."""
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001  # what `wait` is documented to raise
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer for {self.patience:g} s") from error


def backend(url: str, *, patience: float | None = None) -> Backend:
    """The database behind `url`, not yet connected to; raises StoreError where that is no such URL.

    `patience` is how many seconds to wait for another process that migrates.
    """
    address = parsed(url)
    where = shown(address)
    engine = _engine(address)
    lock_timeout = max(1, round(1000 * (PATIENCE_SECONDS if patience is None else patience)))

    def connect(purpose: Purpose) -> Connection:
        try:
            conn = engine.connect()
            if purpose == "migrate":  # a step may rewrite a large table
                _driver(conn).patience = None
                _control(conn, "SET statement_timeout = 0")
        except (DBAPIError, psycopg.Error) as error:
            raise explain(error, where) from error
        return conn

    def begin(conn: Connection, purpose: Purpose) -> None:
        _control(conn, _BEGIN[purpose])
        if purpose == "migrate":
            _control(conn, f"SET LOCAL lock_timeout = {lock_timeout}")
            _control(conn, f"SELECT pg_advisory_xact_lock({_LOCK})")

    return Backend(
        connect=connect,
        begin=begin,
        lock=_lock,
        keep=lambda conn: _control(conn, "RELEASE SAVEPOINT one; SAVEPOINT one"),
        undo=lambda conn: _control(conn, "ROLLBACK TO SAVEPOINT one"),
        alive=_alive,
        reset=_reset,
        passing=_passing,
        explain=lambda error: explain(error, where),
        dispose=engine.dispose,
        scrub=lambda: True,  # VACUUM and the log's own turns do it
    )


def parsed(url: str) -> URL:
    """The parts of a URL from the configuration; raises StoreError, which does not repeat it."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(_WRONG_URL) from error
    if address.drivername not in ("postgresql", "postgres", "postgresql+psycopg") or not address.database:
        raise StoreError(_WRONG_URL)
    return address.set(drivername="postgresql+psycopg")


_WRONG_URL = (
    "The database is not a URL that is understood. `database` in [server] is postgresql://USER:PASSWORD@HOST/NAME, "
    "or empty for a SQLite file in the data directory."
)


def shown(address: URL) -> str:
    """Host and database, as texts name them: no user, no password."""
    host = address.host or _first(address.query.get("host")) or "localhost"
    return f"{host}{f':{address.port}' if address.port else ''}/{address.database}"


def _first(value: str | tuple[str, ...] | None) -> str | None:
    return value[0] if isinstance(value, tuple) else value


def _engine(address: URL) -> Engine:
    # Autocommit: the driver then begins nothing on its own, and each BEGIN says what it is for.
    options = {name: value for name, value in _CONNECT.items() if name not in address.query}
    engine = create_engine(
        address,
        poolclass=NullPool,
        use_native_hstore=False,  # asks the server about a type that we do not use
        connect_args={"autocommit": True, **options},
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, places: list[Any], options: dict[str, Any]) -> _Connection:
        return _Connection.connect(*places, **options)

    @event.listens_for(engine, "connect")
    def configure(driver: psycopg.Connection[Any], _: Any) -> None:
        limits = (str(1000 * STATEMENT_SECONDS), str(1000 * IDLE_SECONDS))
        driver.execute(_SETTINGS, limits).close()

    return engine


def _driver(conn: Connection) -> _Connection:
    driver = conn.connection.driver_connection
    if not isinstance(driver, _Connection):
        raise StoreError("The database driver is not psycopg's.")
    return driver


def _control(conn: Connection, statements: str) -> None:
    """Runs statements without a result, past SQLAlchemy and in one journey."""
    _driver(conn).execute(statements.encode(), prepare=False).close()


def _lock(conn: Connection, names: Iterable[str]) -> None:
    """Takes names for the transaction, in one order everywhere; a savepoint before them would give them back."""
    keys = sorted({_key(name) for name in names})
    query = b"SELECT pg_advisory_xact_lock(k) FROM unnest(%s::bigint[]) AS k"
    _driver(conn).execute(query, (keys,)).close()
    _control(conn, "RELEASE SAVEPOINT one; SAVEPOINT one")


def _key(name: str) -> int:
    """8 bytes for a name; two names with one key wait for each other now and then, and nothing else."""
    return int.from_bytes(
        hashlib.blake2b(name.encode(), digest_size=8, person=b"ingotlocks").digest(), signed=True
    )


def _alive(conn: Connection) -> bool:
    """Whether nothing has come from the server since the last answer: what it says unasked is mostly goodbye."""
    if conn.invalidated or conn.closed:
        return False
    driver = _driver(conn)
    if driver.closed:
        return False
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    return not poll.poll(0)


def _reset(conn: Connection) -> bool:
    if conn.invalidated or conn.closed:
        return False
    driver = _driver(conn)
    if driver.closed:
        return False
    try:
        driver.rollback()
    except psycopg.Error:
        return False
    return True


def _passing(error: BaseException) -> bool:
    cause = _cause(error)
    return isinstance(cause, psycopg.Error) and cause.sqlstate in ("40001", "40P01")


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def explain(error: BaseException, where: str) -> BaseException:
    """A driver's fault as a StoreError that says what to do; any other exception as it is."""
    cause = _cause(error)
    if not isinstance(cause, psycopg.Error):
        return error
    state = cause.sqlstate or ""
    text = _text(cause)
    if state.startswith("23"):
        # The details name the values of the row: they may be private.
        told: StoreError = StoreConflict(f"The database refused a row: {text}.")
    elif isinstance(cause, psycopg.DataError) and not state:
        told = StoreConflict(f"The database refused a value: {text}.")
    else:
        template = _TEXTS.get(state) or _TEXTS.get(state[:2])
        if template is None and not state and isinstance(cause, psycopg.OperationalError):
            template = _UNREACHABLE
        if template is None:
            return error
        told = StoreError(template.format(where=where, cause=text))
    told.__cause__ = error
    return told


def _text(cause: psycopg.Error) -> str:
    said = cause.diag.message_primary or str(cause)
    return " ".join(said.split()).rstrip(".")


_UNREACHABLE = (
    "PostgreSQL at {where} cannot be used ({cause}). See that it runs and takes connections from this machine, and "
    "that `database` in [server] is right."
)
_TEXTS = {
    "08": _UNREACHABLE,
    "28": "PostgreSQL at {where} refuses the user ({cause}). Mend user and password of `database` in [server].",
    "3D": "PostgreSQL at {where} has no such database ({cause}). Create it, or mend `database` in [server].",
    "42501": "PostgreSQL at {where} refuses us something ({cause}). Make the user of `database` in [server] the owner "
    "of the database.",
    "25006": "The database at {where} takes no writes here ({cause}): it is a standby, or a read tried to write. "
    "`database` in [server] must name the primary server.",
    "25P03": "A transaction on PostgreSQL at {where} was ended because it did nothing for 10 s; nothing of it was kept.",
    "40": "Other processes changed the same rows of the database at the same moment ({cause}). Try again.",
    "53100": "The disk of PostgreSQL at {where} is full. Free some space; what was being written is not kept.",
    "53300": "PostgreSQL at {where} has no connection left ({cause}). Each process takes three: raise max_connections.",
    "53": "PostgreSQL at {where} lacks resources ({cause}).",
    "55P03": "Another process holds the database at {where} and did not let go in time. Wait for it to end, or stop it.",
    "57014": "A statement on PostgreSQL at {where} took too long and was ended ({cause}); nothing of it was kept.",
    "57": "PostgreSQL at {where} ended the connection ({cause}). It is opened again with the next request.",
    "58": "PostgreSQL at {where} failed to read or write ({cause}). Check its disk and its log.",
    "XX": "PostgreSQL at {where} reports damage ({cause}). Check its log, and restore a backup if need be.",
}


def size(conn: Connection) -> int:
    """Bytes of the database on its server; from here on the transaction may take its time."""
    driver = _driver(conn)
    driver.patience = None
    try:
        return _size(conn)
    finally:
        driver.patience = ANSWER_SECONDS


def _size(conn: Connection) -> int:
    _control(conn, "SET LOCAL statement_timeout = 0")
    return int(conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
