"""The fault matrix on PostgreSQL and Valkey, three nodes: whatever is done to them, the history of the run proves sound.

`INGOT_CHAOS_SEED` repeats a run; `INGOT_CHAOS_RUNS`, `_LOAD`, `_HOLD`, `_KILLS` make it longer, as `make chaos` does.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import postgres_url, valkey_url
from faults.catalogue import Fault, on
from faults.nodes import Nodes, nodes
from faults.run import RUNS, running
from ingot.store.holds import QUEUE


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Three nodes for the module, which come back after each fault."""
    with nodes(
        "postgres", tmp_path_factory.mktemp("faults"), url=postgres_url(), valkey=valkey_url()
    ) as made:
        yield made


@pytest.mark.parametrize("number", range(RUNS))
@pytest.mark.parametrize("fault", on("postgres"), ids=lambda fault: fault.name)
def test_history_is_sound_when(scene: Nodes, fault: Fault, number: int, tmp_path: Path) -> None:
    """Nothing is lost, billed twice or seen by another, and what the fault itself demands holds."""
    with running(fault.name, scene, tmp_path / "logs", number=number) as run:
        fault.run(run)


def test_books_balance_when_all_is_over(scene: Nodes) -> None:
    """After all faults together every sum can be derived again from the ledger, and no money is held for work that has ended."""
    scene.mend()
    scene.rest()
    scene.hands.verified()
    assert scene.place.run(f"SELECT * FROM holds WHERE owner = '{QUEUE}' AND amount > 0") == []  # noqa: S608  # our own name
