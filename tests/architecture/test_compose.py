"""compose.scale.yaml says what Ingot understands: its variables exist, and what it refers to is there.

Read by a parser of the part of YAML that the file uses; a line beyond that part is an error.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingot.config import database_url, from_disk
from ingot.config.environment import OTHERS, variables
from repository import ROOT

FILE = ROOT / "compose.scale.yaml"
WANTED = re.compile(r"\$\{([A-Z_]+)(?::\?[^}]*)?\}")
SECRET = "a-secret-of-the-operator"


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its place."""

    number: int
    depth: int
    text: str


class Reader:
    """Mappings, lists of scalars, JSON lists and strings, literal blocks; two spaces a level."""

    def __init__(self, text: str) -> None:
        self._lines = list(self._read(text))
        self._at = 0

    @staticmethod
    def _read(text: str) -> Iterator[Line]:
        for number, line in enumerate(text.splitlines(), 1):
            assert "\t" not in line, f"line {number}: a tab"
            bare = line.strip()
            yield Line(number, len(line) - len(line.lstrip()), bare)

    def mapping(self, depth: int = 0) -> dict[str, Any]:
        """The mapping whose keys stand at `depth`."""
        found: dict[str, Any] = {}
        while (line := self._peek()) is not None and line.depth == depth and not line.text.startswith("- "):
            match = re.fullmatch(r"([\w.-]+):(?: (.+))?", line.text)
            assert match, f"line {line.number}: {line.text}"
            name, rest = match.groups()
            assert name not in found, f"line {line.number}: {name} is there twice"
            self._at += 1
            found[name] = self._below(depth) if rest is None else self._scalar(rest, depth)
        return found

    def end(self) -> None:
        """Fails where something is left."""
        left = self._peek()
        assert left is None, f"line {left.number}: {left.text}"

    def _peek(self) -> Line | None:
        """The next line that is neither empty nor a comment."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.text and not line.text.startswith("#"):
                return line
            self._at += 1
        return None

    def _below(self, depth: int) -> Any:
        line = self._peek()
        if line is None or line.depth <= depth:
            return None
        assert line.depth == depth + 2, f"line {line.number}: two spaces a level"
        return self._items(line.depth) if line.text.startswith("- ") else self.mapping(line.depth)

    def _items(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while (line := self._peek()) is not None and line.depth == depth and line.text.startswith("- "):
            rest = line.text.removeprefix("- ")
            if re.fullmatch(r"[\w.-]+: .+", rest):
                self._lines[self._at] = Line(line.number, depth + 2, rest)
                found.append(self.mapping(depth + 2))
            else:
                self._at += 1
                found.append(self._scalar(rest, depth))
        return found

    def _scalar(self, text: str, depth: int) -> Any:
        if text == "|":
            return self._block(depth)
        if text[0] in '"[':
            return json.loads(text)
        assert not re.search(r"^[&*!|>{'%@`]|: | #", text), text
        return text

    def _block(self, depth: int) -> str:
        lines = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.text and line.depth <= depth:
                break
            lines.append(" " * max(0, line.depth - depth - 2) + line.text)
            self._at += 1
        return "\n".join(lines)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file."""
    reader = Reader(FILE.read_text(encoding="utf-8"))
    found = reader.mapping()
    reader.end()
    return found


def environ_of(compose: dict[str, Any], service: str = "ingot") -> dict[str, str]:
    """The variables of the servers, or of those who work, with what the operator has to give."""
    held: dict[str, str] = compose["services"][service]["environment"]
    return {name: WANTED.sub(SECRET, value) for name, value in held.items()}


def test_servers_are_told_what_ingot_knows(compose: dict[str, Any], tmp_path: Path) -> None:
    """Each variable exists, and together they are a configuration: many servers, one PostgreSQL, one Valkey."""
    environ = environ_of(compose)
    assert environ.keys() <= {*variables(), *OTHERS}
    config = from_disk(None, environ, directory=tmp_path, options={}).config
    assert database_url(config, tmp_path).startswith("postgresql://")
    assert config.limiter.url.startswith("redis://")
    assert int(compose["services"]["ingot"]["deploy"]["replicas"]) > 1


def test_workers_share_what_servers_share(compose: dict[str, Any]) -> None:
    """The same database, limits and files, or they would work on a queue of their own; and servers leave the queue to them."""
    own, servers = environ_of(compose, "worker"), environ_of(compose)
    assert own == {name: servers[name] for name in own}
    assert {"INGOT_DATA", "INGOT_DATABASE", "INGOT_LIMITER_URL"} <= own.keys()
    assert "--no-worker" in compose["services"]["ingot"]["command"]
    assert compose["services"]["worker"]["command"][-1] == "work"


def test_what_the_file_refers_to_is_there(compose: dict[str, Any]) -> None:
    """Images have names and versions; services, volumes and hosts that are named exist."""
    services = compose["services"]
    for name, service in services.items():
        assert re.fullmatch(r"[a-z/-]+:[\w.-]+", service["image"]), name
        assert service.get("depends_on", {}).keys() <= services.keys()
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source == "." or source in compose["volumes"], mount
    hosts = re.findall(r"(?:@|//|server )([a-z]+)[:/]", str(environ_of(compose)) + str(compose["configs"]))
    assert set(hosts) - {"http"} == {"ingot", "postgres", "valkey"}
    source = services["proxy"]["configs"][0]["source"]
    assert source in compose["configs"]


def test_secrets_are_asked_for(compose: dict[str, Any]) -> None:
    """No password stands in the file: without the operator's variables it does not start."""
    text = FILE.read_text(encoding="utf-8")
    wanted = set(WANTED.findall(text))
    assert wanted == {"POSTGRES_PASSWORD", "INGOT_BOOTSTRAP_KEY"}
    assert re.findall(r"\$\{[A-Z_]+\}", text) == []
    assert SECRET in environ_of(compose)["INGOT_DATABASE"]
