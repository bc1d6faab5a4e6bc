"""Every example and every code block of the README that calls the server, run as a reader would run it.

What a reader copies names the standard address; here a copy names the test server's, and nothing else changes.
"""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ingot.config import load
from nodejs import MODULES, find_node
from served import Served, serving

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PRICED = EXAMPLES / "priced.toml"
ADDRESS = "http://127.0.0.1:5150"
PATIENCE = 120
SUFFIXES = {"sh": ".sh", "bash": ".sh", "python": ".py", "javascript": ".mjs"}

# The lines of shell blocks that no test runs: they install, run in the foreground or download.
EXEMPT = (
    "#",
    "git clone ",
    "cd ",
    "make serve",
    "make test",
    "export INGOT_API_KEY=",
    "pip install openai",
    "npm install openai",
    "ingot serve",
    "ingot models pull ",
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block of a document."""

    language: str
    line: int
    text: str

    @property
    def calls(self) -> bool:
        """Whether it is to be run."""
        return self.language in {"python", "javascript"} or "curl " in self.text


def blocks(document: Path) -> list[Block]:
    """The document's code blocks, with the line that each begins on."""
    text = document.read_text()
    return [
        Block(match[1], text.count("\n", 0, match.start()) + 1, match[2])
        for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


README = blocks(ROOT / "README.md")
RUN = [block for block in README if block.language in SUFFIXES and block.calls]


def environ_for(served: Served) -> dict[str, str]:
    """The variables of a reader's shell on the server's machine: the key, the `ingot` command and its places."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    places = {"INGOT_DATA": str(served.data), "INGOT_CONFIG": str(served.config)}
    return os.environ | {"INGOT_API_KEY": served.key, "PATH": path} | places


def run(
    text: str, suffix: str, *, served: Served, folder: Path, more: Mapping[str, str] | None = None
) -> str:
    """What a copy of `text`, with the address of `served`, prints; it must end well and report no error.

    `more` are variables beside the usual ones.
    """
    copy = folder / f"pasted{suffix}"
    copy.write_text(text.replace(ADDRESS, served.url))
    if suffix == ".mjs":
        (folder / "node_modules").symlink_to(MODULES)
    runner = {".sh": ["bash", "-eu"], ".py": [sys.executable]}.get(suffix) or [find_node()]
    done = subprocess.run(
        [*runner, str(copy)],
        env=environ_for(served) | dict(more or {}),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    return done.stdout


def _is_person(printed: str) -> bool:
    answer = json.loads(json.loads(printed)["choices"][0]["message"]["content"])
    return set(answer) == {"name", "age"}


def _is_answer(printed: str) -> bool:
    return bool(json.loads(printed)["choices"][0]["message"]["content"].strip())


def _is_stream(printed: str) -> bool:
    return printed.startswith("data: {") and printed.rstrip().endswith("data: [DONE]")


def _has_two_vectors(printed: str) -> bool:
    return [len(item["embedding"]) > 8 for item in json.loads(printed)["data"]] == [True, True]


def _fits(pattern: str) -> Callable[[str], bool]:
    return lambda printed: re.search(pattern, printed) is not None


PROOFS: dict[str, Callable[[str], bool]] = {
    "cli/credit.sh": _fits(
        r"(?s)(?:answered\n)+refused with 402:\n\{\"error\":.*insufficient_quota.*after the top-up: 200\n\{.*choices"
        r".*balance \d.*Everything adds up"
    ),
    "curl/chat.sh": _is_answer,
    "curl/embeddings.sh": _has_two_vectors,
    "curl/models.sh": _fits(r'"demo-tiny"'),
    "curl/stream.sh": _is_stream,
    "curl/structured.sh": _is_person,
    "node/chat.mjs": _fits(r"\S"),
    "node/stream.mjs": _fits(r"(?s)\S.*\n\d+ tokens\n$"),
    "node/structured.mjs": _fits(r"(?s)^\{\s*name: .*age: -?\d"),
    "node/tools.mjs": _fits(r'^the model calls get_weather\(\{.*"city".*\}\)\n'),
    "python/chat.py": _fits(r"\S"),
    "python/embeddings.py": _fits(r"^\d+ dimensions, cosine -?[01]\.\d{3}$"),
    "python/errors.py": _fits(r"^temperature: .*\(request req_.*\)\nmodel: model_not_found\n$"),
    "python/organization.py": _fits(
        r"(?s)^invited ada-.* as owner\ninvited bob-.* as member\n(?:answered: .+\n)+"
        r"refused with 402 insufficient_quota\nafter the top-up: \S"
    ),
    "python/retry.py": _fits(
        r"^replayed: false\nreplayed: true, the same bytes: True\nanother .*: idempotency_error\n$"
    ),
    "python/stream.py": _fits(r"(?s)\S.*\n\d+ tokens\n$"),
    "python/structured.py": _fits(r"^name=.* age=-?\d+$"),
    "python/tools.py": _fits(r'^the model calls get_weather\(\{.*"city".*\}\)\n'),
    "python/usage.py": _fits(
        r"(?s)^\d+ tokens for .* USD in 7 days\ndemo-tiny: \d+ in, .*chatcmpl.*: 200, .* USD\n$"
    ),
}
"""For each example, whether it printed what it is there to show; any model's words will do."""


SPENDING = {"cli/credit.sh", "python/organization.py"}
"""Those that need a model with a price and a key for the admin API."""


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`ingot serve --config examples/priced.toml`."""
    with serving(PRICED.read_text(), tmp_path_factory.mktemp("priced")) as served:
        yield served


@pytest.fixture(scope="module")
def admin_key(priced: Served) -> str:
    """A key for the admin API of that server, made as the example says."""
    command = ["ingot", "keys", "create", "--name", "admin", "--admin"]
    done = subprocess.run(command, env=environ_for(priced), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_examples_when_one_is_added_or_lost() -> None:
    """Each file has a proof here and is named in the list that readers see."""
    files = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/*")}
    assert files == set(PROOFS)
    listed = set(re.findall(r"\]\((?!\.\./)([^)]+)\)", (EXAMPLES / "README.md").read_text()))
    assert listed == files | {PRICED.name}


@pytest.mark.parametrize("name", sorted(PROOFS.keys() - SPENDING))
def test_example_when_run(demo: Served, tmp_path: Path, name: str) -> None:
    """The example runs as it stands, but for the address, and shows what it is there to show."""
    path = EXAMPLES / name
    printed = run(path.read_text(), path.suffix, served=demo, folder=tmp_path)
    assert '"error"' not in printed
    assert PROOFS[name](printed), printed


@pytest.mark.parametrize("name", sorted(SPENDING))
def test_example_with_money_when_run(priced: Served, admin_key: str, tmp_path: Path, name: str) -> None:
    """It runs out of credit, is refused, and is answered after the top-up."""
    path = EXAMPLES / name
    more = {"INGOT_ADMIN_KEY": admin_key}
    printed = run(path.read_text(), path.suffix, served=priced, folder=tmp_path, more=more)
    assert PROOFS[name](printed), printed


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"{block.language} line {block.line}")
def test_readme_block_when_run(demo: Served, tmp_path: Path, block: Block) -> None:
    """The README's calls work when copied."""
    printed = run(block.text, SUFFIXES[block.language], served=demo, folder=tmp_path)
    assert '"error"' not in printed


def test_readme_when_read() -> None:
    """It shows a call in each of the three ways; shell lines that are not run stand in the list of exemptions."""
    assert {block.language for block in RUN} >= {"bash", "python", "javascript"}
    idle = [block for block in README if block.language in {"sh", "bash"} and not block.calls]
    strange = [
        line
        for block in idle
        for line in block.text.splitlines()
        if line.strip() and not line.startswith(EXEMPT)
    ]
    assert strange == []


def test_readme_configuration_when_loaded() -> None:
    """The configurations that the README shows are valid."""
    shown = [block.text for block in README if block.language == "toml"]
    assert shown
    for text in shown:
        variables = re.findall(r"\$\{(\w+)\}", text)
        config = load(text, dict.fromkeys(variables, "a-secret-value"))
        assert set(config.models) == set(tomllib.loads(text).get("models", {}))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("python/*.py")), ids=lambda path: path.name)
def test_example_in_python_when_parsed(path: Path) -> None:
    """An example begins by saying what it shows."""
    assert ast.get_docstring(ast.parse(path.read_text()))
