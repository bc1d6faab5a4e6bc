"""What is wrong with a configuration: a list of places and texts, and the one exception that carries it.

Decides how a place is written (`models."org/name".targets[0]`) and finds its line in the TOML text.
Refuses to know what the keys mean.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace

Path = tuple[str | int, ...]

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# A value longer than this gets no line number: the search parses growing slices, which is quadratic.
LONGEST_STATEMENT = 200
DEEPEST = 40  # further down a problem gets the line of the table around it


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where (a key path, or the name of the variable or option it came from) and what."""

    where: str
    message: str
    path: Path = ()
    line: int | None = None

    def __str__(self) -> str:
        """`line 7: targets.a.capacty: unknown key`."""
        place = f"line {self.line}: " if self.line is not None else ""
        return f"{place}{self.where}: {self.message}" if self.where else f"{place}{self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used, with every problem found; `path` is the place of the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)

    @property
    def path(self) -> str:
        return self.problems[0].where

    @classmethod
    def at(cls, where: str, message: str) -> "ConfigError":
        """An error of a single problem."""
        return cls([Problem(where, message)])


def quoted(key: str) -> str:
    """A key as TOML writes it: bare where that is allowed, else in quotes."""
    return key if BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def dotted(path: Path) -> str:
    """A path as people read it: `models."org/name".targets[0].weight`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{quoted(part)}" if text else quoted(part)
    return text


def problem(path: Path, message: str) -> Problem:
    """A problem at a key path."""
    return Problem(dotted(path), message, path)


def located(problems: list[Problem], text: str) -> list[Problem]:
    """The problems with line numbers where the text has their key, sorted by line."""
    lines = _key_lines(text)
    found = [replace(each, line=_line_of(each.path, lines)) if each.path else each for each in problems]
    return sorted(found, key=lambda each: each.line or 0)


def _line_of(path: Path, lines: dict[Path, int]) -> int | None:
    """The line of the key, or of the nearest enclosing one."""
    for length in range(len(path), 0, -1):
        line = lines.get(path[:length])
        if line is not None:
            return line
    return None


def _key_lines(text: str) -> dict[Path, int]:
    """The line of each key path, found by parsing the text statement by statement."""
    found: dict[Path, int] = {}
    lines = text.split("\n")
    table: Path = ()
    start = 0
    while start < len(lines):
        end, statement = _statement(lines, start)
        header = lines[start].lstrip().startswith("[")
        paths = list(_paths(statement, ()))
        if header and paths:
            table = max(paths, key=len)
        for path in paths:
            found.setdefault(path if header else table + path, start + 1)
        start = end
    return found


def _statement(lines: list[str], start: int) -> tuple[int, dict[str, object]]:
    """The statement that begins at a line, and the line after it; an empty one where none can be found."""
    for end in range(start + 1, min(start + LONGEST_STATEMENT, len(lines)) + 1):
        try:
            return end, tomllib.loads("\n".join(lines[start:end]))
        except (ValueError, RecursionError):
            continue
    return start + 1, {}


def _paths(tree: dict[str, object], prefix: Path) -> Iterator[Path]:
    """Every key path of a nested table, outer ones first; without recursion, as dotted keys nest freely."""
    pending: list[tuple[Path, dict[str, object]]] = [(prefix, tree)]
    while pending:
        base, table = pending.pop()
        for key, value in table.items():
            yield (*base, key)
            if isinstance(value, dict) and len(base) < DEEPEST:
                pending.append(((*base, key), value))
