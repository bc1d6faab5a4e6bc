"""The newest official OpenAI client for Node, unmodified: every program in `node/` against a running server."""

from pathlib import Path

import pytest

from kindhouse import CONFIG
from nodejs import FOLDER, run_program
from rig import stage
from served import Served
from standing import Standing

OTHERS = {"beyond", "client", "demo", "kinds", "messages", "messages-kinds"}
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.mjs") if path.stem not in OTHERS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_node_program_before_a_relay(standing: Standing, program: str) -> None:
    """Every test in the program passes against the relay."""
    run_program(program, url=standing.served.v1, key=standing.served.key)


def test_node_program_with_the_demo_model(demo: Served) -> None:
    """The demo model answers the same client."""
    run_program("demo", url=demo.v1, key=demo.key)


def test_node_program_before_each_kind_of_target(tmp_path: Path) -> None:
    """What a server keeps, streams again, parses and counts is the same whatever its targets speak."""
    with stage(tmp_path, CONFIG) as (served, _):
        run_program("kinds", url=served.v1, key=served.key)
