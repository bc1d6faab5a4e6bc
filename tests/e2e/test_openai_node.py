"""The newest official OpenAI client for Node, unmodified: every program in `node/` against a running server."""

import os
import subprocess

import pytest

from nodejs import FOLDER, find_node
from served import Served
from standing import Standing

PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.mjs") if path.stem not in {"beyond", "client", "demo"})
PATIENCE = 120


def run(program: str, served: Served) -> None:
    """Runs one program against the server and shows what it printed if it fails."""
    done = subprocess.run(
        [find_node(), str(FOLDER / f"{program}.mjs")],
        env=os.environ | {"INGOT_URL": served.v1, "INGOT_KEY": served.key},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_node_program_before_a_relay(standing: Standing, program: str) -> None:
    """Every test in the program passes against the relay."""
    run(program, standing.served)


def test_node_program_with_the_demo_model(demo: Served) -> None:
    """The demo model answers the same client."""
    run("demo", demo)
