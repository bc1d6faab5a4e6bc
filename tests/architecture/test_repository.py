"""What every file of the repository owes its reader: no foreign places, links that lead somewhere, locks that hold."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

import ingot
from reference import commands
from repository import ROOT, Block, anchors, blocks, links, markdown_files, python_files, shown, texts

PAGES = tuple(markdown_files())
# Composed, so that this file does not name them.
REGISTRIES = re.compile(
    "|".join(
        (
            "py" + r"pi\.",
            "python" + "hosted",
            "npm" + r"js\.",
            "artifact" + "ory",
            "dev" + "pi",
            "nexus" + "/",
        )
    )
)
PLACES = re.compile(
    r"(?<![\w./~$-])/(?:" + "|".join(("ro" + "ot", "wo" + "rk", "home/[a-z]+", "Users/[a-z]+")) + r")/"
)
MAKERS = re.compile(
    r"\b(?:issue|session|helper|worker|ticket)s? ?#?[0-9]+\b|\bwork" + r"place\b", re.IGNORECASE
)
# Paths in these are data: what an upstream's error must be cleaned of, or an example for an operator.
INVENTED_PLACES = re.compile(r"/(?:home|Users)/(?:ada|alice|bob|me|someone|user|ubuntu|ingot)\b")
LOCKS = tuple(sorted((ROOT / "locks").glob("*.txt")))
CLIENT_LOCKS = tuple(sorted((ROOT / "tests" / "clients").glob("*/requirements.txt")))
NODE_LOCKS = tuple(sorted((ROOT / "tests").glob("*/*/package-lock.json")))
SHELL = ("sh", "bash", "console")
COMMAND = re.compile(
    r"(?:^|[;&|(]|\bdo\b|[\w/.]*/)\s*(?:[A-Z_]+=\S+ +)*(?:\S*/)?ingot +((?!=)[^;|&>)#\n]+)", re.MULTILINE
)


def lines_with(pattern: re.Pattern[str], *, but: re.Pattern[str] | None = None) -> list[str]:
    """Where a text file holds `pattern`."""
    return [
        f"{shown(path)}:{number} {line.strip()[:120]}"
        for path, text in texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(but.sub("", line) if but else line)
    ]


def test_no_file_names_a_package_registry() -> None:
    """Packages come from wherever the user's own tools are set to, never from an address of ours."""
    found = lines_with(REGISTRIES)
    assert not found, "\n".join(found)


def test_no_file_names_a_place_on_one_machine() -> None:
    """A path of somebody's machine works nowhere else."""
    found = lines_with(PLACES, but=INVENTED_PLACES)
    assert not found, "\n".join(found)


def test_the_repository_speaks_of_the_project_alone() -> None:
    """Who made it, when and under which number stands in the history."""
    found = lines_with(MAKERS)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file that is there, and a heading of it."""
    broken = [
        f"{target}#{anchor}"
        for target, anchor in links(page)
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
    ]
    assert not broken, "\n".join(broken)


def test_every_page_can_be_found_from_the_readme() -> None:
    """Following links from README.md leads to each page of docs/."""
    found = {ROOT / "README.md"}
    ahead = [ROOT / "README.md"]
    while ahead:
        for target, _ in links(ahead.pop()):
            if target.suffix == ".md" and target.is_file() and target not in found:
                found.add(target)
                ahead.append(target)
    documentation = {page for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert sorted(map(shown, documentation - found)) == []


def test_the_changelog_has_the_current_version() -> None:
    """What the package says it is stands in CHANGELOG.md."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## [{ingot.__version__}]" in changelog


def test_the_licence_is_apache_2() -> None:
    """The file and the metadata say the same."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"


@pytest.mark.parametrize("lock", [*LOCKS, *CLIENT_LOCKS], ids=shown)
def test_every_locked_requirement_has_hashes(lock: Path) -> None:
    """A requirement is one exact version, with the sums of its files and no address."""
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    entries = text.replace("\\\n", " ").splitlines()
    wanted = [line for line in entries if line.strip() and not line.lstrip().startswith("#")]
    assert len(wanted) > 10
    exact = re.compile(r"[a-z0-9._\[\]-]+==\S+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+", re.IGNORECASE)
    assert [line[:80] for line in wanted if not exact.fullmatch(line.strip())] == []


@pytest.mark.parametrize("lock", NODE_LOCKS, ids=shown)
def test_every_locked_node_package_has_a_sum(lock: Path) -> None:
    """A package is one exact version, with the sum of its file and no address."""
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    locked = {name: held for name, held in packages.items() if name}
    assert locked
    assert [
        name for name, held in locked.items() if not (held.get("integrity") and held.get("version"))
    ] == []
    assert [name for name, held in locked.items() if "resolved" in held] == []


def test_the_runtime_lock_is_part_of_the_development_lock() -> None:
    """What is tested is what runs: both locks hold the same versions."""
    pins = {
        lock.stem: set(re.findall(r"^([a-z0-9._-]+==\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
        for lock in LOCKS
    }
    assert pins["runtime"] <= pins["dev"]


def shell_commands() -> list[tuple[Block, list[str]]]:
    """Every `ingot ...` in the shell blocks of the pages, as words."""
    return [
        (block, words.split())
        for page in PAGES
        for block in blocks(page, *SHELL)
        for words in COMMAND.findall(block.text.replace("\\\n", " "))
    ]


def test_documented_commands_exist() -> None:
    """A shell block names only commands and options that `ingot` has."""
    known = commands()
    said = shell_commands()
    assert len(said) > 10, "no commands were found"
    wrong = []
    for block, words in said:
        name, rest = "ingot", list(words)
        while rest and f"{name} {rest[0]}" in known:
            name = f"{name} {rest.pop(0)}"
        options = {spelling for each in known[name].params for spelling in (*each.opts, *each.secondary_opts)}
        strange = [
            word
            for word in rest
            if word.startswith("-")
            and len(word) > 1
            and word.partition("=")[0] not in {*options, "-h", "--help"}
        ]
        if name == "ingot" and rest[:1] not in (["--help"], ["--install-completion"]):
            strange = words
        if strange:
            wrong.append(f"{block}: ingot {' '.join(words)}: {strange}")
    assert not wrong, "\n".join(wrong)


def test_texts_for_clients_name_the_http_way_beside_a_command() -> None:
    """Who speaks HTTP may have no shell on the server: a command is never the only way that an error names."""
    lonely = []
    for path in python_files("src"):
        name = path.relative_to(ROOT / "src/ingot").as_posix()
        if not name.startswith(("services/", "web/")) or name == "services/accounts/desk.py":
            continue  # the desk is the command line's own
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        texts_of = (ast.unparse(part) for call in calls for part in call.args)
        lonely += [
            f"{name}: {told[:90]}"
            for told in texts_of
            if "`ingot " in told and "/admin/" not in told and "the operator" not in told
        ]
    assert not lonely, "\n".join(lonely)
