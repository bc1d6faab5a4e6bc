"""The matrix of clients: who they are, what each scenario must show before each kind of target, and the page that tells of it.

    tests/clients/NAME/client.toml     a client: its surfaces, its error classes, what it cannot do and why
    tests/clients/NAME/client.py|mjs   performs the scenarios and prints what it saw, a line of JSON each
    tests/clients/scenes.json          what all of them ask

What is seen is judged here, for all clients alike. How a client is installed and run stands in `environments`.
"""

import functools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from repository import ROOT
from upstream_answers import words

FOLDER = ROOT / "tests" / "clients"
SCENES: dict[str, Any] = json.loads((FOLDER / "scenes.json").read_text(encoding="utf-8"))
ENGINE = "demo-tiny"

TARGETS = {
    "chat": "a target that speaks chat completions",
    "messages": "a target that speaks Anthropic's messages",
    "responses": "a target that speaks responses",
    ENGINE: "the embedded engine with the demo model",
}
"""The models that are asked, each with one kind of target behind it."""

ROWS = {
    "plain": "An answer arrives.",
    "stream": "It arrives in pieces, too, which add up to the whole.",
    "usage": "The client counts the tokens that the target counted, whole and streamed.",
    "turns": "A system prompt and an earlier exchange reach the target.",
    "image": "A picture reaches the target.",
    "parse": "A schema's instance arrives as the client's own type.",
    "tools": "A tool is called, its result goes back by hand, and the answer knows it.",
    "streamed tools": "The same out of a stream.",
    "parallel tools": "Two calls at once; both results reach the target.",
    "forced tool": "A named tool is called because the client demands it.",
    "loop": "The client's own loop calls the tool and goes on to the last answer.",
    "previous": "The next turn names the earlier response alone, and the target gets both.",
    "conversation": "Both turns name a conversation that was made before, and the target gets both.",
    "400": "A request that the target refuses raises the client's own class.",
    "401": "So does a wrong key,",
    "404": "an unknown model,",
    "429": "a target without capacity.",
}

RESPONSES_ROWS = ("previous", "conversation")
"""What only the surface of that name has."""

ENGINE_ROWS = ("plain", "stream", "usage", "turns", "parse", "forced tool")
"""What the small model can do whatever it says; errors are the same before every target."""

_OSLO = ["weather", {"city": "Oslo"}]
_ROME = ["weather", {"city": "Rome"}]
_RAIN = {"calls": [_OSLO], "text": "The tool said: rain"}
SEEN: dict[str, Any] = {
    "plain": {"text": "Hello there"},
    "stream": {"text": words(9, "words: 9#0"), "streamed": True},
    "usage": {"whole": [6, 2], "streamed": [6, 2]},
    "turns": {"text": "two"},
    "image": {"text": "I see it"},
    "parse": {"value": {"kind": "cat", "tame": True, "owner": {"mood": "glad"}}},
    "tools": _RAIN,
    "streamed tools": _RAIN,
    "parallel tools": {"calls": [_OSLO, _ROME], "text": "The tool said: sun"},
    "forced tool": {"calls": [_OSLO]},
    "loop": _RAIN,
    "previous": {"text": "four"},
    "conversation": {"text": "six"},
}
"""What a client sees before the scripted upstream, which answers by the prompt; errors have the client's own classes."""

EVIDENCE = {
    "image": (SCENES["png"],),
    "turns": ("Be brief.", "echo: one", "echo: two"),
    "parallel tools": ("rain", "sun"),
    "previous": ("echo: three", "echo: four"),
    "conversation": ("echo: five", "echo: six"),
}
"""What one request to the target must hold together, for a client cannot see what arrived there."""


class Owner(msgspec.Struct, forbid_unknown_fields=True):
    mood: Literal["glad", "grim"]


class Pet(msgspec.Struct, forbid_unknown_fields=True):
    """What a structured answer is; all of it is bounded, as a small model may never end a free text."""

    kind: Literal["cat", "dog"]
    tame: bool
    owner: Owner


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client, as its client.toml has it."""

    title: str
    language: Literal["python", "node"]
    packages: list[str]
    """Those whose versions are told, the client's own first."""
    surfaces: dict[str, str]
    """Ways in which it speaks to a server, each with the client's name for it."""
    connect: str
    """How it is pointed at a server, as code."""
    errors: dict[str, str]
    connect_in: str = ""
    """The language of `connect`, where not the client's own."""
    lacks: dict[str, str] = {}
    """What does not work, with the reason: `row`, `surface: row`, or `surface: row on model`."""
    quick: bool = False
    """Whether it is run with all other tests."""
    name: str = ""

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return FOLDER / self.name

    @property
    def lock(self) -> Path:
        """What is installed for it."""
        return self.folder / ("requirements.txt" if self.language == "python" else "package-lock.json")

    def lack(self, surface: str, row: str, model: str) -> str:
        """Why this does not work; empty where it does."""
        names = (f"{surface}: {row} on {model}", f"{surface}: {row}", row)
        return next((self.lacks[name] for name in names if name in self.lacks), "")

    def versions(self) -> dict[str, str]:
        """The locked versions of its packages."""
        text = self.lock.read_text(encoding="utf-8")
        if self.language == "node":
            locked = json.loads(text)["packages"]
            return {name: locked[f"node_modules/{name}"]["version"] for name in self.packages}
        pins = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))
        return {name: pins[name] for name in self.packages}


