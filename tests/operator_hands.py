"""What an operator holds: the commands on a database, organizations with keys and credit, servers that share it.

Works on SQLite and on PostgreSQL alike. Commands are real processes; what tests look at between them is read past our
own code, from the database itself.
"""

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from databases import Place
from ingot.pricing import parse_usd
from rig import Backstage
from served import PATIENCE, Served, serving


@dataclass(frozen=True, slots=True)
class Customer:
    """An organization and one of its keys."""

    org_id: str
    key_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Hands:
    """The operator of the database at a place."""

    place: Place
    preset: str = "open"

    @property
    def environ(self) -> dict[str, str]:
        """What tells a server or a command where the database is."""
        return {"INGOT_DATABASE": self.place.url, "INGOT_PRESET": self.preset}

    def run(self, *words: str, code: int = 0) -> Any:
        """The JSON that a command prints; it must end with `code`."""
        done = self._command(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def try_run(self, *words: str) -> Any:
        """The same; None where the command is refused."""
        done = self._command(*words)
        assert done.returncode in {0, 1}, done.stdout + done.stderr
        return json.loads(done.stdout) if done.returncode == 0 else None

    def _command(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
        return subprocess.run(
            [sys.executable, "-m", "ingot", *words, "--json"],
            env=environ | self.environ | {"INGOT_DATA": str(self.place.data), "NO_COLOR": "1"},
            cwd=self.place.data.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def customer(self, name: str, *, plan: str, credit: str = "", postpaid: bool = False) -> Customer:
        """A new organization with a key and so much credit, in USD."""
        options = ["--postpaid"] if postpaid else []
        org_id = self.run("orgs", "create", "--name", name, "--plan", plan, *options)["id"]
        if credit:
            self.run("credits", "add", "--org", org_id, "--amount", credit)
        made = self.run("keys", "create", "--name", f"{name}'s", "--org", org_id)
        return Customer(org_id, made["id"], made["key"])

    def standing(self, org_id: str) -> tuple[int, int]:
        """Balance and what is held of it, in units, as `ingot credits show` tells them."""
        told = self.run("credits", "show", "--org", org_id)["standing"]
        return parse_usd(told["balance"]), parse_usd(told["held"])

    def verified(self) -> dict[str, int]:
        """What `ingot ledger verify --deep` counted; it must find nothing wrong."""
        proof = self.run("ledger", "verify", "--deep")
        assert proof["ok"], proof["findings"]
        return dict(proof["counted"])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query, read past our own code."""
        return self.place.run(query)

    def spent(self, org_id: str) -> list[tuple[int, int, int]]:
        """Input tokens, output tokens and units of each of an organization's calls, as the ledger has them."""
        query = (
            "SELECT input_tokens, output_tokens, -amount FROM ledger WHERE kind = 'inference' AND org_id = "
        )
        return [(int(a), int(b), int(c)) for a, b, c in self.rows(f"{query}'{org_id}'")]  # our own id


@contextlib.contextmanager
def house(
    folder: Path, config: str, hands: Hands, *, count: int = 1, prepare: Callable[[], object] = bool
) -> Iterator[tuple[list[Served], Backstage]]:
    """Servers on one database, in front of one upstream; `{up}` in `config` becomes its URL.

    `prepare` runs before the first server starts.
    """
    with Backstage() as upstream, contextlib.ExitStack() as stack:
        text = "[engine]\nenabled = false\n" + textwrap.dedent(config).replace("{up}", upstream.url)
        prepare()
        servers = []
        for number in range(count):
            own = folder / f"server-{number}"
            own.mkdir(parents=True)
            options = ("--data", str(hands.place.data))
            started = serving(text, own, options=options, environ=hands.environ)
            servers.append(replace(stack.enter_context(started), data=hands.place.data))
        yield servers, upstream


def all_at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns for each number, every one on a thread of its own."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
