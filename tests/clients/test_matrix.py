"""Clients as their users install them, before targets of every kind: each does what it does elsewhere.

`INGOT_CLIENTS=all` runs all clients, `INGOT_CLIENTS=llm,vercel-ai` these; without it the quick ones run.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from environments import perform
from matrix import ENGINE, EVIDENCE, ROWS, TARGETS, Client, Line, chosen, clients, complaint, rows_of
from repository import ROOT
from rig import Backstage
from served import Served, serving

SPOKEN = tuple(model for model in TARGETS if model != ENGINE)
CHOSEN = chosen(os.environ.get("INGOT_CLIENTS", ""))
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
CELLS = [
    pytest.param(client, surface, row, id=f"{client.name}-{surface}-{row}")
    for client in CHOSEN
    for surface in client.surfaces
    for row in ROWS
    if any(row in rows_of(model, surface) for model in TARGETS)
]

ARRIVALS = [pytest.param(client, row, id=f"{client.name}-{row}") for client in CHOSEN for row in EVIDENCE]


@dataclass(frozen=True, slots=True)
class Run:
    """What a client saw, and how many requests with a row's evidence came to each target: `(row, model)`."""

    lines: list[Line]
    arrived: dict[tuple[str, str], int]


Runs = Callable[[Client], Run]


def config(url: str) -> str:
    """A model for each kind of target; those that are meant to fail have targets of their own."""
    lines = []
    for name in (name for model in SPOKEN for name in (model, f"limited-{model}")):
        dialect = name.removeprefix("limited-")
        lines += [
            f"[targets.{name}]",
            f'base_url = "{url}"',
            f'dialects = ["{dialect}"]',
            "breaker = { failures = 1000 }",
            f"[models.{name}]",
            f'targets = ["{name}"]',
            'price = "free"',
            "attempts = 1",
        ]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Backstage]]:
    """A server with the engine and the scripted upstream behind it."""
    with (
        Backstage() as upstream,
        serving(config(upstream.url), tmp_path_factory.mktemp("clients")) as served,
    ):
        yield served, upstream


@pytest.fixture(scope="module")
def run(scene: tuple[Served, Backstage]) -> Runs:
    """Runs a client, once for all of its tests."""
    served, upstream = scene
    known: dict[str, Run] = {}
    broken: dict[str, str] = {}

    def run(client: Client) -> Run:
        if client.name in broken:
            pytest.fail(broken[client.name])
        if client.name not in known:
            upstream.up.log.clear()
            try:
                lines = perform(client, served)
            except AssertionError as error:
                broken[client.name] = str(error)  # told by each test, and not tried by each
                raise
            arrived = {(row, model): _arrived(upstream, row, model) for row in EVIDENCE for model in SPOKEN}
            known[client.name] = Run(lines, arrived)
        return known[client.name]

    return run


def _arrived(upstream: Backstage, row: str, model: str) -> int:
    texts = [needle.encode() for needle in EVIDENCE[row]]
    return sum(
        record.path == PATHS[model] and all(text in record.body for text in texts)
        for record in upstream.up.log
    )


@pytest.mark.parametrize(("client", "surface", "row"), CELLS)
def test_client_sees_what_is_right(client: Client, surface: str, row: str, run: Runs) -> None:
    """Before every kind of target; what the client is said to be unable to do, it does not do."""
    lines = {line.model: line for line in run(client).lines if (line.surface, line.name) == (surface, row)}
    asked = {model for model in TARGETS if row in rows_of(model, surface)}
    lacked = {model for model in asked if client.lack(surface, row, model)}
    wrong = {model: complaint(client, line) for model, line in lines.items()}
    assert {model for model in lacked & lines.keys() if not wrong[model]} == set(), (
        "it works, says what it saw"
    )
    assert lines.keys() - lacked == asked - lacked
    assert {model: said for model, said in wrong.items() if said and model not in lacked} == {}


@pytest.mark.parametrize(("client", "row"), ARRIVALS)
def test_target_gets_what_is_right(client: Client, row: str, run: Runs) -> None:
    """As many requests with all of it as scenarios went well; a client cannot see what arrived."""
    done = run(client)
    for model in SPOKEN:
        wanted = sum((line.name, line.model, line.ok) == (row, model, True) for line in done.lines)
        assert done.arrived[row, model] == wanted, model


def test_folder_of_a_client_is_whole() -> None:
    """Each has its table, its lock and its script, and what it lacks is something that is asked."""
    folders = {path.parent.name for path in (ROOT / "tests" / "clients").glob("*/client.*")}
    assert folders == {client.name for client in clients()}
    for client in clients():
        script = "client.py" if client.language == "python" else "client.mjs"
        assert (client.folder / script).is_file()
        assert client.versions()
        assert client.errors.keys() == {row for row in ROWS if row.isdigit()}
        for lack in client.lacks:
            place, _, model = lack.partition(" on ")
            surface, _, row = place.rpartition(": ")
            assert row in ROWS
            assert surface in {"", *client.surfaces}
            assert model in {"", *TARGETS}