@dataclass(frozen=True, slots=True)
class Line:
    """What a client's script told of one scenario."""

    surface: str
    model: str
    name: str
    ok: bool
    seen: Mapping[str, Any]


@functools.cache
def clients() -> tuple[Client, ...]:
    """All clients, by name."""
    found = []
    for file in sorted(FOLDER.glob("*/client.toml")):
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        found.append(msgspec.convert({**table, "name": file.parent.name}, Client))
    return tuple(found)


def chosen(wish: str) -> tuple[Client, ...]:
    """The clients that a wish names: `all`, names with commas, or nothing for the quick ones."""
    names = wish.split(",")
    known = {client.name for client in clients()}
    if wish and wish != "all" and not known.issuperset(names):
        raise ValueError(f"INGOT_CLIENTS is {wish!r}; it may be 'all', or some of {', '.join(sorted(known))}")
    return tuple(
        client for client in clients() if wish == "all" or client.name in names or (not wish and client.quick)
    )


def rows_of(model: str, surface: str = "responses") -> tuple[str, ...]:
    """The scenarios that a model is asked for on a surface."""
    asked = ENGINE_ROWS if model == ENGINE else tuple(ROWS)
    return tuple(row for row in asked if surface == "responses" or row not in RESPONSES_ROWS)


def complaint(client: Client, line: Line) -> str:
    """What is wrong with what was seen; empty where it is right."""
    if not line.ok:
        return str(line.seen["error"])
    if line.model == ENGINE:
        return _loosely(line)
    wanted = {"raised": client.errors[line.name]} if line.name in client.errors else SEEN[line.name]
    return "" if line.seen == wanted else f"saw {line.seen} in place of {wanted}"


def _loosely(line: Line) -> str:
    """What holds for any answer of the kind, as a model's own words are not known beforehand."""
    seen = line.seen
    if line.name == "usage":
        right = all(count > 0 for counts in seen.values() for count in counts) and len(seen) == 2
    elif line.name == "parse":
        try:
            right = isinstance(msgspec.convert(seen["value"], Pet), Pet)
        except msgspec.ValidationError:
            right = False
    elif line.name == "forced tool":
        right = seen["calls"] in ([_OSLO], [_ROME])
    else:
        right = bool(seen["text"].strip()) and seen.get("streamed", True)
    return "" if right else f"saw {seen}"


HEAD = """\
# Clients

<!-- Written by `python tests/reference.py` from tests/clients/*/client.toml and the locks there; edit those instead. -->

Clients that are run unmodified against a server, each in an environment of its own with locked packages. Before the server
stand scripted targets, one for each dialect that a target may speak, and the embedded engine; Ingot translates where client and
target speak differently. `make clients` runs all of them, `make test` the quick ones. Where a cell is not green, the reason is told below its table; an
empty one is not tried, for the small model of the engine says what it likes, and errors are the same before every target.

The official clients of OpenAI and Anthropic, in their newest versions for Python and Node, have test suites of their own in `tests/e2e`;
those for Node do there, before each kind of target, what no scenario here does: resumed streams, batches, counts and lists.

| scenario | what it shows |
|---|---|
"""

WHO_HEAD = """
## Who

| client | versions | speaks | quick |
|---|---|---|---|
"""


def page() -> str:
    """docs/reference/clients.md."""
    rows = "".join(f"| {name} | {says} |\n" for name, says in ROWS.items())
    who = "".join(
        f"| [{client.title}](#{_anchor(client.title)}) | {_versions(client)} "
        f"| {', '.join(client.surfaces)} | {'yes' if client.quick else ''} |\n"
        for client in clients()
    )
    return HEAD + rows + WHO_HEAD + who + "".join(part for client in clients() for part in _section(client))


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _versions(client: Client) -> str:
    return ", ".join(f"`{name}` {version}" for name, version in client.versions().items())


def _section(client: Client) -> Iterator[str]:
    """A client's table: rows are scenarios, columns are surfaces before targets."""
    yield f"\n## {client.title}\n\n"
    yield from (f"- {surface}: {says}\n" for surface, says in client.surfaces.items())
    language = client.connect_in or {"python": "python", "node": "js"}[client.language]
    yield f"\n```{language}\n{client.connect.strip()}\n```\n"
    notes: list[str] = []
    table = []
    for row in (row for row in ROWS if row not in RESPONSES_ROWS or "responses" in client.surfaces):
        cells = [
            _cell(client, surface, row, model, notes) for surface in client.surfaces for model in TARGETS
        ]
        table.append(f"| {row} | {' | '.join(cells)} |\n")
    columns = [f"{surface} → {model}" for surface in client.surfaces for model in TARGETS]
    yield f"\n| scenario | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}\n"
    yield from table
    if notes:
        yield "\n" + "".join(f"{number}. {note}\n" for number, note in enumerate(notes, 1))


def _cell(client: Client, surface: str, row: str, model: str, notes: list[str]) -> str:
    """`green`, the number of a note, or nothing where it is not tried."""
    if row not in rows_of(model, surface):
        return ""
    reason = client.lack(surface, row, model)
    if not reason:
        return "green"
    if reason not in notes:
        notes.append(reason)
    return f"{notes.index(reason) + 1}."
