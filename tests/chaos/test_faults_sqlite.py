"""The fault matrix on SQLite, one server: whatever is done to it, the history of the run proves sound.

`INGOT_CHAOS_SEED` repeats a run; `INGOT_CHAOS_RUNS`, `_LOAD`, `_HOLD`, `_KILLS` make it longer, as `make chaos` does.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.catalogue import Fault, on
from faults.nodes import Nodes, nodes
from faults.run import RUNS, running


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """One server for the module, which comes back after each fault."""
    with nodes("sqlite", tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.mark.parametrize("number", range(RUNS))
@pytest.mark.parametrize("fault", on("sqlite"), ids=lambda fault: fault.name)
def test_history_is_sound_when(scene: Nodes, fault: Fault, number: int, tmp_path: Path) -> None:
    """Nothing is lost, billed twice or seen by another, and what the fault itself demands holds."""
    with running(fault.name, scene, tmp_path / "logs", number=number) as run:
        fault.run(run)


def test_books_balance_when_all_is_over(scene: Nodes) -> None:
    """After all faults together every sum can be derived again from the ledger, and no money is held."""
    scene.mend()
    scene.rest()
    scene.hands.verified()
    scene.front.stop()
    [payer] = [each.org_id for each in scene.tenants if each.name == "cyd"]
    assert scene.hands.standing(payer)[1] == 0
