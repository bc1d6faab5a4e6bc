"""The processes of a run: one server on SQLite, or three that share a PostgreSQL and a Valkey, each behind proxies of its own.

    client --> node --proxy--> database      node --proxy--> Valkey
                 '---proxy--> upstream       ("spare" is the same upstream without a proxy)

On PostgreSQL the first node serves and leaves the queue to the other two. Decides where processes are and how they come and
go; refuses to know faults.
"""

import contextlib
import os
import signal
import socket
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from databases import Place, postgres_server, valkey_server
from faults.load import Tenant
from operator_hands import Hands
from receiver import Receiver
from rig import Backstage, wait_until
from served import KEY, PATIENCE, Served, serving
from tcpproxy import Proxy, Switchboard
from upstream_script import Step

LEASE: Final = 3
"""Seconds, of jobs and of places: as short as may be."""
CONCURRENCY: Final = 8
CONFIG: Final = f"""
    [engine]
    enabled = false
    [targets.up]
    base_url = "{{up}}"
    timeouts = {{ connect = 1.0, first_byte = 1.5, idle = 1.5 }}
    breaker = {{ failures = 1000 }}
    [targets.spare]
    base_url = "{{spare}}"
    breaker = {{ failures = 1000 }}
    [targets.narrow]
    base_url = "{{up}}"
    capacity = 4
    breaker = {{ failures = 1000 }}
    [targets.odd]
    base_url = "{{spare}}"
    timeouts = {{ first_byte = 1.5 }}
    breaker = {{ failures = 1000 }}
    [models]
    odd = {{ targets = ["odd"], windows = ["brief"], price = {{ input = 1, output = 2 }}, attempts = 1 }}
    mock = {{ targets = ["up"], windows = ["asap", "standard"], price = {{ input = 1, output = 2 }}, attempts = 1 }}
    pair = {{ targets = ["up", "spare"], windows = ["asap", "standard"], price = {{ input = 1, output = 2 }}, attempts = 2 }}
    slow = {{ targets = ["narrow"], windows = ["standard", "near", "brief"], price = {{ input = 1, output = 2 }}, attempts = 1 }}
    [windows.near]
    seconds = 30
    margin = 30
    background_only = true
    [windows.brief]
    seconds = 1
    background_only = true
    [worker]
    concurrency = {CONCURRENCY}
    lease_seconds = {LEASE}
    [limiter]
    lease_seconds = {LEASE}
    [server]
    drain_seconds = 20
    [webhooks]
    http = true
    ports = [{{sink}}, {{nobody}}]
    networks = ["127.0.0.0/8"]
"""
NAMES: Final = ("ada", "bea", "cyd")
"""The tenants: the operator's own organization, one that pays later, one that has paid."""


@dataclass(slots=True)
class Node:
    """One server process, which may die and come back."""

    name: str
    folder: Path
    config: str
    options: tuple[str, ...]
    environ: dict[str, str]
    wires: dict[str, Proxy] = field(default_factory=dict)
    """Its ways to the database and to Valkey, by these names."""
    served: Served | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def running(self) -> bool:
        """Whether its process is there, be it stopped or not."""
        return self.served is not None and self.served.process.poll() is None

    @property
    def now(self) -> Served:
        """The server as it runs."""
        if self.served is None:
            raise AssertionError(f"{self.name} was never started")
        return self.served

    @property
    def answers(self) -> bool:
        """Whether a request to it comes to its end, written down and all."""
        return self.now.chat("hello")[0] == 200

    def start(self) -> None:
        """Returns once it serves; nothing happens where it runs."""
        if self.running:
            return
        self._stack.close()
        self.served = self._stack.enter_context(
            serving(self.config, self.folder, options=self.options, environ=self.environ)
        )

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        self.now.process.send_signal(number)

    def kill(self) -> None:
        """It is gone at once."""
        self.send(signal.SIGKILL)
        self.now.process.wait(PATIENCE)

    def stop(self) -> None:
        """It ends as it is asked to."""
        assert self.now.stop() == 0

    @contextlib.contextmanager
    def asleep(self) -> Iterator[None]:
        """It does nothing inside of this block."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def close(self) -> None:
        """Ends it."""
        self._stack.close()


@dataclass(slots=True)
class Nodes:
    """All of a scene."""

    kind: str
    hands: Hands
    upstream: Backstage
    up: Proxy
    all: list[Node]
    tenants: list[Tenant]
    sink: Receiver
    """Where webhooks go."""
    trap: Receiver
    """Where nothing may go."""
    nobody: str
    """The URL of a place where nobody listens."""

    @property
    def place(self) -> Place:
        """Where the database is."""
        return self.hands.place

    @property
    def postgres(self) -> bool:
        """Whether there are three of them, on PostgreSQL."""
        return self.place.postgres

    @property
    def workers(self) -> list[Node]:
        """Those that work on the queue."""
        return self.all[1:] or self.all

    @property
    def front(self) -> Node:
        """One that serves."""
        return self.all[0]

    def ports(self, *, of: Sequence[Node] | None = None) -> list[int]:
        """Where clients may ask: a proxy in front would know no more."""
        return [node.now.port for node in of or self.all if node.running]

    def metric(self, name: str, label: str = "") -> float:
        """The sum of a metric over all nodes; `label` is one that a series must have."""
        return sum(metric(node.now, name, label) for node in self.all if node.running)

    def mend(self) -> None:
        """Everything is there and well again, whatever was before."""
        for proxy in (self.up, *(wire for node in self.all for wire in node.wires.values())):
            proxy.heal()
        self.upstream.up.default = Step()
        for node in self.all:
            if node.running:
                node.send(signal.SIGCONT)
        _at_once(self.all)
        for node in self.all:
            wait_until(lambda node=node: node.answers, f"{node.name} answers")  # type: ignore[misc]  # a default binds the node

    def rest(self) -> None:
        """Returns once nothing is under way."""
        count = "SELECT count(*) FROM items"
        wait_until(lambda: int(self.place.run(count)[0][0]) == 0, "nothing waits in the queue")
        for name in ("ingot_requests_in_flight", "ingot_target_in_flight"):
            wait_until(lambda name=name: self.metric(name) == 0, f"{name} is 0")  # type: ignore[misc]  # a default binds the name
        log = self.upstream.up.log
        wait_until(
            lambda: all(each.finished or each.aborted for each in log), "every call upstream has ended"
        )


def metric(served: Served, name: str, label: str = "") -> float:
    """The sum of a server's metric."""
    _, _, page = served.call("/metrics")
    found = [line for line in page.decode().splitlines() if line.startswith(name) and label in line]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def _at_once(nodes: Sequence[Node]) -> None:
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(Node.start, nodes))


