"""What a model carries beside targets and prices: its card, its constitution."""

from pathlib import Path

import pytest

from ingot.catalog import build, refusal_rule
from ingot.config import CardConfig, ConfigError, Loaded, from_disk, load
from ingot.config.constitutions import LARGEST, SHIPPED, read_constitutions
from ingot.differences import differences

BASE = """
[targets.up]
base_url = "http://127.0.0.1:1/v1"
[models.m]
targets = ["up"]
price = "free"
"""


def complaint(lines: str, directory: Path | None = None) -> str:
    try:
        read_constitutions(load(BASE + lines, {}), directory or Path("/nowhere"))
    except ConfigError as error:
        return str(error)
    return "no complaint"


def loaded(folder: Path, lines: str) -> Loaded:
    (folder / "ingot.toml").write_text(BASE + lines)
    return from_disk(folder / "ingot.toml", {}, directory=Path("/"), options={})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('card = { sumary = "x" }', "unknown key; did you mean `summary`?"),
        ('constitution = ""', "models.m.constitution: is empty"),
        ('constitution = "bundled:borealis"', "no constitution of that name ships; known here: aurora"),
        ('constitution = "none.md"', "cannot read"),
    ],
)
def test_load_when_an_extra_is_wrong(lines: str, message: str) -> None:
    """Each mistake is told at its key."""
    assert message in complaint(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"x" * (LARGEST + 1), "is larger than 32,768 bytes"),
        (b"\xff\xfe", "is not UTF-8 text (byte 0)"),
        (b"a\0b", "holds a control character"),
        (b"a\x1b[31m", "holds a control character"),
    ],
)
def test_constitution_when_file_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that is no text, or too much of it, is refused with the model's name."""
    (tmp_path / "p.md").write_bytes(content)
    said = complaint('constitution = "p.md"', tmp_path)
    assert said.startswith("models.m.constitution: ")
    assert message in said


def test_constitution_when_it_is_a_directory(tmp_path: Path) -> None:
    """Only a regular file is read."""
    assert "is not a regular file" in complaint('constitution = "."', tmp_path)


def test_constitution_when_it_is_read(tmp_path: Path) -> None:
    """It is found beside the configuration, without marks and line ends of other systems, and kept apart from its path."""
    (tmp_path / "p.md").write_bytes(b"\xef\xbb\xbf\r\n# Be kind\r\n\tAlways.\r\n\r\n")
    found = loaded(tmp_path, 'constitution = "p.md"')
    assert found.constitutions == {"m": "# Be kind\n\tAlways."}
    assert found.config.models["m"].constitution == "p.md"
    assert "kind" not in repr(found)
    deployment = build(found.config, constitutions=found.constitutions).resolve("m")
    assert deployment.constitution == f"# Be kind\n\tAlways.\n\n{refusal_rule()}"
    assert deployment.added == len(deployment.constitution.encode())
    assert "kind" not in repr(deployment)
    without = from_disk(tmp_path / "ingot.toml", {}, directory=Path("/"), options={}, secrets=False)
    assert without.constitutions == {}


def test_constitution_when_nobody_has_read_it() -> None:
    """A model is never served without the principles that it names."""
    with pytest.raises(ValueError, match="constitution of model m was not read"):
        build(load(BASE + 'constitution = "p.md"', {}))


def test_constitution_when_it_changes(tmp_path: Path) -> None:
    """A reload says that it changed, and not what it says."""
    catalogs = []
    for text in ("One.", "Two."):
        (tmp_path / "p.md").write_text(text)
        found = loaded(tmp_path, 'constitution = "p.md"')
        catalogs.append(build(found.config, constitutions=found.constitutions))
    assert differences(*catalogs) == ["models.m: constitution changed"]


@pytest.mark.parametrize("name", SHIPPED)
def test_constitution_when_it_ships(tmp_path: Path, name: str) -> None:
    """What ships can be used by its name from anywhere."""
    text = loaded(tmp_path, f'constitution = "bundled:{name}"').constitutions["m"]
    assert text.startswith("# Principles")
    assert 1000 < len(text) < LARGEST


def test_constitution_when_no_target_speaks_chat() -> None:
    """Completions and embeddings have no place for principles: the model is not served."""
    text = BASE.replace("[models.m]", 'dialects = ["completions", "embeddings"]\n[models.m]')
    with pytest.raises(ConfigError, match="needs a target that speaks chat or messages"):
        build(load(text + 'constitution = "p.md"', {}), constitutions={"m": "Be kind."})


@pytest.mark.parametrize(
    ("lines", "mark", "asked"),
    [
        ("", None, False),
        ('refusal_mark = "NO:"', "NO:", False),
        ('constitution = "p.md"', "[refusal]", True),
        ('constitution = "p.md"\nrefusal_mark = "NO:"', "NO:", True),
    ],
)
def test_refusal_mark_when_it_is_given_or_not(lines: str, mark: str | None, *, asked: bool) -> None:
    """The configured mark counts, and a constitution asks the model for it; without either there is none."""
    texts = {"m": "Be kind."} if asked else {}
    found = build(load(BASE + lines, {}), constitutions=texts).resolve("m")
    assert found.refusal_mark == mark
    assert found.constitution == (f"Be kind.\n\n{refusal_rule(mark or '')}" if asked else None)


@pytest.mark.parametrize("mark", ["", "x", " NO", "NO ", "N" * 41, "A\\nB"])
def test_refusal_mark_when_it_cannot_be_one(mark: str) -> None:
    """Too short, too long, or with spaces at its ends: said at the start."""
    assert "models.m.refusal_mark" in complaint(f'refusal_mark = "{mark}"')


def test_constitution_when_targets_speak_several_dialects() -> None:
    """A model with principles serves what has a place for them."""
    text = BASE.replace(
        "[models.m]", 'dialects = ["chat", "messages", "completions", "embeddings"]\n[models.m]'
    )
    found = build(load(text + 'constitution = "p.md"', {}), constitutions={"m": "Be kind."}).resolve("m")
    assert found.capabilities == {"chat", "messages", "responses", "embeddings"}


def test_build_when_a_model_has_a_card() -> None:
    """The card is the one that was written."""
    card = '[models.m.card]\nsummary = "Small."\nlanguages = ["en", "de"]\n'
    assert build(load(BASE + card, {})).resolve("m").card == CardConfig(
        summary="Small.", languages=["en", "de"]
    )
