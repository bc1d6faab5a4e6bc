"""The documentation tells the truth: generated pages are current, examples parse, every command is explained."""

import ast
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from ingot.config import load
from ingot.presets import load_all
from reference import CODES, FOLDER, commands, pages, special_codes
from repository import Block, blocks, markdown_files

WANTED = re.compile(r"\$\{([A-Z_]+)\}")


def examples(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages."""
    return [block for page in markdown_files() for block in blocks(page, *languages)]


@pytest.mark.parametrize(
    "name", ["cli.md", "clients.md", "config.md", "conformance.md", "errors.md", "presets.md"]
)
def test_generated_pages_are_current(name: str) -> None:
    """`python tests/reference.py` would change nothing."""
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name]


def test_every_reference_page_is_generated() -> None:
    """A page beside the generated ones would go stale unnoticed."""
    assert {page.name for page in FOLDER.glob("*.md")} == pages().keys()


def test_every_error_code_is_explained() -> None:
    """Each code of the source has its advice, and no advice is left over."""
    assert special_codes().keys() == CODES.keys()


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help(name: str) -> None:
    """Each command, argument and option says what it is for, as a sentence, and stands in the reference."""
    command = commands()[name]
    said = [command.help, *(each.help for each in command.params if not getattr(each, "hidden", False))]
    assert all(isinstance(text, str) and text[:1].isupper() | text[:1].islower() for text in said), said
    assert [text for text in said if not text.rstrip().endswith(".")] == []
    # Brackets are markup to the printer of help texts: what stands in them would vanish.
    assert [text for text in said if "[" in text] == []
    page = (FOLDER / "cli.md").read_text(encoding="utf-8")
    assert name == "ingot" or f"`{name}" in page


@pytest.mark.parametrize("block", examples("toml"), ids=str)
def test_configuration_examples_load(block: Block) -> None:
    """Each TOML block is a configuration that a server would start with."""
    environ = dict.fromkeys(WANTED.findall(block.text), "a-value-of-the-operator")
    config = load(block.text, environ)
    load_all([config.server.preset, *config.hosts.values()], config.presets)


@pytest.mark.parametrize(
    ("language", "parse"), [("json", json.loads), ("python", ast.parse)], ids=["json", "python"]
)
def test_code_examples_parse(language: str, parse: Callable[[str], Any]) -> None:
    """Each JSON and Python block is well-formed."""
    for block in examples(language):
        try:
            parse(block.text)
        except (ValueError, SyntaxError) as error:
            pytest.fail(f"{block}: {error}")
