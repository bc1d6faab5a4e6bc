"""The index for programs: what a preset offers and nothing else, with links into what is served."""

import re
from urllib.parse import unquote

import msgspec
import pytest

from ingot.presets import load
from ingot.presets.page import page
from ingot.presets.sections import SURFACES
from ingot.web import llms, openapi

DESCRIPTION = openapi.describe()
PATHS = msgspec.json.decode(DESCRIPTION)["paths"]
LINK = re.compile(r"^- \[(?P<name>[^\]]+)\]\((?P<to>[^)]+)\): (?P<says>.+)$", re.MULTILINE)


def listed(preset: str, heading: str) -> list[str]:
    """The names of the links below a heading."""
    text = llms.index(load(preset), DESCRIPTION)
    [part] = [each for each in text.split("\n## ") if each.startswith(heading)]
    return [found["name"] for found in LINK.finditer(part)]


@pytest.mark.parametrize(
    ("preset", "api"),
    [
        ("metask", ["POST /v1/chat/completions", "GET /v1/models", "GET /v1/models/{model}"]),
        ("aurora", ["POST /v1/chat/completions", "GET /v1/models", "GET /v1/models/{model}"]),
    ],
)
def test_index_when_preset_offers_little(preset: str, api: list[str]) -> None:
    """C-52: the operations of its surfaces, and no other."""
    assert listed(preset, "API") == api


def test_index_when_preset_offers_all() -> None:
    """Each operation is named once, and each link leads to one that is described."""
    every = {f"{method.upper()} {path}" for path, told in PATHS.items() for method in told}
    assert sorted(listed("open", "API") + listed("open", "Optional")) == sorted(every)
    assert "GET /readyz" in listed("open", "Optional")
    for found in LINK.finditer(llms.index(load("open"), DESCRIPTION)):
        page_, _, pointer = found["to"].partition("#")
        assert page_ in PATHS
        value = {"paths": PATHS}
        for step in pointer.split("/")[1:]:
            value = value[unquote(step).replace("~1", "/").replace("~0", "~")]


def test_surfaces_when_operations_are_described() -> None:
    """Each path of the API belongs to a surface that presets know, and no other does."""
    found = {(method, path): llms.surface_of(method, path) for path, told in PATHS.items() for method in told}
    assert {path for (_, path), name in found.items() if name is None} == {
        path for path in PATHS if not path.startswith("/v1/")
    }
    assert set(found.values()) - {None} <= set(SURFACES)


def test_index_when_it_begins() -> None:
    """A title, what it is in short, and how a key comes."""
    title, _, about, _, keys, *_ = llms.index(load("valar"), DESCRIPTION).splitlines()
    assert title == "# Valar"
    assert about == "> three surfaces, windows, webhooks, and a long list of refusals."
    assert "`Authorization: Bearer KEY`" in keys
    assert "x-api-key" not in keys
    assert llms.index(load("open"), DESCRIPTION).startswith("# Ingot\n\n> Everything")


def test_reference_when_it_is_served() -> None:
    """The preset's part of the reference, under a heading of its own."""
    text = llms.reference(load("metask"))
    assert text.startswith("# metask\n")
    assert text.partition("\n")[2] in page()