@contextlib.contextmanager
def nodes(kind: str, folder: Path, *, url: str = "", valkey: str = "") -> Iterator[Nodes]:
    """A scene of a kind: "sqlite", or "postgres" with the database at `url` and the limits at `valkey`."""
    hands = Hands(Place(kind, folder / "data", url))
    with (
        Backstage() as upstream,
        Switchboard() as board,
        Receiver() as sink,
        Receiver() as trap,
        contextlib.closing(socket.socket()) as silent,
        contextlib.ExitStack() as stack,
    ):
        silent.bind(("127.0.0.1", 0))  # nobody else gets its port
        nobody = silent.getsockname()[1]
        up = board.before(("127.0.0.1", upstream.up.port))
        config = textwrap.dedent(CONFIG).replace("{up}", f"http://127.0.0.1:{up.port}/v1")
        config = config.replace("{spare}", upstream.url).replace("{sink}", f"{sink.port}")
        config = config.replace("{nobody}", f"{nobody}")
        made = []
        for number in range(1 if kind == "sqlite" else 3):
            own = folder / f"node-{number}"
            own.mkdir(parents=True)
            environ = dict(hands.environ)
            wires: dict[str, Proxy] = {}
            if kind == "postgres":
                environ, wires = _wired(board, environ, url=url, valkey=valkey)
            aside = ("--no-worker",) if kind == "postgres" and number == 0 else ()
            options = ("--data", str(hands.place.data), *aside)
            made.append(Node(f"node-{number}", own, config, options, environ, wires))
            stack.callback(made[-1].close)
        made[0].start()  # makes the tables, the pepper and the first key
        tenants = _tenants(hands)
        _at_once(made)
        yield Nodes(kind, hands, upstream, up, made, tenants, sink, trap, f"http://127.0.0.1:{nobody}/hook")


def _wired(
    board: Switchboard, environ: dict[str, str], *, url: str, valkey: str
) -> tuple[dict[str, str], dict[str, Proxy]]:
    """The environment of a node whose ways to both servers go through proxies, and these."""
    server, limits = postgres_server(), valkey_server()
    database = board.before(server.folder / ".s.PGSQL.5432")
    limiter = board.before(("127.0.0.1", limits.port))
    name = url.partition("?")[0].rpartition("/")[2]
    number = valkey.rpartition("/")[2]
    environ["INGOT_DATABASE"] = f"postgresql://ingot@127.0.0.1:{database.port}/{name}"
    environ["INGOT_LIMITER_URL"] = f"redis://127.0.0.1:{limiter.port}/{number}"
    return environ, {"database": database, "limiter": limiter}


def _tenants(hands: Hands) -> list[Tenant]:
    [(own,)] = hands.rows("SELECT id FROM organizations")
    hands.run("plans", "create", "bulk", "--rpm", "1000000")

    def make(name: str) -> Tenant:
        credit = "1000" if name == "cyd" else ""
        made = hands.customer(name, plan="bulk", credit=credit, postpaid=not credit)
        return Tenant(name, made.org_id, made.key)

    with ThreadPoolExecutor(2) as pool:
        return [Tenant(NAMES[0], own, KEY), *pool.map(make, NAMES[1:])]


def scale(name: str, ordinary: str) -> float:
    """A size of the runs, from the environment: `make chaos` sets them to run at length."""
    return float(os.environ.get(f"INGOT_CHAOS_{name}", ordinary))
