"""The newest official Anthropic client for Node, unmodified: its programs in `node/` against a running server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import kindhouse
from messagehouse import CONFIG, Scene
from nodejs import run_program
from rig import stage


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("node"), CONFIG) as both:
        yield both


def test_node_program_before_a_target_that_speaks_messages(scene: Scene) -> None:
    """Every test in the program passes against the relay."""
    served, _ = scene
    run_program("messages", url=served.url, key=served.key)


def test_node_program_before_each_kind_of_target(tmp_path: Path) -> None:
    """Streams, tools, images, counts, models and batches are the same whatever a server's targets speak."""
    with stage(tmp_path, kindhouse.CONFIG) as (served, _):
        run_program("messages-kinds", url=served.url, key=served.key)
