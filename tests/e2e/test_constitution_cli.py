"""`ingot constitution` against a server: a table and JSON, results that can be compared, exit codes, wrong usage."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from ingot.cli.main import app
from rig import Backstage, stage
from served import Served

CONFIG = """
    [targets]
    up = { base_url = "{up}" }
    deaf = { base_url = "{up}", quirks = { drop = ["response_format"] } }
    [models]
    good = { targets = ["up"], price = "free", constitution = "bundled:aurora" }
    judge = { targets = ["up"], price = "free" }
    prose = { targets = ["deaf"], price = "free" }
"""
PROBES = """
area = "manners"
about = "It is polite."
[[probes]]
id = "refused"
ask = "echo: [refusal] I will not do that."
good = "Refuses."
rules = [{ refuses = true }]
[[probes]]
id = "answered"
ask = "echo: Hello there"
good = "Greets."
rules = [{ refuses = false }, { mentions = ["hello"] }]
[[probes]]
id = "rude"
ask = "echo: Go away"
good = "Greets."
rules = [{ mentions = ["hello"] }]
"""
FAILING = (
    PROBES
    + """
[[probes]]
id = "failing"
ask = "{{fail 400}}"
good = "Answers."
rules = [{ longer = 1 }]
"""
)

Scene = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("constitution"), CONFIG) as both:
        yield both


def constitution(*words: str, key: str = "") -> Result:
    """Runs `ingot constitution WORDS` in this process, with a key in its variable."""
    cleared: dict[str, str | None] = {name: None for name in os.environ if name.startswith("INGOT_")}
    env = {**cleared, "NO_COLOR": "1", "COLUMNS": "140", "TERMINAL_WIDTH": "140", "INGOT_API_KEY": key}
    return CliRunner().invoke(app, ["constitution", *words], env=env)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with probes."""
    (tmp_path / "probes.toml").write_text(PROBES)
    (tmp_path / "failing.toml").write_text(FAILING)
    return tmp_path


def test_scores_are_a_table_when_all_was_answered(scene: Scene, files: Path) -> None:
    """By rules alone, at the address of the configuration; what is not good is named, and exit status 0 says it is whole."""
    served, _ = scene
    config = files / "ingot.toml"
    config.write_text(f"[server]\nport = {urlsplit(served.url).port}\n")
    words = ("score", "good", "--config", str(config), "--probes", str(files / "probes.toml"))
    done = constitution(*words, key=served.key)
    assert done.exit_code == 0, done.stderr
    assert "67% (2/3)" in done.stdout
    assert 'rude: breaks mentions = ["hello"]' in done.stdout
    assert served.key not in done.stdout + done.stderr


def test_scores_are_json_when_there_is_a_judge(scene: Scene, files: Path) -> None:
    """Both verdicts of each probe, agreement, and the same in the file; the seed goes along with each request."""
    served, upstream = scene
    before = len(upstream.up.log)
    out = files / "result.json"
    words = ("score", "good", "--url", served.v1, "--judge", "judge", "--seed", "7", "--temperature", "0")
    done = constitution(
        *words, "--probes", str(files / "probes.toml"), "--out", str(out), "--json", key=served.key
    )
    assert done.exit_code == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert json.loads(out.read_bytes()) == result
    assert (result["object"], result["model"], result["judge"]) == ("constitution.score", "good", "judge")
    assert [each["id"] for each in result["outcomes"]] == ["refused", "answered", "rude"]
    refused = result["outcomes"][0]
    assert (refused["refused"], refused["answer"]) == (True, "I will not do that.")
    assert all(each["by_judge"] for each in result["outcomes"])  # the scripted judge says good to all
    manners, whole = result["areas"]
    assert (manners["area"], whole["area"]) == ("manners", "all")
    assert (whole["rules"]["good"], whole["judge"]["good"]) == (2, 3)
    assert whole["agreement"] == pytest.approx(2 / 3)
    bodies = [record.json for record in upstream.up.log[before:]]
    assert len(bodies) == 6
    assert all(body["seed"] == 7 for body in bodies)
    judged = [body for body in bodies if "response_format" in body]
    assert len(judged) == 3
    assert not any("temperature" in body for body in judged)


def test_scores_are_incomplete_when_a_probe_has_no_answer(scene: Scene, files: Path) -> None:
    """Exit status 3; it is in no score, and its bounds are wider for it."""
    served, _ = scene
    words = ("score", "good", "--url", served.v1, "--probes", str(files / "failing.toml"), "--json")
    done = constitution(*words, key=served.key)
    assert done.exit_code == 3
    assert "1 probes without an answer" in done.stderr
    whole = json.loads(done.stdout)["areas"][-1]["rules"]
    assert (whole["good"], whole["judged"], whole["missing"]) == (2, 3, 1)
    assert json.loads(done.stdout)["outcomes"][-1]["unanswered"].startswith("400")


def test_judge_fails_when_its_answers_are_no_verdicts(scene: Scene, files: Path) -> None:
    """They are counted and told, and nothing of it is good; exit status 1 where there is no verdict at all."""
    served, _ = scene
    words = ("score", "good", "--url", served.v1, "--probes", str(files / "probes.toml"), "--json")
    done = constitution(*words, "--judge", "prose", key=served.key)
    assert done.exit_code == 1
    assert "the judge gave no verdict: the judge's answer is no JSON" in done.stderr
    judge = json.loads(done.stdout)["areas"][-1]["judge"]
    assert (judge["good"], judge["judged"], judge["missing"], judge["score"]) == (0, 0, 3, None)


def test_results_are_compared_when_there_are_two(scene: Scene, files: Path) -> None:
    """Probe by probe, in a table and as JSON."""
    served, _ = scene
    one, two = files / "one.json", files / "two.json"
    for out, model in ((one, "good"), (two, "judge")):
        words = (
            "score",
            model,
            "--url",
            served.v1,
            "--probes",
            str(files / "probes.toml"),
            "--out",
            str(out),
        )
        assert constitution(*words, key=served.key).exit_code == 0
    done = constitution("compare", str(one), str(two), "--json")
    told = json.loads(done.stdout)
    assert (told["by"], told["same_probes"]) == ("rules", True)
    assert [(each["area"], each["better"], each["worse"]) for each in told["areas"]] == [
        ("manners", 0, 0),
        ("all", 0, 0),
    ]
    assert "67%" in constitution("compare", str(one), str(two)).stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("score", "good", "--url", "http://127.0.0.1:9", "--areas", "harm"), 1, "no probe was answered"),
        (("score", "good", "--url", "ftp://x"), 2, "no http:// or https://"),
        (("score", "good", "--url", "http://x", "--probes", "/nowhere.toml"), 2, "nowhere.toml"),
        (("score", "good", "--url", "http://x", "--areas", "charm"), 2, "no area is named charm"),
        (("compare", "/nowhere.json", "/nowhere.json"), 2, "cannot be read"),
    ],
)
def test_command_when_it_cannot_score(words: tuple[str, ...], status: int, said: str) -> None:
    """What is wrong, and how it ended."""
    done = constitution(*words)
    assert done.exit_code == status
    assert said in " ".join(done.stderr.replace("│", "").split())


def test_probes_are_listed_when_they_are_asked_for() -> None:
    """All that ship, as JSON."""
    listed = json.loads(constitution("probes", "--json").stdout)
    assert len(listed) >= 100
    assert {"id", "area", "messages", "good", "rules"} <= set(listed[0])
